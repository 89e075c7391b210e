//! The few choices a user of the engine has, and their defaults.

use cawdb_node::Compression;
use cawdb_tree::Policy;

/// How a new store is made.
#[derive(Debug, Clone)]
pub struct CreateOptions {
    /// How far the store may grow, in bytes; a block device sets its own limit.
    pub size: u64,
    /// How data is compressed.
    pub compression: Compression,
    /// Length of the journal in bytes; none for one that suits the size.
    pub journal_bytes: Option<u64>,
}

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// Memory for decoded data and run indexes, in bytes.
    pub cache_bytes: u64,
    /// Memory for changes that are not yet on disk, in bytes: memtables, runs and nodes that wait to be written.
    pub memtable_bytes: u64,
    /// Unsynced bytes beyond which a sync writes a checkpoint instead of the journal.
    pub journal_bulk_bytes: u64,
    /// Sizes of the tree. Tests make them tiny; they are not part of the format.
    pub policy: Policy,
    /// Nothing is ever written: for a look at a store.
    pub read_only: bool,
    /// Breaks the store: space is used again before a checkpoint without it is durable. Only for the tests that
    /// show that the enumeration of crashes would notice.
    #[doc(hidden)]
    pub premature_reuse: bool,
}

impl Default for CreateOptions {
    fn default() -> Self {
        Self {
            size: 1 << 40,
            compression: Compression::Lz4,
            journal_bytes: None,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        let ram = memory_bytes();
        Self {
            cache_bytes: (ram / 8).clamp(64 << 20, 8 << 30),
            memtable_bytes: (ram / 128).clamp(32 << 20, 256 << 20),
            journal_bulk_bytes: 1 << 20,
            policy: Policy::default(),
            read_only: false,
            premature_reuse: false,
        }
    }
}

impl Options {
    /// Everything tiny, so that some hundred operations meet every path of the engine.
    pub fn tiny(fanout: usize) -> Self {
        Self {
            cache_bytes: 64 << 10,
            memtable_bytes: 8 << 10,
            journal_bulk_bytes: 4 << 10,
            policy: Policy::tiny(fanout),
            read_only: false,
            premature_reuse: false,
        }
    }
}

/// Memory of this machine in bytes; 1 GiB if it cannot be told.
fn memory_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix("MemTotal:"));
    let kib = line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok());
    kib.map_or(1 << 30, |kib| kib << 10)
}
