//! The cache of decoded segments and run indexes: one budget in bytes, scan-resistant.
//!
//! ```text
//!   shard 0..16, by hash of (run, part), each a SIEVE queue:      newest ─ ... ─ [hand] ─ ... ─ oldest
//! ```
//! SIEVE: a hit only marks the entry. To evict, the hand goes from old to new: it clears marks, and takes the first
//! entry without one. What is used stays where it is. Segments that come for the first time leave sooner (`young.rs`), and with that make
//! room for what is used.
//!
//! Invariants:
//! - bytes held never exceed the budget once an insertion has returned (with several threads inserting: by no more
//!   than what they are inserting);
//! - values are shared pointers: eviction never pulls anything away from who uses it;
//! - no lock is held while another is taken.

mod sieve;
mod young;

use crate::RunId;
use crate::run::{Leads, RunIndex, Segment};
use cawdb_disk::sync;
use cawdb_disk::sync::{Mutex, MutexGuard};
use sieve::{CacheKey, Sieve};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use young::Young;

/// The part number of a run's index; segments count from 0.
pub(crate) const INDEX: u32 = u32::MAX;

const SHARDS: usize = 16;
/// Bytes that an entry takes beside its value, about.
const ENTRY_BYTES: u64 = 128;

/// What an allocator takes for so many bytes: sizes come in classes, an eighth apart at best.
pub(crate) fn with_waste(bytes: u64) -> u64 {
    bytes + bytes / 8
}

/// What is cached.
#[derive(Clone)]
pub(crate) enum Cached {
    /// A decoded segment.
    Segment(Arc<Segment>),
    /// A decoded index.
    Index(Arc<RunIndex>),
}

impl Cached {
    fn bytes(&self) -> u64 {
        let value = match self {
            Self::Segment(segment) => segment.memory(),
            Self::Index(index) => index.memory(),
        };
        with_waste(value as u64) + ENTRY_BYTES
    }
}

/// What the cache did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Look-ups that found something.
    pub hits: u64,
    /// Look-ups that found nothing.
    pub misses: u64,
    /// Entries that had to go.
    pub evictions: u64,
    /// Parts of large values that were read without the rest, and are not kept.
    pub parts: u64,
    /// Bytes held now.
    pub bytes: u64,
    /// Of these, of run indexes with their filters.
    pub index_bytes: u64,
}

/// A cache with one budget, safe to use from many threads.
pub struct Cache {
    shards: [Mutex<Sieve<Cached>>; SHARDS],
    young: Mutex<Young>,
    /// Where point reads go on.
    pub(crate) leads: Leads,
    budget: AtomicU64,
    bytes: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
    evictions: AtomicU64,
    parts: AtomicU64,
}

impl Cache {
    /// An empty cache that will hold at most `budget` bytes.
    pub fn new(budget: u64) -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            shards: Default::default(),
            young: Mutex::default(),
            leads: Leads::default(),
            budget: budget.into(),
            bytes: zero(),
            hits: zero(),
            misses: zero(),
            evictions: zero(),
            parts: zero(),
        }
    }

    /// The budget in bytes.
    pub fn budget(&self) -> u64 {
        self.budget.load(Relaxed)
    }

    /// Sets the budget in bytes, and evicts what no longer fits.
    pub fn set_budget(&self, budget: u64) {
        self.budget.store(budget, Relaxed);
        self.make_room(0, 0);
    }

    /// Counters and size. O(entries).
    pub fn stats(&self) -> CacheStats {
        CacheStats {
            hits: self.hits.load(Relaxed),
            misses: self.misses.load(Relaxed),
            evictions: self.evictions.load(Relaxed),
            parts: self.parts.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            index_bytes: (0..SHARDS).map(|i| self.shard(i).bytes_of(INDEX)).sum(),
        }
    }

    /// Says that part of a value was read without the rest.
    pub(crate) fn count_part(&self) {
        self.parts.fetch_add(1, Relaxed);
    }

    /// Forgets all parts of a run: it is gone, and its id is never used again.
    pub(crate) fn remove_run(&self, run: RunId) {
        for i in 0..SHARDS {
            let freed = self.shard(i).remove_run(run);
            self.bytes.fetch_sub(freed, Relaxed);
        }
        self.leads.forget(run);
    }

    pub(crate) fn get(&self, run: RunId, part: u32) -> Option<Cached> {
        let found = self.shard(shard_of(run, part)).get((run, part));
        let counter = if found.is_some() {
            &self.hits
        } else {
            &self.misses
        };
        counter.fetch_add(1, Relaxed);
        found
    }

    /// Whether it is there; neither counted nor marked as use.
    pub(crate) fn holds(&self, run: RunId, part: u32) -> bool {
        self.shard(shard_of(run, part)).holds((run, part))
    }

    /// Keeps a value; one larger than the whole budget is not kept.
    pub(crate) fn insert(&self, run: RunId, part: u32, value: Cached) {
        let bytes = value.bytes();
        if bytes > self.budget() {
            return;
        }
        let (key, shard) = ((run, part), shard_of(run, part));
        let young = part != INDEX && !sync::lock(&self.young).knows(&key);
        // Room is made first, so that the newest entry is not the victim of its own arrival.
        self.make_room(bytes, shard);
        // Counted before others see it: who evicts it at once takes off what was added.
        self.bytes.fetch_add(bytes, Relaxed);
        let replaced = self.shard(shard).insert(key, value, bytes, young);
        self.bytes.fetch_sub(replaced, Relaxed);
        if young {
            self.rejuvenate(key, bytes);
        }
    }

    /// Adds an entry to the young, for which the oldest of them leave.
    fn rejuvenate(&self, key: CacheKey, bytes: u64) {
        let leaving = sync::lock(&self.young).add(key, bytes, self.budget());
        for (run, part) in leaving {
            let freed = self.shard(shard_of(run, part)).remove_young((run, part));
            self.bytes.fetch_sub(freed, Relaxed);
            self.evictions.fetch_add(u64::from(freed > 0), Relaxed);
        }
    }

    /// Evicts until `wanted` bytes fit, from one shard after the other, beginning with `first`.
    fn make_room(&self, wanted: u64, first: usize) {
        let (mut shard, mut empty) = (first, 0);
        while empty < SHARDS && self.bytes.load(Relaxed) + wanted > self.budget() {
            match self.shard(shard).evict() {
                Some(freed) => {
                    self.bytes.fetch_sub(freed, Relaxed);
                    self.evictions.fetch_add(1, Relaxed);
                    empty = 0;
                }
                None => empty += 1,
            }
            shard = (shard + 1) % SHARDS;
        }
    }

    fn shard(&self, i: usize) -> MutexGuard<'_, Sieve<Cached>> {
        sync::lock(&self.shards[i])
    }
}

fn shard_of(run: RunId, part: u32) -> usize {
    let mixed = (run.0 ^ u64::from(part).rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 60) as usize % SHARDS
}
