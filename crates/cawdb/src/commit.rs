//! The write path: a batch becomes part of the history.
//!
//! ```text
//!   batch ─► clones: seal if they must see the memtable, new root ─┐
//!         ─► the rest: into the memtable, not yet seen ────────────┴─► published as one ─► pending for the journal
//! ```
//! Invariants: under the writer's lock, batches get their numbers, enter the memtable and are published, in one
//! order, which is that of the journal too; a batch that fails leaves no trace.

use crate::batch::{Batch, Op};
use crate::error::{Error, Result};
use crate::memtable::{Cuts, MemOp, Memtable};
use crate::room::CLONE_BYTES;
use crate::store::{Inner, Writer, read_only};
use crate::view::View;
use crate::{MAX_KEY_BYTES, MAX_VALUE_BYTES};
use cawdb_disk::sync;
use cawdb_node::{Key, KeyRange, MemRun, Message, Node};
use cawdb_tree::{CloneSpec, Roots};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Runs made of a memtable end at a pivot of the root only from this size on, or clones make crumbs.
const BOUND_MIN_BYTES: u64 = 256 << 10;
/// A root this many times too wide takes no more clones before it is tidied.
const ROOT_EXCESS: usize = 4;
/// A memtable that takes this part of the memory for unwritten changes is full.
const FULL: u64 = 2;
/// One of many changes is full at this part of it: to seal it is to go over all of them, and whoever writes or clones waits.
const FULL_OF_MANY: u64 = 4;
/// Many changes: some 20 ms to be sealed, up to 60 if they are no longer at hand.
const MANY: u64 = 64 << 10;

impl Inner {
    /// Commits a batch: validates, waits if too much is unwritten, applies, and tidies up behind.
    pub(crate) fn commit(&self, batch: Batch) -> Result<()> {
        self.poison.check()?;
        if self.options.read_only {
            return Err(read_only());
        }
        validate(&batch)?;
        if batch.ops.is_empty() {
            return Ok(());
        }
        self.admit(&batch)?;
        self.prepare(&batch)?;
        let _guard = self.poison.guard();
        let mut writer = sync::lock(&self.writer);
        let batch = Arc::new(batch);
        self.apply(&mut writer, &batch)?;
        let seq = writer.seq;
        writer
            .pending
            .push(seq, batch, self.options.journal_bulk_bytes);
        drop(writer);
        // The batch is in: what is left to tidy up is for whoever comes next, or for background work.
        if let Err(error) = self.after_commit() {
            tracing::warn!(%error, "tidying up after a batch");
        }
        Ok(())
    }

