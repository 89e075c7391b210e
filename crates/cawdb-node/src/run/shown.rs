//! What a run on disk has in a range of keys: whether anything, how much, from where to where, and where to cut it.
//!
//! Invariants: the index alone answers wherever that is enough; what is weighed never grows in a narrower range.

use super::disk::DiskRun;
use super::index::RunIndex;
use super::mem::{RANGE_BYTES, even_cuts, hull, just_above};
use crate::{Key, KeyRange, Message, Result};

impl DiskRun {
    /// See [`crate::Run::holds`].
    pub(super) fn holds(&self, range: &KeyRange) -> Result<bool> {
        let index = self.index()?;
        if !index.deletes.overlapping(range).is_empty() {
            return Ok(true);
        }
        let among = index.overlapping(range);
        if among.is_empty() {
            return Ok(false);
        }
        let (first, last) = index.ends_within(among.start, range);
        if among.len() > 1 || first || last {
            return Ok(true);
        }
        Ok(self.bytes_within(&index, among.start, range)? > 0)
    }

    /// Logical bytes of the points of segment `i` in `range`, read from the segment.
    fn bytes_within(&self, index: &RunIndex, i: usize, range: &KeyRange) -> Result<u64> {
        let segment = self.segment(index, i)?;
        let below = |key: &Key| self.named(format_args!("segment {i}"), segment.bytes_below(key));
        let hi = match range
            .hi
            .as_ref()
            .filter(|hi| index.compare_last(i, hi).is_ge())
        {
            Some(hi) => below(hi)?,
            None => index.segments[i].bytes.into(),
        };
        Ok(hi.saturating_sub(below(&range.lo)?))
    }

    /// What segment `i` weighs in `range`, which it overlaps: exact if it is the only one or wholly in the range, else half.
    fn weight(&self, index: &RunIndex, i: usize, range: &KeyRange) -> Result<u64> {
        let bytes = u64::from(index.segments[i].bytes);
        if index.ends_within(i, range) == (true, true) {
            Ok(bytes)
        } else if index.segments.len() == 1 {
            self.bytes_within(index, i, range)
        } else {
            Ok(bytes.div_ceil(2))
        }
    }

    /// Logical bytes in `range`: its delete-ranges, and what `weigh` says of each segment that overlaps it.
    fn total(
        &self,
        range: &KeyRange,
        weigh: impl Fn(&RunIndex, usize) -> Result<u64>,
    ) -> Result<u64> {
        if range.is_empty() {
            return Ok(0);
        }
        let index = self.index()?;
        let mut bytes = index.deletes.overlapping(range).len() as u64 * RANGE_BYTES;
        for i in index.overlapping(range) {
            bytes += weigh(&index, i)?;
        }
        Ok(bytes)
    }

    /// See [`crate::Run::estimate`].
    pub(super) fn estimate(&self, range: &KeyRange) -> Result<u64> {
        self.total(range, |index, i| self.weight(index, i, range))
    }

    /// See [`crate::Run::deletes_within`]; it has so many deletes in all, and points.
    pub(super) fn deletes_within(
        &self,
        range: &KeyRange,
        (deletes, points): (u64, u64),
    ) -> Result<u64> {
        let index = self.index()?;
        if index.segments.len() == 1 {
            return self.deletes_of_the_only(&index, range);
        }
        let entries = |i: usize| {
            let entries = u64::from(index.segments[i].entries);
            match index.ends_within(i, range) {
                (true, true) => entries,
                _ => entries.div_ceil(2),
            }
        };
        let within: u64 = index.overlapping(range).map(entries).sum();
        Ok(deletes.saturating_mul(within).div_ceil(points.max(1)))
    }

    fn deletes_of_the_only(&self, index: &RunIndex, range: &KeyRange) -> Result<u64> {
        let segment = self.segment(index, 0)?;
        let mut deletes = 0;
        for block in 0..segment.blocks() {
            let points = self.named("segment 0", segment.block(block))?;
            let within = points.iter().filter(|(key, _)| range.contains(key));
            deletes += within.filter(|(_, m)| *m == Message::Delete).count() as u64;
        }
        Ok(deletes)
    }

    /// See [`crate::Run::measure`].
    pub(super) fn measure(&self, range: &KeyRange) -> Result<u64> {
        self.total(range, |index, i| match index.ends_within(i, range) {
            (true, true) => Ok(index.segments[i].bytes.into()),
            _ => self.bytes_within(index, i, range),
        })
    }

    /// See [`crate::Run::span`].
    pub(super) fn span(&self, range: &KeyRange) -> Result<Option<KeyRange>> {
        let index = self.index()?;
        let among = index.overlapping(range);
        let points = if range.is_empty() || among.is_empty() {
            None
        } else if index.segments.len() == 1 {
            self.exact_span(&index, range)?
        } else {
            let within = KeyRange {
                lo: index.first(among.start),
                hi: Some(just_above(&index.last(among.end - 1))),
            };
            Some(within.intersect(range))
        };
        Ok(hull(points, &index.deletes, range))
    }

    /// The span of the points of a run of one segment.
    fn exact_span(&self, index: &RunIndex, range: &KeyRange) -> Result<Option<KeyRange>> {
        let segment = self.segment(index, 0)?;
        let (mut first, mut last) = (None, None);
        let from = segment.block_of(&range.lo)?;
        for block in from..segment.blocks().min(from + 2) {
            first = segment
                .block(block)?
                .into_iter()
                .map(|(k, _)| k)
                .find(|k| *k >= range.lo);
            if first.is_some() {
                break;
            }
        }
        let Some(lo) = first.filter(|key| range.contains(key)) else {
            return Ok(None);
        };
        let to = range
            .hi
            .as_ref()
            .map_or(Ok(segment.blocks() - 1), |hi| segment.block_of(hi))?;
        for block in (to.saturating_sub(1)..=to).rev() {
            last = segment
                .block(block)?
                .into_iter()
                .map(|(k, _)| k)
                .rfind(|k| range.contains(k));
            if last.is_some() {
                break;
            }
        }
        Ok(last.map(|last| KeyRange {
            lo,
            hi: Some(just_above(&last)),
        }))
    }

    /// See [`crate::Run::split_keys`].
    pub(super) fn split_keys(&self, range: &KeyRange, target_bytes: u64) -> Result<Vec<Key>> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let index = self.index()?;
        let (mut cuts, mut total) = (Vec::new(), 0);
        for i in index.overlapping(range) {
            if index.segments.len() == 1 {
                let segment = self.segment(&index, i)?;
                let below = segment.bytes_below(&range.lo)?;
                cuts.extend(
                    segment
                        .cuts()?
                        .into_iter()
                        .map(|(k, b)| (k, b.saturating_sub(below))),
                );
            } else {
                cuts.push((index.first(i), total));
            }
            total += self.weight(&index, i, range)?;
        }
        let inside = cuts
            .into_iter()
            .filter(|(key, _)| *key > range.lo && range.contains(key));
        Ok(even_cuts(inside, total, target_bytes))
    }
}
