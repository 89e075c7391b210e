//! Bytes on a disk: extents, checksums, superblocks, the journal ring, free space.
//!
//! The lowest floor. It knows bytes and where they lie; it knows neither keys nor nodes, starts no
//! thread and decides no policy. A store, on a file, a block device or in memory, looks like this:
//!
//! ```text
//! 0         64 KiB    128 KiB          128 KiB + J                            limit
//! ┌────┬────┬────┬────┬────────────────┬──────────────────────────────────────┐
//! │ sb A ×2 │ sb B ×2 │ journal ring   │ data: extents of runs, nodes, tables │
//! └────┴────┴────┴────┴────────────────┴──────────────────────────────────────┘
//! ```
//!
//! Rules of the floor: everything read is checked before it is believed; decoders return errors and
//! never panic; a write is durable only after a `sync` that began after it; nothing is written in
//! place while anything durable refers to it, except the superblock slots, which alternate.

pub mod checksum;
pub mod codec;
pub mod device;
mod error;
pub mod frame;
#[doc(hidden)]
pub mod fuzz;
mod histogram;
pub mod journal;
pub mod layout;
pub mod meter;
pub mod recent;
pub mod space;
pub mod superblock;
pub mod sync;
mod units;

pub use checksum::Checksum;
pub use device::{
    Access, Disk, Fate, Fault, FaultyDisk, FileDisk, HookedDisk, IoStats, IoTimes, OpKind, Outage,
    Outages, Pieces, RamDisk, RamImage, Recording, Request, Sampling, Tear, lock_holder,
};
pub use error::{Error, Result};
pub use histogram::{Histogram, Times};
pub use journal::Journal;
pub use layout::Layout;
#[cfg(feature = "interleave")]
#[doc(hidden)]
pub use shuttle;
pub use space::{Class, Place, SpaceMap};
pub use superblock::Superblock;
pub use units::{Extent, GRANULE, MAX_OFFSET, UNIT, round_down, round_up};
