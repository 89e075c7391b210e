//! Courtesy: where somebody reads and nobody writes, background work takes a part of the time only, since it needs the same disk and processors.
//!
//! ```text
//!   reader       ─┤├─┤├─┤├─┤├─┤├─┤├─┤├─┤├─┤├─┤├─┤├─┤├─ ...      no more reading
//!   background   ████ · · · · · · · · · · · · ████ · · · · · · · ████████████████
//! ```
//! Reading 1 GiB in order right after 131,072 random writes of 4 KiB and a mount took three tenths less of the daemon's processor time (means of five, in turn); what
//! was merged meanwhile came too late for its reader. By the clock no difference could be told from the noise.
//!
//! Invariants: a rest is short, and ends when reading does, so that all work is done in the end; without background threads nobody rests.

use crate::store::Inner;
use cawdb_disk::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A piece of work took so long; so many times as long is rested after it.
const REST: u32 = 7;
/// The longest rest.
const LONGEST: Duration = Duration::from_millis(500);
/// So often a rest looks whether somebody still reads.
const STEP: Duration = Duration::from_millis(20);

/// Who reads, as background work sees it.
#[derive(Debug, Default)]
pub(crate) struct Courtesy {
    /// Walks begun.
    walks: AtomicU64,
    /// How many these were when last looked at.
    seen: AtomicU64,
}

impl Courtesy {
    /// Says that somebody begins to walk over a range.
    pub(crate) fn walk(&self) {
        self.walks.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether somebody did since this was last asked.
    fn is_wanted(&self) -> bool {
        let walks = self.walks.load(Ordering::Relaxed);
        self.seen.swap(walks, Ordering::Relaxed) != walks
    }

    /// Rests after a piece of work that took so long, by naps, for as long as somebody reads and it `may`.
    fn rest(&self, took: Duration, may: impl Fn() -> bool, mut nap: impl FnMut(Duration)) {
        let mut left = (took * REST).min(LONGEST);
        while !left.is_zero() && self.is_wanted() && may() {
            let step = left.min(STEP);
            nap(step);
            left -= step;
        }
    }
}

impl Inner {
    /// What the thread of background work does after a piece of it that took so long.
    pub(crate) fn make_way_for_readers(&self, took: Duration) {
        let seq = self.published.seq();
        // Who writes needs the work done; and so does he who waits for memory, or for the thread to end.
        let may =
            || self.throttle.has_threads() && self.published.seq() == seq && !self.checkpoint_due();
        let nap = |time| self.throttle.wait_until_freed(time);
        self.courtesy.rest(took, may, nap);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// How long it is rested after so many milliseconds of work, if somebody reads during the first naps, and it is allowed as long.
    fn rested(took: u64, reads: u32, allowed: u32) -> Duration {
        let (courtesy, naps, total) = (Courtesy::default(), Cell::new(0), Cell::default());
        let read = || {
            if naps.get() < reads {
                courtesy.walk();
            }
        };
        read();
        courtesy.rest(
            Duration::from_millis(took),
            || naps.get() < allowed,
            |time| {
                naps.set(naps.get() + 1);
                total.set(total.get() + time);
                read();
            },
        );
        total.get()
    }

    #[test]
    fn work_rests_while_somebody_reads_and_not_for_long() {
        assert_eq!(rested(10, 0, 99), Duration::ZERO, "nobody reads");
        assert_eq!(rested(10, 99, 99), 10 * REST * Duration::from_millis(1));
        assert_eq!(rested(10_000, 99, 99), LONGEST);
        assert_eq!(rested(10_000, 3, 99), 3 * STEP, "reading ended");
        assert_eq!(rested(10_000, 99, 2), 2 * STEP, "somebody wrote");
        assert_eq!(rested(0, 99, 99), Duration::ZERO);
    }
}
