//! Checkpoints: a cut through memory becomes the state on disk.
//!
//! ```text
//!   cut (short, under the locks): seal; root, changed table entries, journal position, space
//!   write: new runs ─ new nodes ─ root ─ table entries (twice) ─ flush ─ superblock ─ flush
//!   then: what the last checkpoint needed and this one does not is free
//! ```
//! Invariants: what is written is what was cut, whatever happens to the live state meanwhile; a run or node that
//! died before the cut is never written; nothing the last checkpoint names is overwritten before this one is durable.

use crate::aside::{MUCH, PIECE};
use crate::error::{Error, Result};
use crate::image::{Body, Entry, MAX_DELTAS, NodeRecord, RunRecord, Twice, Written, write_table};
use crate::room::reserve;
use crate::store::{Inner, read_only};
use cawdb_disk::meter::{self, Reason};
use cawdb_disk::sync::lock;
use cawdb_disk::{Class, Place, Superblock, UNIT, round_up, superblock};
use cawdb_node::{
    Changed, Node, NodeEntry, NodeHandle, NodeId, PlacedImage, Run, RunEntry, Table, Unwritten,
    node_wire,
};
use cawdb_tree::Upkeep;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Space that waits for a checkpoint no longer to name it is worth one from this many bytes on; each checkpoint
/// leaves a little of it, its predecessor's root and table.
const IDLE_LIMBO: u64 = 64 << 10;

/// Bytes of an entry of the table, about.
const NODE_ENTRY: u64 = 24;
/// See [`NODE_ENTRY`].
const RUN_ENTRY: u64 = 64;
/// Merges are kept in so small a part of that.
const MERGES_SHARE: u64 = 2;
/// Images of the table are not rewritten for fewer bytes.
const TABLE_LEAST: u64 = 4096;

/// What the last durable checkpoint stands on. Whoever holds its lock is the one who writes a checkpoint.
pub struct Anchors {
    /// The superblock of the last checkpoint.
    pub superblock: Superblock,
    /// Its body.
    pub body: Body,
    /// Owners of the root's space and of the table's.
    pub root: Arc<Place>,
    /// The base.
    pub base: [Place; 2],
    /// The deltas.
    pub deltas: Vec<[Place; 2]>,
    /// Whether a copy of the table was lost: the next checkpoint writes it whole.
    pub worn: bool,
}

/// How an image goes to the disk.
#[derive(Clone, Copy)]
enum Way {
    Cached,
    PastCache,
}

/// A node of the cut.
struct NodeCut {
    handle: Arc<NodeHandle>,
    count: u32,
    rep: Option<Arc<Node>>,
    place: Option<Arc<Place>>,
}

impl NodeCut {
    fn of(entry: &NodeEntry) -> Self {
        let state = entry.handle.state();
        Self {
            handle: entry.handle.clone(),
            count: entry.count,
            rep: state.rep.filter(|_| state.place.is_none()),
            place: state.place,
        }
    }
}

/// A run of the cut.
struct RunCut {
    run: Arc<Run>,
    count: u32,
    shown: u64,
    /// Also if the table lets go of it meanwhile, it takes memory, and room on the disk.
    unwritten: Option<Arc<Unwritten>>,
}

impl RunCut {
    fn of(entry: &RunEntry) -> Self {
        Self {
            run: entry.run.clone(),
            count: entry.count,
            shown: entry.shown,
            unwritten: entry.unwritten(),
        }
    }
}

/// One cut through the live state; nothing of it changes but that runs are written.
struct Cut {
    root: Arc<Node>,
    seq: u64,
    journal: u64,
    space: u64,
    next_ids: (u64, u64),
    nodes: Vec<NodeCut>,
    runs: Vec<RunCut>,
    /// What is gone, and what merges came to.
    others: Vec<Entry>,
    changed: Changed,
    full: bool,
    cloned_bytes: u64,
    upkeep: Upkeep,
}

impl Inner {
    /// Writes a checkpoint of everything seen now.
    pub(crate) fn checkpoint(&self) -> Result<()> {
        self.checkpoint_if(|| true)
    }

