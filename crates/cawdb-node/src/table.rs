//! The node table: which nodes and runs live, how often each is referred to, and how much of a run is shown.
//!
//! Invariants:
//! - `count` of a node or run = references from the slots of live nodes, plus those of roots;
//! - `shown` of a run = the sum of `shown` over those references;
//! - a node whose count reaches zero stays in the table, still holding what it names, until it is reaped:
//!   the nodes of count zero *are* the release queue, and are checkpointed as such;
//! - a run whose count reaches zero leaves the table at once and is never read;
//! - memory and extents are freed by ownership alone: whoever can still reach a handle or run can still read it.

use crate::gauge::{Gauge, Unwritten, UnwrittenNode};
use crate::{Edge, NodeHandle, NodeId, Run, RunId, RunRef, Slot};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// A live node, or one that waits to be reaped.
pub struct NodeEntry {
    /// The node.
    pub handle: Arc<NodeHandle>,
    /// References from slots and roots.
    pub count: u32,
    /// Its share in what waits to be written, if it lies nowhere on disk.
    unwritten: Option<UnwrittenNode>,
}

/// A live run.
pub struct RunEntry {
    /// The run.
    pub run: Arc<Run>,
    /// References from slots.
    pub count: u32,
    /// Bytes that those references show, summed.
    pub shown: u64,
    /// Its share in what waits to be written, if it lies nowhere on disk.
    unwritten: Option<Arc<Unwritten>>,
}

impl RunEntry {
    /// Its share in what waits to be written, to be held until it is.
    pub fn unwritten(&self) -> Option<Arc<Unwritten>> {
        self.unwritten.clone()
    }
}

/// Ids whose entries changed since the last checkpoint was cut.
#[derive(Default, Clone)]
pub struct Changed {
    /// Nodes.
    pub nodes: HashSet<NodeId>,
    /// Runs.
    pub runs: HashSet<RunId>,
}

/// References as they were counted by a walk over everything.
#[derive(Debug, Default, Clone)]
pub struct Counted {
    /// Of nodes.
    pub nodes: HashMap<NodeId, u32>,
    /// Of runs, and the bytes that they show.
    pub runs: HashMap<RunId, (u32, u64)>,
}

/// The table. All changes are made under one short lock (see [`crate::Shelf`]).
#[derive(Default)]
pub struct Table {
    nodes: HashMap<NodeId, NodeEntry>,
    runs: HashMap<RunId, RunEntry>,
    dying: VecDeque<NodeId>,
    changed: Changed,
    gauge: Arc<Gauge>,
}

impl Table {
    /// An empty table that counts nodes and runs which wait to be written.
    pub(crate) fn new(gauge: &Arc<Gauge>) -> Self {
        Self {
            gauge: gauge.clone(),
            ..Self::default()
        }
    }

    /// The entry of a node.
    pub fn node(&self, id: NodeId) -> Option<&NodeEntry> {
        self.nodes.get(&id)
    }

    /// The entry of a run.
    pub fn run(&self, id: RunId) -> Option<&RunEntry> {
        self.runs.get(&id)
    }

    /// How many nodes and runs there are.
    pub fn len(&self) -> (usize, usize) {
        (self.nodes.len(), self.runs.len())
    }

