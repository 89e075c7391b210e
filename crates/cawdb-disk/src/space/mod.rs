//! Who owns which bytes of the data area.
//!
//! ```text
//!   allocate          release (not persistent)
//!  free ──────► allocated ──────────────────────────► free
//!    ▲              │ release (persistent)
//!    │ durable(cut) ▼
//!    └────────── limbo
//! ```
//!
//! Invariants:
//! * free, allocated and withheld (limbo, or being punched) bytes are disjoint and fill the data
//!   area up to the limit;
//! * what a durable checkpoint may refer to is never free: such extents pass through limbo until a
//!   checkpoint without them is durable;
//! * `unpunched` is the part of the free space that may still occupy room on the medium below.

mod free;
mod map;
mod place;
mod ranges;
mod state;

pub use map::{Class, Reserved, SpaceMap, SpaceStats};
pub use place::Place;
