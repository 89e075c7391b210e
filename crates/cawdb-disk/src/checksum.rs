//! The one checksum: XXH3-64. It finds damage; it does not stop forgers.

use crate::{Error, Result};
use std::hash::Hasher;
use twox_hash::XxHash3_64;

/// Checksum of some bytes. On disk: 8 bytes, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Checksum(pub u64);

impl Checksum {
    /// The checksum of `bytes`. O(n).
    pub fn of(bytes: &[u8]) -> Self {
        Checksum(XxHash3_64::oneshot(bytes))
    }

    /// The checksum of the parts one after the other, as if they were one slice. O(n).
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        let mut hasher = XxHash3_64::new();
        for part in parts {
            hasher.write(part);
        }
        Checksum(hasher.finish())
    }

    /// Checks that `bytes` have this checksum. `what` says where they come from.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if they do not.
    pub fn verify(self, bytes: &[u8], what: impl Into<String>) -> Result<()> {
        self.expect(Checksum::of(bytes), what)
    }

    /// Checks that `found` is this checksum.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it is not.
    pub fn expect(self, found: Checksum, what: impl Into<String>) -> Result<()> {
        if self == found {
            return Ok(());
        }
        Err(Error::corrupt(
            what,
            format!("checksum {self}"),
            format!("{found}"),
        ))
    }
}

impl std::fmt::Display for Checksum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_as_one() {
        let mut rng = fastrand::Rng::with_seed(1);
        for len in [0, 1, 3, 16, 17, 128, 129, 240, 241, 1024, 5000] {
            let bytes: Vec<u8> = (0..len).map(|_| rng.u8(..)).collect();
            let (a, b) = bytes.split_at(rng.usize(0..=len));
            assert_eq!(
                Checksum::of(&bytes),
                Checksum::of_parts(&[a, &[], b]),
                "{len}"
            );
        }
    }

    #[test]
    fn known_value_so_that_the_format_stays() {
        assert_eq!(Checksum::of(b""), Checksum(0x2d06_8005_38d3_94c2));
        assert!(Checksum::of(b"a").verify(b"b", "test").is_err());
    }
}
