//! Counters of what was asked of a disk, and how long it took.

use crate::histogram::{Histogram, Times};
use crate::meter::{Reason, timed};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Requests and bytes since the disk was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IoStats {
    /// Read requests.
    pub reads: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Of these, bytes that went past the cache of the machine.
    pub read_past_cache_bytes: u64,
    /// Of these, bytes whose reading began before somebody waited for them.
    pub read_begun_bytes: u64,
    /// Of these, bytes that somebody came for.
    pub read_begun_used_bytes: u64,
    /// Write requests.
    pub writes: u64,
    /// Bytes written.
    pub write_bytes: u64,
    /// Of these, bytes that went past the cache of the machine.
    pub past_cache_bytes: u64,
    /// Syncs.
    pub syncs: u64,
    /// Discards.
    pub discards: u64,
}

/// How long requests took since the disk was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IoTimes {
    /// Reads.
    pub reads: Times,
    /// Writes.
    pub writes: Times,
    /// Syncs.
    pub syncs: Times,
    /// Making room real, and giving it back.
    pub room: Times,
}

/// The histograms of a disk. The waiting is also on the account of the thread that asked.
#[derive(Debug, Default)]
pub(super) struct Clocks {
    reads: Histogram,
    writes: Histogram,
    syncs: Histogram,
    room: Histogram,
}

fn measured<T>(histogram: &Histogram, request: impl FnOnce() -> T) -> T {
    let (result, took) = timed(Reason::Disk, request);
    histogram.add(took);
    result
}

impl Clocks {
    pub fn read<T>(&self, request: impl FnOnce() -> T) -> T {
        measured(&self.reads, request)
    }

    pub fn write<T>(&self, request: impl FnOnce() -> T) -> T {
        measured(&self.writes, request)
    }

    pub fn sync<T>(&self, request: impl FnOnce() -> T) -> T {
        measured(&self.syncs, request)
    }

    pub fn room<T>(&self, request: impl FnOnce() -> T) -> T {
        measured(&self.room, request)
    }

    pub fn times(&self) -> IoTimes {
        IoTimes {
            reads: self.reads.times(),
            writes: self.writes.times(),
            syncs: self.syncs.times(),
            room: self.room.times(),
        }
    }
}

/// The live counters. Relaxed: they order nothing.
#[derive(Debug, Default)]
pub(super) struct Counters {
    reads: AtomicU64,
    read_bytes: AtomicU64,
    read_past_cache_bytes: AtomicU64,
    read_begun_bytes: AtomicU64,
    read_begun_used_bytes: AtomicU64,
    writes: AtomicU64,
    write_bytes: AtomicU64,
    past_cache_bytes: AtomicU64,
    syncs: AtomicU64,
    discards: AtomicU64,
}

impl Counters {
    pub fn read(&self, bytes: usize) {
        self.reads.fetch_add(1, Relaxed);
        self.read_bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub fn read_past_cache(&self, bytes: usize) {
        self.read_past_cache_bytes.fetch_add(bytes as u64, Relaxed);
    }

    /// A request past the cache began, for which nobody waits yet.
    pub fn begin_read(&self, bytes: usize) {
        self.read(bytes);
        self.read_past_cache(bytes);
        self.read_begun_bytes.fetch_add(bytes as u64, Relaxed);
    }

    /// Somebody came for some of that.
    pub fn read_begun(&self, bytes: usize) {
        self.read_begun_used_bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub fn write(&self, bytes: usize) {
        self.writes.fetch_add(1, Relaxed);
        self.write_bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub fn past_cache(&self, bytes: usize) {
        self.past_cache_bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub fn sync(&self) {
        self.syncs.fetch_add(1, Relaxed);
    }

    pub fn discard(&self) {
        self.discards.fetch_add(1, Relaxed);
    }

    pub fn snapshot(&self) -> IoStats {
        IoStats {
            reads: self.reads.load(Relaxed),
            read_bytes: self.read_bytes.load(Relaxed),
            read_past_cache_bytes: self.read_past_cache_bytes.load(Relaxed),
            read_begun_bytes: self.read_begun_bytes.load(Relaxed),
            read_begun_used_bytes: self.read_begun_used_bytes.load(Relaxed),
            writes: self.writes.load(Relaxed),
            write_bytes: self.write_bytes.load(Relaxed),
            past_cache_bytes: self.past_cache_bytes.load(Relaxed),
            syncs: self.syncs.load(Relaxed),
            discards: self.discards.load(Relaxed),
        }
    }
}
