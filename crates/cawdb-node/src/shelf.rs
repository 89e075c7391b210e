//! The shelf: where nodes and runs are kept. It joins the node table, the disk, the free space and the cache.
//!
//! Invariants:
//! - the table's lock is held only for work in memory, never across I/O;
//! - a representation is replaced only if the one it was made from still stands, and its content is the same;
//! - a node taken out of the table stays in memory for as long as somebody can reach it, because the names in
//!   it may no longer be looked up.

use crate::node_wire;
use crate::resident::Resident;
use crate::{
    Cache, Compression, Edge, Error, Gauge, KeyRange, MemRun, Node, NodeEntry, NodeHandle, NodeId,
    Result, Run, RunEntry, RunId, Slot, Table,
};
use cawdb_disk::sync::atomic::{AtomicU64, Ordering};
use cawdb_disk::sync::{Mutex, MutexGuard};
use cawdb_disk::{Checksum, Disk, Place, SpaceMap, sync};
use std::sync::Arc;

/// Owner of an extent, with what its pointer takes.
const PLACE_MEMORY: usize = size_of::<Place>() + 32;
/// A node that is not in memory: entry of the table, handle, place.
const NODE_ENTRY_MEMORY: u64 =
    (2 * size_of::<(NodeId, NodeEntry)>() + size_of::<NodeHandle>() + 32 + PLACE_MEMORY) as u64;
/// A run of which nothing is cached: entry of the table, run, image, place.
const RUN_ENTRY_MEMORY: u64 =
    (2 * size_of::<(RunId, RunEntry)>() + Run::MEMORY + PLACE_MEMORY) as u64;

/// Nodes and runs, in memory and on disk.
pub struct Shelf {
    /// The disk.
    pub disk: Arc<dyn Disk>,
    /// Free space.
    pub space: Arc<SpaceMap>,
    /// Decoded segments and run indexes.
    pub cache: Arc<Cache>,
    /// How new runs are compressed.
    pub compression: Compression,
    /// Memory of runs and nodes that are not on disk.
    pub gauge: Arc<Gauge>,
    table: Mutex<Table>,
    next_node: AtomicU64,
    next_run: AtomicU64,
    loads: AtomicU64,
    resident: Resident,
}

impl Shelf {
    /// A shelf with an empty table.
    pub fn new(
        disk: Arc<dyn Disk>,
        space: Arc<SpaceMap>,
        cache: Arc<Cache>,
        compression: Compression,
    ) -> Self {
        let counter = || AtomicU64::new(1);
        let gauge = Arc::default();
        let table = Mutex::new(Table::new(&gauge));
        let (next_node, next_run) = (counter(), counter());
        Self {
            disk,
            space,
            cache,
            compression,
            gauge,
            table,
            next_node,
            next_run,
            loads: AtomicU64::new(0),
            resident: Resident::default(),
        }
    }

