//! Reading ahead: who goes on from segment to segment reads more of them with each request.
//!
//! ```text
//!   image   [ s0 ][ s1 ][ s2 ][ s3 ][ s4 ][ s5 ] ...
//!   reads    ----  ----------  ----------------       first what is wanted, then ever longer windows
//! ```
//!
//! Invariants: no segment is read that is neither in the reader's range nor in that which his lead may read; what was read ahead is kept as it is
//! stored, and verified and decoded when it is reached; what cannot be read fails who wants it, and nobody before it; at most [`MAX_WINDOW`] bytes,
//! or one segment, are kept. A segment of one large point does not go into the cache: who passes it has what it holds, and does not come back for
//! a neighbour. What is read this way need not stay in the machine's cache either.

use super::cursor::{Direction, ReadAhead};
use super::disk::DiskRun;
use super::index::RunIndex;
use super::next::Next;
use super::segment::Segment;
use crate::{Compression, Result};
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;

/// Bytes of the second request in a row, if the first was short.
const FIRST_WINDOW: u64 = 64 << 10;
/// Bytes of the longest request: the blocks of a file that a kernel asks for at once, 1 MiB, and what lies around them.
pub(super) const MAX_WINDOW: u64 = (1 << 20) + (64 << 10);
/// Who reads a piece of so many bytes has company.
const MUCH: u64 = 512 << 10;

/// Who reads, and what he is known to want.
pub(super) struct Reader {
    /// Segments of the run.
    pub(super) among: Range<usize>,
    /// So many bytes of them at once, from the start.
    pub(super) window: u64,
    /// Whether he reads no more than that.
    pub(super) alone: bool,
    /// Whether he knows much of what he wants, and others ask for what comes after it, at the same time. They find what goes into the cache, but nothing else
    /// that he read with his own: so of large points he reads no more than that.
    pub(super) in_company: bool,
    pub(super) direction: Direction,
    /// Whether large points that were packed go into the cache too.
    pub(super) keeps_packed: bool,
}

impl Reader {
    /// A point read: who reads part of a large point may come back for another, which shall not be unpacked again.
    pub(super) fn of_point(number: usize) -> Self {
        Self {
            among: number..number + 1,
            window: 0,
            alone: false,
            in_company: false,
            direction: Direction::Forward,
            keeps_packed: true,
        }
    }

    /// A cursor.
    pub(super) fn of_cursor(among: Range<usize>, direction: Direction, ahead: ReadAhead) -> Self {
        let window = match ahead {
            ReadAhead::After(passed) => passed.min(MAX_WINDOW),
            ReadAhead::Piece(_) | ReadAhead::Full => MAX_WINDOW,
        };
        Self {
            among,
            window,
            alone: ahead == ReadAhead::Full,
            in_company: direction == Direction::Forward
                && matches!(ahead, ReadAhead::Piece(bytes) if bytes >= MUCH),
            direction,
            keeps_packed: false,
        }
    }
}

/// What was read ahead of one place.
#[derive(Default)]
pub(super) struct Ahead {
    /// How much the next request may read; 0 before the first.
    window: u64,
    /// Whether there was something that cannot be read: what is known to be wanted is then approached as slowly as what is not.
    failed: bool,
    /// The segments that were read.
    held: Range<usize>,
    /// Which of them nobody asked for yet.
    unread: Vec<bool>,
    /// As they are stored, one after the other.
    stored: Bytes,
    /// What comes after them, on its way.
    next: Next,
}

impl Ahead {
    /// Of another place, where somebody goes on who was here, with what is on its way.
    pub(super) fn elsewhere(&mut self) -> Self {
        Self {
            window: self.window,
            next: std::mem::take(&mut self.next),
            ..Self::default()
        }
    }