    /// The same, if `wanted` still says so once no other checkpoint is at work.
    pub(crate) fn checkpoint_if(&self, wanted: impl Fn() -> bool) -> Result<()> {
        self.checkpoint_as(wanted, false)
    }

    /// The last one: it also says how far a sweep came, if nothing else is new, or that would begin anew with each opening.
    pub(crate) fn checkpoint_at_closing(&self) -> Result<()> {
        self.checkpoint_as(|| true, true)
    }

    fn checkpoint_as(&self, wanted: impl Fn() -> bool, closing: bool) -> Result<()> {
        self.poison.check()?;
        if self.options.read_only {
            return Err(read_only());
        }
        let _guard = self.poison.guard();
        // Whoever wrote it meanwhile made durable what this one wants to be.
        let mut anchors = meter::wait(Reason::Durability, || lock(&self.anchors));
        self.poison.check()?;
        if !wanted() {
            return Ok(());
        }
        if self.throttle.has_threads() {
            // Else all who write would wait while the cut seals.
            self.seal_aside(MUCH, PIECE)?;
        }
        let cut = self.cut(&anchors, closing)?;
        let Some(mut cut) = cut else { return Ok(()) };
        match self.write_cut(&mut anchors, &mut cut) {
            Ok(()) => {
                self.became_durable(&cut);
                drop(cut);
                self.keep_budget();
                Ok(())
            }
            Err(error) => {
                lock(&self.writer).pending.cut_failed(cut.seq);
                self.shelf.table().put_back_changed(cut.changed);
                self.tree.merges_not_kept();
                Err(self.poison.note(error))
            }
        }
    }

    /// Takes the cut; none if nothing changed since the last.
    fn cut(&self, anchors: &Anchors, closing: bool) -> Result<Option<Cut>> {
        let journal = lock(&self.journal);
        let mut writer = lock(&self.writer);
        self.seal(&writer)?;
        let root = self.published.pin().view.root;
        let mut table = self.shelf.table();
        let upkeep = self.tree.upkeep(&root);
        let got_on = closing && upkeep.got_on_since(&anchors.body.upkeep);
        let nothing_new = writer.seq == anchors.body.seq && !table.has_changed() && !got_on;
        if nothing_new && !anchors.worn && self.space.stats().limbo < IDLE_LIMBO {
            return Ok(None);
        }
        let full = anchors.worn || wants_base(&anchors.body, &table);
        let changed = table.take_changed();
        let (mut nodes, mut runs, mut others) = (Vec::new(), Vec::new(), Vec::new());
        if full {
            nodes.extend(table.nodes().map(NodeCut::of));
            runs.extend(table.runs().map(RunCut::of));
        } else {
            for id in &changed.nodes {
                match table.node(*id) {
                    Some(entry) => nodes.push(NodeCut::of(entry)),
                    None => others.push(Entry::NodeGone(id.0)),
                }
            }
            for id in &changed.runs {
                match table.run(*id) {
                    Some(entry) => runs.push(RunCut::of(entry)),
                    None => others.push(Entry::RunGone(id.0)),
                }
            }
        }
        let kept = (self.tree).merges_to_keep(&table, full, table_bytes(&table) / MERGES_SHARE);
        others.extend(kept.into_iter().map(Entry::Merged));
        for place in nodes.iter().filter_map(|n| n.place.as_ref()) {
            place.mark_persistent();
        }
        for place in runs.iter().filter_map(|cut| cut.run.place()) {
            place.mark_persistent();
        }
        let seq = writer.seq;
        writer.pending.cut(seq);
        nodes.sort_by_key(|n| n.handle.id());
        runs.sort_by_key(|cut| cut.run.id());
        Ok(Some(Cut {
            root,
            seq: writer.seq,
            journal: journal.head(),
            space: self.space.cut(),
            next_ids: self.shelf.next_ids(),
            nodes,
            runs,
            others,
            changed,
            full,
            cloned_bytes: self.cloned_bytes.load(Ordering::Relaxed),
            upkeep,
        }))
    }

