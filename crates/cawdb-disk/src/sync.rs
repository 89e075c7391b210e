//! The one door to locks and waiting.
//!
//! A lock whose holder panicked guards something half changed. Going on with it could write damage
//! to the disk, so the next holder panics too: a crash is better than corruption. Waiting for a lock is measured
//! ([`crate::meter`]).

use crate::meter::{self, Reason};
use std::sync::{
    Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError,
};
use std::time::Duration;

const HALF_CHANGED: &str = "a thread panicked while it changed what this lock guards";

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
