//! Ownership of an extent: when the last holder of a [`Place`] is gone, its bytes are released.
//!
//! Invariant: every allocated extent has exactly one `Place`, and only its end releases it. So space
//! cannot leak or be freed twice as long as nobody releases by hand.

use super::SpaceMap;
use crate::Extent;
use crate::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

/// An extent with what is known of its content. Usually shared in an `Arc`.
#[derive(Debug)]
pub struct Place {
    extent: Extent,
    checksum: u64,
    space: Arc<SpaceMap>,
    persistent: AtomicBool,
    kept: AtomicBool,
}

impl Place {
    /// Takes over an extent that was allocated in `space`, and is not yet part of a checkpoint.
    pub fn new(extent: Extent, checksum: u64, space: Arc<SpaceMap>) -> Self {
        let (persistent, kept) = (AtomicBool::new(false), AtomicBool::new(false));
        Self {
            extent,
            checksum,
            space,
            persistent,
            kept,
        }
    }

    /// The bytes owned.
    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// Checksum of the content, as its referrer knows it.
    pub fn checksum(&self) -> u64 {
        self.checksum
    }

    /// Says that a checkpoint refers to it (from the freezing of that checkpoint on): once released,
    /// its bytes wait in limbo.
    pub fn mark_persistent(&self) {
        self.persistent.store(true, Ordering::Release);
    }

    /// Whether a checkpoint refers, or referred, to it.
    pub fn is_persistent(&self) -> bool {
        self.persistent.load(Ordering::Acquire)
    }

    /// Ends the ownership without releasing anything: the extent stays allocated.
    pub fn into_kept(self) -> Extent {
        self.kept.store(true, Ordering::Release);
        self.extent
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // While a panic unwinds, the map may be locked by the one who panicked; the process no
        // longer trusts its state, and nothing on disk depends on this release.
        if self.kept.load(Ordering::Acquire) || std::thread::panicking() {
            return;
        }
        let released = self.space.release(self.extent, self.is_persistent());
        assert!(released.is_ok(), "two owners of one extent: {released:?}");
    }
}
