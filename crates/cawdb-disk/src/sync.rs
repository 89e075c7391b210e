//! The one door to locks and waiting. With the feature `interleave` these are not the system's, but those of a scheduler that chooses
//! at each of them who goes on, so that a test meets orders of threads that chance rarely makes.
//!
//! A lock whose holder panicked guards something half changed. Going on with it could write damage
//! to the disk, so the next holder panics too: a crash is better than corruption. Waiting for a lock is measured
//! ([`crate::meter`]).

use crate::meter::{self, Reason};
#[cfg(not(feature = "interleave"))]
pub use std::sync::{
    Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError, atomic,
};

#[cfg(feature = "interleave")]
pub use shuttle::sync::{
    Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError, atomic,
};
use std::time::Duration;

const HALF_CHANGED: &str = "a thread panicked while it changed what this lock guards";

/// Wakes all who wait.
pub fn wake_all(condvar: &Condvar) {
    #[cfg(feature = "interleave")]
    if broken::is(broken::Fault::WakesOne) {
        condvar.notify_one();
        return;
    }
    condvar.notify_all();
}

/// Faults that are made on purpose, to show that the explorer of interleavings would find them; see `cawdb/tests/interleave.rs`.
#[cfg(feature = "interleave")]
pub mod broken {
    use std::cell::Cell;

    /// What is done wrong.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Fault {
        /// Of all who wait for a flush only one is woken.
        WakesOne,
        /// The number of the newest batch is seen before the root and memtable that hold it.
        NumberFirst,
    }

    thread_local! {
        // All threads of an exploration are one to the system.
        static CHOSEN: Cell<Option<Fault>> = const { Cell::new(None) };
    }

    /// Does this wrong from now on, on this thread.
    pub fn choose(fault: Option<Fault>) {
        CHOSEN.set(fault);
    }

    /// Whether this is to be done wrong.
    pub fn is(fault: Fault) -> bool {
        CHOSEN.get() == Some(fault)
    }
}

/// Locks, waiting as long as it takes.
///
/// # Panics
/// If an earlier holder panicked.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    match mutex.try_lock() {
        Err(TryLockError::WouldBlock) => {
            meter::wait(Reason::Lock, || mutex.lock()).expect(HALF_CHANGED)
        }
        other => other.expect(HALF_CHANGED),
    }
}

/// Locks for reading, together with other readers.
///
/// # Panics
/// If an earlier writer panicked.
pub fn read<T: ?Sized>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    match lock.try_read() {
        Err(TryLockError::WouldBlock) => {
            meter::wait(Reason::Lock, || lock.read()).expect(HALF_CHANGED)
        }
        other => other.expect(HALF_CHANGED),
    }
}

/// Locks for writing, alone.
///
/// # Panics
/// If an earlier writer panicked.
pub fn write<T: ?Sized>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    match lock.try_write() {
        Err(TryLockError::WouldBlock) => {
            meter::wait(Reason::Lock, || lock.write()).expect(HALF_CHANGED)
        }
        other => other.expect(HALF_CHANGED),
    }
}

/// Gives the lock away until someone notifies, or for no reason: the caller asks again.
///
/// # Panics
/// If another holder panicked meanwhile.
pub fn wait<'a, T>(condvar: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    condvar.wait(guard).expect(HALF_CHANGED)
}

/// Gives the lock away while `waiting` says so of what it guards, at most for `time`.
///
/// # Panics
/// If another holder panicked meanwhile.
pub fn wait_while<'a, T>(
    condvar: &Condvar,
    guard: MutexGuard<'a, T>,
    time: Duration,
    waiting: impl FnMut(&mut T) -> bool,
) -> MutexGuard<'a, T> {
    let waited = condvar.wait_timeout_while(guard, time, waiting);
    waited.expect(HALF_CHANGED).0
}
