//! The Bε-DAG: cut, clone, flush, merge, rebase, split, join, trim, release.
//!
//! A tree is small nodes over immutable runs (see `cawdb-node`). Its content is a *root*; whoever owns the root
//! changes content there and only there ([`Tree::lay`], [`Tree::clone_ranges`]). Everything else replaces
//! representations by equal ones ([`Tree::tick`]) and may happen at any time, or never.
//!
//! This floor knows nothing of durability, threads, clocks or files.

mod counters;
mod equal;
mod flush;
pub mod inspect;
mod known;
mod leaf;
mod maintain;
mod memo;
mod merge;
mod path;
mod plan;
mod policy;
mod read;
mod reshape;
mod root;
mod stream;
mod sweep;
mod tree;
mod troubles;
mod warm;

pub use counters::{Counter, Counters};
pub use memo::{Known, MergeKey};
pub use policy::Policy;
pub use read::{Scan, TopLayer, get};
pub use root::CloneSpec;
pub use stream::{Direction, Layer, Points, ReadAhead, Stream};
pub use sweep::{Position, Upkeep};
pub use tree::{Roots, Tree};
pub use warm::Top;
