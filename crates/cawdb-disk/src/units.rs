//! Units of the disk: the allocation unit, the granule of the file system below, and extents.
//!
//! Invariants: an [`Extent`] made by [`Extent::checked`] is not empty, is aligned to [`UNIT`] at
//! both ends and does not wrap around.

use crate::{Error, Result};

/// Smallest unit of allocation, in bytes; also the unit that a medium is assumed to write whole.
pub const UNIT: u64 = 512;

/// Unit in which the file system below allocates and frees, in bytes.
pub const GRANULE: u64 = 4096;

/// Largest byte address that an extent may reach: offsets fit signed 64-bit file offsets.
pub const MAX_OFFSET: u64 = 1 << 62;

/// Contiguous bytes of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Extent {
    /// First byte.
    pub offset: u64,
    /// Number of bytes.
    pub len: u64,
}

impl Extent {
    /// The extent of `len` bytes from `offset` on, from trusted numbers.
    pub const fn new(offset: u64, len: u64) -> Self {
        Self { offset, len }
    }

    /// An extent from numbers that cannot be trusted.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it is empty, not aligned to [`UNIT`], or ends beyond [`MAX_OFFSET`].
    pub fn checked(offset: u64, len: u64) -> Result<Self> {
        let fits = offset.checked_add(len).is_some_and(|end| end <= MAX_OFFSET);
        if len == 0 || !offset.is_multiple_of(UNIT) || !len.is_multiple_of(UNIT) || !fits {
            return Err(Error::corrupt(
                "extent",
                format!("a non-empty one in units of {UNIT} bytes below {MAX_OFFSET}"),
                format!("{len} bytes at {offset}"),
            ));
        }
        Ok(Self { offset, len })
    }

    /// The first byte after it. Saturates, so that an unchecked extent cannot wrap.
    pub const fn end(&self) -> u64 {
        self.offset.saturating_add(self.len)
    }

    /// Whether the two have a byte in common.
    pub const fn overlaps(&self, other: &Extent) -> bool {
        self.offset < other.end() && other.offset < self.end()
    }

    /// Whether all bytes of `other` are in this one.
    pub const fn contains(&self, other: &Extent) -> bool {
        self.offset <= other.offset && other.end() <= self.end()
    }

    /// The whole granules inside it, if any.
    pub fn granules(&self) -> Option<Extent> {
        let (from, to) = (self.offset.checked_next_multiple_of(GRANULE)?, self.end());
        let to = round_down(to, GRANULE);
        (from < to).then(|| Extent::new(from, to - from))
    }
}

impl std::fmt::Display for Extent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}+{}", self.offset, self.len)
    }
}

/// `value` rounded up to a multiple of `unit`; saturates at the largest one.
pub const fn round_up(value: u64, unit: u64) -> u64 {
    match value.checked_next_multiple_of(unit) {
        Some(rounded) => rounded,
        None => u64::MAX - u64::MAX % unit,
    }
}

/// `value` rounded down to a multiple of `unit`.
pub const fn round_down(value: u64, unit: u64) -> u64 {
    value - value % unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_numbers_are_refused() {
        for (offset, len) in [
            (0, 0),
            (1, 512),
            (512, 1),
            (u64::MAX - 511, 512),
            (1 << 62, 512),
        ] {
            assert!(matches!(
                Extent::checked(offset, len),
                Err(Error::Corrupt { .. })
            ));
        }
        assert_eq!(Extent::checked(512, 1024).unwrap().end(), 1536);
    }

    #[test]
    fn granules_are_those_wholly_inside() {
        assert_eq!(Extent::new(512, 4096).granules(), None);
        assert_eq!(
            Extent::new(512, 8192).granules(),
            Some(Extent::new(4096, 4096))
        );
        assert_eq!(
            Extent::new(4096, 8192).granules(),
            Some(Extent::new(4096, 8192))
        );
        assert_eq!(Extent::new(u64::MAX - 5, 5).granules(), None);
    }

    #[test]
    fn overlap_and_containment() {
        let a = Extent::new(512, 1024);
        assert!(a.overlaps(&Extent::new(1024, 512)) && !a.overlaps(&Extent::new(1536, 512)));
        assert!(a.contains(&Extent::new(1024, 512)) && !a.contains(&Extent::new(1024, 1024)));
        assert_eq!(round_up(u64::MAX, 512), u64::MAX - 511);
    }
}
