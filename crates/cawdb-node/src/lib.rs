//! Keys, messages and translations; immutable runs and the nodes over them, in memory and as bytes.
mod cache;
pub mod compress;
mod error;
#[doc(hidden)]
pub mod fuzz;
mod gauge;
mod key;
mod message;
mod node;
pub mod node_wire;
mod part;
mod patch;
mod ranges;
mod resident;
mod run;
mod shelf;
mod slot;
mod table;
mod translation;

pub use cache::{Cache, CacheStats};
pub use compress::Compression;
pub use error::{Error, Result};
pub use gauge::{Gauge, Unwritten};
pub use key::{Key, KeyRange, common_prefix, hi_less, successor};
pub use message::Message;
pub use node::{Node, NodeHandle, NodeId, NodeState};
pub use part::{Found, Part, WHOLE};
pub use patch::{MAX_VALUE, Patch};
pub use ranges::RangeSet;
pub use run::{
    Damage, Direction, EncodedRun, MemRun, MemRunBuilder, PlacedImage, ReadAhead, Run, RunCursor,
    RunId, RunMeta, RunSource,
};
pub use shelf::Shelf;
pub use slot::{Edge, RunRef, Slot, same_edge};
pub use table::{Changed, Counted, NodeEntry, RunEntry, Table};
pub use translation::Translation;
