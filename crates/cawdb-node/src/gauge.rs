//! How much memory runs and nodes take that are not on disk.
//!
//! ```text
//!   made ────► in the table ────► written, or gone from the table ────► let go by the last reader
//!              unwritten bytes, unwritten memory, unwritten nodes
//!   held memory (of runs)
//! ```
//! Unwritten is what a checkpoint would write, or is writing: runs and nodes that the table counts, and runs of a cut; no longer what only readers hold, of which no
//! checkpoint makes less.
//!
//! Invariant: each sum is that of the entries of the table, or of the contents that live, at every moment; nobody adds or takes by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Sums over runs and nodes in memory, in bytes.
#[derive(Debug, Default)]
pub struct Gauge {
    unwritten: AtomicU64,
    unwritten_memory: AtomicU64,
    unwritten_nodes: AtomicU64,
    held: AtomicU64,
}

impl Gauge {
    /// Logical bytes of runs that a checkpoint would write.
    pub fn unwritten_bytes(&self) -> u64 {
        self.unwritten.load(Relaxed)
    }

    /// Memory that becomes free when they are written, but for what readers hold.
    pub fn unwritten_memory(&self) -> u64 {
        self.unwritten_memory.load(Relaxed)
    }

    /// Memory of nodes that may leave once they are written.
    pub fn unwritten_nodes(&self) -> u64 {
        self.unwritten_nodes.load(Relaxed)
    }

    /// Memory of all contents that live, those included that only readers still hold.
    pub fn held_memory(&self) -> u64 {
        self.held.load(Relaxed)
    }
}

/// The share of one content in the memory held.
#[derive(Debug)]
pub(crate) struct Held {
    gauge: Arc<Gauge>,
    memory: u64,
}

impl Held {
    pub(crate) fn new(gauge: &Arc<Gauge>, memory: u64) -> Self {
        gauge.held.fetch_add(memory, Relaxed);
        let gauge = gauge.clone();
        Self { gauge, memory }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.gauge.held.fetch_sub(self.memory, Relaxed);
    }
}

/// The share of one node in what is unwritten.
#[derive(Debug)]
pub(crate) struct UnwrittenNode {
    gauge: Arc<Gauge>,
    memory: u64,
}

impl UnwrittenNode {
    pub(crate) fn new(gauge: &Arc<Gauge>, memory: u64) -> Self {
        gauge.unwritten_nodes.fetch_add(memory, Relaxed);
        let gauge = gauge.clone();
        Self { gauge, memory }
    }
}

impl Drop for UnwrittenNode {
    fn drop(&mut self) {
        self.gauge.unwritten_nodes.fetch_sub(self.memory, Relaxed);
    }
}

/// The share of one run in what is unwritten, for as long as the table, or a checkpoint that is going to write it, has it.
#[derive(Debug)]
pub struct Unwritten {
    gauge: Arc<Gauge>,
    bytes: u64,
    memory: u64,
}

impl Unwritten {
    pub(crate) fn new(gauge: &Arc<Gauge>, bytes: u64, memory: u64) -> Self {
        gauge.unwritten.fetch_add(bytes, Relaxed);
        gauge.unwritten_memory.fetch_add(memory, Relaxed);
        let gauge = gauge.clone();
        Self {
            gauge,
            bytes,
            memory,
        }
    }
}

impl Drop for Unwritten {
    fn drop(&mut self) {
        self.gauge.unwritten.fetch_sub(self.bytes, Relaxed);
        self.gauge.unwritten_memory.fetch_sub(self.memory, Relaxed);
    }
}
