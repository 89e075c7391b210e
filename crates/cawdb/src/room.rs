//! Room: what may still be written, in memory and on disk, and who waits or is refused when there is little.
//!
//! ```text
//!   free space   │ for writers ............ │ background work │ checkpoint │
//!   admitted     │ waiting in memory │ new? │
//! ```
//! The file system below may be what is full: then the same holds for what it still has.
//!
//! Invariants: a batch that makes the content grow is admitted only if it fits, together with all that waits to be
//! written, into what is free for writers, as if nothing could be compressed; so what was admitted can always be
//! made durable. A batch that only deletes is always admitted; one that deletes among other things, as the removal
//! of a file does, or that says it shrinks, may use what is set aside for background work.

use crate::batch::{Batch, Op};
use crate::error::{Error, Result};
use crate::options::Options;
use crate::store::{Inner, Space};
use cawdb_disk::space::Reserved;
use cawdb_disk::{Class, Disk, Extent, SpaceMap};
use cawdb_tree::Policy;
use std::sync::atomic::Ordering;

/// What a range clone may take on disk, and in memory until then: some nodes, and a run for what it made seal.
pub(crate) const CLONE_BYTES: u64 = 4096;
/// What an operation takes beside its key and value, in bytes.
const OP_BYTES: u64 = 64;
/// Free space that waits for a checkpoint is worth one from this many bytes on, if space is short.
const WORTH: u64 = 64 << 10;
/// What is kept for a checkpoint at least, in bytes.
const LEAST_KEPT: u64 = 256 << 10;
/// What a writer who finds no room gives back to the file system below, at most, in bytes.
const PUNCHED: u64 = 64 << 20;

impl Inner {
    /// Lets a batch in, or refuses it for want of space; slows writers when much is unwritten.
    pub(crate) fn admit(&self, batch: &Batch) -> Result<()> {
        let growth = batch.ops.iter().map(growth).sum();
        // To remove a file is to change its directory too: what deletes may take from what is set aside.
        let class = match batch.shrinks || batch.ops.iter().any(deletes) {
            true => Class::Background,
            false => Class::User,
        };
        match self.throttle(batch.ops.iter().map(weight).sum()) {
            // A checkpoint that does not fit must not keep anyone from deleting.
            Err(Error::Full(_)) if growth == 0 || class == Class::Background => {}
            result => result?,
        }
        if growth == 0 || self.fits(growth, class) {
            return Ok(());
        }
        // What waits weighs less on disk than in memory, and what was freed can be used after a checkpoint.
        if self.waiting_bytes() >= WORTH || self.space.stats().limbo >= WORTH {
            self.checkpoint()?;
        }
        if self.disk.room().is_some() {
            // Where the file system below is what is full, free space is room only once it was given back.
            self.space.punch(self.disk.as_ref(), PUNCHED)?;
        }
        match self.fits(growth, class) {
            true => Ok(()),
            false => Err(Error::Full(format!(
                "{growth} bytes wanted, {} available",
                self.space().available
            ))),
        }
    }

    fn fits(&self, growth: u64, class: Class) -> bool {
        let wanted = growth + self.waiting_bytes();
        // Blocks, indexes and rounding.
        let wanted = wanted + wanted / 16;
        let piece = 2 * self.options.policy.run_bytes;
        let contiguous = class != Class::User || self.space.stats().longest_free >= piece;
        wanted <= self.free_for(class) && contiguous
    }

    /// Bytes that a class may still take: of the store's own space and, for what makes it grow, of what is below, where as
    /// much is left for deletes and checkpoints. These are let in whatever others do to what is below.
    fn free_for(&self, class: Class) -> u64 {
        let own = self.space.free_for(class);
        match self.disk.room() {
            Some(room) if class == Class::User => {
                let kept = in_proportion(self.space.reserved(), self.occupied() + room);
                own.min(room.saturating_sub(kept.background + kept.checkpoint))
            }
            _ => own,
        }
    }

    /// Bytes of what is below that are in use.
    fn occupied(&self) -> u64 {
        self.data_start + self.space.allocated_blocks()
    }

