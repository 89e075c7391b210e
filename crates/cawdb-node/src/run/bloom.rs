//! Bloom filter over the keys of a run's points: "surely not here", without reading a segment.
//!
//! Ten bits a key and seven probes err for about one key in a hundred. The probes of a key with hash h (XXH3-64)
//! are h, h + s, h + 2s, ... with the odd step s = (h rotated by 32) | 1, each scaled to the number of bits.

use twox_hash::XxHash3_64;

const BITS_PER_KEY: usize = 10;
const PROBES: u64 = 7;

/// A filter; without bits it holds nothing.
pub(crate) struct Bloom {
    bits: Box<[u8]>,
}

/// The hash under which a key is filtered.
pub(crate) fn hash(key: &[u8]) -> u64 {
    XxHash3_64::oneshot(key)
}

fn probes(hash: u64, bytes: usize) -> impl Iterator<Item = (usize, u8)> {
    let bits = bytes as u128 * 8;
    let step = hash.rotate_left(32) | 1;
    (0..PROBES).map(move |i| {
        let bit = (u128::from(hash.wrapping_add(step.wrapping_mul(i))) * bits) >> 64;
        ((bit / 8) as usize, 1 << (bit % 8))
    })
}

impl Bloom {
    /// A filter that holds these hashes.
    pub(super) fn build(hashes: &[u64]) -> Self {
        let mut bits = vec![0_u8; (hashes.len() * BITS_PER_KEY).div_ceil(8)];
        for &hash in hashes {
            for (byte, bit) in probes(hash, bits.len()) {
                bits[byte] |= bit;
            }
        }
        Self { bits: bits.into() }
    }

    /// A filter read from disk. O(bytes).
    pub(super) fn from_bytes(bits: &[u8]) -> Self {
        Self { bits: bits.into() }
    }

    /// Its bits.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bits
    }

    /// False if no key with that hash was put in.
    pub(crate) fn may_hold(&self, hash: u64) -> bool {
        // Without bits every probe falls outside.
        probes(hash, self.bits.len())
            .all(|(byte, bit)| self.bits.get(byte).is_some_and(|b| b & bit != 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_denies_a_key_and_seldom_grants_another() {
        for n in [0_u32, 1, 10, 10_000] {
            let hashes: Vec<_> = (0..n).map(|i| hash(&i.to_le_bytes())).collect();
            let bloom = Bloom::build(&hashes);
            assert!(hashes.iter().all(|&h| bloom.may_hold(h)));
            let wrong = (n..n + 10_000)
                .filter(|i| bloom.may_hold(hash(&i.to_le_bytes())))
                .count();
            assert!(
                wrong < if n < 100 { 500 } else { 200 },
                "{n}: {wrong} of 10,000"
            );
            assert!(n > 0 || wrong == 0);
        }
    }
}
