//! What must be known to open a run: kept beside its id in the node table.
//!
//! ```text
//!  len u64 | index len u32 | index checksum u64 | bytes u64 | points u64 | deletes u64 | flags u8     45 bytes
//! ```
//! The index block ends where the image ends; flag bit 0: the run has delete-ranges; other bits are 0.

use crate::{Error, Result};
use cawdb_disk::Checksum;
use cawdb_disk::codec::{Reader, Writer};

/// Size, checksum and totals of a run's image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunMeta {
    /// Length of the image in bytes.
    pub len: u64,
    /// Length of its index block, which comes last, in bytes.
    pub index_len: u32,
    /// Checksum of the index block, which holds the checksums of the segments.
    pub index_checksum: Checksum,
    /// Logical bytes; see [`crate::Run::bytes`].
    pub bytes: u64,
    /// Number of points.
    pub points: u64,
    /// How many of them are deletes.
    pub deletes: u64,
    /// Whether it has delete-ranges.
    pub has_delete_ranges: bool,
}

impl RunMeta {
    /// Length in bytes as written by [`Self::encode`].
    pub const ENCODED_LEN: usize = 45;

    /// Where the index block starts in the image.
    pub fn index_offset(&self) -> u64 {
        self.len - u64::from(self.index_len)
    }

    /// Appends [`Self::ENCODED_LEN`] bytes.
    pub fn encode(&self, w: &mut Writer) {
        w.u64(self.len);
        w.u32(self.index_len);
        w.u64(self.index_checksum.0);
        w.u64(self.bytes);
        w.u64(self.points);
        w.u64(self.deletes);
        w.u8(u8::from(self.has_delete_ranges));
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// If it ends early, has unknown flags, or contradicts itself.
    pub fn decode(r: &mut Reader<'_>) -> Result<Self> {
        let meta = Self {
            len: r.u64()?,
            index_len: r.u32()?,
            index_checksum: Checksum(r.u64()?),
            bytes: r.u64()?,
            points: r.u64()?,
            deletes: r.u64()?,
            has_delete_ranges: match r.u8()? {
                0 => false,
                1 => true,
                flags => return Err(Error::mismatch("flags of a run", "0 or 1", flags)),
            },
        };
        if u64::from(meta.index_len) > meta.len {
            return Err(Error::mismatch(
                "index of a run",
                format!("within {}", meta.len),
                meta.index_len,
            ));
        }
        Ok(meta)
    }
}