    /// What clones need before the writer's lock is taken: a root within bounds, if earlier ones could not tidy it, and
    /// in memory what they will read. What cannot be read is no error yet: it may be none of theirs.
    fn prepare(&self, batch: &Batch) -> Result<()> {
        let clones = clone_specs(batch);
        if clones.is_empty() {
            return Ok(());
        }
        if self.root().slots.len() > ROOT_EXCESS * self.options.policy.root_slots {
            // Without it clones take longer.
            if let Err(error) = self.tree.tidy(self) {
                tracing::warn!(%error, "tidying the root before a clone");
            }
        }
        match self.tree.warm(&self.root(), &clones) {
            Err(error @ cawdb_node::Error::Invalid(_)) => Err(error.into()),
            // If it cannot be done either, that is better found out here than under the lock.
            Err(error) => {
                tracing::debug!(%error, "reading ahead of a clone");
                self.tree.clone_ranges(&self.root(), &clones)?;
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Applies a batch under the writer's lock and publishes it.
    pub(crate) fn apply(&self, writer: &mut Writer, batch: &Batch) -> Result<()> {
        let pinned = self.published.pin();
        let clones = clone_specs(batch);
        // What clones bring may lie where nothing was.
        let firsts = if clones.is_empty() {
            &batch.firsts[..]
        } else {
            &[]
        };
        let ops = mem_ops(&batch.ops, firsts);
        #[cfg(all(debug_assertions, not(feature = "interleave")))]
        self.assert_absent(&pinned, &ops);
        let seq = writer.seq + 1;
        if clones.is_empty() {
            pinned.view.mem.insert(seq, &ops);
            writer.seq = seq;
            self.published.advance(seq);
            return Ok(());
        }
        let mut view = pinned.view.clone();
        let mut touched = false;
        for clone in &clones {
            touched |= view.mem.holds(&clone.source) || view.mem.holds(&clone.destination()?);
        }
        let mut root = Node::clone(&view.root);
        if touched {
            root = self.sealed(&root, &view.mem)?;
            view.mem = Arc::default();
        }
        root = self.tree.clone_ranges(&root, &clones)?;
        self.shelf.exchange_root(&view.root.slots, &root.slots);
        // Nodes wait for a checkpoint as well: without it clones alone would fill memory and disk.
        let nodes = clones.len() as u64 * CLONE_BYTES;
        self.cloned_bytes.fetch_add(nodes, Ordering::Relaxed);
        view.root = Arc::new(root);
        view.mem.insert(seq, &ops);
        writer.seq = seq;
        self.published.replace(view, seq);
        Ok(())
    }

    /// Whoever says that nothing was there must be right, unless the batch itself removed it before; what cannot be read says nothing. Who
    /// explores orders of threads judges for himself.
    #[cfg(all(debug_assertions, not(feature = "interleave")))]
    fn assert_absent(&self, pinned: &crate::view::Pinned, ops: &[MemOp]) {
        for (index, op) in ops.iter().enumerate() {
            let MemOp::First(key, _) = op else { continue };
            let removed = |op: &MemOp| match op {
                MemOp::Point(other, _) | MemOp::First(other, _) => other == key,
                MemOp::DeleteRange(range) => range.contains(key),
            };
            if !ops.iter().take(index).any(removed) {
                let found = self.get_at(pinned, key, &(0..0));
                assert!(!matches!(found, Ok(Some(_))), "{key:?} has a value");
            }
        }
    }

    /// Seals the memtable under the writer's lock: its content becomes runs, the newest layers of the root.
    pub(crate) fn seal(&self, writer: &Writer) -> Result<()> {
        let mut view = self.published.pin().view;
        if view.mem.is_empty() {
            return Ok(());
        }
        let root = self.sealed(&view.root, &view.mem)?;
        self.shelf.exchange_root(&view.root.slots, &root.slots);
        view = View {
            root: Arc::new(root),
            mem: Arc::default(),
        };
        self.published.replace(view, writer.seq);
        Ok(())
    }

    fn sealed(&self, root: &Node, mem: &Arc<Memtable>) -> Result<Node> {
        let bounds = bounds(root);
        let runs = mem.freeze(self.cuts(&bounds));
        self.laid(root, mem, runs)
    }

    pub(crate) fn cuts<'a>(&self, bounds: &'a [Key]) -> Cuts<'a> {
        Cuts {
            target_bytes: self.options.policy.run_bytes,
            bounds,
            bound_min_bytes: BOUND_MIN_BYTES,
        }
    }

    /// The root with what a memtable was made of laid on it.
    pub(crate) fn laid(&self, root: &Node, mem: &Arc<Memtable>, runs: Vec<MemRun>) -> Result<Node> {
        let mut sealed = sync::lock(&self.sealed);
        sealed.retain(|old| old.strong_count() > 0);
        sealed.push(Arc::downgrade(mem));
        drop(sealed);
        let runs: Vec<_> = runs.into_iter().map(|r| self.shelf.new_run(r)).collect();
        Ok(self.tree.lay(root, &runs)?)
    }

    /// What a writer does when its batch is in: seal a full memtable, keep the root within bounds.
    pub(crate) fn after_commit(&self) -> Result<()> {
        let memory = self.options.memtable_bytes;
        let full = |view: &View| {
            let mem = &view.mem;
            is_full(mem.bytes() as u64, mem.versions() as u64, memory)
        };
        if self.published.with(full) {
            let writer = sync::lock(&self.writer);
            // Somebody else may have sealed it meanwhile.
            if self.published.with(full) {
                self.seal(&writer)?;
            }
            drop(writer);
            if self.throttle.has_threads() && self.checkpoint_due() {
                self.throttle.ask();
            }
        }
        let (slots, deepest) = self.published.with(|view| {
            let slots = &view.root.slots;
            let deepest = slots.iter().map(|s| s.layers.len()).max();
            (slots.len(), deepest.unwrap_or(0))
        });
        if slots > self.options.policy.root_slots {
            self.tree.tidy(self)?;
        }
        if deepest > self.options.policy.root_max_layers {
            self.tree.relieve(self)?;
        }
        Ok(())
    }
}

/// Keys of a root at which runs may end.
pub(crate) fn bounds(root: &Node) -> Vec<Key> {
    root.pivots().skip(1).cloned().collect()
}

/// Whether a memtable of so many bytes and changes is to be sealed, given the memory for unwritten changes. The longer it is not, the fewer layers come to lie
/// over each other, to be merged and read together; and a run is as long as it should be, as the last one of a short memtable is not.
fn is_full(bytes: u64, changes: u64, memory: u64) -> bool {
    let part = match changes >= MANY {
        true => FULL_OF_MANY,
        false => FULL,
    };
    bytes >= memory / part
}

fn validate(batch: &Batch) -> Result<()> {
    let key = |key: &[u8]| match key.len() <= MAX_KEY_BYTES {
        true => Ok(()),
        false => Err(Error::Invalid(format!(
            "a key of {} bytes; {MAX_KEY_BYTES} is the most",
            key.len()
        ))),
    };
    let value = |len: usize| match len <= MAX_VALUE_BYTES {
        true => Ok(()),
        false => Err(Error::Invalid(format!(
            "a value of {len} bytes; {MAX_VALUE_BYTES} is the most"
        ))),
    };
    let range = |r: &KeyRange| key(&r.lo).and_then(|()| r.hi.as_ref().map_or(Ok(()), |hi| key(hi)));
    for op in &batch.ops {
        match op {
            Op::Put { key: k, value: v } => key(k).and_then(|()| value(v.len()))?,
            Op::Delete { key: k } => key(k)?,
            Op::Patch {
                key: k,
                offset,
                bytes,
            } => {
                key(k)?;
                value((*offset as usize).saturating_add(bytes.len()))?;
            }
            Op::DeleteRange { range: r } => range(r)?,
            Op::CloneRange { source, from, to } => {
                range(source)?;
                if !source.is_empty() {
                    let spec = CloneSpec {
                        source: source.clone(),
                        from: from.clone(),
                        to: to.clone(),
                    };
                    range(&spec.destination()?)?;
                }
            }
        }
    }
    Ok(())
}

fn clone_specs(batch: &Batch) -> Vec<CloneSpec> {
    let spec = |op: &Op| match op {
        Op::CloneRange { source, from, to } if !source.is_empty() => Some(CloneSpec {
            source: source.clone(),
            from: from.clone(),
            to: to.clone(),
        }),
        _ => None,
    };
    batch.ops.iter().filter_map(spec).collect()
}

/// The changes that go to the memtable; those at the indexes `firsts` come where nothing was.
fn mem_ops(ops: &[Op], firsts: &[u32]) -> Vec<MemOp> {
    let mut out = Vec::with_capacity(ops.len());
    let mut firsts = firsts.iter().peekable();
    for (index, op) in (0..).zip(ops) {
        let first = firsts.next_if_eq(&&index).is_some();
        out.extend(mem_op(op).map(|op| match op {
            MemOp::Point(key, message) if first => MemOp::First(key, message),
            op => op,
        }));
    }
    out
}

fn mem_op(op: &Op) -> Option<MemOp> {
    Some(match op {
        Op::Put { key, value } => MemOp::Point(key.clone(), Message::Put(value.clone())),
        Op::Delete { key } => MemOp::Point(key.clone(), Message::Delete),
        Op::Patch { bytes, .. } if bytes.is_empty() => return None,
        Op::Patch { key, offset, bytes } => {
            MemOp::Point(key.clone(), Message::patch(*offset, bytes.clone()))
        }
        Op::DeleteRange { range } => MemOp::DeleteRange(range.clone()),
        Op::CloneRange { .. } => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CreateOptions, KeyRange, Options, Store};
    use cawdb_disk::{Disk, RamDisk};
    use fastrand::Rng;

    #[test]
    fn many_changes_make_a_memtable_full_sooner_than_few() {
        const MIB: u64 = 1 << 20;
        for (bytes, changes, full) in [
            (32 * MIB, 1, true),
            (32 * MIB - 1, MANY - 1, false),
            (16 * MIB, MANY, true),
            (16 * MIB - 1, 10 * MANY, false),
        ] {
            assert_eq!(is_full(bytes, changes, 64 * MIB), full, "{bytes} {changes}");
        }
    }

    fn directory(random: &mut Rng) -> String {
        let names = ["a/", "b/", "c/"];
        let depth = random.usize(1..=3);
        (0..depth).map(|_| names[random.usize(..3)]).collect()
    }

    fn specs(random: &mut Rng, number: usize) -> Vec<CloneSpec> {
        let spec = |_| {
            let (from, to) = (directory(random), directory(random));
            CloneSpec {
                source: KeyRange::prefix(from.clone()),
                from: from.into(),
                to: to.into(),
            }
        };
        (0..number).map(spec).collect()
    }

    /// A store that was written, cloned in, worked on now and then, and is opened anew.
    fn cold(random: &mut Rng) -> Store {
        let disk = Arc::new(RamDisk::new());
        let create = CreateOptions {
            size: 64 << 20,
            ..CreateOptions::default()
        };
        Store::create(disk.clone(), &create).unwrap();
        let options = Options {
            cache_bytes: 8 << 20,
            ..Options::tiny(4)
        };
        let store = Store::open(disk.clone(), options.clone()).unwrap();
        for _ in 0..random.usize(5..60) {
            let mut batch = Batch::new();
            for _ in 0..20 {
                let key = format!("{}{}", directory(random), random.u8(..));
                batch.put(key, vec![random.u8(..); random.usize(..60)]);
            }
            if random.u8(..4) == 0 {
                batch.clone_prefix(directory(random), directory(random));
            }
            store.commit(batch).unwrap();
            for _ in 0..random.usize(..4) {
                store.tick().unwrap();
            }
        }
        store.checkpoint().unwrap();
        drop(store);
        Store::open(disk, options).unwrap()
    }

    /// Whoever waits for the disk under the writer's lock makes all others wait.
    #[test]
    fn clones_read_nothing_under_the_lock() {
        let mut read_ahead = 0;
        for seed in 0..100 {
            let random = &mut Rng::with_seed(seed);
            let store = cold(random);
            let (number, inner) = (random.usize(1..4), &store.0);
            let (root, specs) = (inner.root(), specs(random, number));
            let reads = || store.stats().io.reads;
            let before = reads();
            inner.tree.warm(&root, &specs).unwrap();
            let warm = reads();
            read_ahead += warm - before;
            inner.tree.clone_ranges(&root, &specs).unwrap();
            assert_eq!(reads(), warm, "seed {seed}");
        }
        assert!(read_ahead > 300, "{read_ahead} is hardly anything");
    }

    fn cloned(from: &str, to: &str) -> Batch {
        let mut batch = Batch::new();
        batch.clone_prefix(from.to_owned(), to.to_owned());
        batch
    }

    /// A ninth clone replaces what a tenth would cut if it were alone: that it cannot be read is nobody's business then.
    #[test]
    fn a_clone_fails_by_what_it_reads_and_not_by_what_was_read_ahead() {
        let disk = Arc::new(RamDisk::new());
        Store::create(disk.clone(), &CreateOptions::default()).unwrap();
        let store = Store::open(disk.clone(), Options::default()).unwrap();
        let put = |key: &str| {
            let mut batch = Batch::new();
            batch.put(key.to_owned(), key.to_owned());
            store.commit(batch).unwrap();
        };
        ["a/1", "b/1"].into_iter().for_each(put);
        store.commit(cloned("a/", "d/")).unwrap();
        ["d/w", "d/y"].into_iter().for_each(put);
        store.checkpoint().unwrap();
        let written = KeyRange::prefix("d/");
        let table = store.0.shelf.table();
        let runs: Vec<_> = table.runs().map(|entry| entry.run.clone()).collect();
        drop(table);
        let over = runs.iter().find(|run| run.holds(&written).unwrap());
        let extent = over.and_then(|run| run.place()).unwrap().extent();
        drop((runs, store));
        disk.write_at(&vec![0x55; extent.len as usize], extent.offset)
            .unwrap();
        let store = Store::open(disk, Options::default()).unwrap();
        assert!(store.commit(cloned("d/x/", "z/")).is_err(), "it is cut");
        let mut batch = Batch::new();
        for n in 0..8 {
            batch.clone_prefix("a/", format!("f{n}/"));
        }
        batch.clone_prefix("a/", "d/");
        batch.clone_prefix("b/", "d/x/");
        store.commit(batch).unwrap();
        let value = |key: &str| store.get(key.as_bytes()).unwrap();
        assert_eq!(value("d/x/1").as_deref(), Some(&b"b/1"[..]));
        assert_eq!(value("d/1").as_deref(), Some(&b"a/1"[..]));
        assert_eq!(value("d/y"), None);
    }
}
