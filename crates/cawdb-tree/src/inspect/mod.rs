//! Looking at a tree: is it whole, and what does it look like?
//!
//! These rooms may import every other; nothing imports them but tests and the store's own check and dump.

mod check;
mod dump;
mod places;

pub use check::{CheckReport, Fault, Finding, check};
pub use dump::{dump_dot, dump_text};
pub use places::{Part, places};
