//! A disk that does something before each request, for tests: one that is slow, or panics, or waits for somebody.
//!
//! Invariant: the request itself is served by the disk below, as if there were nothing between.

use super::{Disk, IoStats, OpKind};
use crate::{Extent, Result};
use std::fmt;
use std::sync::Arc;

type Hook = dyn Fn(OpKind, u64) + Send + Sync;

/// A disk that calls a hook before each request to the one below.
pub struct HookedDisk {
    inner: Arc<dyn Disk>,
    before: Box<Hook>,
}

impl HookedDisk {
    /// On top of `inner`; `before` is told the kind of each request and its bytes (0 for a sync).
    pub fn new(inner: Arc<dyn Disk>, before: impl Fn(OpKind, u64) + Send + Sync + 'static) -> Self {
        let before = Box::new(before);
        Self { inner, before }
    }
}

impl fmt::Debug for HookedDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HookedDisk").field(&self.inner).finish()
    }
}

impl Disk for HookedDisk {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn limit(&self) -> Option<u64> {
        self.inner.limit()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        (self.before)(OpKind::Read, buf.len() as u64);
        self.inner.read_at(buf, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        (self.before)(OpKind::Write, bytes.len() as u64);
        self.inner.write_at(bytes, offset)
    }

    fn sync(&self) -> Result<()> {
        (self.before)(OpKind::Sync, 0);
        self.inner.sync()
    }

    fn reserve(&self, extent: Extent) -> Result<()> {
        (self.before)(OpKind::Reserve, extent.len);
        self.inner.reserve(extent)
    }

    fn discard(&self, extent: Extent) -> Result<()> {
        (self.before)(OpKind::Discard, extent.len);
        self.inner.discard(extent)
    }

    fn will_read(&self, extent: Extent) {
        self.inner.will_read(extent);
    }

    fn room(&self) -> Option<u64> {
        self.inner.room()
    }

    fn occupied(&self) -> Option<u64> {
        self.inner.occupied()
    }

    fn stats(&self) -> IoStats {
        self.inner.stats()
    }

    fn name(&self) -> String {
        self.inner.name()
    }
}
