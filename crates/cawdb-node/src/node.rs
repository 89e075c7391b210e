//! Nodes: pivots and slots, and the handle by which edges name a node.
//!
//! Invariants:
//! - a node's slots are sorted by their first key and cover the node's range without gap or overlap;
//! - an edge of a node of height h leads to a node of height h - 1; at height 0 nothing is below;
//! - a node id names a *content*, for ever; its representation may be replaced by an equal one, for all who
//!   share it at once, through its handle.

use crate::{Key, KeyRange, Result, RunRef, Slot, Translation};
use cawdb_disk::sync::atomic::{AtomicBool, Ordering};
use cawdb_disk::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use cawdb_disk::{Extent, Place, sync};
use std::sync::Arc;

/// The name of a node's content; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u64);

/// One representation of a node's content. Immutable.
#[derive(Clone)]
pub struct Node {
    /// Levels of nodes below.
    pub height: u8,
    /// The keys that the node describes.
    pub range: KeyRange,
    /// Its slots in key order; the first starts where the range does.
    pub slots: Vec<Slot>,
}

/// What edges point to: a node that may or may not be in memory.
pub struct NodeHandle {
    id: NodeId,
    height: u8,
    used: AtomicBool,
    state: RwLock<NodeState>,
}

/// Where a node's representation is to be found: in memory, on disk, or both.
#[derive(Clone)]
pub struct NodeState {
    /// The representation, if it is in memory. It must be if there is no place.
    pub rep: Option<Arc<Node>>,
    /// Where exactly this representation lies on disk, if it was written.
    pub place: Option<Arc<Place>>,
    /// What the representation takes, if it is in memory; so that who counts looks at handles, not at slots.
    pub(crate) memory: u64,
}

impl NodeState {
    /// Keeps a representation in memory.
    pub(crate) fn hold(&mut self, rep: Arc<Node>) {
        self.memory = rep.memory();
        self.rep = Some(rep);
    }
}

impl Node {
    /// A node of one empty slot.
    pub fn empty(height: u8, range: KeyRange) -> Self {
        let slots = vec![Slot::empty(range.lo.clone())];
        Self {
            height,
            range,
            slots,
        }
    }

    /// The range of slot `i`.
    pub fn slot_range(&self, i: usize) -> KeyRange {
        let hi = match self.slots.get(i + 1) {
            Some(next) => Some(next.lo.clone()),
            None => self.range.hi.clone(),
        };
        KeyRange {
            lo: self.slots[i].lo.clone(),
            hi,
        }
    }

    /// The slot that `key` falls in; the key must lie in the node's range. O(log slots).
    pub fn find(&self, key: &[u8]) -> usize {
        self.slots
            .partition_point(|s| s.lo[..] <= *key)
            .saturating_sub(1)
    }

    /// The slots that overlap `range`, as indexes.
    pub fn overlapping(&self, range: &KeyRange) -> std::ops::Range<usize> {
        if range.is_empty() || !self.range.overlaps(range) {
            return 0..0;
        }
        let first = self.find(&range.lo);
        let end = match &range.hi {
            Some(hi) => self.slots.partition_point(|s| s.lo < *hi),
            None => self.slots.len(),
        };
        first..end
    }

    /// The part of the node that lies in `range`, which must lie in the node's range. Metadata only:
    /// reads run indexes of the slots at the two ends; of a run of one segment also that, to weigh it.
    ///
    /// # Errors
    /// If what is to be read cannot be read.
    pub fn restrict(&self, range: &KeyRange) -> Result<Self> {
        let mut slots = Vec::new();
        for i in self.overlapping(range) {
            let whole = self.slot_range(i);
            let part = whole.intersect(range);
            slots.push(if part == whole {
                self.slots[i].clone()
            } else {
                self.slots[i].restrict(&part)?
            });
        }
        Ok(Self {
            height: self.height,
            range: range.clone(),
            slots,
        })
    }

    /// The node as it looks through `tr`, which leads down to it and must lead to its whole range.
    pub fn seen_through(&self, tr: &Translation) -> Self {
        let slot = |i: usize| self.slots[i].seen_through(tr, &self.slot_range(i));
        Self {
            height: self.height,
            range: tr.range_up(&self.range),
            slots: (0..self.slots.len()).map(slot).collect(),
        }
    }

    /// The slots as pairs of range and slot.
    pub fn ranged_slots(&self) -> impl DoubleEndedIterator<Item = (KeyRange, &Slot)> {
        self.slots
            .iter()
            .enumerate()
            .map(|(i, s)| (self.slot_range(i), s))
    }

    /// The pivots: where each slot starts.
    pub fn pivots(&self) -> impl Iterator<Item = &Key> {
        self.slots.iter().map(|s| &s.lo)
    }

    /// Bytes of memory that the node takes, about.
    pub fn memory(&self) -> u64 {
        // Keys, prefixes and lists of layers lie on the heap.
        let slot = |s: &Slot| {
            let layer = |l: &RunRef| size_of::<RunRef>() + l.tr.from().len() + l.tr.to().len();
            let layers: usize = s.layers.iter().map(layer).sum();
            size_of::<Slot>() + s.lo.len() + 64 + layers
        };
        128 + self.slots.iter().map(slot).sum::<usize>() as u64
    }
}

impl NodeHandle {
    /// A handle of a new node that is only in memory.
    pub fn new(id: NodeId, node: Node) -> Arc<Self> {
        let (height, memory) = (node.height, node.memory());
        Self::with_state(
            id,
            height,
            NodeState {
                rep: Some(Arc::new(node)),
                place: None,
                memory,
            },
        )
    }

    /// A handle of a node that lies on disk.
    pub fn on_disk(id: NodeId, height: u8, place: Arc<Place>) -> Arc<Self> {
        Self::with_state(
            id,
            height,
            NodeState {
                rep: None,
                place: Some(place),
                memory: 0,
            },
        )
    }

    fn with_state(id: NodeId, height: u8, state: NodeState) -> Arc<Self> {
        Arc::new(Self {
            id,
            height,
            used: AtomicBool::new(true),
            state: RwLock::new(state),
        })
    }

    /// The node's name.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// The node's height.
    pub fn height(&self) -> u8 {
        self.height
    }

    /// The representation if it is in memory.
    pub fn loaded(&self) -> Option<Arc<Node>> {
        let rep = self.read().rep.clone();
        if rep.is_some() {
            self.note_use();
        }
        rep
    }

    /// Notes that somebody uses the representation.
    pub(crate) fn note_use(&self) {
        self.used.store(true, Ordering::Relaxed);
    }

    /// Where it would have to be read from, if it is not in memory.
    pub fn missing(&self) -> Option<Extent> {
        let state = self.read();
        let place = state.place.as_ref().filter(|_| state.rep.is_none());
        place.map(|place| place.extent())
    }

    /// Representation and place at this moment.
    pub fn state(&self) -> NodeState {
        self.read().clone()
    }

    /// Whether the handle was used since this was last asked.
    pub(crate) fn take_used(&self) -> bool {
        self.used.swap(false, Ordering::Relaxed)
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, NodeState> {
        sync::read(&self.state)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, NodeState> {
        sync::write(&self.state)
    }
}
