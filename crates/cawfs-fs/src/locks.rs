//! Taking locks, which are those of [`cawdb::disk::sync`]. A panic while a lock was held fails that one operation only: what the locks guard is changed in single
//! steps after a commit, so it is whole even then, and the poison is set aside. Waiting for one is measured.
//!
//! Order, outermost first: namespace; directories' `busy` by rising node id; files' `busy` by rising node id; staged
//! clones; an open directory; the handle table; a node's inode, or a leaf lock that takes no other.

use crate::types::NodeId;
use cawdb::disk::meter::{self, Reason};
pub(crate) use cawdb::disk::sync::{
    Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError, atomic,
};
use std::sync::{LockResult, PoisonError, TryLockResult};

/// Whether of two nodes that are both to be held the first is taken first.
pub(crate) fn rises(first: NodeId, second: NodeId) -> bool {
    #[cfg(feature = "interleave")]
    if crate::broken::is(crate::broken::Fault::OrderOfNaming) {
        return true;
    }
    first < second
}

fn taken<G>(at_once: TryLockResult<G>, wait: impl FnOnce() -> LockResult<G>) -> G {
    match at_once {
        Ok(guard) => guard,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => {
            meter::wait(Reason::Lock, wait).unwrap_or_else(PoisonError::into_inner)
        }
    }
}

/// Takes a mutex.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    taken(mutex.try_lock(), || mutex.lock())
}
/// Takes the shared side of a lock.
pub(crate) fn read<T: ?Sized>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    taken(lock.try_read(), || lock.read())
}
/// Takes the exclusive side of a lock.
pub(crate) fn write<T: ?Sized>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    taken(lock.try_write(), || lock.write())
}
