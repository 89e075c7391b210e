//! The tree: what background work needs, gathered. The content is in the root, which its owner keeps.

use crate::counters::Counters;
use crate::maintain::{Agenda, Inbox};
use crate::memo::{Known, Memo};
use crate::policy::Policy;
use crate::sweep::Noted;
use crate::troubles::Troubles;
use cawdb_disk::sync::Mutex;
use cawdb_node::{Node, Result, Shelf, Table};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Merges that the memo remembers.
const MEMO_ENTRIES: usize = 64 * 1024;
/// Its part of the memory for what was read, and what it gets at least.
const MEMO_SHARE: u64 = 8;
const MEMO_LEAST: u64 = 4 << 20;

/// The Bε-DAG over a shelf.
pub struct Tree {
    /// Nodes and runs.
    pub shelf: Arc<Shelf>,
    /// Sizes and thresholds.
    pub policy: Policy,
    /// What was done.
    pub counters: Counters,
    pub(crate) memo: Memo,
    pub(crate) agenda: Mutex<Agenda>,
    pub(crate) inbox: Inbox,
    pub(crate) noted: Mutex<Noted>,
    spares_reads: AtomicBool,
    pub(crate) troubles: Troubles,
}

/// Owner of the one live root. The root's references are counted in the shelf's table.
pub trait Roots {
    /// The root at this moment.
    fn root(&self) -> Arc<Node>;

    /// Replaces the root by an equal one: `make` gets the root at this moment, while no other change of the root
    /// is possible; if it returns a new one, that is counted, published, and true is returned.
    ///
    /// # Errors
    /// Those of `make`; then nothing is changed.
    fn replace_root(
        &self,
        make: &mut dyn FnMut(&Arc<Node>) -> Result<Option<Node>>,
    ) -> Result<bool>;

    /// Called by background work after every piece of a merge, while it holds no lock but that of background work itself: here it may rest for a while.
    fn breathe(&self) {}
}

impl Tree {
    /// A tree on `shelf`.
    pub fn new(shelf: Arc<Shelf>, policy: Policy) -> Self {
        let memo_bytes = (shelf.cache.budget() / MEMO_SHARE).max(MEMO_LEAST);
        let memo = Memo::new(MEMO_ENTRIES, memo_bytes);
        let counters = Counters::default();
        Self {
            shelf,
            policy,
            counters,
            memo,
            agenda: Mutex::default(),
            inbox: Inbox::default(),
            noted: Mutex::default(),
            spares_reads: AtomicBool::new(false),
            troubles: Troubles::default(),
        }
    }

    /// Says whether reads are to be spared: then only a sweep reads children to see how wide they are. For a store that was just opened, whose first
    /// users want the disk for themselves.
    pub fn spare_reads(&self, spare: bool) {
        self.spares_reads.store(spare, Ordering::Relaxed);
    }

    pub(crate) fn spares_reads(&self) -> bool {
        self.spares_reads.load(Ordering::Relaxed)
    }

    /// Merges that a checkpoint of this table is to keep, since other versions may ask for them in a later session: all, or those since this was
    /// asked last; of at most so many bytes.
    pub fn merges_to_keep(&self, table: &Table, all: bool, budget: u64) -> Vec<Known> {
        self.memo.to_keep(all, budget, |id| table.run(id).is_some())
    }

    /// Says that the checkpoint which asked last was not written.
    pub fn merges_not_kept(&self) {
        self.memo.not_kept();
    }

    /// Knows again the merges that a checkpoint kept.
    pub fn recall_merges(&self, kept: Vec<Known>) {
        let table = self.shelf.table();
        self.memo
            .recall(kept, |id| table.run(id).map(|e| e.run.clone()));
    }

    /// Memory of the memo of merges, in bytes, about.
    pub fn memo_memory(&self) -> u64 {
        self.memo.memory()
    }
}
