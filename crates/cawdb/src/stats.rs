//! What the store is and did, in numbers: for people and for monitoring.

use crate::store::Store;
use cawdb_disk::IoStats;
use std::sync::atomic::Ordering;

/// Numbers at one moment. Sizes in bytes.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// Height of the tree: levels of nodes below the root.
    pub height: u8,
    /// Slots of the root.
    pub root_slots: u64,
    /// Live nodes, and how many of them several references share.
    pub nodes: u64,
    /// See `nodes`.
    pub shared_nodes: u64,
    /// Live runs.
    pub runs: u64,
    /// Bytes of live runs, as written by callers.
    pub run_bytes: u64,
    /// Of these, in runs with one reference only.
    pub exclusive_bytes: u64,
    /// Of these, in runs with several references.
    pub shared_bytes: u64,
    /// What all references show together: the size if nothing were shared.
    pub shown_bytes: u64,
    /// Memory of the memtable.
    pub memtable_bytes: u64,
    /// Changes that wait for a checkpoint.
    pub unwritten_bytes: u64,
    /// Nodes that wait to be released.
    pub releasing: u64,
    /// Decoded bytes in the cache, and its budget.
    pub cache_bytes: u64,
    /// See `cache_bytes`.
    pub cache_budget: u64,
    /// Look-ups that the cache answered, and that it did not.
    pub cache_hits: u64,
    /// See `cache_hits`.
    pub cache_misses: u64,
    /// Allocated on disk, waiting to be free, and free.
    pub allocated_bytes: u64,
    /// See `allocated_bytes`.
    pub limbo_bytes: u64,
    /// See `allocated_bytes`.
    pub free_bytes: u64,
    /// Blocks of the store file that are in use, by the store's own reckoning and by that of the file system below.
    pub used_blocks_bytes: u64,
    /// See `used_blocks_bytes`; none where it cannot be told.
    pub occupied_bytes: Option<u64>,
    /// Counters of the tree and the store, by name.
    pub counters: Vec<(&'static str, u64)>,
    /// Requests to the disk.
    pub io: IoStats,
}

impl Store {
    /// Numbers at this moment. O(nodes and runs).
    pub fn stats(&self) -> Stats {
        let inner = &self.0;
        let view = inner.published.pin().view;
        let (cache, space) = (inner.shelf.cache.stats(), inner.space.stats());
        let mut stats = Stats {
            height: view.root.height,
            root_slots: view.root.slots.len() as u64,
            memtable_bytes: view.mem.bytes() as u64,
            unwritten_bytes: inner.unwritten_bytes(),
            cache_bytes: cache.bytes,
            cache_budget: inner.shelf.cache.budget(),
            cache_hits: cache.hits,
            cache_misses: cache.misses,
            allocated_bytes: space.allocated,
            limbo_bytes: space.limbo,
            free_bytes: inner.space.free_bytes(),
            used_blocks_bytes: inner.data_start + inner.space.allocated_blocks(),
            occupied_bytes: inner.disk.occupied(),
            counters: inner.tree.counters.list(),
            io: inner.disk.stats(),
            ..Stats::default()
        };
        let table = inner.shelf.table();
        stats.releasing = table.dying() as u64;
        for node in table.nodes() {
            stats.nodes += 1;
            stats.shared_nodes += u64::from(node.count > 1);
        }
        for run in table.runs() {
            stats.runs += 1;
            stats.run_bytes += run.run.bytes();
            stats.shown_bytes += run.shown;
            match run.count {
                1 => stats.exclusive_bytes += run.run.bytes(),
                _ => stats.shared_bytes += run.run.bytes(),
            }
        }
        drop(table);
        let own = &inner.counters;
        for (name, counter) in [
            ("checkpoints", &own.checkpoints),
            ("journal_groups", &own.journal_groups),
            ("journal_batches", &own.journal_batches),
            ("replayed_batches", &own.replayed),
            ("runs_written", &own.runs_written),
            ("nodes_written", &own.nodes_written),
            ("written_bytes", &own.written_bytes),
        ] {
            stats.counters.push((name, counter.load(Ordering::Relaxed)));
        }
        stats.counters.push(("nodes_read", inner.shelf.loads()));
        stats
    }
}
