//! The index of a run in memory: its segments, delete-ranges and filter. Always read before anything else of the run; as bytes see
//! `index_wire.rs`.
//!
//! Invariants: keys ascend, and segments lie one after the other. Nothing of it keeps the block in memory: indexes of all that is
//! read at random have to fit into the cache, so they are as small as they can be searched.

use super::bloom::Bloom;
use super::key_list::KeyList;
use super::mem::POINT_OVERHEAD;
use super::pages::{self, FewPages};
use crate::{Compression, Key, KeyRange, RangeSet, Result};
use cawdb_disk::Checksum;
use std::cmp::Ordering;
use std::ops::Range;

/// Of a segment whose pages have none.
pub(super) const NO_PAGES: u32 = u32::MAX;

/// What the index says about a segment, beside its keys. No segment, and nothing counted of it, comes to 4 GiB.
pub(crate) struct SegmentInfo {
    /// Where it starts in the image.
    pub(crate) offset: u64,
    /// Of the stored bytes; with pages see there (`pages.rs`).
    pub(crate) checksum: Checksum,
    /// Its length in the image.
    pub(super) stored: u32,
    /// Its length uncompressed.
    pub(super) raw: u32,
    /// Its points.
    pub(super) entries: u32,
    /// Logical bytes of its points.
    pub(super) bytes: u32,
    /// Which of the index's sums is that of its first page.
    pub(super) pages: u32,
    pub(super) compression: Compression,
}

/// A stored point from this length on is a large one, in bytes. All whose values have pages are.
const LARGE: usize = pages::LEAST;

impl SegmentInfo {
    /// Its length in the image.
    pub(crate) fn stored_len(&self) -> usize {
        self.stored as usize
    }

    /// Its length uncompressed.
    pub(super) fn raw_len(&self) -> usize {
        self.raw as usize
    }

    /// How long the value of the only point is, if that is a put with a key of so many bytes.
    pub(super) fn value_len(&self, key: usize) -> usize {
        (self.bytes as usize).saturating_sub(key + POINT_OVERHEAD as usize)
    }

    /// Whether it holds one large point: who read that has all there is.
    pub(super) fn is_large(&self) -> bool {
        self.entries == 1 && self.stored_len() >= LARGE
    }
}

/// A decoded index block.
pub(crate) struct RunIndex {
    pub(crate) segments: Vec<SegmentInfo>,
    /// Of each segment the first key and the last.
    pub(super) keys: KeyList,
    /// Of the pages of large values, one value after the other.
    pub(super) sums: Box<[u32]>,
    pub(super) deletes: RangeSet,
    pub(crate) bloom: Bloom,
}

impl RunIndex {
    /// Joins the parts of an index to be written; `keys` are of each segment the first and the last.
    pub(super) fn new(
        (segments, sums): (Vec<SegmentInfo>, Vec<u32>),
        keys: &[Key],
        deletes: RangeSet,
        bloom: Bloom,
    ) -> Self {
        Self {
            segments,
            keys: KeyList::new(keys.iter().map(|key| &key[..])),
            sums: sums.into(),
            deletes,
            bloom,
        }
    }

    /// Bytes in memory, about.
    pub(crate) fn memory(&self) -> usize {
        let ends = |range: &KeyRange| range.lo.len() + range.hi.as_ref().map_or(0, Key::len);
        // Ends of ranges are slices of unpacked buffers; each is counted as its slice, as it is not known to share.
        let deletes = self.deletes.iter().map(|r| ends(r) + size_of::<KeyRange>());
        size_of::<Self>()
            + self.bloom.as_bytes().len()
            + self.keys.memory()
            + self.segments.len() * size_of::<SegmentInfo>()
            + size_of_val(&*self.sums)
            + deletes.sum::<usize>()
    }

    /// The first key of a segment. O(length).
    pub(super) fn first(&self, segment: usize) -> Key {
        self.keys.get(2 * segment)
    }

    /// The last key of a segment. O(length).
    pub(super) fn last(&self, segment: usize) -> Key {
        self.keys.get(2 * segment + 1)
    }

    /// Where in a segment the value lies whose pages have checksums, and those; none if they have not.
    pub(crate) fn paged(&self, segment: usize) -> Option<(Range<usize>, &[u32])> {
        let info = &self.segments[segment];
        if info.pages == NO_PAGES {
            return None;
        }
        let key = self.keys.len_of(2 * segment);
        let value = pages::layout(key, info.value_len(key)).0;
        let first = info.pages as usize;
        let sums = self.sums.get(first..first + pages::count(value.len()));
        sums.map(|sums| (value, sums))
    }

    /// The pages that hold bytes `want` of the value of a segment; none if it has no pages, or all of it is hardly more.
    pub(super) fn few_pages(&self, segment: usize, want: &Range<usize>) -> Option<FewPages<'_>> {
        let (value, sums) = self.paged(segment)?;
        let pages = pages::covering(value.len(), want)?;
        let sums = sums.get(pages.clone())?;
        Some(FewPages { value, pages, sums })
    }

    /// Checks the stored bytes of a segment.
    ///
    /// # Errors
    /// If they are not what was written.
    pub(super) fn verify(&self, segment: usize, stored: &[u8]) -> Result<()> {
        let found = match self.paged(segment) {
            Some((value, sums)) if value.end <= stored.len() => {
                let mut found = Vec::with_capacity(sums.len());
                let checksum = pages::sum(stored, &value, &mut found);
                pages::compare(&found, 0, sums)?;
                checksum
            }
            _ => Checksum::of(stored),
        };
        let expected = self.segments[segment].checksum;
        Ok(expected.expect(found, "stored bytes")?)
    }

    /// How the first key of a segment compares with another.
    pub(super) fn compare_first(&self, segment: usize, key: &[u8]) -> Ordering {
        self.keys.compare(2 * segment, key)
    }

    /// How the last key of a segment compares with another.
    pub(super) fn compare_last(&self, segment: usize, key: &[u8]) -> Ordering {
        self.keys.compare(2 * segment + 1, key)
    }

    /// Whether the first key of a segment, and whether the last, lies in `range`.
    pub(super) fn ends_within(&self, segment: usize, range: &KeyRange) -> (bool, bool) {
        let within = |key| {
            let below = |hi: &Key| self.keys.compare(key, hi) == Ordering::Less;
            self.keys.compare(key, &range.lo) != Ordering::Less
                && range.hi.as_ref().is_none_or(below)
        };
        (within(2 * segment), within(2 * segment + 1))
    }

    /// The first segment that may hold a key at or above `key`; their number if none does.
    pub(crate) fn first_reaching(&self, key: &[u8]) -> usize {
        self.keys.below(1, key)
    }

    /// How many segments start below the end `hi`.
    pub(super) fn starting_below(&self, hi: Option<&Key>) -> usize {
        hi.map_or(self.segments.len(), |hi| self.keys.below(0, hi))
    }

    /// The segments that may hold keys of `range`.
    pub(crate) fn overlapping(&self, range: &KeyRange) -> Range<usize> {
        let lo = self.first_reaching(&range.lo);
        lo..self.starting_below(range.hi.as_ref()).max(lo)
    }
}
