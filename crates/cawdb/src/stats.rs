//! What the store is and did, in numbers: for people and for monitoring.

use crate::store::{Inner, Store};
use cawdb_disk::sync::lock;
use cawdb_disk::{IoStats, IoTimes};
use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What opening a store took. The journal is read once and is never longer than its ring, so that the
/// time of recovery has a bound that the size of the store does not move.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Number of the checkpoint it began with.
    pub generation: u64,
    /// Batches of the journal that were applied.
    pub batches: u64,
    /// Bytes of the journal that were read for it, at most `ring_bytes`.
    pub journal_bytes: u64,
    /// Length of the journal's ring.
    pub ring_bytes: u64,
    /// Whether what was read goes around the end of the ring.
    pub wrapped: bool,
    /// Whether the journal ended in a record that was written by half: power was lost before it was synced.
    pub torn: bool,
    /// How long opening took.
    pub elapsed: Duration,
}

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
    /// What takes memory.
    pub memory: Memory,
    /// Changes that wait for a checkpoint.
    pub unwritten_bytes: u64,
    /// Nodes that wait to be released.
    pub releasing: u64,
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
    /// How long they took.
    pub io_times: IoTimes,
}

/// Memory by what it is for, in bytes, about. All but the last six share one budget; of those, `memtable`, `unwritten_runs` and
/// `unwritten_nodes` share the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// Budget for what was read.
    pub budget: u64,
    /// Decoded segments.
    pub segments: u64,
    /// Indexes of runs, with their filters.
    pub indexes: u64,
    /// What segments and indexes may take, given what the others do.
    pub cache_limit: u64,
    /// Nodes in memory.
    pub nodes: u64,
    /// The table of nodes and runs.
    pub table: u64,
    /// The memo of merges.
    pub memo: u64,
    /// What the caller takes of the budget.
    pub charged: u64,
    /// Budget for changes that are not on disk.
    pub change_budget: u64,
    /// The memtable.
    pub memtable: u64,
    /// Runs that wait to be written.
    pub unwritten_runs: u64,
    /// Those of `nodes` that wait to be written; they take of both budgets.
    pub unwritten_nodes: u64,
    /// Memtables and runs that would be gone, did readers not hold them.
    pub held_by_readers: u64,
    /// Batches that the journal may be asked for.
    pub pending: u64,
}

impl Inner {
    fn memory(&self) -> Memory {
        let (cache, gauge) = (self.shelf.cache.stats(), &self.shelf.gauge);
        let sealed = lock(&self.sealed).clone();
        let sealed = sealed.iter().filter_map(Weak::upgrade);
        let sealed: u64 = sealed.map(|mem| mem.bytes() as u64).sum();
        let (held, unwritten) = (gauge.held_memory(), gauge.unwritten_memory());
        Memory {
            budget: self.options.cache_bytes,
            segments: cache.bytes - cache.index_bytes.min(cache.bytes),
            indexes: cache.index_bytes,
            cache_limit: self.shelf.cache.budget(),
            nodes: self.shelf.node_memory(),
            table: self.shelf.table_memory(),
            memo: self.tree.memo_memory(),
            charged: self.charged.load(Ordering::Relaxed),
            change_budget: self.limits.end,
            memtable: self.published.pin().view.mem.bytes() as u64,
            unwritten_runs: unwritten,
            unwritten_nodes: gauge.unwritten_nodes(),
            held_by_readers: held.saturating_sub(unwritten) + sealed,
            pending: lock(&self.writer).pending.bytes(),
        }
    }
}

impl Store {
    /// What opening it took. O(1).
    pub fn recovery(&self) -> Recovery {
        self.0.recovery
    }

    /// Numbers at this moment. O(nodes and runs).
    pub fn stats(&self) -> Stats {
        let inner = &self.0;
        let view = inner.published.pin().view;
        let (cache, space) = (inner.shelf.cache.stats(), inner.space.stats());
        let mut stats = Stats {
            height: view.root.height,
            root_slots: view.root.slots.len() as u64,
            memory: inner.memory(),
            unwritten_bytes: inner.unwritten_bytes(),
            cache_hits: cache.hits,
            cache_misses: cache.misses,
            allocated_bytes: space.allocated,
            limbo_bytes: space.limbo,
            free_bytes: inner.space.free_bytes(),
            used_blocks_bytes: inner.data_start + inner.space.allocated_blocks(),
            occupied_bytes: inner.disk.occupied(),
            counters: inner.tree.counters.list(),
            io: inner.disk.stats(),
            io_times: inner.disk.times(),
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
        stats.counters.push(("parts_read", cache.parts));
        let (delays, delayed) = inner.throttle.delays();
        let delayed = u64::try_from(delayed.as_micros()).unwrap_or(u64::MAX);
        stats.counters.push(("throttle_delays", delays));
        stats.counters.push(("throttle_microseconds", delayed));
        stats
    }
}
