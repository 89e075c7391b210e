//! One SIEVE queue: a slab of entries, linked from newest to oldest, and an ordered index of them.
//!
//! Invariants: the index names exactly the linked entries; the hand, if any, is one of them.

use crate::RunId;
use std::collections::BTreeMap;

/// Run and part of it.
pub(super) type CacheKey = (RunId, u32);

/// A queue of values that were weighed by the caller.
pub(super) struct Sieve<V> {
    index: BTreeMap<CacheKey, usize>,
    slab: Vec<Option<Entry<V>>>,
    free: Vec<usize>,
    newest: Option<usize>,
    oldest: Option<usize>,
    hand: Option<usize>,
}

struct Entry<V> {
    key: CacheKey,
    value: V,
    bytes: u64,
    visited: bool,
    newer: Option<usize>,
    older: Option<usize>,
}

impl<V> Default for Sieve<V> {
    fn default() -> Self {
        Self {
            index: BTreeMap::new(),
            slab: Vec::new(),
            free: Vec::new(),
            newest: None,
            oldest: None,
            hand: None,
        }
    }
}

impl<V: Clone> Sieve<V> {
    fn entry(&mut self, i: usize) -> &mut Entry<V> {
        self.slab[i]
            .as_mut()
            .expect("a linked entry is in the slab")
    }

    /// The value of `key`, which is marked as used. O(log n).
    pub(super) fn get(&mut self, key: CacheKey) -> Option<V> {
        let i = *self.index.get(&key)?;
        let entry = self.entry(i);
        entry.visited = true;
        Some(entry.value.clone())
    }

    /// Adds or replaces a value; returns the bytes of what it replaced. O(log n).
    pub(super) fn insert(&mut self, key: CacheKey, value: V, bytes: u64) -> u64 {
        if let Some(&i) = self.index.get(&key) {
            let entry = self.entry(i);
            entry.value = value;
            return std::mem::replace(&mut entry.bytes, bytes);
        }
        let older = self.newest;
        let entry = Entry {
            key,
            value,
            bytes,
            visited: false,
            newer: None,
            older,
        };
        let i = self.free.pop().unwrap_or(self.slab.len());
        match self.slab.get_mut(i) {
            Some(place) => *place = Some(entry),
            None => self.slab.push(Some(entry)),
        }
        match older {
            Some(o) => self.entry(o).newer = Some(i),
            None => self.oldest = Some(i),
        }
        self.newest = Some(i);
        self.index.insert(key, i);
        0
    }

    /// Drops one entry; returns its bytes, or none if there was no entry. Amortised O(log n).
    pub(super) fn evict(&mut self) -> Option<u64> {
        let mut at = self.hand.or(self.oldest)?;
        while self.entry(at).visited {
            self.entry(at).visited = false;
            at = self.entry(at).newer.or(self.oldest)?;
        }
        self.hand = Some(at);
        Some(self.remove(at))
    }

    /// Drops all parts of a run; returns their bytes. O(parts * log n).
    pub(super) fn remove_run(&mut self, run: RunId) -> u64 {
        let parts: Vec<_> = self
            .index
            .range((run, 0)..=(run, u32::MAX))
            .map(|(_, &i)| i)
            .collect();
        parts.into_iter().map(|i| self.remove(i)).sum()
    }

    /// Unlinks an entry and gives its bytes; a hand on it moves on.
    fn remove(&mut self, i: usize) -> u64 {
        let entry = self.slab[i].take().expect("a linked entry is in the slab");
        self.free.push(i);
        self.index.remove(&entry.key);
        match entry.newer {
            Some(n) => self.entry(n).older = entry.older,
            None => self.newest = entry.older,
        }
        match entry.older {
            Some(o) => self.entry(o).newer = entry.newer,
            None => self.oldest = entry.newer,
        }
        if self.hand == Some(i) {
            self.hand = entry.newer;
        }
        entry.bytes
    }
}
