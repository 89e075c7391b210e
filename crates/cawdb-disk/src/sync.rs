//! The one door to locks.
//!
//! A lock whose holder panicked guards something half changed. Going on with it could write damage
//! to the disk, so the next holder panics too: a crash is better than corruption.

use std::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

const HALF_CHANGED: &str = "a thread panicked while it changed what this lock guards";

/// Locks, waiting as long as it takes.
///
/// # Panics
/// If an earlier holder panicked.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect(HALF_CHANGED)
}

/// Locks for reading, together with other readers.
///
/// # Panics
/// If an earlier writer panicked.
pub fn read<T: ?Sized>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().expect(HALF_CHANGED)
}

/// Locks for writing, alone.
///
/// # Panics
/// If an earlier writer panicked.
pub fn write<T: ?Sized>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().expect(HALF_CHANGED)
}
