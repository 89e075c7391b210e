//! Which way short pieces are read: through the machine's cache, or past it.
//!
//! ```text
//!   read          1   2   3   4   5   6   7   8   9  ...
//!   the way      [         as it was quicker      ] other   ...       and both are timed
//! ```
//! A page of the cache takes fresh memory, and that of another page where there is little, which costs more than half of what it takes to ask for
//! a piece. It is worth that where it is read again from there. That depends on the store, on the memory of the machine or of a group of
//! processes, and on who reads, none of which is known here; but what is found in the cache takes no time, so time tells.
//!
//! Invariants: one of [`PROBE`] reads goes the other way, so that neither way is forgotten, and the cache fills where it would help; one read never counts
//! for more than [`MOST`] times the mean; as long as nothing went past the cache, nothing is believed of that.

use crate::sync::{Mutex, lock};
use std::time::Duration;

/// One of so many goes the other way.
const PROBE: u32 = 8;
/// The mean is that of the last reads of a way, so many about.
const WEIGHT: f64 = 1.0 / 32.0;
/// So many times the mean is the most that a read counts for: what was slow for reasons of its own tells nothing about the way.
const MOST: f64 = 4.0;
/// The way past the cache must be quicker by so much, as what goes through it may be of use later.
const MARGIN: f64 = 1.0 / 16.0;

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
    through: Mean,
    past: Mean,
}

/// Seconds of a read; none before the first.
#[derive(Debug, Default)]
struct Mean(Option<f64>);

impl Mean {
    fn add(&mut self, seconds: f64) {
        let mean = self.0.unwrap_or(seconds);
        self.0 = Some(mean + (seconds.min(mean * MOST) - mean) * WEIGHT);
    }
}

impl State {
    fn quicker(&self) -> Way {
        match (self.through.0, self.past.0) {
            (Some(through), Some(past)) if past < through * (1.0 - MARGIN) => Way::Past,
            _ => Way::Through,
        }
    }
}

impl Ways {
    /// The way for the next read.
    pub fn choose(&self) -> Way {
        let mut state = lock(&self.0);
        state.reads = state.reads.wrapping_add(1);
        match (state.quicker(), state.reads.is_multiple_of(PROBE)) {
            (way, false) => way,
            (Way::Through, true) => Way::Past,
            (Way::Past, true) => Way::Through,
        }
    }

    /// Says how long a read took, and which way it went.
    pub fn took(&self, way: Way, time: Duration) {
        let mut state = lock(&self.0);
        let mean = match way {
            Way::Through => &mut state.through,
            Way::Past => &mut state.past,
        };
        mean.add(time.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `reads` go past the cache, if each way takes so many microseconds.
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
    fn the_quicker_way_is_taken_and_the_other_one_tried() {
        let ways = Ways::default();
        let by = |through, past| move |way| if way == Way::Past { past } else { through };
        assert_eq!(past(&ways, 800, by(100, 98)), 100, "hardly quicker");
        // Until the mean has come down, and then all but the tries.
        let quicker = past(&ways, 8000, by(100, 70));
        assert!((6500..=7000).contains(&quicker), "{quicker}");
        // What is in the cache is found there.
        let found = past(&ways, 8000, by(5, 70));
        assert!((1000..1500).contains(&found), "{found}");
    }

    #[test]
    fn where_there_is_no_other_way_it_is_not_taken() {
        let ways = Ways::default();
        for _ in 0..100 {
            ways.choose();
            ways.took(Way::Through, Duration::from_micros(100));
        }
        assert_eq!(lock(&ways.0).quicker(), Way::Through);
    }

    #[test]
    fn one_slow_read_tells_nothing() {
        let ways = Ways::default();
        past(&ways, 800, |way| if way == Way::Past { 90 } else { 100 });
        ways.took(Way::Through, Duration::from_secs(10));
        ways.took(Way::Past, Duration::from_secs(10));
        let after = past(&ways, 8000, |way| if way == Way::Past { 90 } else { 100 });
        assert!((6800..=7000).contains(&after), "{after}");
    }

    /// All of a store fits into the machine's memory, and is read at random.
    #[test]
    fn a_cache_that_would_hold_all_is_filled() {
        let ways = Ways::default();
        let mut random = fastrand::Rng::with_seed(7);
        let mut cached = vec![false; 10_000];
        let mut read = |way| {
            let place = &mut cached[random.usize(..10_000)];
            match (*place, way) {
                (true, Way::Through) => 5,
                (_, Way::Past) => 75,
                (false, Way::Through) => {
                    *place = true;
                    100
                }
            }
        };
        past(&ways, 60_000, &mut read);
        let last = past(&ways, 10_000, &mut read);
        assert!(last <= 1250, "{last} go past what is in memory");
    }
}
