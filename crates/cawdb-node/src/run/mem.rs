//! The content of a run in memory: sorted points, delete-ranges, and sums by which sizes are found fast.
//!
//! Invariants:
//! - keys of points strictly ascend; points lie above the delete-ranges;
//! - no patch and no delete lies in a delete-range: the one was made a put, the other says nothing new;
//! - `sums[i]` = logical bytes of the points before point i, so a range is weighed in O(log points).

use crate::cache::with_waste;
use crate::gauge::{Gauge, Held};
use crate::{Key, KeyRange, Message, RangeSet, hi_less};
use std::ops::Range;
use std::sync::Arc;

/// Logical bytes of a point beside its key and payload.
pub(super) const POINT_OVERHEAD: u64 = 16;
/// Logical bytes of a delete-range.
pub(super) const RANGE_BYTES: u64 = 40;

/// Logical bytes of a point.
pub(super) fn point_bytes(key: &[u8], message: &Message) -> u64 {
    (key.len() + message.bytes()) as u64 + POINT_OVERHEAD
}

/// Memory of a point beside its key and payload: its place in the lists, and what the two take on the heap.
const POINT_MEMORY: u64 = (size_of::<(Key, Message)>() + size_of::<u64>() + 64) as u64;

/// A run from this length on, in bytes, whose points are as long as [`BULK_MEAN`] in the mean, is bulk: blocks of large files, whose
/// lengths are 64 KiB, hardly files of a block each.
const BULK_BYTES: u64 = 1 << 20;
/// See [`BULK_BYTES`].
const BULK_MEAN: u64 = 48 << 10;
/// So is one that consists of patches, for the most part, of this length in the mean: pages of large files.
const BULK_PATCH: u64 = 2 << 10;

/// The key just above `key`: nothing lies between.
pub(super) fn just_above(key: &[u8]) -> Key {
    [key, &[0]].concat().into()
}

/// A sorted table of messages in memory. Immutable; made by [`crate::MemRunBuilder`].
#[derive(Debug)]
pub struct MemRun {
    points: Vec<(Key, Message)>,
    sums: Vec<u64>,
    deletes: RangeSet,
    point_deletes: u64,
    /// Logical bytes of patches.
    patch_bytes: u64,
    held: Option<Held>,
}

impl MemRun {
    /// Joins parts that are already as the invariants demand.
    pub(super) fn from_parts(points: Vec<(Key, Message)>, deletes: RangeSet) -> Self {
        let mut sums = Vec::with_capacity(points.len() + 1);
        let (mut sum, mut point_deletes, mut patch_bytes) = (0, 0, 0);
        sums.push(sum);
        for (key, message) in &points {
            let bytes = point_bytes(key, message);
            match message {
                Message::Put(_) => {}
                Message::Delete => point_deletes += 1,
                Message::Patch(_) => patch_bytes += bytes,
            }
            sum += bytes;
            sums.push(sum);
        }
        Self {
            points,
            sums,
            deletes,
            point_deletes,
            patch_bytes,
            held: None,
        }
    }

    /// Counts its memory in `gauge` for as long as it lives.
    pub(crate) fn count_in(&mut self, gauge: &Arc<Gauge>) {
        self.held = Some(Held::new(gauge, self.memory()));
    }

    /// Bytes of memory that it takes, about.
    pub(crate) fn memory(&self) -> u64 {
        with_waste(self.bytes() + self.points.len() as u64 * POINT_MEMORY)
    }

    /// The points in order.
    pub fn points(&self) -> &[(Key, Message)] {
        &self.points
    }

    /// The delete-ranges.
    pub fn ranges(&self) -> &RangeSet {
        &self.deletes
    }

