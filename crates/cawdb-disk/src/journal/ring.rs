//! Bytes at ever-growing positions, laid around a ring.

use super::record::HEADER_BYTES;
use crate::{Disk, Error, Extent, Result};
use std::sync::Arc;

/// A stretch of disk used as a ring.
#[derive(Debug, Clone)]
pub(super) struct Ring {
    disk: Arc<dyn Disk>,
    extent: Extent,
}

impl Ring {
    pub fn new(disk: Arc<dyn Disk>, extent: Extent) -> Result<Self> {
        let aligned = extent.offset.is_multiple_of(8) && extent.len.is_multiple_of(8);
        if !aligned || extent.len < 4 * HEADER_BYTES as u64 {
            return Err(Error::Invalid(format!("a journal in {extent}")));
        }
        // Format made it real, so a shorter disk was cut off; this also bounds what is allocated.
        if extent.end() > disk.len() {
            let found = format!("an end at {}", disk.len());
            return Err(Error::corrupt(
                disk.name(),
                format!("a journal in {extent}"),
                found,
            ));
        }
        Ok(Self { disk, extent })
    }

    pub fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    pub fn len(&self) -> u64 {
        self.extent.len
    }

    /// Half the ring, so that one record never displaces all others; and what a length can say.
    pub fn max_payload(&self) -> usize {
        (self.len() / 2).min(u64::from(u32::MAX)) as usize - HEADER_BYTES
    }

    /// How many of `len` bytes from `position` on lie before the end of the ring.
    fn before_wrap(&self, position: u64, len: usize) -> (u64, usize) {
        let at = position % self.len();
        (self.extent.offset + at, len.min((self.len() - at) as usize))
    }

    pub fn read(&self, position: u64, buf: &mut [u8]) -> Result<()> {
        let (offset, first) = self.before_wrap(position, buf.len());
        let (head, wrapped) = buf.split_at_mut(first);
        self.disk.read_at(head, offset)?;
        match wrapped.is_empty() {
            true => Ok(()),
            false => self.disk.read_at(wrapped, self.extent.offset),
        }
    }

    pub fn write(&self, position: u64, bytes: &[u8]) -> Result<()> {
        let (offset, first) = self.before_wrap(position, bytes.len());
        let (head, wrapped) = bytes.split_at(first);
        if !head.is_empty() {
            self.disk.write_at(head, offset)?;
        }
        match wrapped.is_empty() {
            true => Ok(()),
            false => self.disk.write_at(wrapped, self.extent.offset),
        }
    }
}
