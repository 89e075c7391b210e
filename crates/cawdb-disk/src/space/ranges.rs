//! A set of bytes, as disjoint ranges.
//!
//! Invariants: ranges neither overlap nor touch; none is empty.

use crate::Extent;
use std::collections::BTreeMap;

/// A set of byte ranges.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    /// First byte to first byte after.
    ends: BTreeMap<u64, u64>,
}

impl Ranges {
    /// Whether some byte of `extent` is in the set. O(log n).
    pub fn overlaps(&self, extent: Extent) -> bool {
        let below = self.ends.range(..extent.end()).next_back();
        below.is_some_and(|(_, &end)| end > extent.offset)
    }

    /// Puts bytes in; those already there stay.
    pub fn insert(&mut self, extent: Extent) {
        let (mut from, mut to) = (extent.offset, extent.end());
        while let Some((&f, &t)) = self.ends.range(..=to).next_back()
            && t >= from
        {
            from = from.min(f);
            to = to.max(t);
            self.ends.remove(&f);
        }
        self.ends.insert(from, to);
    }

    /// Takes bytes out; those not there are no error.
    pub fn remove(&mut self, extent: Extent) {
        while let Some((&f, &t)) = self.ends.range(..extent.end()).next_back()
            && t > extent.offset
        {
            self.ends.remove(&f);
            if f < extent.offset {
                self.ends.insert(f, extent.offset);
            }
            if t > extent.end() {
                self.ends.insert(extent.end(), t);
            }
        }
    }

    /// The lowest range.
    pub fn first(&self) -> Option<Extent> {
        let (&from, &to) = self.ends.first_key_value()?;
        Some(Extent::new(from, to - from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_a_bitmap() {
        for seed in 0..200 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let (mut set, mut bits) = (Ranges::default(), [false; 64]);
            for _ in 0..100 {
                let from = rng.usize(0..63);
                let to = rng.usize(from + 1..64);
                let extent = Extent::new(from as u64, (to - from) as u64);
                let inside = &mut bits[from..to];
                assert_eq!(set.overlaps(extent), inside.contains(&true), "seed {seed}");
                let fill = rng.bool();
                inside.fill(fill);
                if fill {
                    set.insert(extent)
                } else {
                    set.remove(extent)
                }
                let first = bits.iter().position(|&b| b).map(|b| b as u64);
                assert_eq!(set.first().map(|e| e.offset), first, "seed {seed}");
                let starts = (0..64)
                    .filter(|&i| bits[i] && (i == 0 || !bits[i - 1]))
                    .count();
                assert_eq!(set.ends.len(), starts, "seed {seed}");
            }
        }
    }
}