    /// Whether background work is to write a checkpoint: unwritten changes take the memory that they may, or, when space
    /// is short, less, because what merges replace is free only afterwards.
    pub(crate) fn checkpoint_due(&self) -> bool {
        let memory = self.options.memtable_bytes;
        self.unwritten_memory() >= memory
            || (self.is_short_of_space()
                && self.unwritten_bytes() >= memory.min(self.background_bytes / 2))
    }

    /// Whether there is so little space that what merges and checkpoints free is waited for.
    pub(crate) fn is_short_of_space(&self) -> bool {
        self.free_for(Class::User) <= 4 * self.options.memtable_bytes
    }

    /// Changes in memory that a checkpoint would write, in bytes, about.
    pub(crate) fn unwritten_bytes(&self) -> u64 {
        self.shelf.gauge.unwritten_bytes() + self.cloned_bytes.load(Ordering::Relaxed)
    }

    /// Memory that a checkpoint would free, in bytes, but for what readers hold, about: of runs, and of nodes, of which steps of background work may make many, and
    /// which take at least what clones are reckoned at.
    pub(crate) fn unwritten_memory(&self) -> u64 {
        let cloned = self.cloned_bytes.load(Ordering::Relaxed);
        let gauge = &self.shelf.gauge;
        gauge.unwritten_memory() + gauge.unwritten_nodes().max(cloned)
    }

    /// Makes nodes, segments and indexes fit into what the other structures leave of the memory for what was read: the
    /// table of nodes and runs, the memo of merges, runs that only readers hold, and what the caller keeps. A quarter is theirs in any case.
    pub(crate) fn keep_budget(&self) {
        let budget = self.options.cache_bytes;
        self.shelf.evict(budget / 4);
        let gauge = &self.shelf.gauge;
        let held = gauge.held_memory();
        let others = held.saturating_sub(gauge.unwritten_memory())
            + self.shelf.node_memory()
            + self.shelf.table_memory()
            + self.tree.memo_memory()
            + self.charged.load(Ordering::Relaxed);
        let left = budget.saturating_sub(others).max(budget / 4);
        let cache = &self.shelf.cache;
        if left.abs_diff(cache.budget()) > budget / 64 {
            cache.set_budget(left);
        }
    }

    /// All changes in memory, in bytes, about.
    fn waiting_bytes(&self) -> u64 {
        self.published.with(|view| view.mem.bytes()) as u64 + self.unwritten_bytes()
    }

    pub(crate) fn space(&self) -> Space {
        let waiting = self.waiting_bytes();
        let limit = self.space.limit();
        let reachable = self.disk.room().map_or(limit, |r| self.occupied() + r);
        let total = limit.min(reachable);
        let used = self.occupied() + waiting;
        let available = self.free_for(Class::User).saturating_sub(waiting);
        Space {
            limit,
            total,
            used: used.min(total),
            available,
        }
    }
}

/// What is kept for background work and checkpoints where there are so many bytes in all, and this is the most.
pub(crate) fn in_proportion(most: Reserved, all: u64) -> Reserved {
    Reserved {
        background: most.background.min(all / 16),
        checkpoint: most.checkpoint.min(all / 32).max(LEAST_KEPT),
    }
}

/// Makes room for what is written at `extent`; what is free is given back before the file system below may be called full.
pub(crate) fn reserve(disk: &dyn Disk, space: &SpaceMap, extent: Extent) -> Result<()> {
    match disk.reserve(extent) {
        Err(cawdb_disk::Error::Full { .. }) => {
            space.punch(disk, PUNCHED)?;
            space.wait_for_punching();
            Ok(disk.reserve(extent)?)
        }
        result => Ok(result?),
    }
}

