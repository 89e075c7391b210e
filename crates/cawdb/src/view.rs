//! The published view: root, memtable and sequence number, taken together as one.
//!
//! Invariant: whoever pins a view sees exactly the batches up to its sequence number. The number rises with every
//! batch; root and memtable change only while nobody is pinning, so a pin never mixes two states.

use crate::memtable::Memtable;
use cawdb_disk::sync;
use cawdb_disk::sync::RwLock;
use cawdb_disk::sync::atomic::{AtomicU64, Ordering};
use cawdb_node::Node;
use std::sync::Arc;

/// Root and memtable.
#[derive(Clone)]
pub struct View {
    /// The root of the tree.
    pub root: Arc<Node>,
    /// What lies above it.
    pub mem: Arc<Memtable>,
}

/// The one view that new readers get.
pub struct Published {
    view: RwLock<View>,
    seq: AtomicU64,
}

/// A view, and up to where it is to be read.
#[derive(Clone)]
pub struct Pinned {
    /// The view.
    pub view: View,
    /// The last batch that is seen.
    pub seq: u64,
}

impl Published {
    /// Publishes a first view.
    pub fn new(view: View, seq: u64) -> Self {
        Self {
            view: RwLock::new(view),
            seq: AtomicU64::new(seq),
        }
    }

    /// The view of this moment.
    pub fn pin(&self) -> Pinned {
        let view = sync::read(&self.view);
        Pinned {
            seq: self.seq.load(Ordering::Acquire),
            view: view.clone(),
        }
    }

    /// Looks at the view of this moment without keeping it; `look` must take no lock.
    pub fn with<T>(&self, look: impl FnOnce(&View) -> T) -> T {
        look(&sync::read(&self.view))
    }

    /// The number of the last batch that is seen.
    pub fn seq(&self) -> u64 {
        self.seq.load(Ordering::Acquire)
    }

    /// Makes the batches up to `seq` seen; they are in the published memtable.
    pub fn advance(&self, seq: u64) {
        self.seq.store(seq, Ordering::Release);
    }

    /// Publishes another root or memtable together with the batches up to `seq`.
    pub fn replace(&self, view: View, seq: u64) {
        #[cfg(feature = "interleave")]
        if sync::broken::is(sync::broken::Fault::NumberFirst) {
            self.seq.store(seq, Ordering::Release);
        }
        let mut published = sync::write(&self.view);
        let old = std::mem::replace(&mut *published, view);
        self.seq.store(seq, Ordering::Release);
        drop(published);
        // Freed outside of the lock: it may be the last owner of a memtable.
        drop(old);
    }
}
