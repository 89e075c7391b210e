//! The throttle: writers are slowed, each a little, before unwritten changes take more memory than they may.
//!
//! ```text
//!   delay of a byte                                      │ wait
//!                                               ......../│
//!   ───────────────────────────............─────         │
//!   0          memtable budget  (begin)                (end)      unwritten memory
//!              checkpoint due
//! ```
//! The delay grows with the cube of how far memory is on its way from begin to end, from nothing to
//! [`NANOS_A_BYTE`]; so memory comes to rest where writers are as fast as the disk, whatever its speed. All writers
//! share one pace. A single wait is short, unless the disk stands still: at the end nobody goes on before memory is free.
//!
//! Invariants: without background threads nobody sleeps, and a writer at the end writes the checkpoint itself; no lock
//! of the engine is held while waiting.

use crate::error::Result;
use crate::store::Inner;
use cawdb_disk::meter::{self, Reason};
use cawdb_disk::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use cawdb_disk::sync::{Condvar, Mutex};
use cawdb_disk::sync::{lock, wait_while};
use std::time::{Duration, Instant};

/// Delay of a byte at the end of the range: ten MiB a second.
const NANOS_A_BYTE: f64 = 100.0;
/// The longest single delay.
const LONGEST: Duration = Duration::from_millis(200);
/// Shorter delays are added up first: sleeping is not that exact.
const SHORTEST: Duration = Duration::from_micros(200);
/// How long a writer waits for memory before it looks after the checkpoint itself.
const PATIENCE: Duration = Duration::from_millis(100);

/// Where memory for unwritten changes begins to slow writers, and where it ends, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub begin: u64,
    pub end: u64,
}

impl Limits {
    /// Those of a memory budget.
    pub(crate) fn of(memtable_bytes: u64) -> Self {
        Self {
            begin: memtable_bytes + memtable_bytes / 4,
            end: memtable_bytes * 5 / 2,
        }
    }

    /// How long `bytes` more are to be delayed while `used` bytes are unwritten.
    fn delay(self, used: u64, bytes: u64) -> Duration {
        let over = used.saturating_sub(self.begin) as f64;
        let part = (over / (self.end - self.begin).max(1) as f64).min(1.0);
        Duration::from_nanos((bytes as f64 * NANOS_A_BYTE * part.powi(3)) as u64)
    }
}

/// What writers and checkpoints tell each other.
#[derive(Default)]
pub(crate) struct Throttle {
    /// Background threads are at work.
    threads: AtomicBool,
    /// When the delays given out so far end.
    pace: Mutex<Option<Instant>>,
    /// Whether a checkpoint is asked for.
    wanted: Mutex<bool>,
    asked: Condvar,
    /// Rises whenever memory becomes free.
    freed: Mutex<u64>,
    is_freed: Condvar,
    delays: AtomicU64,
    delayed_nanos: AtomicU64,
}

impl Throttle {
    /// Says whether background threads write checkpoints when they are asked to.
    pub(crate) fn set_threads(&self, there: bool) {
        self.threads.store(there, Ordering::Release);
        self.ask();
    }

    pub(crate) fn has_threads(&self) -> bool {
        self.threads.load(Ordering::Acquire)
    }

    /// Asks for a checkpoint.
    pub(crate) fn ask(&self) {
        *lock(&self.wanted) = true;
        self.asked.notify_all();
    }

    /// Waits until a checkpoint is asked for, at most so long.
    pub(crate) fn wait_until_asked(&self, time: Duration) {
        let mut wanted = wait_while(&self.asked, lock(&self.wanted), time, |wanted| !*wanted);
        *wanted = false;
    }

    /// Says that memory became free.
    pub(crate) fn freed(&self) {
        *lock(&self.freed) += 1;
        self.is_freed.notify_all();
    }

    /// Waits until memory becomes free, at most so long.
    pub(crate) fn wait_until_freed(&self, time: Duration) {
        let freed = lock(&self.freed);
        let before = *freed;
        drop(wait_while(&self.is_freed, freed, time, |now| {
            *now == before
        }));
    }

    /// How often writers were delayed, and how long together.
    pub(crate) fn delays(&self) -> (u64, Duration) {
        let nanos = self.delayed_nanos.load(Ordering::Relaxed);
        let count = self.delays.load(Ordering::Relaxed);
        (count, Duration::from_nanos(nanos))
    }

    /// The pause of a writer whose bytes are to be delayed by `delay`: delays of all writers follow each other.
    fn pause(&self, delay: Duration) -> Option<Duration> {
        let now = Instant::now();
        let mut pace = lock(&self.pace);
        let until = pace.filter(|until| *until > now).unwrap_or(now) + delay;
        let until = until.min(now + LONGEST);
        *pace = Some(until);
        Some(until - now).filter(|pause| *pause >= SHORTEST)
    }
}

impl Inner {
    /// Slows a writer of `bytes` as far as unwritten changes ask for it.
    pub(crate) fn throttle(&self, bytes: u64) -> Result<()> {
        let limits = self.limits;
        let used = self.unwritten_memory();
        if used <= limits.begin {
            return Ok(());
        }
        let full = || self.unwritten_memory() > limits.end;
        if !self.throttle.has_threads() {
            return match full() {
                true => self.checkpoint_if(full),
                false => Ok(()),
            };
        }
        if let Some(pause) = self.throttle.pause(limits.delay(used, bytes)) {
            let sleep = || std::thread::sleep(pause);
            let ((), took) = meter::timed(Reason::Throttle, sleep);
            self.throttle.note(took);
        }
        while full() {
            self.poison.check()?;
            self.throttle.ask();
            let wait = || self.throttle.wait_until_freed(PATIENCE);
            let ((), took) = meter::timed(Reason::Throttle, wait);
            self.throttle.note(took);
            if full() && !self.throttle.has_threads() {
                return self.checkpoint_if(full);
            }
            // No room for a checkpoint: whoever writes must hear of it.
            if full() && self.checkpoint_failed.load(Ordering::Acquire) {
                return self.checkpoint_if(full);
            }
        }
        Ok(())
    }
}

impl Throttle {
    fn note(&self, took: Duration) {
        self.delays.fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.delayed_nanos.fetch_add(nanos, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_delay_grows_smoothly_from_nothing() {
        let limits = Limits::of(64 * MIB);
        assert_eq!(limits.delay(limits.begin, MIB), Duration::ZERO);
        let delays: Vec<_> = (0..=100)
            .map(|i| limits.begin + (limits.end - limits.begin) * i / 100)
            .map(|used| limits.delay(used, MIB))
            .collect();
        assert!(delays.is_sorted());
        let most = delays[100];
        assert!(
            most >= Duration::from_millis(100) && most < Duration::from_millis(110),
            "{most:?}"
        );
        let steps = delays.windows(2).map(|d| d[1] - d[0]);
        assert!(steps.max() < Some(most / 25), "{delays:?}");
        assert_eq!(limits.delay(u64::MAX, MIB), most);
    }

    #[test]
    fn writers_share_one_pace_and_no_single_wait_is_long() {
        let throttle = Throttle::default();
        let ten = Duration::from_millis(10);
        let pauses: Vec<_> = (0..50)
            .map(|_| throttle.pause(ten).unwrap_or_default())
            .collect();
        assert!(pauses.is_sorted() || pauses.iter().all(|p| *p <= LONGEST));
        assert!(pauses[0] <= ten && pauses[9] > ten * 9, "{pauses:?}");
        assert!(pauses[49] <= LONGEST, "{pauses:?}");
        let quick = Throttle::default();
        assert_eq!(quick.pause(Duration::from_micros(1)), None);
    }
}
