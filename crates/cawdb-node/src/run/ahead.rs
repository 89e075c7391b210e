//! Reading ahead: a cursor that goes on from segment to segment reads more of them with each request.
//!
//! ```text
//!   image   [ s0 ][ s1 ][ s2 ][ s3 ][ s4 ][ s5 ] ...
//!   reads    ----  ----------  ----------------       first what is wanted, then ever longer windows
//! ```
//!
//! Invariants: no segment outside of the cursor's range is read; what was read ahead is kept as it is stored, and
//! verified and decoded when it is reached; what cannot be read fails who wants it, and nobody before it; at most [`MAX_WINDOW`] bytes, or one segment, are kept. A segment of one large
//! point does not go into the cache: who passes it has what it holds, and does not come back for a neighbour. What is read this way
//! need not stay in the machine's cache either.

use super::cursor::{Direction, ReadAhead};
use super::disk::DiskRun;
use super::index::RunIndex;
use super::segment::Segment;
use crate::{Compression, Result};
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;

/// Bytes of the second request in a row, if the first was short.
const FIRST_WINDOW: u64 = 64 << 10;
/// Bytes of the longest request: the blocks of a file that a kernel asks for at once, 1 MiB, and what lies around them.
const MAX_WINDOW: u64 = (1 << 20) + (64 << 10);

/// What one cursor has read ahead.
pub(super) struct Ahead {
    policy: ReadAhead,
    /// How much the next request may read; 0 before the first.
    window: u64,
    /// Stored segments, one after the other.
    stored: Bytes,
    /// Where they start in the image.
    offset: u64,
    /// Whether large points that were packed go into the cache too.
    keeps_packed: bool,
}

impl Ahead {
    /// For point reads: who reads part of a large point may come back for another, which shall not be unpacked again.
    pub(super) fn of_points() -> Self {
        Self {
            keeps_packed: true,
            ..Self::new(ReadAhead::ADAPTIVE)
        }
    }

    pub(super) fn new(policy: ReadAhead) -> Self {
        let window = match policy {
            ReadAhead::After(passed) => passed.min(MAX_WINDOW),
            ReadAhead::Full => MAX_WINDOW,
        };
        Self {
            policy,
            window,
            stored: Bytes::new(),
            offset: 0,
            keeps_packed: false,
        }
    }

    /// Starts anew, since the cursor jumped.
    pub(super) fn reset(&mut self) {
        let keeps_packed = self.keeps_packed;
        *self = Self {
            keeps_packed,
            ..Self::new(self.policy)
        };
    }

    /// Segment `number`, which is not in the cache; those of `among` that come after it, in `direction`, will be wanted next.
    pub(super) fn segment(
        &mut self,
        disk: &DiskRun,
        index: &RunIndex,
        number: usize,
        among: &Range<usize>,
        direction: Direction,
    ) -> Result<Arc<Segment>> {
        if !self.holds(index, number) {
            let wanted = self.wanted(index, number, among, direction);
            if let Err(e) = self.read(disk, index, &wanted) {
                if wanted.len() == 1 {
                    return Err(e);
                }
                self.window = 0;
                self.read(disk, index, &(number..number + 1))?;
            }
        }
        let stored = self.find(index, number).unwrap_or_default();
        let info = &index.segments[number];
        let packed = info.compression != Compression::None;
        if info.is_large() && !(packed && self.keeps_packed) {
            return disk.decode_segment(index, number, stored);
        }
        if packed {
            return disk.keep_segment(index, number, stored);
        }
        // Copied, so that a cached segment that is stored as it is does not keep its neighbours in memory.
        disk.keep_segment(index, number, Bytes::copy_from_slice(&stored))
    }

    /// Reads segments in one request.
    fn read(&mut self, disk: &DiskRun, index: &RunIndex, wanted: &Range<usize>) -> Result<()> {
        let end = &index.segments[wanted.end - 1];
        let offset = index.segments[wanted.start].offset;
        let len = end.offset + end.stored_len as u64 - offset;
        (self.stored, self.offset) = (disk.read_bulk(offset, len as usize)?, offset);
        self.window = (self.window.max(len) * 2).clamp(FIRST_WINDOW, MAX_WINDOW);
        Ok(())
    }

    /// Whether a segment was read ahead.
    pub(super) fn holds(&self, index: &RunIndex, number: usize) -> bool {
        self.find(index, number).is_some()
    }

    /// The stored bytes of a segment, if they were read ahead.
    fn find(&self, index: &RunIndex, number: usize) -> Option<Bytes> {
        let info = &index.segments[number];
        let start = usize::try_from(info.offset.checked_sub(self.offset)?).ok()?;
        let end = start.checked_add(info.stored_len)?;
        (end <= self.stored.len()).then(|| self.stored.slice(start..end))
    }

    /// The segments to read in one request: `number`, and those after it that fit the window.
    fn wanted(
        &self,
        index: &RunIndex,
        number: usize,
        among: &Range<usize>,
        direction: Direction,
    ) -> Range<usize> {
        let stored = |i: usize| index.segments[i].stored_len as u64;
        let mut left = self.window.saturating_sub(stored(number));
        let mut fits = |i: &usize| {
            let fits = stored(*i) <= left;
            left = left.saturating_sub(stored(*i));
            fits
        };
        match direction {
            Direction::Forward => {
                number..number + 1 + (number + 1..among.end).take_while(&mut fits).count()
            }
            Direction::Backward => {
                number - (among.start..number).rev().take_while(&mut fits).count()..number + 1
            }
        }
    }
}