    /// Segment `number`, which is not in the cache; whoever goes on may come as far as to those of `rest`.
    pub(super) fn segment(
        &mut self,
        disk: &DiskRun,
        index: &RunIndex,
        number: usize,
        rest: &Range<usize>,
        reader: &Reader,
    ) -> Result<Arc<Segment>> {
        if !self.holds(number) {
            self.next.arrive(disk, number);
            let forward = reader.direction == Direction::Forward;
            let known = self.next.coming(disk, index, (number, rest.end));
            let (known, exact) = known.filter(|_| forward).unzip();
            let wanted = known.clone().unwrap_or_else(|| {
                let mut wanted = self.wanted(index, number, rest, reader);
                // Where a piece ends, who reads the next one may have begun.
                while reader.in_company && wanted.len() > 1 && disk.has(wanted.end - 1) {
                    wanted.end -= 1;
                }
                wanted
            });
            let goes_on = forward && !reader.alone;
            let before = goes_on && exact == Some(true);
            if before {
                self.begin_next(disk, index, &wanted, rest, reader);
            }
            if let Err(e) = self.read(disk, index, wanted.clone()) {
                if wanted.len() == 1 {
                    return Err(e);
                }
                (self.window, self.failed) = (0, true);
                self.read(disk, index, number..number + 1)?;
            } else if goes_on && !before {
                self.begin_next(disk, index, &wanted, rest, reader);
            }
        }
        let stored = self.find(index, number);
        if let Some(unread) = self.unread.get_mut(number - self.held.start) {
            *unread = false;
        }
        let info = &index.segments[number];
        let packed = info.compression != Compression::None;
        if info.is_large() && !(packed && reader.keeps_packed) {
            return disk.decode_segment(index, number, stored);
        }
        if packed {
            return disk.keep_segment(index, number, stored);
        }
        // Copied, so that a cached segment that is stored as it is does not keep its neighbours in memory.
        disk.keep_segment(index, number, Bytes::copy_from_slice(&stored))
    }

    /// Has what comes after `wanted` on its way, for whoever goes on.
    fn begin_next(
        &mut self,
        disk: &DiskRun,
        index: &RunIndex,
        wanted: &Range<usize>,
        rest: &Range<usize>,
        reader: &Reader,
    ) {
        // Of a large point others may want what comes after it, piece by piece.
        let in_pieces = reader.in_company && index.segments[wanted.start].is_large();
        let bytes = (!in_pieces).then_some(self.window);
        self.next.begin(disk, index, wanted, (rest.end, bytes));
    }

    /// Reads segments in one request.
    fn read(&mut self, disk: &DiskRun, index: &RunIndex, wanted: Range<usize>) -> Result<()> {
        let len = stored_len(index, &wanted);
        self.stored = disk.read_bulk(index.segments[wanted.start].offset, len as usize)?;
        self.unread.clear();
        self.unread.resize(wanted.len(), true);
        self.held = wanted;
        self.next.pass(len);
        self.window = (self.window.max(len) * 2).clamp(FIRST_WINDOW, MAX_WINDOW);
        Ok(())
    }

    /// How many bytes it holds.
    pub(super) fn bytes(&self) -> usize {
        self.stored.len()
    }

    /// The segment after the last that was read ahead.
    pub(super) fn end(&self) -> usize {
        self.held.end
    }

    /// Whether a segment was read ahead.
    pub(super) fn holds(&self, number: usize) -> bool {
        self.held.contains(&number)
    }

    /// Whether there is something in it that nobody asked for.
    pub(super) fn waits(&self) -> bool {
        self.unread.contains(&true)
    }

    /// The stored bytes of a segment that is held.
    fn find(&self, index: &RunIndex, number: usize) -> Bytes {
        let info = &index.segments[number];
        let start = (info.offset - index.segments[self.held.start].offset) as usize;
        self.stored.slice(start..start + info.stored_len())
    }

    /// The segments to read in one request: `number`, and those after it, in the reader's direction, that are known to be wanted, or that fit
    /// the window.
    fn wanted(
        &self,
        index: &RunIndex,
        number: usize,
        rest: &Range<usize>,
        reader: &Reader,
    ) -> Range<usize> {
        let fitting = |among: &Range<usize>, window: u64| {
            let mut left = window.saturating_sub(u64::from(index.segments[number].stored));
            let fits = |i: &usize| {
                let stored = u64::from(index.segments[*i].stored);
                let fits = stored <= left;
                left = left.saturating_sub(stored);
                fits
            };
            match reader.direction {
                Direction::Forward => {
                    number..number + 1 + (number + 1..among.end).take_while(fits).count()
                }
                Direction::Backward => {
                    number - (among.start..number).rev().take_while(fits).count()..number + 1
                }
            }
        };
        let sure = match self.failed {
            true => self.window,
            false => self.window.max(reader.window),
        };
        let known = fitting(&reader.among, sure);
        if reader.alone || reader.in_company && index.segments[number].is_large() {
            return known;
        }
        let led = fitting(rest, self.window);
        if led.len() < known.len() { known } else { led }
    }
}

/// Bytes of segments that lie one after the other.
pub(super) fn stored_len(index: &RunIndex, segments: &Range<usize>) -> u64 {
    let last = &index.segments[segments.end - 1];
    last.offset + u64::from(last.stored) - index.segments[segments.start].offset
}
