//! Entries that came for the first time: a queue of its own, short, first in first out.
//!
//! ```text
//!   first time ─► [ young: an eighth of the budget, at most 64 MiB ] ─► gone, but its name is known for a while
//!   known name ─► the SIEVE queues, with all of the budget
//! ```
//! What is read once stays no longer than its neighbours need it, however much room there is: who reads a tree or a stream then walks through the
//! same memory again and again, which is cheaper than memory that nobody used yet. What is read again, later, is kept (2Q; Johnson and
//! Shasha, VLDB 1994).
//!
//! Invariant: the queue names every young entry of the shards; it may name others, which are left alone.

use super::sieve::CacheKey;
use cawdb_disk::recent::Recent;
use std::collections::VecDeque;

/// Part of the budget for the young.
const PART: u64 = 8;
/// The most of it, in bytes.
const MOST: u64 = 64 << 20;
/// Names that are remembered, in each of two generations.
const NAMES: usize = 32 << 10;

/// See the picture above.
pub(super) struct Young {
    queue: VecDeque<(CacheKey, u64)>,
    bytes: u64,
    left: Recent<CacheKey>,
}

impl Default for Young {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
            bytes: 0,
            left: Recent::new(NAMES),
        }
    }
}

impl Young {
    /// Whether an entry of this name was here before.
    pub(super) fn knows(&self, key: &CacheKey) -> bool {
        self.left.knows(key)
    }

    /// Adds an entry; those that have to leave for it, of a cache of `budget` bytes. Amortised O(1).
    pub(super) fn add(&mut self, key: CacheKey, bytes: u64, budget: u64) -> Vec<CacheKey> {
        self.queue.push_back((key, bytes));
        self.bytes += bytes;
        let limit = (budget / PART).min(MOST);
        let mut leaving = Vec::new();
        while self.bytes > limit && self.queue.len() > 1 {
            let Some((key, bytes)) = self.queue.pop_front() else {
                break;
            };
            self.bytes -= bytes;
            self.left.meet(key);
            leaving.push(key);
        }
        leaving
    }
}
