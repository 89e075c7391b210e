//! A cursor over a run on disk: unpacks one block of a segment at a time, and keeps the segment it stands in.
//!
//! ```text
//!   segments  [ block | block | block ]  [ block | block ]  [ ...
//!                          ▲ position
//!   coming    points of that block still to come, ascending
//! ```
//!
//! Invariants: `coming` holds only points in `range`, which narrows as the cursor seeks; blocks up to `position`, on the
//! way of the cursor, are done.

use super::ahead::Reader;
use super::cursor::Direction::{self, Backward, Forward};
use super::cursor::ReadAhead;
use super::disk::DiskRun;
use super::index::RunIndex;
use super::lead::Lead;
use super::mem::just_above;
use super::segment::Segment;
use crate::{Key, KeyRange, Message, Result};
use std::ops::Range;
use std::sync::Arc;

/// See the picture above.
pub(super) struct DiskCursor {
    disk: Arc<DiskRun>,
    index: Arc<RunIndex>,
    range: KeyRange,
    direction: Direction,
    position: Position,
    coming: std::vec::IntoIter<(Key, Message)>,
    ahead: ReadAhead,
    /// Where it goes on; none before the first segment that is read.
    lead: Option<Lead>,
}

impl Drop for DiskCursor {
    fn drop(&mut self) {
        self.leave();
    }
}

enum Position {
    /// Before the first block of the range, on the way.
    Start,
    /// In a block of a segment.
    In {
        number: usize,
        segment: Arc<Segment>,
        block: usize,
    },
    /// Nothing comes after `coming`.
    End,
}

impl DiskCursor {
    pub(super) fn new(
        disk: Arc<DiskRun>,
        range: &KeyRange,
        direction: Direction,
        ahead: ReadAhead,
    ) -> Result<Self> {
        let index = disk.index()?;
        let position = if range.is_empty() {
            Position::End
        } else {
            Position::Start
        };
        Ok(Self {
            disk,
            index,
            range: range.clone(),
            direction,
            position,
            coming: Vec::new().into_iter(),
            ahead,
            lead: None,
        })
    }

    pub(super) fn peek(&mut self) -> Result<Option<(Key, Message)>> {
        self.fill()?;
        Ok(self.first_coming().cloned())
    }

    pub(super) fn next(&mut self) -> Result<Option<(Key, Message)>> {
        if self.coming.len() == 0 {
            self.fill()?;
        }
        Ok(self.take_coming())
    }

    fn take_coming(&mut self) -> Option<(Key, Message)> {
        match self.direction {
            Forward => self.coming.next(),
            Backward => self.coming.next_back(),
        }
    }

    fn first_coming(&self) -> Option<&(Key, Message)> {
        match self.direction {
            Forward => self.coming.as_slice().first(),
            Backward => self.coming.as_slice().last(),
        }
    }

    fn fill(&mut self) -> Result<()> {
        while self.coming.len() == 0 {
            match &self.position {
                Position::End => {
                    self.leave();
                    break;
                }
                Position::Start => self.enter()?,
                Position::In {
                    number,
                    segment,
                    block,
                } => {
                    let (number, segment, block) = (*number, segment.clone(), *block);
                    self.advance(number, segment, block)?;
                }
            }
        }
        Ok(())
    }

    /// Goes to the first block on the way that may hold points of the range.
    fn enter(&mut self) -> Result<()> {
        let among = self.index.overlapping(&self.range);
        if among.is_empty() {
            self.position = Position::End;
            return Ok(());
        }
        let number = if self.direction == Forward {
            among.start
        } else {
            among.end - 1
        };
        // It comes from elsewhere, or jumped.
        self.leave();
        let segment = self.segment(number, &among)?;
        let block = match (self.direction, &self.range.hi) {
            (Forward, _) => segment.block_of(&self.range.lo)?,
            (Backward, Some(hi)) => segment.block_of(hi)?,
            (Backward, None) => segment.blocks() - 1,
        };
        self.load(number, segment, block)
    }