    fn write_cut(&self, anchors: &mut Anchors, cut: &mut Cut) -> Result<()> {
        let mut entries = cut.others.clone();
        let way = self.way_of_bulk(cut);
        for run in &mut cut.runs {
            entries.push(self.run_entry(run, way)?);
        }
        for node in &cut.nodes {
            entries.push(self.node_entry(node)?);
        }
        let root = Arc::new(self.write_node(NodeId(0), &cut.root)?);
        let generation = anchors.superblock.generation + 1;
        let table = write_table(self.disk.as_ref(), &self.space, generation, &entries)?;
        let body = next_body(&anchors.body, cut, &root, table.twice);
        self.disk.sync()?;
        let superblock = Superblock {
            generation,
            body: body.encode(),
            ..anchors.superblock.clone()
        };
        superblock::write(self.disk.as_ref(), &superblock)?;
        root.mark_persistent();
        table.places.iter().for_each(Place::mark_persistent);
        let Written { places, .. } = table;
        anchors.superblock = superblock;
        anchors.body = body;
        anchors.root = root;
        if cut.full {
            anchors.base = places;
            anchors.deltas.clear();
            anchors.worn = false;
        } else {
            anchors.deltas.push(places);
        }
        Ok(())
    }

    /// Bulk data that fills most of a memtable in one cut is a long stream, of which nobody reads much again before it would have
    /// pushed all else out of the machine's cache: so it goes past it.
    fn way_of_bulk(&self, cut: &Cut) -> Way {
        let runs = cut.runs.iter().map(|cut| &cut.run);
        let bulk = runs.filter(|run| run.is_dirty_bulk());
        let bytes: u64 = bulk.map(|run| run.bytes()).sum();
        match bytes >= self.options.memtable_bytes / 2 {
            true => Way::PastCache,
            false => Way::Cached,
        }
    }

    fn run_entry(&self, cut: &mut RunCut, bulk: Way) -> Result<Entry> {
        let run = &cut.run;
        if run.is_dirty() {
            let way = if run.is_dirty_bulk() {
                bulk
            } else {
                Way::Cached
            };
            let encoded = run.encode(self.shelf.compression);
            let place = Arc::new(self.write_bytes(&encoded.bytes, 0, way)?);
            let source = Arc::new(PlacedImage::new(self.disk.clone(), place));
            run.settle(source, &encoded, self.shelf.cache.clone());
            self.shelf.run_written(run);
            cut.unwritten = None;
            self.throttle.freed();
            self.counters.runs_written.fetch_add(1, Ordering::Relaxed);
        }
        let (Some(place), Some(meta)) = (run.place(), run.meta()) else {
            return Err(Error::Corrupt(format!("{run:?} has no place")));
        };
        place.mark_persistent();
        let record = RunRecord {
            count: cut.count,
            shown: cut.shown,
            extent: place.extent(),
            meta,
        };
        Ok(Entry::Run(run.id().0, record))
    }

    fn node_entry(&self, cut: &NodeCut) -> Result<Entry> {
        let id = cut.handle.id();
        let place = match (&cut.place, &cut.rep) {
            (Some(place), _) => place.clone(),
            (None, Some(rep)) => {
                let place = Arc::new(self.write_node(id, rep)?);
                self.shelf.written(&cut.handle, rep, &place);
                place
            }
            (None, None) => return Err(Error::Corrupt(format!("{id:?} has no content"))),
        };
        place.mark_persistent();
        let record = NodeRecord {
            count: cut.count,
            height: cut.handle.height(),
            extent: place.extent(),
            checksum: place.checksum(),
        };
        Ok(Entry::Node(id.0, record))
    }

    fn write_node(&self, id: NodeId, node: &Node) -> Result<Place> {
        let (image, checksum) = node_wire::encode(id, node, self.shelf.compression);
        self.counters.nodes_written.fetch_add(1, Ordering::Relaxed);
        self.write_bytes(&image, checksum.0, Way::Cached)
    }

