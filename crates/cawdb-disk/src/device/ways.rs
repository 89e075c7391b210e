//! Which way short pieces are read: through the machine's cache, or past it.
//!
//! ```text
//!   read          1   2   3   4   5   6   7   8   9  ...
//!   the way      [          that which pays       ] other   ...
//! ```
//! A page of the cache takes fresh memory, and that of another page where there is little, which costs a sixth to a third of what it takes to ask for
//! a piece. It is worth that where enough is read again from there. That depends on the store, on the memory of the machine or of a group of
//! processes, and on who reads, none of which is known here; but what is found in the cache comes in no time.
//!
//! Invariants: where the cache does not pay, one of [`TRY`] reads goes through it all the same, so that it fills where it would; where it does, few go past
//! it, so that it stays known what these take; as long as none could, all go through it.

use crate::sync::{Mutex, lock};
use std::time::Duration;

/// One of so many goes through the cache where that does not pay.
const TRY: u32 = 8;
/// One of so many goes past it where it does: it has to wait for the disk.
const TRY_PAST: u32 = 64;
/// What takes less than this part of a read past the cache was found in it.
const FOUND: f64 = 1.0 / 4.0;
/// If this part of what goes through the cache is found in it, it pays: it saves waiting for a disk, which takes some ten times as long as what a page costs.
const PAYS: f64 = 1.0 / 8.0;
/// Means are those of the last reads, so many about.
const LAST: f64 = 64.0;
/// So many times the mean is the most that a read counts for: what was slow for reasons of its own tells nothing about the way.
const MOST: f64 = 4.0;

/// A way to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Through the cache.
    Through,
    /// Past it.
    Past,
}

/// What is known of both ways.
#[derive(Debug, Default)]
pub(super) struct Ways(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    reads: u32,
    /// Seconds of a read past the cache.
    past: Mean,
    /// Which part of those through it was found in it.
    found: Mean,
}

/// The mean of the last of some numbers.
#[derive(Debug, Default)]
struct Mean {
    value: f64,
    count: f64,
}

impl Mean {
    fn add(&mut self, number: f64) {
        self.count = (self.count + 1.0).min(LAST);
        self.value += (number - self.value) / self.count;
    }
}

impl State {
    fn better(&self) -> Way {
        match self.past.count > 0.0 && self.found.value < PAYS {
            true => Way::Past,
            false => Way::Through,
        }
    }
}

impl Ways {
    /// The way for the next read.
    pub fn choose(&self) -> Way {
        let mut state = lock(&self.0);
        state.reads = state.reads.wrapping_add(1);
        match state.better() {
            Way::Past if state.reads.is_multiple_of(TRY) => Way::Through,
            Way::Through if state.reads.is_multiple_of(TRY_PAST) => Way::Past,
            way => way,
        }
    }

    /// Says that a read could not go past the cache.
    pub fn failed_past(&self) {
        lock(&self.0).past = Mean::default();
    }

    /// Says how long a read took, and which way it went.
    pub fn took(&self, way: Way, time: Duration) {
        let seconds = time.as_secs_f64();
        let mut state = lock(&self.0);
        let past = state.past.value;
        match way {
            // The first one may have been slow for reasons of its own, too.
            Way::Past if past > seconds * MOST => {
                state.past = Mean {
                    value: seconds,
                    count: 1.0,
                }
            }
            Way::Past if past > 0.0 => state.past.add(seconds.min(past * MOST)),
            Way::Past => state.past.add(seconds),
            Way::Through if past > 0.0 => {
                state.found.add(f64::from(u8::from(seconds < past * FOUND)));
            }
            Way::Through => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `reads` go past the cache, if each takes so many microseconds.
    fn past(ways: &Ways, reads: u32, mut takes: impl FnMut(Way) -> u64) -> u32 {
        let mut past = 0;
        for _ in 0..reads {
            let way = ways.choose();
            past += u32::from(way == Way::Past);
            ways.took(way, Duration::from_micros(takes(way)));
        }
        past
    }

    #[test]
    fn the_cache_is_used_where_it_has_what_is_read_and_tried_where_not() {
        let ways = Ways::default();
        let by = |through, past| move |way| if way == Way::Past { past } else { through };
        let none = past(&ways, 8000, by(100, 100));
        assert!((6900..7000).contains(&none), "{none}");
        let found = past(&ways, 8000, by(5, 100));
        assert!((125..250).contains(&found), "{found}");
        let lost = past(&ways, 8000, by(100, 100));
        assert!((6800..7000).contains(&lost), "{lost}");
        let quick = past(&Ways::default(), 8000, by(5, 10));
        assert_eq!(quick, none, "such a disk needs no cache");
    }

    #[test]
    fn where_there_is_no_other_way_it_is_not_taken() {
        let ways = Ways::default();
        for _ in 0..100 {
            ways.choose();
            ways.took(Way::Through, Duration::from_micros(100));
        }
        assert_eq!(lock(&ways.0).better(), Way::Through);
    }

    #[test]
    fn a_way_that_ends_is_not_taken_any_more() {
        let ways = Ways::default();
        past(&ways, 8000, |_| 100);
        assert_eq!(lock(&ways.0).better(), Way::Past);
        ways.failed_past();
        assert_eq!(lock(&ways.0).better(), Way::Through);
    }

    #[test]
    fn a_slow_first_read_is_forgotten_soon() {
        let ways = Ways::default();
        ways.took(Way::Past, Duration::from_millis(100));
        let after = past(&ways, 1000, |_| 100);
        assert!(after > 600, "{after}");
    }

    #[test]
    fn slow_reads_tell_nothing() {
        let ways = Ways::default();
        let mut n = 0;
        let after = past(&ways, 8000, |_| {
            n += 1;
            if n % 10 == 0 { 10_000 } else { 100 }
        });
        assert!((6800..=7000).contains(&after), "{after}");
    }

    /// All of a store fits into the machine's memory, and is read at random; and then a fiftieth of another.
    #[test]
    fn a_cache_that_would_hold_much_is_filled() {
        for (fits, wanted) in [(1.0, 0..=160), (0.02, 8700..=8750)] {
            let ways = Ways::default();
            let mut random = fastrand::Rng::with_seed(7);
            let mut cached = vec![false; 10_000];
            let mut read = |way| {
                let place = random.usize(..10_000);
                match (cached[place], way) {
                    (true, Way::Through) => 5,
                    (_, Way::Past) => 80,
                    (false, Way::Through) => {
                        cached[place] = (place as f64) < fits * 10_000.0;
                        100
                    }
                }
            };
            past(&ways, 30_000, &mut read);
            let last = past(&ways, 10_000, &mut read);
            assert!(wanted.contains(&last), "{last} go past the cache");
        }
    }
}
