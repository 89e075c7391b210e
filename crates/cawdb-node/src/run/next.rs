//! What is read next, on its way while what was read is verified, unpacked and handed on.
//!
//! ```text
//!   run a   ... [ wanted ][ next )            the segments behind, as many as would be read at once
//!   run b   ... [ wanted ]│a's end            where a run ends: what lies behind its image, if runs lay so before
//!   run c                  [ next )
//! ```
//! Who goes on over a border between two runs does not know the second one yet; runs that were written together lie one behind the other, and in the order of
//! their keys. Whether they do is seen at the border before.
//!
//! Invariants: nothing is begun for who did not read [`BEFORE`] bytes on his way, or goes backwards; who comes to the start of what is on its way reads just
//! that, so that no segment of it is read twice, but for the last one of a guess; one lead has it at a time; a guess that was wrong costs what it brought, and nothing else.

use super::ahead::{MAX_WINDOW, stored_len};
use super::disk::DiskRun;
use super::index::RunIndex;
use cawdb_disk::Extent;
use std::ops::Range;
use std::time::{Duration, Instant};

/// Less, in bytes, is there as soon as it could be begun.
const LEAST: u64 = 128 << 10;
/// Who has read less on his way, in bytes, may want one piece, perhaps in two parts, and no more.
const BEFORE: u64 = 3 << 19;
/// After so long what was on its way may have made room for others.
const FRESH: Duration = Duration::from_secs(1);
/// What a guess at the length of segments that nobody knows is longer by, in bytes.
const MARGIN: u64 = 4 << 10;

/// What the disk was told of.
#[derive(Debug, Default)]
pub(super) struct Next {
    /// What is on its way, and since when.
    coming: Option<(Extent, Instant)>,
    /// How many bytes were read on the way here.
    passed: u64,
    /// Where the image ended whose last segment was read.
    ended: Option<u64>,
    /// Whether the run to which its reader came last lies behind the one before it.
    in_a_row: bool,
    /// The most segments of one request.
    most: usize,
}

impl Next {
    /// Somebody comes to segment `number`, perhaps from another run.
    pub(super) fn arrive(&mut self, disk: &DiskRun, number: usize) {
        let place = disk.source.place().filter(|_| number == 0);
        if let Some((place, ended)) = place.zip(self.ended) {
            self.in_a_row = place.extent().offset == ended;
            self.ended = None;
        }
    }

    /// The segments from `number` on, below `end`, that are on their way, and whether these are all of that; none if that one is not.
    pub(super) fn coming(
        &mut self,
        disk: &DiskRun,
        index: &RunIndex,
        (number, end): (usize, usize),
    ) -> Option<(Range<usize>, bool)> {
        let (coming, _) = self.coming.take().filter(|(_, at)| at.elapsed() < FRESH)?;
        let extent = |i: usize| {
            let info = &index.segments[i];
            disk.extent_of(info.offset, info.stored_len())
        };
        let comes = |i: &usize| extent(*i).is_some_and(|extent| coming.contains(&extent));
        let known = number..number + (number..end).take_while(comes).count();
        let last = known.clone().next_back()?;
        let all = extent(last).is_some_and(|last| last.end() == coming.end());
        Some((known, all))
    }

    /// Somebody read, or reads, so much.
    pub(super) fn pass(&mut self, bytes: u64) {
        self.passed = self.passed.saturating_add(bytes);
    }

    /// Somebody reads `wanted`, and would read so many `bytes` next, or, if that is not said, as many segments as at most before, below `end`.
    pub(super) fn begin(
        &mut self,
        disk: &DiskRun,
        index: &RunIndex,
        wanted: &Range<usize>,
        (end, bytes): (usize, Option<u64>),
    ) {
        self.most = self.most.max(wanted.len());
        let extent = match wanted.end < index.segments.len() {
            true => self.behind(disk, index, wanted.end, (end, bytes)),
            false => self.beyond(disk, index, wanted, bytes),
        };
        let extent = extent.filter(|e| e.len >= LEAST && self.passed >= BEFORE);
        let begun = extent.filter(|extent| disk.source.begin_read(*extent));
        self.coming = begun.map(|extent| (extent, Instant::now()));
    }

    /// The segments from `from` on.
    fn behind(
        &self,
        disk: &DiskRun,
        index: &RunIndex,
        from: usize,
        (end, bytes): (usize, Option<u64>),
    ) -> Option<Extent> {
        let start = index.segments[from].offset;
        let fits = |i: &usize| {
            let len = stored_len(index, &(from..i + 1));
            len <= bytes.unwrap_or(MAX_WINDOW) && (bytes.is_some() || i - from < self.most)
        };
        let count = (from..end).take_while(fits).count();
        if count == 0 {
            return None;
        }
        disk.extent_of(start, stored_len(index, &(from..from + count)) as usize)
    }

    /// What lies behind the image.
    fn beyond(
        &mut self,
        disk: &DiskRun,
        index: &RunIndex,
        wanted: &Range<usize>,
        bytes: Option<u64>,
    ) -> Option<Extent> {
        let end = disk.source.place()?.extent().end();
        self.ended = Some(end);
        let left = match self.most - wanted.len() {
            0 => self.most,
            left => left,
        } as u64;
        let each = stored_len(index, wanted) / wanted.len() as u64;
        let len = bytes.unwrap_or(each * left + MARGIN).min(MAX_WINDOW);
        self.in_a_row.then_some(Extent::new(end, len))
    }
}