    fn write_bytes(&self, bytes: &[u8], checksum: u64, way: Way) -> Result<Place> {
        let extent = self
            .space
            .allocate(round_up(bytes.len() as u64, UNIT), Class::Checkpoint)?;
        let place = Place::new(extent, checksum, self.space.clone());
        reserve(self.disk.as_ref(), &self.space, extent)?;
        match way {
            Way::Cached => self.disk.write_at(bytes, extent.offset)?,
            Way::PastCache => self.disk.write_bulk(bytes, extent.offset)?,
        }
        self.counters
            .written_bytes
            .fetch_add(extent.len, Ordering::Relaxed);
        Ok(place)
    }

    fn became_durable(&self, cut: &Cut) {
        self.checkpointed.fetch_max(cut.seq, Ordering::AcqRel);
        self.durable.fetch_max(cut.seq, Ordering::AcqRel);
        self.space.durable(cut.space);
        self.cloned_bytes
            .fetch_sub(cut.cloned_bytes, Ordering::Relaxed);
        self.throttle.freed();
        self.counters.checkpoints.fetch_add(1, Ordering::Relaxed);
        let mut journal = lock(&self.journal);
        journal.set_tail(cut.journal);
        lock(&self.writer).pending.durable(cut.seq);
    }
}

/// Whether the table is to be written whole: its deltas are many or long, or it shrank, and old images would
/// outlive what they named.
fn wants_base(last: &Body, table: &Table) -> bool {
    let deltas: u64 = last.deltas.iter().map(|d| d.len).sum();
    last.deltas.len() >= MAX_DELTAS
        || deltas > last.base.len.max(TABLE_LEAST)
        || last.base.len + deltas > 3 * table_bytes(table)
}

/// Bytes of the entries of all nodes and runs, about; at least those for which no image is rewritten.
fn table_bytes(table: &Table) -> u64 {
    let (nodes, runs) = table.len();
    (NODE_ENTRY * nodes as u64 + RUN_ENTRY * runs as u64).max(TABLE_LEAST)
}

fn next_body(last: &Body, cut: &Cut, root: &Place, table: Twice) -> Body {
    let mut body = Body {
        seq: cut.seq,
        journal: cut.journal,
        next_ids: cut.next_ids,
        root: (cut.root.height, root.extent(), root.checksum()),
        upkeep: cut.upkeep,
        ..last.clone()
    };
    if cut.full {
        body.base = table;
        body.deltas.clear();
    } else {
        body.deltas.push(table);
    }
    body
}

#[cfg(all(test, not(feature = "interleave")))]
mod tests {
    use super::*;
    use crate::{Batch, Options, Store};
    use cawdb_node::KeyRange;

    /// It takes memory until then, and will take room on the disk, also if it is deleted meanwhile.
    #[test]
    fn what_was_cut_waits_until_it_is_written() {
        let store = Store::in_memory_with(Options::tiny(8));
        let inner = &store.0;
        for n in 0..20 {
            let mut batch = Batch::new();
            batch.put(format!("{n:02}"), vec![n; 400]);
            store.commit(batch).unwrap();
        }
        let mut anchors = lock(&inner.anchors);
        let mut cut = inner.cut(&anchors, false).unwrap().unwrap();
        let waiting = inner.unwritten_memory();
        assert!(waiting > 0);
        let mut batch = Batch::new();
        batch.delete_range(KeyRange::all());
        store.commit(batch).unwrap();
        inner.seal_aside(1, PIECE).unwrap();
        let gone = |cut: &&RunCut| inner.shelf.table().run(cut.run.id()).is_none();
        assert!(
            cut.runs
                .iter()
                .any(|cut| cut.unwritten.is_some() && gone(&cut))
        );
        assert!(inner.unwritten_memory() >= waiting);
        inner.write_cut(&mut anchors, &mut cut).unwrap();
        inner.became_durable(&cut);
        assert!(inner.unwritten_memory() < waiting);
    }
}