    /// All nodes, in no order.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeEntry> {
        self.nodes.values()
    }

    /// All runs, in no order.
    pub fn runs(&self) -> impl Iterator<Item = &RunEntry> {
        self.runs.values()
    }

    /// Puts in an entry read from disk.
    pub fn load_node(&mut self, handle: Arc<NodeHandle>, count: u32) {
        if count == 0 {
            self.dying.push_back(handle.id());
        }
        let (id, unwritten) = (handle.id(), None);
        let entry = NodeEntry {
            handle,
            count,
            unwritten,
        };
        self.nodes.insert(id, entry);
    }

    /// Puts in an entry read from disk.
    pub fn load_run(&mut self, run: Arc<Run>, count: u32, shown: u64) {
        let (id, unwritten) = (run.id(), None);
        let entry = RunEntry {
            run,
            count,
            shown,
            unwritten,
        };
        self.runs.insert(id, entry);
    }

    /// Counts every reference of `slots`. A node or run that is not in the table comes (back) into it.
    pub fn retain(&mut self, slots: &[Slot]) {
        for slot in slots {
            slot.layers.iter().for_each(|l| self.retain_run(l));
            slot.below.iter().for_each(|e| self.retain_node(e));
        }
    }

    /// Takes back every reference of `slots`.
    pub fn release(&mut self, slots: &[Slot]) {
        for slot in slots {
            slot.layers.iter().for_each(|l| self.release_run(l));
            slot.below.iter().for_each(|e| self.release_node(e));
        }
    }

    /// Counts the references of `new` and takes back those of `old`, both in key order, passing over slots that are in both. O(slots) for
    /// these, since a clone changes a few of a root that may have hundreds.
    pub fn exchange(&mut self, old: &[Slot], new: &[Slot]) {
        for slot in without(new, old) {
            self.retain(std::slice::from_ref(slot));
        }
        for slot in without(old, new) {
            self.release(std::slice::from_ref(slot));
        }
    }

    fn retain_run(&mut self, layer: &RunRef) {
        let id = layer.run.id();
        let fresh = || RunEntry {
            run: layer.run.clone(),
            count: 0,
            shown: 0,
            unwritten: layer.run.unwritten(&self.gauge).map(Arc::new),
        };
        let entry = self.runs.entry(id).or_insert_with(fresh);
        entry.count += 1;
        entry.shown += layer.shown;
        self.changed.runs.insert(id);
    }

    fn release_run(&mut self, layer: &RunRef) {
        let id = layer.run.id();
        let entry = self
            .runs
            .get_mut(&id)
            .expect("a counted run is in the table");
        assert!(
            entry.count > 0 && entry.shown >= layer.shown,
            "run {id:?} was released too often"
        );
        entry.count -= 1;
        entry.shown -= layer.shown;
        if entry.count == 0 {
            self.runs.remove(&id);
        }
        self.changed.runs.insert(id);
    }

    fn retain_node(&mut self, edge: &Edge) {
        let id = edge.node.id();
        self.changed.nodes.insert(id);
        if let Some(entry) = self.nodes.get_mut(&id) {
            entry.count += 1;
            return;
        }
        let rep = edge
            .node
            .loaded()
            .expect("a node outside the table is in memory");
        let is_written = edge.node.state().place.is_some();
        let entry = NodeEntry {
            handle: edge.node.clone(),
            count: 1,
            unwritten: (!is_written).then(|| UnwrittenNode::new(&self.gauge, rep.memory())),
        };
        self.nodes.insert(id, entry);
        self.retain(&rep.slots);
    }

    fn release_node(&mut self, edge: &Edge) {
        let id = edge.node.id();
        let entry = self
            .nodes
            .get_mut(&id)
            .expect("a counted node is in the table");
        assert!(entry.count > 0, "node {id:?} was released too often");
        entry.count -= 1;
        if entry.count == 0 {
            self.dying.push_back(id);
        }
        self.changed.nodes.insert(id);
    }

    /// Notes that a node has a new representation, of so many bytes of memory, that lies nowhere on disk.
    pub(crate) fn became(&mut self, id: NodeId, memory: u64) {
        self.changed.nodes.insert(id);
        if let Some(entry) = self.nodes.get_mut(&id) {
            entry.unwritten = Some(UnwrittenNode::new(&self.gauge, memory));
        }
    }

    /// Notes that the representation of a node lies on disk.
    pub(crate) fn written(&mut self, id: NodeId) {
        if let Some(entry) = self.nodes.get_mut(&id) {
            entry.unwritten = None;
        }
    }

    /// Notes that the content of a run lies on disk.
    pub(crate) fn run_written(&mut self, id: RunId) {
        if let Some(entry) = self.runs.get_mut(&id) {
            entry.unwritten = None;
        }
    }

    /// The next node of count zero, without taking it from the queue; forgets those that came back to life.
    pub(crate) fn next_dying(&mut self) -> Option<Arc<NodeHandle>> {
        while let Some(id) = self.dying.front() {
            match self.nodes.get(id) {
                Some(entry) if entry.count == 0 => return Some(entry.handle.clone()),
                _ => self.dying.pop_front(),
            };
        }
        None
    }

    /// Takes an id from the queue of nodes to be reaped, not from the table: it cannot be read.
    pub(crate) fn set_aside(&mut self, id: NodeId) {
        self.dying.retain(|queued| *queued != id);
    }

    /// Takes a node of count zero out of the table and releases what it names.
    pub(crate) fn reap(&mut self, id: NodeId, slots: &[Slot]) -> bool {
        if self.nodes.get(&id).is_none_or(|e| e.count > 0) {
            return false;
        }
        self.nodes.remove(&id);
        self.changed.nodes.insert(id);
        self.release(slots);
        true
    }

    /// How many nodes wait to be reaped (some may have come back to life).
    pub fn dying(&self) -> usize {
        self.dying.len()
    }

    /// Makes every count what a walk found, of the nodes in `reached` and of all runs; what it did not reach leaves the
    /// table. The walk must have been complete, and nothing changed since. How many entries it mended.
    pub fn recount(&mut self, counted: &Counted, reached: &HashSet<NodeId>) -> usize {
        let mut mended = 0;
        let changed = &mut self.changed;
        self.nodes.retain(|id, entry| {
            let count = counted.nodes.get(id).copied().unwrap_or(0);
            let kept = reached.contains(id);
            if kept && entry.count == count {
                return true;
            }
            mended += 1;
            changed.nodes.insert(*id);
            if kept && count == 0 {
                self.dying.push_back(*id);
            }
            entry.count = count;
            kept
        });
        self.runs.retain(|id, entry| {
            let (count, shown) = counted.runs.get(id).copied().unwrap_or((0, 0));
            if (entry.count, entry.shown) != (count, shown) {
                mended += 1;
                changed.runs.insert(*id);
                (entry.count, entry.shown) = (count, shown);
            }
            count > 0
        });
        mended
    }

    /// Hands out the ids changed since the last call.
    pub fn take_changed(&mut self) -> Changed {
        std::mem::take(&mut self.changed)
    }

    /// Gives back ids whose checkpoint failed.
    pub fn put_back_changed(&mut self, changed: Changed) {
        self.changed.nodes.extend(changed.nodes);
        self.changed.runs.extend(changed.runs);
    }

    /// Whether anything changed since the last cut.
    pub fn has_changed(&self) -> bool {
        !self.changed.nodes.is_empty() || !self.changed.runs.is_empty()
    }
}

/// Those of `slots` that are not also, untouched, in `others`; both are in key order.
fn without<'a>(slots: &'a [Slot], others: &'a [Slot]) -> impl Iterator<Item = &'a Slot> {
    let untouched = |a: &Slot, b: &Slot| {
        Arc::ptr_eq(&a.layers, &b.layers)
            && a.lo == b.lo
            && crate::same_edge(a.below.as_ref(), b.below.as_ref())
    };
    let mut rest = others.iter().peekable();
    slots.iter().filter(move |slot| {
        while rest.next_if(|other| other.lo < slot.lo).is_some() {}
        !rest.peek().is_some_and(|other| untouched(slot, other))
    })
}