/// Bytes by which an operation may make the content grow, as it is written.
fn growth(op: &Op) -> u64 {
    match op {
        Op::Put { key, value } => (key.len() + value.len()) as u64 + OP_BYTES,
        Op::Patch { key, offset, bytes } => {
            // A missing value is extended with zeros up to the offset.
            (key.len() + bytes.len()) as u64 + u64::from(*offset) + OP_BYTES
        }
        Op::CloneRange { from, to, .. } => CLONE_BYTES + (from.len() + to.len()) as u64,
        Op::Delete { .. } | Op::DeleteRange { .. } => 0,
    }
}

/// Bytes of memory that an operation takes until it is written, about.
fn weight(op: &Op) -> u64 {
    match op {
        Op::Delete { key } => key.len() as u64 + OP_BYTES,
        Op::DeleteRange { range } => range.lo.len() as u64 + OP_BYTES,
        _ => growth(op),
    }
}

fn deletes(op: &Op) -> bool {
    matches!(op, Op::Delete { .. } | Op::DeleteRange { .. })
}

/// The sizes of the tree for a data area of `data` bytes: in a small one all must be smaller, or one run would not
/// find a place between the others; and for the memory that there is: what a job makes is in memory until it is written.
pub(crate) fn fitted(options: &Options, data: u64) -> Policy {
    let (run, policy) = (data / 128, &options.policy);
    let memory = (options.memtable_bytes / 2).max(policy.run_bytes);
    Policy {
        run_bytes: policy.run_bytes.min(run),
        flush_bytes: policy.flush_bytes.min(run),
        job_bytes: policy.job_bytes.min(2 * run).min(memory),
        ..policy.clone()
    }
}

#[cfg(test)]
mod tests {
    use crate::{Batch, Options, Store};
    use cawdb_node::{Edge, Key, KeyRange, Node, Slot, Translation};

    #[test]
    fn nodes_that_wait_lead_to_a_checkpoint_and_no_more_to_one_when_they_are_written() {
        let store = Store::in_memory_with(Options {
            memtable_bytes: 64 << 10,
            ..Options::default()
        });
        let inner = &store.0;
        let slot = |n: u32| Slot::empty(Key::copy_from_slice(&n.to_be_bytes()));
        let named = |_| {
            let mut node = Node::empty(0, KeyRange::all());
            node.slots.extend((1..64).map(slot));
            let (node, tr) = (inner.shelf.new_node(node), Translation::identity());
            let mut slot = slot(0);
            slot.below = Some(Edge { node, tr });
            slot
        };
        let slots: Vec<Slot> = (0..40).map(named).collect();
        assert!(!inner.checkpoint_due(), "no checkpoint would write them");
        inner.shelf.exchange_root(&[], &slots);
        let waiting = inner.unwritten_memory();
        assert!(waiting > 2 * inner.options.memtable_bytes, "{waiting}");
        assert!(inner.checkpoint_due());
        inner.checkpoint().unwrap();
        assert_eq!(inner.unwritten_memory(), 0);
        assert!(!inner.checkpoint_due());
        inner.shelf.exchange_root(&slots, &[]);
    }

    /// What is deleted before it was written is nothing that a checkpoint could write, whoever still reads it.
    #[test]
    fn what_only_readers_hold_does_not_wait_to_be_written() {
        let store = Store::in_memory_with(Options::tiny(8));
        let inner = &store.0;
        let fill = || {
            for n in 0..60 {
                let mut batch = Batch::new();
                batch.put(format!("{n:02}"), vec![n; 400]);
                store.commit(batch).unwrap();
            }
        };
        fill();
        let view = store.snapshot();
        let mut batch = Batch::new();
        batch.delete_range(KeyRange::all());
        store.commit(batch).unwrap();
        inner.checkpoint().unwrap();
        let held = inner.shelf.gauge.held_memory();
        assert!(held >= inner.options.memtable_bytes, "{held}");
        assert_eq!(inner.unwritten_memory(), 0);
        assert!(!inner.checkpoint_due());
        let ticks = (0..1000).take_while(|_| store.tick().unwrap());
        assert!(ticks.count() < 1000, "background work comes to rest");
        fill();
        assert_eq!(view.scan(KeyRange::all()).count(), 60);
        assert_eq!(store.snapshot().scan(KeyRange::all()).count(), 60);
    }
}