    /// The table, locked.
    pub fn table(&self) -> MutexGuard<'_, Table> {
        sync::lock(&self.table)
    }

    /// The next ids to be given out: node, run.
    pub fn next_ids(&self) -> (u64, u64) {
        (
            self.next_node.load(Ordering::Relaxed),
            self.next_run.load(Ordering::Relaxed),
        )
    }

    /// Goes on after the ids of a checkpoint.
    pub fn set_next_ids(&self, node: u64, run: u64) {
        self.next_node.store(node, Ordering::Relaxed);
        self.next_run.store(run, Ordering::Relaxed);
    }

    /// A new node, in memory. It is counted once a counted slot names it.
    pub fn new_node(&self, node: Node) -> Arc<NodeHandle> {
        let id = NodeId(self.next_node.fetch_add(1, Ordering::Relaxed));
        let handle = NodeHandle::new(id, node);
        self.resident.came(handle.read().memory);
        handle
    }

    /// A new run, in memory. It is counted once a counted slot names it.
    pub fn new_run(&self, content: MemRun) -> Arc<Run> {
        let id = RunId(self.next_run.fetch_add(1, Ordering::Relaxed));
        Run::counted(id, content, &self.gauge)
    }

    /// How many nodes were read from disk.
    pub fn loads(&self) -> u64 {
        self.loads.load(Ordering::Relaxed)
    }

    /// The representation of a node, read from disk if need be (one request).
    ///
    /// # Errors
    /// If it cannot be read, or is not what its place says.
    pub fn load(&self, handle: &NodeHandle) -> Result<Arc<Node>> {
        if let Some(rep) = handle.loaded() {
            return Ok(rep);
        }
        let state = handle.state();
        let Some(place) = state.place else {
            return state
                .rep
                .ok_or_else(|| Error::Corrupt(format!("{:?} has no content", handle.id())));
        };
        let mut image = vec![0; place.extent().len as usize];
        self.disk.read_at(&mut image, place.extent().offset)?;
        let node = node_wire::decode(handle.id(), &image, Checksum(place.checksum()), self)
            .and_then(|node| match node.height == handle.height() {
                true => Ok(node),
                false => Err(Error::mismatch("height", handle.height(), node.height)),
            })
            .map_err(|e| e.within(format_args!("node {} at {}", handle.id().0, place.extent())));
        let node = match node {
            Ok(node) => node,
            // Replaced or reaped meanwhile: what it names may be gone, but then it is in memory, or was even
            // written to another place and evicted.
            Err(e) => {
                let now = handle.state();
                return match (now.rep, now.place) {
                    (Some(rep), _) => Ok(rep),
                    (None, Some(other)) if !Arc::ptr_eq(&other, &place) => self.load(handle),
                    _ => Err(e),
                };
            }
        };
        self.loads.fetch_add(1, Ordering::Relaxed);
        let node = Arc::new(node);
        let mut now = handle.write();
        if now.place.as_ref().is_some_and(|p| Arc::ptr_eq(p, &place)) && now.rep.is_none() {
            now.hold(node.clone());
            handle.note_use();
            self.resident.came(now.memory);
        }
        Ok(now.rep.clone().unwrap_or(node))
    }

    /// The node that an edge leads to, of which `shown` (in its own keys) is to be read.
    ///
    /// # Errors
    /// As [`Self::load`]; and if the node does not have all of `shown`, so that nobody walks beyond it.
    pub fn load_below(&self, edge: &Edge, shown: &KeyRange) -> Result<Arc<Node>> {
        let node = self.load(&edge.node)?;
        match node.range.covers(shown) {
            true => Ok(node),
            false => {
                let what = format!("range of node {}", edge.node.id().0);
                Err(Error::mismatch(what, shown, &node.range))
            }
        }
    }

    /// Reads the image of a node at its place and verifies its checksum, whatever is in memory.
    ///
    /// # Errors
    /// If it cannot be read, or is not what its place says.
    pub fn verify_image(&self, id: NodeId, place: &Place) -> Result<()> {
        let mut image = vec![0; place.extent().len as usize];
        self.disk.read_at(&mut image, place.extent().offset)?;
        node_wire::verify(id, &image, Checksum(place.checksum()))
            .map_err(|e| e.within(format_args!("node {} at {}", id.0, place.extent())))
    }

    /// Replaces the representation `old` of a node by an equal one, for all who share it. False if `old` does
    /// not stand any more, or the node is no longer counted.
    pub fn replace(&self, handle: &NodeHandle, old: &Arc<Node>, new: Node) -> bool {
        let mut table = self.table();
        if table.node(handle.id()).is_none_or(|e| e.count == 0) {
            return false;
        }
        let mut state = handle.write();
        if !state.rep.as_ref().is_some_and(|rep| Arc::ptr_eq(rep, old)) {
            return false;
        }
        table.exchange(&old.slots, &new.slots);
        let before = state.memory;
        state.hold(Arc::new(new));
        state.place = None;
        table.became(handle.id(), state.memory);
        self.resident.became(before, state.memory);
        true
    }

    /// Says that the representation `rep` of a node now also lies at `place`. Nothing happens if it was replaced.
    pub fn written(&self, handle: &NodeHandle, rep: &Arc<Node>, place: &Arc<Place>) {
        let mut table = self.table();
        let mut state = handle.write();
        if state.place.is_none() && state.rep.as_ref().is_some_and(|now| Arc::ptr_eq(now, rep)) {
            state.place = Some(place.clone());
            table.written(handle.id());
            self.resident.may_leave(state.memory);
        }
    }

    /// Says that the content of a run now lies on disk ([`Run::settle`]).
    pub fn run_written(&self, run: &Run) {
        self.table().run_written(run.id());
    }

    /// Takes up to `limit` nodes of count zero out of the table and releases what they name. How many it took.
    ///
    /// # Errors
    /// If such a node cannot be read. It leaves the queue, so that the next call goes on with others, but stays in the
    /// table, where it holds what it names until the store is opened again.
    pub fn reap(&self, limit: usize) -> Result<usize> {
        let mut taken = 0;
        while taken < limit {
            let Some(handle) = self.table().next_dying() else {
                break;
            };
            let rep = self.load(&handle).inspect_err(|_| {
                self.table().set_aside(handle.id());
            })?;
            let mut table = self.table();
            // Pinned before it leaves the table: see the invariants.
            let mut state = handle.write();
            state.hold(rep.clone());
            let memory = state.memory;
            drop(state);
            if table.reap(handle.id(), &rep.slots) {
                self.resident.went(memory);
                taken += 1;
            }
        }
        Ok(taken)
    }

    /// Drops representations from memory that are also on disk and were not used since they were last counted, so that those that
    /// remain take at most `budget` bytes. O(nodes), but once for a part of the budget that was made, read or written; O(1) else.
    pub fn evict(&self, budget: u64) {
        if !self.resident.is_due(budget) {
            return;
        }
        let table = self.table();
        self.resident.begin();
        let mut total = 0;
        let mut clean = Vec::new();
        for entry in table.nodes() {
            let state = entry.handle.read();
            if state.rep.is_none() {
                continue;
            }
            total += state.memory;
            if state.place.is_some() && entry.count > 0 {
                clean.push((entry.handle.take_used(), state.memory, entry.handle.clone()));
            }
        }
        clean.sort_by_key(|(used, ..)| *used);
        let enough = Resident::enough(budget);
        for (_, memory, handle) in clean {
            if total <= enough {
                break;
            }
            handle.write().rep = None;
            total -= memory;
        }
        self.resident.counted(total);
    }

    /// Memory of the nodes, in bytes, about.
    pub fn node_memory(&self) -> u64 {
        self.resident.bytes()
    }

    /// Memory of the table: what every node and run takes that lives, read or not; in bytes, about.
    pub fn table_memory(&self) -> u64 {
        let (nodes, runs) = self.table().len();
        nodes as u64 * NODE_ENTRY_MEMORY + runs as u64 * RUN_ENTRY_MEMORY
    }

    /// Counts the references of a root's new slots and takes back those of the old ones.
    pub fn exchange_root(&self, old: &[Slot], new: &[Slot]) {
        self.table().exchange(old, new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Key, Translation};
    use cawdb_disk::{Class, RamDisk};

    fn shelf() -> Shelf {
        let space = SpaceMap::new(1 << 20, None);
        let space = space.unwrap_or_else(|error| panic!("{error}"));
        let cache = Arc::new(Cache::new(1 << 20));
        let disk = Arc::new(RamDisk::new());
        Shelf::new(disk, Arc::new(space), cache, Compression::None)
    }

    /// A node of so many slots.
    fn node(slots: u8) -> Node {
        let mut node = Node::empty(0, KeyRange::all());
        let pivots = (1..slots).map(|n| Slot::empty(Key::copy_from_slice(&[n])));
        node.slots.extend(pivots);
        node
    }

    /// The slot of a root that names it, so that it is counted.
    fn named(handle: &Arc<NodeHandle>) -> [Slot; 1] {
        let mut slot = Slot::empty(Key::new());
        let tr = Translation::identity();
        slot.below = Some(Edge {
            node: handle.clone(),
            tr,
        });
        [slot]
    }

    fn place(shelf: &Shelf) -> Result<Arc<Place>> {
        let extent = shelf.space.allocate(512, Class::Checkpoint)?;
        Ok(Arc::new(Place::new(extent, 0, shelf.space.clone())))
    }

    #[test]
    fn a_node_waits_to_be_written_from_when_it_is_made_until_it_lies_somewhere() -> Result<()> {
        let shelf = shelf();
        let waiting = || shelf.gauge.unwritten_nodes();
        let handle = shelf.new_node(node(3));
        assert_eq!(waiting(), 0, "no checkpoint would write it");
        shelf.exchange_root(&[], &named(&handle));
        assert_eq!(waiting(), node(3).memory());
        let first = shelf.load(&handle)?;
        assert!(shelf.replace(&handle, &first, node(5)));
        assert_eq!(waiting(), node(5).memory());
        shelf.written(&handle, &first, &place(&shelf)?);
        assert_eq!(waiting(), node(5).memory(), "another was written");
        let second = shelf.load(&handle)?;
        shelf.written(&handle, &second, &place(&shelf)?);
        assert_eq!(waiting(), 0);
        assert!(shelf.replace(&handle, &second, node(2)));
        assert_eq!(waiting(), node(2).memory());
        // Readers may hold it, but no checkpoint will write it.
        shelf.exchange_root(&named(&handle), &[]);
        assert_eq!(shelf.reap(1)?, 1);
        assert_eq!(waiting(), 0);
        shelf.exchange_root(&[], &named(&handle));
        assert_eq!(waiting(), node(2).memory(), "a reader brought it back");
        Ok(())
    }

    /// Else the next look for room would take first what was read ahead for somebody.
    #[test]
    fn a_node_that_was_just_read_counts_as_used() -> Result<()> {
        let shelf = shelf();
        let handle = shelf.new_node(node(3));
        shelf.exchange_root(&[], &named(&handle));
        let rep = shelf.load(&handle)?;
        let (mut image, checksum) = node_wire::encode(handle.id(), &rep, shelf.compression);
        image.resize(image.len().next_multiple_of(512), 0);
        let extent = shelf
            .space
            .allocate(image.len() as u64, Class::Checkpoint)?;
        shelf.disk.write_at(&image, extent.offset)?;
        let place = Arc::new(Place::new(extent, checksum.0, shelf.space.clone()));
        shelf.written(&handle, &rep, &place);
        shelf.evict(0);
        assert!(handle.loaded().is_none() && !handle.take_used());
        shelf.load(&handle)?;
        assert!(handle.take_used());
        Ok(())
    }
}
