//! Where the regions of a store lie.
//!
//! ```text
//! 0          32 KiB     64 KiB     96 KiB     128 KiB       128 KiB + J
//! ┌────────┬─┬────────┬─┬────────┬─┬────────┬─┬─────────────┬────────────▶ limit
//! │ slot A │ │ slot A │ │ slot B │ │ slot B │ │ journal     │ data
//! │ copy 0 │ │ copy 1 │ │ copy 0 │ │ copy 1 │ │             │
//! └────────┴─┴────────┴─┴────────┴─┴────────┴─┴─────────────┴────────────
//! ```
//!
//! The copies are far apart so that no page of a flash chip and no stripe unit holds two.

use crate::units::MAX_OFFSET;
use crate::{Error, Extent, GRANULE, Result, round_down};

/// Bytes of one copy of a superblock.
pub const SLOT_BYTES: u64 = 4096;

/// Where the two superblock slots lie, each with its two copies.
pub const SLOTS: [[Extent; 2]; 2] = [
    [
        Extent::new(0, SLOT_BYTES),
        Extent::new(32 << 10, SLOT_BYTES),
    ],
    [
        Extent::new(64 << 10, SLOT_BYTES),
        Extent::new(96 << 10, SLOT_BYTES),
    ],
];

/// Where the journal begins.
pub const JOURNAL_OFFSET: u64 = 128 << 10;

/// Shortest journal, in bytes.
pub const MIN_JOURNAL: u64 = 16 << 10;

/// Longest journal, in bytes.
pub const MAX_JOURNAL: u64 = 1 << 40;

const _: () = {
    assert!(SLOTS[0][0].end() <= SLOTS[0][1].offset && SLOTS[0][1].end() <= SLOTS[1][0].offset);
    assert!(SLOTS[1][0].end() <= SLOTS[1][1].offset && SLOTS[1][1].end() <= JOURNAL_OFFSET);
    assert!(
        SLOTS[0][1].offset.is_multiple_of(GRANULE) && SLOTS[1][0].offset.is_multiple_of(GRANULE)
    );
    assert!(SLOTS[1][1].offset.is_multiple_of(GRANULE));
    assert!(JOURNAL_OFFSET.is_multiple_of(GRANULE) && SLOT_BYTES.is_multiple_of(GRANULE));
    assert!(JOURNAL_OFFSET + MAX_JOURNAL < MAX_OFFSET && MIN_JOURNAL <= MAX_JOURNAL);
};

/// Where journal and data lie in one store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// The journal ring.
    pub journal: Extent,
    /// First byte of the data area; a multiple of [`GRANULE`].
    pub data: u64,
}

impl Layout {
    /// The layout with a journal of `journal_bytes`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if that is not a multiple of [`GRANULE`] between [`MIN_JOURNAL`] and
    /// [`MAX_JOURNAL`].
    pub fn new(journal_bytes: u64) -> Result<Self> {
        let fits = (MIN_JOURNAL..=MAX_JOURNAL).contains(&journal_bytes);
        if !fits || !journal_bytes.is_multiple_of(GRANULE) {
            return Err(Error::Invalid(format!(
                "a journal of {journal_bytes} bytes"
            )));
        }
        let journal = Extent::new(JOURNAL_OFFSET, journal_bytes);
        Ok(Self {
            journal,
            data: journal.end(),
        })
    }

    /// Length of the journal that suits a store of at most `limit` bytes.
    pub fn default_journal(limit: u64) -> u64 {
        round_down((limit / 64).clamp(4 << 20, 64 << 20), GRANULE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_checked() {
        assert!(Layout::new(0).is_err() && Layout::new(MIN_JOURNAL + 1).is_err());
        assert_eq!(Layout::new(64 << 10).unwrap().data, 192 << 10);
        assert_eq!(Layout::default_journal(0), 4 << 20);
        assert_eq!(Layout::default_journal(u64::MAX), 64 << 20);
    }
}
