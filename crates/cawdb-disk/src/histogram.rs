//! How long things took: a histogram that many threads add to at once.
//!
//! ```text
//!   nanoseconds   0 1 2 … 15 │ 16 18 20 … 30 │ 32 36 … 60 │ 64 72 …        eight steps for each power of two
//! ```
//! Invariants: nothing is lost, whatever the time; a step is at most an eighth of its time wide, so percentiles are
//! that exact, and never too small; the greatest time is exact.

use std::fmt::{self, Debug};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Steps for each power of two.
const STEPS: u64 = 8;
/// Times up to here have a step each.
const EXACT: u64 = 2 * STEPS;
/// All steps that a time of 64 bits can fall in.
const BUCKETS: usize = 496;

/// Counts of times, in steps.
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    max: AtomicU64,
}

/// What a histogram says at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Times {
    /// How many there were.
    pub count: u64,
    /// Half of them took no longer.
    pub p50: Duration,
    /// All but one in a hundred took no longer.
    pub p99: Duration,
    /// All but one in a thousand took no longer.
    pub p999: Duration,
    /// The longest.
    pub max: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: [const { AtomicU64::new(0) }; BUCKETS],
            max: AtomicU64::new(0),
        }
    }
}

impl Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Debug::fmt(&self.times(), f)
    }
}

impl Histogram {
    /// Adds a time. O(1), without a lock.
    pub fn add(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(nanos)].fetch_add(1, Relaxed);
        self.max.fetch_max(nanos, Relaxed);
    }

    /// Number, percentiles and maximum. Times that are added meanwhile may be missing.
    pub fn times(&self) -> Times {
        let counts: Vec<u64> = self.buckets.iter().map(|b| b.load(Relaxed)).collect();
        let count: u64 = counts.iter().sum();
        let max = self.max.load(Relaxed);
        let percentile = |beyond: u64| {
            // So many may take longer.
            let mut rest = count - count / beyond;
            for (i, n) in counts.iter().enumerate() {
                rest = rest.saturating_sub(*n);
                if rest == 0 {
                    return Duration::from_nanos(end(i).min(max));
                }
            }
            Duration::from_nanos(max)
        };
        match count {
            0 => Times::default(),
            _ => Times {
                count,
                p50: percentile(2),
                p99: percentile(100),
                p999: percentile(1000),
                max: Duration::from_nanos(max),
            },
        }
    }
}

/// The step that a time falls in.
fn bucket(nanos: u64) -> usize {
    if nanos < EXACT {
        return nanos as usize;
    }
    let power = u64::from(nanos.ilog2());
    let step = (nanos >> (power - 3)) - STEPS;
    ((power - 3) * STEPS + STEPS + step) as usize
}

/// The longest time of a step.
fn end(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < EXACT {
        return bucket;
    }
    let (power, step) = (bucket / STEPS + 2, bucket % STEPS);
    let next = u128::from(STEPS + step + 1) << (power - 3);
    u64::try_from(next - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_falls_in_a_step_that_is_not_much_longer() {
        let mut rng = fastrand::Rng::with_seed(7);
        let edges = (0..64).flat_map(|p| [1_u64 << p, (1 << p) - 1, (1 << p) + 1]);
        let random = (0..10_000).map(|i| rng.u64(..) >> (i % 64));
        for nanos in edges.chain(random).chain([u64::MAX]) {
            let end = end(bucket(nanos));
            assert!(end >= nanos && end - nanos <= nanos / 8, "{nanos}: {end}");
            assert!(bucket(nanos) == 0 || super::end(bucket(nanos) - 1) < nanos);
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_of_a_thousand() {
        let histogram = Histogram::default();
        assert_eq!(histogram.times(), Times::default());
        (1..=1000).for_each(|ms| histogram.add(Duration::from_millis(ms)));
        let times = histogram.times();
        let near = |time: Duration, ms: u128| {
            let found = time.as_millis();
            assert!(found >= ms && found <= ms * 9 / 8, "{found} for {ms}");
        };
        near(times.p50, 500);
        near(times.p99, 990);
        near(times.p999, 999);
        assert_eq!((times.count, times.max), (1000, Duration::from_secs(1)));
        let one = Histogram::default();
        one.add(Duration::from_millis(3));
        assert_eq!(one.times().p50, Duration::from_millis(3));
    }
}
