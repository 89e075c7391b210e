//! The free space, by offset and by length.
//!
//! Invariants: both indexes hold the same extents; they neither overlap nor touch; `bytes` is their
//! sum; `granules` counts the granules that lie wholly inside one of them.

use crate::{Extent, GRANULE};
use std::collections::{BTreeMap, BTreeSet};

/// Free extents.
#[derive(Debug, Default)]
pub(super) struct Free {
    /// Offset to length.
    by_offset: BTreeMap<u64, u64>,
    /// Length, then offset.
    by_len: BTreeSet<(u64, u64)>,
    bytes: u64,
    granules: u64,
}

impl Free {
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes of the granules in which everything is free.
    pub fn granule_bytes(&self) -> u64 {
        self.granules * GRANULE
    }

    /// The shortest extent of at least `len` bytes, the lowest of these. O(log n).
    pub fn best_fit(&self, len: u64) -> Option<Extent> {
        let &(len, offset) = self.by_len.range((len, 0)..).next()?;
        Some(Extent::new(offset, len))
    }

    /// The longest extent.
    pub fn longest(&self) -> u64 {
        self.by_len.last().map_or(0, |&(len, _)| len)
    }

    /// The highest extent.
    pub fn last(&self) -> Option<Extent> {
        let (&offset, &len) = self.by_offset.last_key_value()?;
        Some(Extent::new(offset, len))
    }

    /// All extents, from the lowest on.
    pub fn iter(&self) -> impl Iterator<Item = Extent> {
        self.by_offset
            .iter()
            .map(|(&offset, &len)| Extent::new(offset, len))
    }

    /// Whether some byte of `extent` is free. O(log n).
    pub fn overlaps(&self, extent: Extent) -> bool {
        let below = self.by_offset.range(..extent.end()).next_back();
        below.is_some_and(|(offset, len)| offset + len > extent.offset)
    }

    /// The free extent that holds all of `extent`. O(log n).
    pub fn containing(&self, extent: Extent) -> Option<Extent> {
        let (&offset, &len) = self.by_offset.range(..=extent.offset).next_back()?;
        let hole = Extent::new(offset, len);
        hole.contains(&extent).then_some(hole)
    }

    /// Adds an extent of which nothing is free, joining it with its neighbours. O(log n).
    pub fn add(&mut self, extent: Extent) {
        debug_assert!(!self.overlaps(extent), "{extent} is free already");
        let mut joined = extent;
        if let Some((&offset, &len)) = self.by_offset.range(..extent.offset).next_back()
            && offset + len == extent.offset
        {
            self.remove(Extent::new(offset, len));
            joined = Extent::new(offset, len + joined.len);
        }
        if let Some(&len) = self.by_offset.get(&extent.end()) {
            self.remove(Extent::new(extent.end(), len));
            joined.len += len;
        }
        self.insert(joined);
    }

    /// Takes an extent out of the free one that holds it; false if none does. O(log n).
    pub fn take(&mut self, extent: Extent) -> bool {
        let Some(hole) = self.containing(extent) else {
            return false;
        };
        self.remove(hole);
        if hole.offset < extent.offset {
            self.insert(Extent::new(hole.offset, extent.offset - hole.offset));
        }
        if extent.end() < hole.end() {
            self.insert(Extent::new(extent.end(), hole.end() - extent.end()));
        }
        true
    }

    fn insert(&mut self, extent: Extent) {
        self.by_offset.insert(extent.offset, extent.len);
        self.by_len.insert((extent.len, extent.offset));
        self.bytes += extent.len;
        self.granules += granules(extent);
    }

    fn remove(&mut self, extent: Extent) {
        self.by_offset.remove(&extent.offset);
        self.by_len.remove(&(extent.len, extent.offset));
        self.bytes -= extent.len;
        self.granules -= granules(extent);
    }
}

fn granules(extent: Extent) -> u64 {
    extent.granules().map_or(0, |whole| whole.len / GRANULE)
}
