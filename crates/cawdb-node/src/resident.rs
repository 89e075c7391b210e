//! How much memory nodes take, kept beside them, so that nobody has to look at all of them to learn that they fit.
//!
//! ```text
//!   0                                    enough     budget
//!   ├──────────── counted ────────────────┤── since ──┤       a count is due where the second passes the budget
//! ```
//! A count goes over all nodes of the store; with many clones, one for every few nodes that are read took more time than the work that read them.
//!
//! Invariants: after a look nodes take no more than the budget, but for those that lie nowhere else, and a sixteenth of it that was written since the
//! last count; between two counts comes a sixteenth at least. Without counts the sum is about right; a count makes it so.

use cawdb_disk::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// This part of the budget comes between two counts.
const PART: u64 = 16;

/// What nodes in memory take, in bytes.
#[derive(Debug, Default)]
pub(crate) struct Resident {
    counted: AtomicU64,
    /// Came since, less what went.
    since: AtomicI64,
    /// Came since, or could not leave then and can now.
    news: AtomicU64,
}

impl Resident {
    /// Nodes may take so much after a count: there is room for what comes before the next.
    pub(crate) fn enough(budget: u64) -> u64 {
        budget - budget / PART
    }

    /// A node was made or read.
    pub(crate) fn came(&self, bytes: u64) {
        self.since.fetch_add(signed(bytes), Relaxed);
        self.news.fetch_add(bytes, Relaxed);
    }

    /// A node became another, that lies nowhere else.
    pub(crate) fn became(&self, old: u64, new: u64) {
        self.went(old);
        self.since.fetch_add(signed(new), Relaxed);
        self.news.fetch_add(new.saturating_sub(old), Relaxed);
    }

    /// A node is no longer any.
    pub(crate) fn went(&self, bytes: u64) {
        self.since.fetch_sub(signed(bytes), Relaxed);
    }

    /// A node was written, and so may leave.
    pub(crate) fn may_leave(&self, bytes: u64) {
        self.news.fetch_add(bytes, Relaxed);
    }

    /// What they take, about.
    pub(crate) fn bytes(&self) -> u64 {
        let counted = self.counted.load(Relaxed);
        counted.saturating_add_signed(self.since.load(Relaxed))
    }

    /// Whether to count, as there may be something to be won by it.
    pub(crate) fn is_due(&self, budget: u64) -> bool {
        self.bytes() > Self::enough(budget) && self.news.load(Relaxed) > budget / PART
    }

    /// A count begins; what comes from now on is added to its result.
    pub(crate) fn begin(&self) {
        self.since.store(0, Relaxed);
        self.news.store(0, Relaxed);
    }

    /// What was counted.
    pub(crate) fn counted(&self, bytes: u64) {
        self.counted.store(bytes, Relaxed);
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: u64 = 1600;

    #[test]
    fn a_count_is_due_when_they_may_not_fit_and_not_for_a_few() {
        let resident = Resident::default();
        resident.came(1500);
        assert!(!resident.is_due(BUDGET), "they fit");
        resident.came(50);
        assert!(resident.is_due(BUDGET));
        resident.begin();
        resident.counted(1500);
        resident.came(100);
        assert!(!resident.is_due(BUDGET), "there is room for a part of it");
        resident.came(1);
        assert!(resident.is_due(BUDGET));
        resident.went(101);
        assert!(!resident.is_due(BUDGET), "they went again");
    }

    #[test]
    fn what_could_not_leave_is_counted_again_when_it_can() {
        let resident = Resident::default();
        resident.begin();
        resident.counted(2 * BUDGET);
        assert!(!resident.is_due(BUDGET), "nothing is new");
        resident.may_leave(101);
        assert!(resident.is_due(BUDGET));
        assert_eq!(resident.bytes(), 2 * BUDGET);
    }

    #[test]
    fn nodes_that_change_again_and_again_are_not_counted_each_time() {
        let resident = Resident::default();
        resident.counted(2 * BUDGET);
        for _ in 0..100 {
            resident.became(500, 510);
            resident.became(510, 500);
        }
        assert_eq!(resident.bytes(), 2 * BUDGET);
        assert!(resident.is_due(BUDGET), "they grew by a part of it");
        resident.begin();
        resident.became(500, 500);
        assert!(!resident.is_due(BUDGET));
    }

    #[test]
    fn without_a_budget_any_node_is_too_many() {
        let resident = Resident::default();
        assert!(!resident.is_due(0));
        resident.came(1);
        assert!(resident.is_due(0));
    }
}
