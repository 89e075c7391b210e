//! How node ids are hashed: they are ours, and rise one by one, so nobody can choose them to collide. A product spreads them.

use std::hash::{BuildHasherDefault, Hasher};

/// The hasher of a map by node ids.
pub(super) type ById = BuildHasherDefault<IdHasher>;

/// Hashes one number.
#[derive(Default)]
pub(super) struct IdHasher(u64);

/// 2⁶⁴ divided by the golden ratio: what follows each other comes to lie far apart.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(byte.into());
        }
    }
    fn write_u64(&mut self, number: u64) {
        // A map takes the lowest bits for the place and the highest to tell apart what lies there; half a product mixes upwards only.
        let product = u128::from(self.0 ^ number) * u128::from(SPREAD);
        self.0 = (product >> 64) as u64 ^ product as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::NodeId;
    use std::collections::HashSet;
    use std::hash::BuildHasher;

    #[test]
    fn neighbours_are_spread_over_low_and_high_bits() {
        for step in [1, 2, 64, 4096, 1 << 20] {
            let hash = |n: u64| ById::default().hash_one(NodeId(n * step));
            let low: HashSet<_> = (0..4096).map(|n| hash(n) % 4096).collect();
            let high: HashSet<_> = (0..4096).map(|n| hash(n) >> 57).collect();
            // By chance it would be 63 %.
            assert!(low.len() > 2200, "{step}: {}", low.len());
            assert_eq!(high.len(), 128, "{step}");
        }
    }
}
