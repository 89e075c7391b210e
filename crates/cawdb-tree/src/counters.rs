//! What the tree did, counted: for `stats`, and for tests that want to know that a path was taken.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Counters, added to by whoever does the thing.
        #[derive(Default)]
        pub struct Counters { $($(#[$doc])* pub $name: Counter),* }

        impl Counters {
            /// Names and values at this moment.
            pub fn list(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.get())),*]
            }
        }
    };
}

/// One counter.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn bump(&self) {
        self.add(1);
    }
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }
    /// The sum so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

counters! {
    /// Range clones.
    clones,
    /// Root slots cut in two for a clone.
    cuts,
    /// Children restricted so that a clone and its source share one.
    shared_children,
    /// Runs laid on the root (sealed memtables).
    sealed_runs,
    /// Slots flushed into their child.
    flushes,
    /// Flushes into a child that others share.
    flushes_shared,
    /// Merges of deltas.
    merges,
    /// Merges that read a run which other versions refer to.
    merges_shared,
    /// Bytes written by merges and rebases.
    merged_bytes,
    /// Pieces of merges after which background work may have rested.
    breaths,
    /// Slots with far too many layers that were merged where they were pushed down.
    thinned,
    /// Bytes that merges of deltas were to read.
    delta_bytes,
    /// Bytes that rebases were to read.
    rebased_bytes,
    /// Bytes that coalescing was to read.
    coalesced_bytes,
    /// Bytes that trims were to read.
    trimmed_bytes,
    /// Merges answered by the memo.
    memo_hits,
    /// Bases rewritten.
    rebases,
    /// Bases rewritten from a tail shared with other versions.
    rebases_shared_tail,
    /// Nodes split in their parent.
    splits,
    /// Roots split: the tree grew by a level.
    root_splits,
    /// Roots replaced by their only child: the tree shrank by a level.
    root_collapses,
    /// Adjacent children joined.
    joins,
    /// Narrow children that were not joined, as merges are to thin them out first; counted each time they are looked at.
    joins_late,
    /// Equal neighbours that became one slot.
    equal_joins,
    /// Empty slots absorbed by a neighbour.
    absorbed,
    /// Tiny slots coalesced by value.
    coalesces,
    /// Slots cut between runs that do not overlap.
    free_cuts,
    /// Slots cut at the ends of a delete-range.
    delete_cuts,
    /// What lay below a delete-range that covers a whole slot, dropped.
    range_drops,
    /// References to thin runs rewritten.
    trims,
    /// Children restricted to what their only parent shows.
    narrowed,
    /// Nodes released.
    reaped,
    /// Nodes visited by background work.
    visits,
    /// Sweeps over the whole tree.
    sweeps,
    /// Steps left out because something could not be read.
    unreadable,
}
