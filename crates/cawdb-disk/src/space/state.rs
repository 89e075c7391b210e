//! What the allocator knows, and where it puts things.
//!
//! Policy: best fit, lowest first. Small extents begin a *zone*, a stretch that larger ones leave
//! alone, so that a node does not lie between any two runs.
//!
//! Invariants: those of the room; `limbo_bytes` and `punching` together are what `withheld` holds.

use super::free::Free;
use super::map::{Class, Reserved};
use super::ranges::Ranges;
use crate::{Extent, GRANULE, round_down, round_up};
use std::collections::BTreeMap;

/// Extents below this are small.
const SMALL: u64 = 64 << 10;

/// What is set apart for small extents at a time.
const ZONE: u64 = 1 << 20;

#[derive(Debug)]
pub(super) struct State {
    pub data: u64,
    pub limit: u64,
    pub free: Free,
    /// Free, but perhaps not given back to the medium.
    pub unpunched: Ranges,
    /// In limbo or being punched.
    pub withheld: Ranges,
    pub limbo: BTreeMap<u64, Vec<Extent>>,
    pub limbo_bytes: u64,
    pub punching: u64,
    pub cut: u64,
    /// See [`super::SpaceMap::break_limbo`].
    pub broken_limbo: bool,
    pub reserved: Reserved,
    pub zone: Extent,
}

impl State {
    /// All free from `data` to `limit`.
    pub fn new(data: u64, limit: u64) -> Self {
        let mut free = Free::default();
        if limit > data {
            free.add(Extent::new(data, limit - data));
        }
        Self {
            data,
            limit,
            free,
            unpunched: Ranges::default(),
            withheld: Ranges::default(),
            limbo: BTreeMap::new(),
            limbo_bytes: 0,
            punching: 0,
            cut: 0,
            broken_limbo: false,
            reserved: Reserved::default(),
            zone: Extent::new(0, 0),
        }
    }

    /// Bytes that a class may still take.
    pub fn free_for(&self, class: Class) -> u64 {
        let kept = match class {
            Class::User => self
                .reserved
                .background
                .saturating_add(self.reserved.checkpoint),
            Class::Background => self.reserved.checkpoint,
            Class::Checkpoint => 0,
        };
        self.free.bytes().saturating_sub(kept)
    }

    /// Where an allocation goes.
    pub fn place(&mut self, len: u64, class: Class) -> Option<Extent> {
        if len > self.free_for(class) {
            return None;
        }
        let hole = self.free.best_fit(len)?;
        let in_zone = (self.zone.offset..self.zone.end()).contains(&hole.offset);
        let mut offset = hole.offset;
        if len < SMALL && !in_zone && hole.len >= 2 * ZONE {
            self.zone = Extent::new(offset, ZONE);
        } else if len >= SMALL && in_zone && hole.end() - self.zone.end().min(hole.end()) >= len {
            offset = self.zone.end();
        }
        Some(Extent::new(offset, len))
    }

    /// Frees what was allocated or withheld.
    pub fn make_free(&mut self, extent: Extent) {
        self.free.add(extent);
        self.unpunched.insert(extent);
    }

    /// Withholds the next stretch to be punched: whole granules around what was freed, as far as all
    /// of them is free.
    pub fn begin_punch(&mut self, max: u64) -> Option<Extent> {
        while let Some(mut next) = self.unpunched.first() {
            next.len = next.len.min(round_up(max, GRANULE));
            self.unpunched.remove(next);
            let Some(hole) = self.free.containing(next) else {
                continue;
            };
            let from = round_down(next.offset, GRANULE);
            let from = if from < hole.offset {
                from + GRANULE
            } else {
                from
            };
            let to = round_up(next.end(), GRANULE);
            let to = if to > hole.end() { to - GRANULE } else { to };
            if from < to {
                let whole = Extent::new(from, to - from);
                self.free.take(whole);
                self.unpunched.remove(whole);
                self.withheld.insert(whole);
                self.punching += whole.len;
                return Some(whole);
            }
        }
        None
    }
}