    /// Whether it says nothing at all.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty() && self.deletes.is_empty()
    }

    /// Logical bytes: keys and payload, 16 more a point, 40 a delete-range.
    pub fn bytes(&self) -> u64 {
        self.sums.last().copied().unwrap_or_default() + self.deletes.len() as u64 * RANGE_BYTES
    }

    /// Whether it is long, and of large values or pages in them.
    pub(super) fn is_bulk(&self) -> bool {
        let (bytes, points) = (self.bytes(), self.points.len().max(1) as u64);
        let patches = self.patch_bytes >= bytes / 2;
        let least = if patches { BULK_PATCH } else { BULK_MEAN };
        bytes >= BULK_BYTES && bytes / points >= least
    }

    /// How many points are deletes.
    pub fn point_deletes(&self) -> u64 {
        self.point_deletes
    }

    /// The index of the first point at or above `key`.
    pub(super) fn lower_bound(&self, key: &[u8]) -> usize {
        self.points.partition_point(|(k, _)| k[..] < *key)
    }

    /// The points in `range`, as indexes.
    pub(super) fn indices(&self, range: &KeyRange) -> Range<usize> {
        let lo = self.lower_bound(&range.lo);
        let hi = range
            .hi
            .as_ref()
            .map_or(self.points.len(), |hi| self.lower_bound(hi));
        lo..hi.max(lo)
    }

    /// See [`crate::Run::get`].
    pub(super) fn get(&self, key: &[u8]) -> Option<Message> {
        match self.points.get(self.lower_bound(key)) {
            Some((k, message)) if *k == key => Some(message.clone()),
            _ => self.deletes.covers_key(key).then_some(Message::Delete),
        }
    }

    /// See [`crate::Run::holds`].
    pub(super) fn holds(&self, range: &KeyRange) -> bool {
        !self.indices(range).is_empty() || !self.deletes.overlapping(range).is_empty()
    }

    /// Logical bytes of what it has in `range`; a delete-range counts whole.
    pub(super) fn estimate(&self, range: &KeyRange) -> u64 {
        let within = self.indices(range);
        let ranges = self.deletes.overlapping(range).len() as u64;
        self.sums[within.end] - self.sums[within.start] + ranges * RANGE_BYTES
    }

    /// How many deletes of single keys it has in `range`.
    pub(super) fn deletes_within(&self, range: &KeyRange) -> u64 {
        let within = self.points[self.indices(range)].iter();
        within.filter(|(_, m)| *m == Message::Delete).count() as u64
    }

    /// See [`crate::Run::span`].
    pub(super) fn span(&self, range: &KeyRange) -> Option<KeyRange> {
        let points = match &self.points[self.indices(range)] {
            [] => None,
            [(key, _)] => Some(KeyRange {
                lo: key.clone(),
                hi: Some(just_above(key)),
            }),
            [(lo, _), .., (last, _)] => Some(KeyRange {
                lo: lo.clone(),
                hi: Some(just_above(last)),
            }),
        };
        hull(points, &self.deletes, range)
    }

    /// See [`crate::Run::split_keys`].
    pub(super) fn split_keys(&self, range: &KeyRange, target_bytes: u64) -> Vec<Key> {
        let within = self.indices(range);
        let total = self.sums[within.end] - self.sums[within.start];
        let base = self.sums[within.start];
        let cuts = within.map(|i| (self.points[i].0.clone(), self.sums[i] - base));
        even_cuts(cuts, total, target_bytes)
    }
}

/// The smallest range around `points` and what `deletes` has in `range`.
pub(super) fn hull(
    points: Option<KeyRange>,
    deletes: &RangeSet,
    range: &KeyRange,
) -> Option<KeyRange> {
    let ranges = deletes.overlapping(range);
    let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else {
        return points;
    };
    let covered = KeyRange {
        lo: first.lo.clone(),
        hi: last.hi.clone(),
    }
    .intersect(range);
    let Some(points) = points else {
        return Some(covered);
    };
    let hi = if hi_less(points.hi.as_ref(), covered.hi.as_ref()) {
        covered.hi
    } else {
        points.hi
    };
    Some(KeyRange {
        lo: points.lo.min(covered.lo),
        hi,
    })
}

/// Keys that cut `total` bytes into the number of equal pieces nearest to `target` bytes each, as well as
/// `candidates`, keys with the bytes before them, allow. The first candidate cuts nothing off.
pub(super) fn even_cuts(
    candidates: impl Iterator<Item = (Key, u64)>,
    total: u64,
    target: u64,
) -> Vec<Key> {
    let target = target.max(1);
    let pieces = (total.saturating_add(target / 2) / target).max(1);
    let (mut cuts, mut passed) = (Vec::new(), 0);
    for (key, before) in candidates {
        // A candidate is taken if it is the first at or beyond the next even cut.
        let now = u128::from(before) * u128::from(pieces) / u128::from(total.max(1));
        if now > passed {
            passed = now;
            cuts.push(key);
        }
    }
    cuts
}
