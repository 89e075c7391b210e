//! Where the time of a thread goes when it does not compute: requests to the disk, locks, the throttle, durability.
//!
//! Whoever serves a request looks before and after, and so can tell a slow disk from a lock of ours that was held too
//! long. Only contended locks are timed, so that free ones cost nothing.
//!
//! Invariant: a moment is counted once, for the outermost reason: who waits for another's flush waits for
//! durability, also where that is done by waiting for a lock.

use std::cell::Cell;
use std::ops::Sub;
use std::time::{Duration, Instant};

/// What a thread waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The disk, asked by this thread.
    Disk,
    /// A lock that another thread holds.
    Lock,
    /// Memory to become free.
    Throttle,
    /// Another thread that makes durable what this one wants to be.
    Durability,
}

/// Time that a thread spent waiting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// See [`Reason::Disk`].
    pub disk: Duration,
    /// See [`Reason::Lock`].
    pub lock: Duration,
    /// See [`Reason::Throttle`].
    pub throttle: Duration,
    /// See [`Reason::Durability`].
    pub durability: Duration,
}

impl Sub for Spent {
    type Output = Self;
    fn sub(self, earlier: Self) -> Self {
        Self {
            disk: self.disk.saturating_sub(earlier.disk),
            lock: self.lock.saturating_sub(earlier.lock),
            throttle: self.throttle.saturating_sub(earlier.throttle),
            durability: self.durability.saturating_sub(earlier.durability),
        }
    }
}

thread_local! {
    static SPENT: Cell<Spent> = const { Cell::new(Spent { disk: Duration::ZERO, lock: Duration::ZERO, throttle: Duration::ZERO, durability: Duration::ZERO }) };
    static WAITING: Cell<bool> = const { Cell::new(false) };
}

/// What this thread has spent since it began.
pub fn spent() -> Spent {
    SPENT.get()
}

/// Waits, and counts the time; within another wait it is part of that.
pub fn wait<T>(reason: Reason, wait: impl FnOnce() -> T) -> T {
    timed(reason, wait).0
}

/// The same, and says how long it took.
pub fn timed<T>(reason: Reason, wait: impl FnOnce() -> T) -> (T, Duration) {
    let inner = WAITING.replace(true);
    let begun = Instant::now();
    let result = wait();
    let took = begun.elapsed();
    WAITING.set(inner);
    if !inner {
        let mut spent = SPENT.get();
        match reason {
            Reason::Disk => spent.disk += took,
            Reason::Lock => spent.lock += took,
            Reason::Throttle => spent.throttle += took,
            Reason::Durability => spent.durability += took,
        }
        SPENT.set(spent);
    }
    (result, took)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::lock;
    use std::sync::{Arc, Mutex, mpsc};

    const LONG: Duration = Duration::from_millis(20);

    #[test]
    fn a_contended_lock_is_counted_and_a_free_one_is_not() {
        let mutex = Arc::new(Mutex::new(()));
        let before = spent();
        drop(lock(&mutex));
        assert_eq!(spent(), before);
        let (held, is_held) = mpsc::channel();
        let other = mutex.clone();
        let thread = std::thread::spawn(move || {
            let _guard = lock(&other);
            let _ = held.send(());
            std::thread::sleep(LONG);
        });
        is_held.recv().expect("the other thread lives");
        drop(lock(&mutex));
        thread.join().expect("the other thread ends");
        let waited = spent() - before;
        assert!(waited.lock > LONG / 4, "{waited:?}");
        assert_eq!((waited.disk, waited.throttle), Default::default());
    }

    #[test]
    fn a_wait_within_another_is_part_of_it() {
        let before = spent();
        let sleep = || std::thread::sleep(LONG);
        wait(Reason::Durability, || wait(Reason::Lock, sleep));
        let waited = spent() - before;
        assert!(waited.durability >= LONG, "{waited:?}");
        assert_eq!(waited.lock, Duration::ZERO);
    }
}
