//! Cursors: the points of a run in order, in either direction.

use super::disk_cursor::DiskCursor;
use crate::{Key, KeyRange, MemRun, Message, Result};
use std::ops::Range;
use std::sync::Arc;

/// Which way a cursor goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Ascending keys.
    Forward,
    /// Descending keys.
    Backward,
}

/// How far a cursor over a run on disk reads ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReadAhead {
    /// It may be left after any point, and somebody may go on from there: requests grow as it goes on. Whoever comes from elsewhere, and has passed so many
    /// bytes on the way, is expected to go on for as many.
    After(u64),
    /// It goes to the end of its range, which is a piece of so many bytes, about, of what somebody reads: the longest requests from the start,
    /// and who goes on behind it finds what was read with it.
    Piece(u64),
    /// It goes to the end of its range: the longest requests from the start, and nobody goes on.
    Full,
}

impl ReadAhead {
    /// For who comes from nowhere.
    pub const ADAPTIVE: Self = Self::After(0);
}

/// Goes over the points of a run within a range. It never goes back, and keeps what it reads from alive.
pub struct RunCursor {
    body: Body,
}

enum Body {
    Memory(MemCursor),
    Disk(Box<DiskCursor>),
}

struct MemCursor {
    run: Arc<MemRun>,
    /// The points still to come.
    within: Range<usize>,
    direction: Direction,
}

impl MemCursor {
    fn at(&self) -> Option<usize> {
        match self.direction {
            _ if self.within.is_empty() => None,
            Direction::Forward => Some(self.within.start),
            Direction::Backward => Some(self.within.end - 1),
        }
    }

    fn point(&self) -> Option<(Key, Message)> {
        self.at().and_then(|i| self.run.points().get(i)).cloned()
    }

    fn step(&mut self) {
        match self.direction {
            Direction::Forward => self.within.start += 1,
            Direction::Backward => self.within.end -= 1,
        }
    }

    fn seek(&mut self, key: &[u8]) {
        let rest = &self.run.points()[self.within.clone()];
        match self.direction {
            Direction::Forward => self.within.start += rest.partition_point(|(k, _)| k[..] < *key),
            Direction::Backward => {
                self.within.end = self.within.start + rest.partition_point(|(k, _)| k[..] <= *key);
            }
        }
    }
}

impl RunCursor {
    pub(super) fn memory(run: Arc<MemRun>, range: &KeyRange, direction: Direction) -> Self {
        let within = run.indices(range);
        Self {
            body: Body::Memory(MemCursor {
                run,
                within,
                direction,
            }),
        }
    }

    pub(super) fn disk(cursor: DiskCursor) -> Self {
        Self {
            body: Body::Disk(Box::new(cursor)),
        }
    }

    /// The point that [`Self::next`] would give, or none at the end.
    ///
    /// # Errors
    /// If a segment cannot be read or is damaged.
    pub fn peek(&mut self) -> Result<Option<(Key, Message)>> {
        match &mut self.body {
            Body::Memory(cursor) => Ok(cursor.point()),
            Body::Disk(cursor) => cursor.peek(),
        }
    }

    /// The next point, or none at the end.
    ///
    /// # Errors
    /// If a segment cannot be read or is damaged.
    #[expect(
        clippy::should_implement_trait,
        reason = "an error does not end a cursor as it would an iterator"
    )]
    pub fn next(&mut self) -> Result<Option<(Key, Message)>> {
        match &mut self.body {
            Body::Memory(cursor) => Ok(cursor.point().inspect(|_| cursor.step())),
            Body::Disk(cursor) => cursor.next(),
        }
    }

    /// Skips what comes before `key` on the way: forward it goes on at the first point at or above `key`, backward at
    /// the last at or below. A key that was already passed skips nothing.
    ///
    /// # Errors
    /// If the segment it stands in is damaged.
    pub fn seek(&mut self, key: &[u8]) -> Result<()> {
        match &mut self.body {
            Body::Memory(cursor) => cursor.seek(key),
            Body::Disk(cursor) => cursor.seek(key)?,
        }
        Ok(())
    }
}