    /// Goes to the block after this one, on the way.
    fn advance(&mut self, number: usize, segment: Arc<Segment>, block: usize) -> Result<()> {
        let next = if self.direction == Forward {
            block + 1
        } else {
            block.wrapping_sub(1)
        };
        if next < segment.blocks() {
            return self.load(number, segment, next);
        }
        let next = if self.direction == Forward {
            number + 1
        } else {
            number.wrapping_sub(1)
        };
        let among = self.index.overlapping(&self.range);
        if !among.contains(&next) {
            self.position = Position::End;
            return Ok(());
        }
        let segment = self.segment(next, &among)?;
        let block = if self.direction == Forward {
            0
        } else {
            segment.blocks() - 1
        };
        self.load(next, segment, block)
    }

    fn segment(&mut self, number: usize, among: &Range<usize>) -> Result<Arc<Segment>> {
        if let Some(segment) = self.disk.cached(number) {
            return Ok(segment);
        }
        let reader = Reader::of_cursor(among.clone(), self.direction, self.ahead);
        let info = &self.index.segments[number];
        if reader.in_company && !info.is_large() {
            let turns = &self.disk.cache.leads.turns;
            let _turn = turns.take(self.disk.id, info.offset);
            return self.disk.segment_for(&self.index, number, &reader);
        }
        let mut lead = self.lead_to(number);
        let segment = lead.segment(&self.disk, &self.index, number, &reader)?;
        self.lead = Some(lead);
        Ok(segment)
    }

    /// Whether others go on where it ends, as it goes on where others ended.
    fn shares(&self) -> bool {
        self.direction == Forward && self.ahead != ReadAhead::Full
    }

    /// The lead to follow to a segment.
    fn lead_to(&mut self, number: usize) -> Lead {
        let shares = self.shares();
        if let Some(lead) = self.lead.take_if(|lead| !shares || lead.may_go_to(number)) {
            return lead;
        }
        self.leave();
        match shares {
            true => (self.disk.cache.leads).take(self.disk.id, &self.index, number),
            false => Lead::alone(self.disk.id, number),
        }
    }

    /// Leaves its lead to others.
    fn leave(&mut self) {
        if let Some(lead) = self.lead.take().filter(|_| self.shares()) {
            self.disk.cache.leads.put(lead);
        }
    }

    /// Takes the points of a block that lie in the range.
    fn load(&mut self, number: usize, segment: Arc<Segment>, block: usize) -> Result<()> {
        let mut points = segment.block(block)?;
        let below = |key: &Key| self.range.hi.as_ref().is_none_or(|hi| key < hi);
        let starts_before = points.first().is_some_and(|(k, _)| *k < self.range.lo);
        let ends_after = points.last().is_some_and(|(k, _)| !below(k));
        let last_one = match self.direction {
            Forward => ends_after,
            Backward => points.first().is_some_and(|(k, _)| *k <= self.range.lo),
        };
        if starts_before || ends_after {
            points.retain(|(key, _)| self.range.contains(key));
        }
        self.coming = points.into_iter();
        self.position = if last_one {
            Position::End
        } else {
            Position::In {
                number,
                segment,
                block,
            }
        };
        Ok(())
    }

    pub(super) fn seek(&mut self, key: &[u8]) -> Result<()> {
        let forward = self.direction == Forward;
        if forward && *key > self.range.lo[..] {
            self.range.lo = Key::copy_from_slice(key);
        } else if !forward && self.range.hi.as_ref().is_none_or(|hi| *key < hi[..]) {
            self.range.hi = Some(just_above(key));
        }
        let passed = |k: &Key| if forward { k[..] < *key } else { k[..] > *key };
        while self.first_coming().is_some_and(|(k, _)| passed(k)) {
            self.take_coming();
        }
        if self.range.is_empty() {
            self.coming = Vec::new().into_iter();
            self.position = Position::End;
        }
        if self.coming.len() > 0 {
            return Ok(());
        }
        let Position::In {
            number,
            segment,
            block,
        } = &self.position
        else {
            return Ok(());
        };
        let (number, segment, block) = (*number, segment.clone(), *block);
        let among = self.index.overlapping(&self.range);
        let (wanted, ahead) = match self.direction {
            Forward => (among.start, among.start > number),
            Backward => (among.end.wrapping_sub(1), among.end <= number),
        };
        if among.is_empty() {
            self.position = Position::End;
        } else if ahead {
            self.position = Position::Start;
        } else if wanted == number {
            let wanted = segment.block_of(key)?;
            if if forward {
                wanted > block
            } else {
                wanted < block
            } {
                return self.load(number, segment, wanted);
            }
        }
        Ok(())
    }
}
