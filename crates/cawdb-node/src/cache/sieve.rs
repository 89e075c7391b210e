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
    young: bool,
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

    /// Whether `key` has a value. O(log n).
    pub(super) fn holds(&self, key: CacheKey) -> bool {
        self.index.contains_key(&key)
    }

    /// Adds or replaces a value, young or not; returns the bytes of what it replaced. O(log n).
    pub(super) fn insert(&mut self, key: CacheKey, value: V, bytes: u64, young: bool) -> u64 {
        if let Some(&i) = self.index.get(&key) {
            let entry = self.entry(i);
            entry.value = value;
            entry.young &= young;
            return std::mem::replace(&mut entry.bytes, bytes);
        }
        let older = self.newest;
        let entry = Entry {
            key,
            value,
            bytes,
            visited: false,
            young,
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

    /// Drops an entry if it is there, and young; returns its bytes, or 0. O(log n).
    pub(super) fn remove_young(&mut self, key: CacheKey) -> u64 {
        match self.index.get(&key).copied() {
            Some(i) if self.entry(i).young => self.remove(i),
            _ => 0,
        }
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

    /// Bytes of all entries that are this part of a run. O(n).
    pub(super) fn bytes_of(&self, part: u32) -> u64 {
        let entries = self.slab.iter().flatten();
        entries.filter(|e| e.key.1 == part).map(|e| e.bytes).sum()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u32) -> CacheKey {
        (RunId(u64::from(n / 4)), n % 4)
    }

    /// The same queue as a plain list, oldest first.
    #[derive(Default)]
    struct Naive {
        list: Vec<(CacheKey, bool)>,
        hand: usize,
    }

    impl Naive {
        fn evict(&mut self) -> Option<CacheKey> {
            if self.list.is_empty() {
                return None;
            }
            loop {
                if self.hand >= self.list.len() {
                    self.hand = 0;
                }
                if !self.list[self.hand].1 {
                    return Some(self.list.remove(self.hand).0);
                }
                self.list[self.hand].1 = false;
                self.hand += 1;
            }
        }
        fn remove(&mut self, run: RunId) {
            while let Some(i) = self.list.iter().position(|(k, _)| k.0 == run) {
                self.list.remove(i);
                self.hand -= usize::from(i < self.hand);
            }
        }
    }

    #[test]
    fn random_use_against_a_list() {
        for seed in 0..200 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let (mut sieve, mut naive) = (Sieve::default(), Naive::default());
            for step in 0..400 {
                let k = key(rng.u32(..40));
                let held = naive.list.iter().position(|(held, _)| *held == k);
                match rng.u8(..10) {
                    0..4 => {
                        assert_eq!(
                            sieve.get(k).is_some(),
                            held.is_some(),
                            "seed {seed} step {step}"
                        );
                        held.into_iter().for_each(|i| naive.list[i].1 = true);
                    }
                    4..7 => {
                        let replaced = sieve.insert(k, k, 1 + u64::from(k.1), false);
                        assert_eq!(replaced > 0, held.is_some(), "seed {seed} step {step}");
                        if held.is_none() {
                            // A hand that passed the newest stands at the start again.
                            naive.hand %= naive.list.len().max(1);
                            naive.list.push((k, false));
                        }
                    }
                    7..9 => {
                        let victim = naive.evict();
                        let bytes = victim.map(|k| 1 + u64::from(k.1));
                        assert_eq!(sieve.evict(), bytes, "seed {seed} step {step}");
                        assert!(
                            victim.is_none_or(|k| !sieve.index.contains_key(&k)),
                            "seed {seed}"
                        );
                    }
                    _ => {
                        naive.remove(k.0);
                        sieve.remove_run(k.0);
                    }
                }
                let held: Vec<_> = naive.list.iter().map(|(k, _)| *k).collect();
                assert!(
                    sieve.index.keys().all(|k| held.contains(k)),
                    "seed {seed} step {step}"
                );
                assert_eq!(sieve.index.len(), held.len(), "seed {seed} step {step}");
            }
        }
    }

    #[test]
    fn only_what_is_young_leaves_as_such() {
        let mut sieve = Sieve::default();
        sieve.insert(key(1), 1, 5, true);
        sieve.insert(key(2), 2, 6, false);
        sieve.insert(key(3), 3, 7, true);
        sieve.insert(key(3), 3, 7, false);
        let left = [1, 1, 2, 3, 4].map(|n| sieve.remove_young(key(n)));
        assert_eq!(left, [5, 0, 0, 0, 0]);
        assert_eq!(sieve.index.len(), 2);
    }

    #[test]
    fn a_scan_does_not_drive_out_what_is_used() {
        let mut sieve = Sieve::default();
        (0..50).for_each(|n| {
            sieve.insert(key(n), n, 1, false);
        });
        for n in 50..5000 {
            (0..50).for_each(|hot| {
                sieve.get(key(hot));
            });
            sieve.insert(key(n), n, 1, false);
            if sieve.index.len() > 100 {
                sieve.evict();
            }
        }
        assert_eq!((0..50).filter(|&n| sieve.get(key(n)).is_some()).count(), 50);
    }
}
