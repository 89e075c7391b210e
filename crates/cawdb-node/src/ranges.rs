//! Sets of keys made of ranges: what the delete-ranges of a run cover.
//!
//! Invariants: the ranges of a set are not empty, ascend, and neither overlap nor touch (touching ones are joined),
//! so that equal sets look equal.

use crate::{Key, KeyRange, hi_less};

/// A set of keys, as disjoint ranges in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangeSet {
    ranges: Vec<KeyRange>,
}

/// Whether a range that ends at `hi` ends below `key`, so that a gap is left before `key`.
fn ends_below(hi: Option<&Key>, key: &Key) -> bool {
    hi.is_some_and(|hi| hi < key)
}

impl RangeSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// A set whose ranges are already as the invariants demand; none if they are not.
    pub fn from_sorted(ranges: Vec<KeyRange>) -> Option<Self> {
        let apart = ranges
            .windows(2)
            .all(|w| ends_below(w[0].hi.as_ref(), &w[1].lo));
        (apart && !ranges.iter().any(KeyRange::is_empty)).then_some(Self { ranges })
    }

    /// Adds the keys of `range`. O(ranges).
    pub fn insert(&mut self, range: KeyRange) {
        if range.is_empty() {
            return;
        }
        let first = self
            .ranges
            .partition_point(|r| ends_below(r.hi.as_ref(), &range.lo));
        let end =
            first + self.ranges[first..].partition_point(|r| !ends_below(range.hi.as_ref(), &r.lo));
        let mut joined = range;
        for old in &self.ranges[first..end] {
            joined.lo = joined.lo.min(old.lo.clone());
            if hi_less(joined.hi.as_ref(), old.hi.as_ref()) {
                joined.hi.clone_from(&old.hi);
            }
        }
        self.ranges.splice(first..end, [joined]);
    }

    /// Whether the set has no key.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Number of ranges.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// The ranges in order.
    pub fn iter(&self) -> std::slice::Iter<'_, KeyRange> {
        self.ranges.iter()
    }

    /// The range that `key` lies in. O(log ranges).
    pub fn find(&self, key: &[u8]) -> Option<&KeyRange> {
        let above = self.ranges.partition_point(|r| r.lo[..] <= *key);
        self.ranges[..above].last().filter(|r| r.contains(key))
    }

    /// Whether `key` is in the set. O(log ranges).
    pub fn covers_key(&self, key: &[u8]) -> bool {
        self.find(key).is_some()
    }

    /// Whether every key of `range` is in the set. O(log ranges).
    pub fn covers_range(&self, range: &KeyRange) -> bool {
        range.is_empty() || self.find(&range.lo).is_some_and(|r| r.covers(range))
    }

    /// The ranges that share a key with `range`, unclipped. O(log ranges).
    pub fn overlapping(&self, range: &KeyRange) -> &[KeyRange] {
        if range.is_empty() {
            return &[];
        }
        let first = self
            .ranges
            .partition_point(|r| r.hi.as_ref().is_some_and(|hi| *hi <= range.lo));
        let rest = &self.ranges[first..];
        &rest[..rest.partition_point(|r| range.hi.as_ref().is_none_or(|hi| r.lo < *hi))]
    }

    /// The part of the set that lies in `range`.
    pub fn clip(&self, range: &KeyRange) -> Vec<KeyRange> {
        self.overlapping(range)
            .iter()
            .map(|r| r.intersect(range))
            .collect()
    }
}

impl FromIterator<KeyRange> for RangeSet {
    /// Sorts and joins. O(n log n).
    fn from_iter<I: IntoIterator<Item = KeyRange>>(ranges: I) -> Self {
        let mut sorted: Vec<_> = ranges.into_iter().filter(|r| !r.is_empty()).collect();
        sorted.sort_by(|a, b| a.lo.cmp(&b.lo));
        let mut joined: Vec<KeyRange> = Vec::with_capacity(sorted.len());
        for range in sorted {
            match joined
                .last_mut()
                .filter(|last| !ends_below(last.hi.as_ref(), &range.lo))
            {
                None => joined.push(range),
                Some(last) if hi_less(last.hi.as_ref(), range.hi.as_ref()) => last.hi = range.hi,
                Some(_) => {}
            }
        }
        Self { ranges: joined }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: usize) -> Key {
        Key::from(vec![n as u8])
    }

    fn range(rng: &mut fastrand::Rng) -> KeyRange {
        let (lo, hi) = (rng.usize(..20), rng.usize(..22));
        KeyRange {
            lo: key(lo),
            hi: (hi < 21).then(|| key(hi)),
        }
    }

    /// Against a plain array of keys 0..24; 24 stands for all above.
    #[test]
    fn random_sets_against_an_array() {
        for seed in 0..400 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let (mut set, mut all, mut model) = (RangeSet::new(), Vec::new(), [false; 24]);
            for _ in 0..rng.usize(..8) {
                let new = range(&mut rng);
                (0..24)
                    .filter(|&i| new.contains(&key(i)))
                    .for_each(|i| model[i] = true);
                set.insert(new.clone());
                all.push(new);
                assert!(
                    RangeSet::from_sorted(set.ranges.clone()).is_some(),
                    "seed {seed}: {set:?}"
                );
            }
            assert_eq!(set, all.into_iter().collect(), "seed {seed}");
            for (i, covered) in model.iter().enumerate() {
                assert_eq!(set.covers_key(&key(i)), *covered, "seed {seed}, key {i}");
            }
            for _ in 0..20 {
                let probe = range(&mut rng);
                let inside = || (0..24).filter(|&i| probe.contains(&key(i)));
                assert_eq!(
                    set.covers_range(&probe),
                    inside().all(|i| model[i]),
                    "seed {seed} {probe:?}"
                );
                let clipped = RangeSet::from_sorted(set.clip(&probe)).unwrap();
                for (i, covered) in model.iter().enumerate() {
                    let want = *covered && probe.contains(&key(i));
                    assert_eq!(
                        clipped.covers_key(&key(i)),
                        want,
                        "seed {seed} {probe:?} {i}"
                    );
                }
            }
        }
    }

    #[test]
    fn touching_ranges_join_and_false_orders_are_refused() {
        let mut set = RangeSet::new();
        set.insert(KeyRange::new("c", "d"));
        set.insert(KeyRange::new("a", "b"));
        assert_eq!(set.len(), 2);
        set.insert(KeyRange::new("b", "c"));
        assert_eq!(set.iter().collect::<Vec<_>>(), [&KeyRange::new("a", "d")]);
        for wrong in [
            vec![KeyRange::new("b", "b")],
            vec![KeyRange::new("a", "b"), KeyRange::new("b", "c")],
            vec![
                KeyRange {
                    lo: key(1),
                    hi: None,
                },
                KeyRange::new("x", "y"),
            ],
        ] {
            assert_eq!(RangeSet::from_sorted(wrong), None);
        }
    }
}
