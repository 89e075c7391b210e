//! Taking locks. A panic while a lock was held fails that one operation only: what the locks guard is changed in single
//! steps after a commit, so it is whole even then, and the poison is set aside.
//!
//! Order, outermost first: namespace; directories' `busy` by rising node id; files' `busy` by rising node id; staged
//! clones; an open directory; the handle table; a node's inode, or a leaf lock that takes no other.

use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Takes a mutex.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
/// Takes the shared side of a lock.
pub(crate) fn read<T: ?Sized>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}
/// Takes the exclusive side of a lock.
pub(crate) fn write<T: ?Sized>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
