//! The image of a run at its place on a disk.

use super::RunSource;
use crate::{Error, Result};
use bytes::Bytes;
use cawdb_disk::{Disk, Extent, Place};
use std::sync::Arc;

/// An image on a disk. It owns its place: the extent is freed when the last owner lets go.
pub struct PlacedImage {
    disk: Arc<dyn Disk>,
    place: Arc<Place>,
}

impl PlacedImage {
    /// The image at the start of `place`.
    pub fn new(disk: Arc<dyn Disk>, place: Arc<Place>) -> Self {
        Self { disk, place }
    }

    /// Where a part of the image lies on the disk.
    fn start(&self, offset: u64, len: usize) -> Result<u64> {
        let extent = self.place.extent();
        let end = offset.checked_add(len as u64);
        if end.is_none_or(|end| end > extent.len) {
            let what = format!("bytes {offset} + {len} of a run's image");
            return Err(Error::mismatch(what, extent, "an end beyond it"));
        }
        Ok(extent.offset + offset)
    }
}

impl RunSource for PlacedImage {
    fn read_at(&self, offset: u64, len: usize) -> Result<Bytes> {
        let start = self.start(offset, len)?;
        Ok(self.disk.read_vec(start, len)?.into())
    }

    fn read_bulk(&self, offset: u64, len: usize) -> Result<Bytes> {
        Ok(self.disk.read_bulk(self.start(offset, len)?, len)?)
    }

    fn begin_read(&self, extent: Extent) -> bool {
        self.disk.begin_read(extent)
    }

    fn place(&self) -> Option<&Arc<Place>> {
        Some(&self.place)
    }
}
