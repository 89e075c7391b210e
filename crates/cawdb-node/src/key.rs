//! Keys, key ranges and prefixes.
//!
//! A key is any byte string; order is that of the bytes. A range is half open, `[lo, hi)`; no `hi` means "to the end".

use bytes::Bytes;

/// A key.
pub type Key = Bytes;

/// The keys `k` with `lo <= k < hi`; without `hi`, all from `lo` on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyRange {
    /// First key of the range.
    pub lo: Key,
    /// First key after the range, or none if it has no end.
    pub hi: Option<Key>,
}

/// The smallest key above all keys that start with `prefix`; none if there is no such key (empty, or all FF).
pub fn successor(prefix: &[u8]) -> Option<Key> {
    let end = prefix.iter().rposition(|&b| b != 0xff)?;
    let mut key = prefix.get(..=end)?.to_vec();
    if let Some(last) = key.last_mut() {
        *last += 1;
    }
    Some(key.into())
}

/// How many bytes two keys have in common at the front. O(bytes).
pub fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

impl KeyRange {
    /// Every key.
    pub fn all() -> Self {
        Self {
            lo: Key::new(),
            hi: None,
        }
    }
    /// `[lo, hi)`.
    pub fn new(lo: impl Into<Key>, hi: impl Into<Key>) -> Self {
        Self {
            lo: lo.into(),
            hi: Some(hi.into()),
        }
    }
    /// Every key that starts with `prefix`.
    pub fn prefix(prefix: impl Into<Key>) -> Self {
        let lo = prefix.into();
        let hi = successor(&lo);
        Self { lo, hi }
    }
    /// Whether no key can lie in the range.
    pub fn is_empty(&self) -> bool {
        self.hi.as_ref().is_some_and(|hi| *hi <= self.lo)
    }
    /// Whether `key` lies in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        *key >= self.lo[..] && self.hi.as_ref().is_none_or(|hi| *key < hi[..])
    }
    /// Whether all of `other` lies in this range.
    pub fn covers(&self, other: &Self) -> bool {
        other.is_empty() || (self.lo <= other.lo && !hi_less(self.hi.as_ref(), other.hi.as_ref()))
    }
    /// The keys that lie in both ranges (possibly none).
    pub fn intersect(&self, other: &Self) -> Self {
        let lo = self.lo.clone().max(other.lo.clone());
        let hi = if hi_less(self.hi.as_ref(), other.hi.as_ref()) {
            &self.hi
        } else {
            &other.hi
        };
        Self { lo, hi: hi.clone() }
    }
    /// Whether some key may lie in both ranges.
    pub fn overlaps(&self, other: &Self) -> bool {
        !self.intersect(other).is_empty()
    }
}

/// Whether the end `a` lies below the end `b`; none is the highest end of all.
pub fn hi_less(a: Option<&Key>, b: Option<&Key>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a < b,
        (Some(_), None) => true,
        (None, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(len: usize) -> Vec<Key> {
        let mut all = vec![Key::new()];
        for i in 0.. {
            if all[i].len() == len {
                return all;
            }
            all.extend([0, b'a', 0xff].map(|c| Key::from([&all[i][..], &[c]].concat())));
        }
        all
    }

    #[test]
    fn the_successor_ends_what_starts_with_a_prefix() {
        for prefix in keys(3) {
            let range = KeyRange::prefix(prefix.clone());
            assert!(
                keys(4)
                    .iter()
                    .all(|k| range.contains(k) == k.starts_with(&prefix)),
                "{prefix:?}"
            );
        }
        assert_eq!(successor(b"a\xff"), Some(Key::from_static(b"b")));
        assert_eq!((successor(b""), successor(b"\xff\xff")), (None, None));
    }

    #[test]
    fn ranges_as_sets_of_keys() {
        let ends: Vec<_> = keys(2).into_iter().map(Some).chain([None]).collect();
        let starts = ends.iter().flatten();
        let ranges: Vec<_> = starts
            .flat_map(|lo| {
                ends.iter().map(|hi| KeyRange {
                    lo: lo.clone(),
                    hi: hi.clone(),
                })
            })
            .collect();
        // Between two different ends lies the lower end itself: keys of this length tell all ranges apart.
        let keys = keys(2);
        for a in &ranges {
            assert_eq!(a.is_empty(), !keys.iter().any(|k| a.contains(k)), "{a:?}");
            for b in &ranges {
                let both = |k: &&Key| a.contains(k) && b.contains(k);
                let part = a.intersect(b);
                assert!(
                    keys.iter().all(|k| part.contains(k) == both(&k)),
                    "{a:?} {b:?}"
                );
                assert_eq!(a.overlaps(b), keys.iter().any(|k| both(&k)), "{a:?} {b:?}");
                if a.covers(b) {
                    assert!(
                        keys.iter().all(|k| a.contains(k) || !b.contains(k)),
                        "{a:?} {b:?}"
                    );
                }
            }
        }
    }
}
