//! Which places of a file were read in bulk, or written through the cache, not long ago: what is read a second time is worth keeping in the machine's memory.
//!
//! Invariant: a place is known until at least 4 GiB of others were touched, and no longer than until 8 GiB were.

use crate::recent::Recent;
use crate::sync::{Mutex, lock};
use std::ops::Range;

/// Bytes of a place.
const PLACE: u64 = 64 << 10;
/// Places of a generation.
const LIMIT: usize = 64 << 10;

/// Places, by number.
#[derive(Debug)]
pub(super) struct Touched(Mutex<Recent<u64>>);

fn places(offset: u64, len: usize) -> Range<u64> {
    let end = offset.saturating_add(len as u64);
    offset / PLACE..end.div_ceil(PLACE)
}

impl Default for Touched {
    fn default() -> Self {
        Self(Mutex::new(Recent::new(LIMIT)))
    }
}

impl Touched {
    /// Notes that `len` bytes at `offset` are asked for or written; whether all of it was before. O(places).
    pub fn touch(&self, offset: u64, len: usize) -> bool {
        let mut recent = lock(&self.0);
        places(offset, len).fold(true, |known, place| recent.meet(place) & known)
    }

    /// Whether all of it was, without noting that. O(places).
    pub fn knows(&self, offset: u64, len: usize) -> bool {
        let recent = lock(&self.0);
        places(offset, len).all(|place| recent.knows(&place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_it_or_not() {
        let touched = Touched::default();
        assert!(!touched.knows(100, 10) && !touched.touch(100, 10));
        assert!(touched.knows(100, 10) && !touched.knows(0, PLACE as usize + 1));
        assert!(touched.touch(0, PLACE as usize));
        assert!(
            !touched.touch(0, PLACE as usize + 1),
            "the next place is new"
        );
        assert!(touched.touch(PLACE, PLACE as usize));
        assert!(touched.touch(5 * PLACE, 0), "nothing is new nowhere");
        assert!(!touched.touch(u64::MAX - 1, 9));
    }
}
