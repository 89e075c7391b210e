//! What was met not long ago: a set in two generations.
//!
//! ```text
//!   now     [ 17  18  90 ... ]   grows with what is met     full ─► becomes `before`, which is forgotten
//!   before  [ 3  4  5 ...    ]
//! ```
//! To tell what is used once from what is used again takes the names of what was used, not the things: the ghosts of 2Q (Johnson and Shasha,
//! VLDB 1994).
//!
//! Invariants: what was met after at most `limit` others is known; what was met before more than twice as many is not; memory is bounded by that.

use std::collections::HashSet;
use std::hash::Hash;

/// See the picture above.
#[derive(Debug)]
pub struct Recent<T> {
    now: HashSet<T>,
    before: HashSet<T>,
    limit: usize,
}

impl<T: Hash + Eq> Recent<T> {
    /// An empty set of generations of `limit` things.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            now: HashSet::new(),
            before: HashSet::new(),
            limit,
        }
    }

    /// Whether this was met not long ago. O(1).
    #[must_use]
    pub fn knows(&self, thing: &T) -> bool {
        self.now.contains(thing) || self.before.contains(thing)
    }

    /// Meets a thing; whether it was known before. O(1).
    pub fn meet(&mut self, thing: T) -> bool {
        if self.now.contains(&thing) {
            return true;
        }
        let known = self.before.contains(&thing);
        if self.now.len() >= self.limit {
            self.before = std::mem::take(&mut self.now);
        }
        self.now.insert(thing);
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_time_is_known() {
        let mut recent = Recent::new(10);
        assert!(!recent.knows(&7) && !recent.meet(7));
        assert!(recent.knows(&7) && recent.meet(7));
    }

    #[test]
    fn what_was_long_ago_is_forgotten() {
        let mut recent = Recent::new(10);
        for thing in 0..11 {
            assert!(!recent.meet(thing));
        }
        assert!(recent.knows(&0), "the generation before");
        assert!(recent.meet(1), "and it is young again");
        (20..30).for_each(|thing| assert!(!recent.meet(thing)));
        assert!(!recent.knows(&0));
        assert!(recent.knows(&1) && recent.knows(&29));
        assert!(recent.now.len() <= 10 && recent.before.len() <= 10);
    }
}
