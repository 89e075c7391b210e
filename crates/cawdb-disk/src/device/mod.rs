//! Where bytes are kept: the trait [`Disk`] and its implementations, of which two are for tests, with
//! the enumeration of what a loss of power may leave ([`Outages`]).
//!
//! Contract of every disk: reads return what was last written, or zeros where nothing was; a write
//! is durable once a `sync` that began after it has returned; without it, a crash may keep, lose or
//! tear it (at [`crate::UNIT`]), in any order. Failed writes leave the range undefined.

mod coming;
mod direct;
mod faulty;
mod file;
mod flight;
mod hooked;
mod lock;
mod once;
mod outage;
mod outages;
mod ram;
mod recording;
mod rings;
mod stats;
mod touched;
mod ways;

pub use faulty::{Fault, FaultyDisk, OpKind};
pub use file::{Access, FileDisk};
pub use hooked::HookedDisk;
pub use lock::lock_holder;
pub use outage::{Fate, Outage, Pieces, Tear};
pub use outages::{Outages, Sampling};
pub use ram::{RamDisk, RamImage};
pub use recording::{Recording, Request};
pub use stats::{IoStats, IoTimes};

use crate::{Error, Extent, Result};
use bytes::Bytes;
use std::fmt::Debug;

/// A file, a block device, memory: bytes at offsets. All methods may be called from many threads.
pub trait Disk: Send + Sync + Debug {
    /// Current size in bytes; grows with writes and [`Disk::reserve`].
    fn len(&self) -> u64;

    /// Whether it holds no byte yet.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Size it can never exceed (of a block device), if there is one.
    fn limit(&self) -> Option<u64>;

    /// Fills `buf` from `offset` on.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if that reaches beyond the end; [`Error::Io`].
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()>;

    /// The same for `len` bytes in memory of their own, which need not be cleared before where the medium can fill it.
    ///
    /// # Errors
    /// As for [`Disk::read_at`].
    fn read_vec(&self, offset: u64, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.read_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    /// The same for what the caller does not mean to read again soon: where that can be done, it does not stay in the machine's memory beside
    /// the medium, unless it was asked for not long ago.
    ///
    /// # Errors
    /// As for [`Disk::read_at`].
    fn read_bulk(&self, offset: u64, len: usize) -> Result<Bytes> {
        self.read_vec(offset, len).map(Bytes::from)
    }

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()>;

    /// The same for much that is not likely to be read soon: where that can be done, it does not stay in the machine's memory beside
    /// the medium.
    ///
    /// # Errors
    /// As for [`Disk::write_at`].
    fn write_bulk(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.write_at(bytes, offset)
    }

    /// Makes everything written before durable.
    ///
    /// # Errors
    /// [`Error::Io`]; what was written before may then be lost, even if a later sync succeeds.
    fn sync(&self) -> Result<()>;

    /// Makes room for `extent` real, so that writing there cannot run out of space, where the
    /// medium can do that; in any case it lies below [`Disk::len`] afterwards.
    ///
    /// # Errors
    /// [`Error::Full`] if there is no room; [`Error::Io`].
    fn reserve(&self, extent: Extent) -> Result<()>;

    /// Gives the whole granules inside `extent` back, where the medium can do that; their content
    /// is lost (zeros, or as before). Only an advice: it may do nothing.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn discard(&self, extent: Extent) -> Result<()>;

    /// Lets go of what the machine remembers of `extent` beside the medium, so that the next read asks the medium itself,
    /// where that can be done. Only an advice: nothing is lost, and it may do nothing.
    fn forget(&self, _extent: Extent) {}

    /// Says that `extent` is read soon: where that can be done, the medium brings it in meanwhile, so that several are one after
    /// the other what one is. Only an advice: what cannot be read is told to whoever reads it.
    fn will_read(&self, _extent: Extent) {}

    /// Begins to read `extent`, of which [`Disk::read_bulk`] is about to be asked, as a whole or from its start on in parts; whether it is on its way, so that
    /// who asks waits only for what is not there yet. Only an advice: what cannot be read is told to whoever asks.
    fn begin_read(&self, _extent: Extent) -> bool {
        false
    }

    /// Bytes that can still be reserved before what is below is full, if it has such a limit; others may take them
    /// meanwhile. Cheap enough to be asked for each change.
    fn room(&self) -> Option<u64> {
        None
    }

    /// Bytes it occupies on what is below, if known.
    fn occupied(&self) -> Option<u64>;

    /// What was asked of it so far.
    fn stats(&self) -> IoStats;

    /// How long its requests took, if it measures them.
    fn times(&self) -> IoTimes {
        IoTimes::default()
    }

    /// What it is called in messages.
    fn name(&self) -> String;
}

/// The end of a request of `len` bytes at `offset`, which must not lie beyond `size`.
fn end_within(name: &str, offset: u64, len: usize, size: u64) -> Result<u64> {
    match offset.checked_add(len as u64) {
        Some(end) if end <= size => Ok(end),
        _ => Err(Error::corrupt(
            name,
            format!("{len} bytes at {offset}"),
            format!("an end at {size}"),
        )),
    }
}
