//! The handle table: which node is what, as long as somebody holds it.
//!
//! ```text
//!  node 1 (root) ──"a"──► node 7 ──"x"──► node 9        place = (parent, name): renaming a directory
//!    lookups, opens, pins      each slot                is one change here, paths are composed when needed
//! ```
//!
//! * A file with several names is a child of its home (see `links`), under a name that no entry has; names that lead to it are
//!   not in the table.
//! * Ids rise and are never reused. A slot lives while it is looked up, open, pinned by an operation or has children.
//! * Every node's inode is in memory and is the truth; the store holds the same, but for access times.
//! * A node's shown number and, for directories, the sums of shifts and of what is inherited never change: renames re-base the
//!   record.
//! * `epoch` of a slot counts the children dropped from it. Whoever read a record to make a node of it must see the same
//!   epoch as before the read, else the record may have been changed by a node that came and went meanwhile.

mod aging;
mod hash;
mod held;
mod pass;
mod pins;

use crate::errno::{Kind, Result};
use crate::inherited::Inherited;
use crate::inode::{HOME, Inode, NoSetId};
use crate::links::LinkId;
use crate::locks::{Mutex, RwLock, lock};
use crate::maps::Ids;
use crate::schema::{Location, subdir_bytes};
use crate::types::{FileType, NodeId};
use bytes::Bytes;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

pub use aging::Aged;
pub(crate) use aging::NODE_BYTES;
use hash::ById;
pub(crate) use pass::Passed;
pub(crate) use pins::{Pin, pin, pin_child, pin_new, pin_new_child};

/// Most paths have no more names.
const USUAL_DEPTH: usize = 16;

/// An object in memory.
pub(crate) struct Node {
    /// Its id.
    pub(crate) id: NodeId,
    /// Its kind.
    pub(crate) kind: FileType,
    /// Its inode number, as shown.
    pub(crate) ino: u64,
    /// For a directory: the sum of the shifts from the root down to it, itself included. Else 0.
    pub(crate) shifts: u64,
    /// For a directory: what the directories from the root down to it add up to, itself included. Else nothing.
    pub(crate) zone: Inherited,
    /// Held exclusively by who changes the object (for a directory: or its entries), shared by who needs it as it is.
    pub(crate) busy: RwLock<()>,
    /// The truth about it.
    pub(crate) inode: Mutex<Inode>,
}

impl Node {
    /// A copy of the inode.
    pub(crate) fn inode(&self) -> Inode {
        lock(&self.inode).clone()
    }
    /// Whether this is a directory.
    pub(crate) fn is_dir(&self) -> bool {
        self.kind == FileType::Directory
    }
}

/// Where a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// The root directory.
    Root,
    /// An entry of a directory.
    Child(NodeId, Bytes),
    /// Unlinked while open, kept in the orphan area under its node id.
    Orphan,
    /// A clone that waits for its destination.
    Staged,
    /// Removed; only the inode is left.
    Gone,
}

struct Slot {
    node: Arc<Node>,
    place: Place,
    lookups: u64,
    opens: u64,
    writers: u64,
    pins: u64,
    children: HashMap<Bytes, NodeId>,
    epoch: u64,
    no_set_id: NoSetId,
    /// Whether anybody asked for it since it was last looked at for its age.
    used: bool,
}

/// What follows from a node's place.
pub(crate) struct Resolved {
    /// Where it is kept.
    pub(crate) at: Location,
    /// What is inherited there.
    pub(crate) zone: Inherited,
    /// Set-id bits hidden here, by the directories above and itself.
    pub(crate) no_set_id: NoSetId,
}

/// How a slot is counted.
#[derive(Clone, Copy)]
pub(crate) enum Count {
    /// A reference of the caller.
    Lookup,
    /// An open handle; true if it may write.
    Open(bool),
}

/// All nodes.
pub(crate) struct Table {
    volume: u32,
    slots: HashMap<NodeId, Slot, ById>,
    next: u64,
    open: BTreeSet<NodeId>,
    /// All nodes, for the choice of those to be forgotten; see [`aging`].
    queue: VecDeque<NodeId>,
    /// Slots dropped so far.
    dropped: u64,
    /// Orphans that are not open any more; their keys wait to be deleted.
    pub(crate) dead: Vec<NodeId>,
}

impl Table {
    /// A table that knows the root only.
    pub(crate) fn new(volume: u32, root: Inode) -> Self {
        let mut table = Self {
            volume,
            slots: HashMap::default(),
            next: NodeId::ROOT.0,
            open: BTreeSet::new(),
            queue: VecDeque::new(),
            dropped: 0,
            dead: Vec::new(),
        };
        table.add(root, 1, None, Place::Root);
        table
    }
    fn add(&mut self, mut inode: Inode, ino: u64, parent: Option<&Node>, place: Place) -> NodeId {
        inode.keep_own_guards(ino);
        let id = NodeId(self.next);
        self.next += 1;
        let (shifts, zone) = match (inode.is_dir(), parent) {
            (false, _) => (0, Inherited::default()),
            (true, None) => (inode.shift, inode.inherited.clone()),
            (true, Some(parent)) => (
                parent.shifts.wrapping_add(inode.shift),
                parent.zone.with(&inode.inherited),
            ),
        };
        let (kind, no_set_id) = (inode.kind, inode.no_set_id);
        let (busy, inode) = (RwLock::new(()), Mutex::new(inode));
        let node = Arc::new(Node {
            id,
            kind,
            ino,
            shifts,
            zone,
            busy,
            inode,
        });
        let (children, epoch) = (HashMap::new(), 0);
        let (lookups, opens, writers, pins) = (0, 0, 0, 0);
        let slot = Slot {
            node,
            place,
            lookups,
            opens,
            writers,
            pins,
            children,
            epoch,
            no_set_id,
            used: false,
        };
        self.slots.insert(id, slot);
        self.enqueue(id);
        id
    }
    fn slot(&self, id: NodeId) -> Result<&Slot> {
        self.slots
            .get(&id)
            .ok_or_else(|| Kind::Stale.because("a node id that is not known"))
    }
    /// Where a node is, O(depth); ENOENT if it or a directory above was removed.
    pub(crate) fn resolve(&self, id: NodeId) -> Result<Resolved> {
        let (mut no_set_id, mut slot) = (NoSetId::None, self.slot(id)?);
        let mut names = Vec::with_capacity(USUAL_DEPTH);
        let zone = self.zone(slot);
        loop {
            let above = &slot.node.zone.ids;
            no_set_id = no_set_id.and(slot.no_set_id.recode(above, &zone.ids));
            match &slot.place {
                Place::Root => break,
                Place::Child(parent, name) => {
                    names.push(name);
                    slot = self.slot(*parent)?;
                }
                Place::Orphan => {
                    let at = Location::orphan(self.volume, id.0);
                    return Ok(Resolved {
                        at,
                        zone,
                        no_set_id: NoSetId::None,
                    });
                }
                Place::Staged => {
                    return Err(Kind::NotPermitted.because("a staged clone can only be renamed"));
                }
                Place::Gone => return Err(Kind::NotFound.because("the object was removed")),
            }
        }
        let at = Location::of_path(self.volume, &names);
        Ok(Resolved {
            at,
            zone,
            no_set_id,
        })
    }
    /// What is inherited where a slot is, by a directory itself too.
    fn zone(&self, slot: &Slot) -> Inherited {
        match &slot.place {
            _ if slot.node.is_dir() => slot.node.zone.clone(),
            Place::Child(parent, _) => {
                let parent = self.slots.get(parent);
                parent.map_or_else(Inherited::default, |parent| parent.node.zone.clone())
            }
            _ => Inherited::default(),
        }
    }
    /// How the ids of a node are kept. What is staged shows itself as its caller's.
    pub(crate) fn ids(&self, id: NodeId) -> Ids {
        let slot = self.slots.get(&id);
        let slot = slot.filter(|slot| slot.place != Place::Staged);
        slot.map_or_else(Ids::default, |slot| self.zone(slot).ids)
    }
    /// Whether a node lies in a read-only clone.
    pub(crate) fn is_read_only(&self, id: NodeId) -> bool {
        let slot = self.slots.get(&id);
        slot.is_some_and(|slot| self.zone(slot).read_only)
    }
    /// The highest directory at or above this one from which on ids are shown alike.
    pub(crate) fn region(&self, dir: NodeId) -> NodeId {
        let mut at = dir;
        while let Some(slot) = self.slots.get(&at)
            && let Place::Child(parent, _) = &slot.place
            && let Some(above) = self.slots.get(parent)
            && above.node.zone.ids == slot.node.zone.ids
        {
            at = *parent;
        }
        at
    }
    /// The names that lead from the root to a node, O(depth); ENOENT if it, or a directory above, is no entry.
    pub(crate) fn names(&self, id: NodeId) -> Result<Vec<Bytes>> {
        let (mut names, mut slot) = (Vec::new(), self.slot(id)?);
        while let Place::Child(parent, name) = &slot.place {
            names.push(match LinkId::key_of(name) {
                Some(_) => Bytes::from_static(b"(a file with several names)"),
                None => name.clone(),
            });
            slot = self.slot(*parent)?;
        }
        if slot.place != Place::Root {
            return Err(Kind::NotFound.because("the object was removed"));
        }
        names.reverse();
        Ok(names)
    }
    /// Whether `id` is `ancestor` or lies below it.
    pub(crate) fn is_below(&self, id: NodeId, ancestor: NodeId) -> bool {
        let mut at = id;
        while at != ancestor {
            match self.slots.get(&at).map(|slot| &slot.place) {
                Some(Place::Child(parent, _)) => at = *parent,
                _ => return false,
            }
        }
        true
    }
    /// The homes at and above a directory, nearest first. O(depth).
    pub(crate) fn homes(&self, dir: NodeId) -> Vec<Arc<Node>> {
        let here = self.slots.get(&dir).into_iter();
        here.chain(self.slots_above(dir).map(|(slot, _)| slot))
            .filter(|slot| lock(&slot.node.inode).has(HOME))
            .map(|slot| slot.node.clone())
            .collect()
    }
    /// The directories above one, nearest first, and how many bytes more the prefix of its keys has. O(depth).
    pub(crate) fn above(&self, dir: NodeId) -> Vec<(Arc<Node>, usize)> {
        self.slots_above(dir)
            .map(|(slot, further)| (slot.node.clone(), further))
            .collect()
    }
    fn slots_above(&self, id: NodeId) -> impl Iterator<Item = (&Slot, usize)> {
        let (mut slot, mut further) = (self.slots.get(&id), 0);
        std::iter::from_fn(move || {
            let Place::Child(parent, name) = &slot?.place else {
                return None;
            };
            further += subdir_bytes(name);
            slot = self.slots.get(parent);
            slot.map(|slot| (slot, further))
        })
    }
    /// The lowest directory that is at or above both. O(depth²).
    pub(crate) fn common(&self, a: NodeId, b: NodeId) -> NodeId {
        let mut at = a;
        while !self.is_below(b, at) {
            match self.slots.get(&at).map(|slot| &slot.place) {
                Some(Place::Child(parent, _)) => at = *parent,
                _ => return NodeId::ROOT,
            }
        }
        at
    }
    /// Directory and id of a body; none for other nodes.
    pub(crate) fn home(&self, id: NodeId) -> Option<(NodeId, LinkId)> {
        match &self.slots.get(&id)?.place {
            Place::Child(home, name) => Some((*home, LinkId::of_name(name)?)),
            _ => None,
        }
    }
    /// Where a node is, without its path.
    pub(crate) fn place(&self, id: NodeId) -> Option<Place> {
        self.slots.get(&id).map(|slot| slot.place.clone())
    }
    /// The known nodes in a directory.
    pub(crate) fn children(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        let slot = self.slots.get(&id);
        slot.into_iter().flat_map(|s| s.children.values().copied())
    }
    /// Epoch of a directory.
    pub(crate) fn epoch(&self, id: NodeId) -> u64 {
        self.slots.get(&id).map_or(0, |slot| slot.epoch)
    }
    /// Open handles of a node.
    pub(crate) fn opens(&self, id: NodeId) -> u64 {
        self.slots.get(&id).map_or(0, |slot| slot.opens)
    }
    /// The open nodes below a directory (or the node itself). Of those with several names, the ones whose home is there.
    /// O(open nodes · depth).
    pub(crate) fn open_below(&self, id: NodeId) -> Vec<NodeId> {
        let open = self.open.iter().copied();
        open.filter(|&n| self.is_below(n, id)).collect()
    }
    /// The nodes that are open for writing and have a name below a directory (or are the node itself); perhaps some that have
    /// several names, elsewhere. O(open nodes · depth).
    pub(crate) fn writable_below(&self, id: NodeId) -> Vec<NodeId> {
        let writable = |n: &NodeId| self.slots.get(n).is_some_and(|s| s.writers > 0);
        let may_be_below = |&n: &NodeId| {
            let home_above = || {
                self.home(n)
                    .is_some_and(|(home, _)| self.is_below(id, home))
            };
            self.is_below(n, id) || home_above()
        };
        let open = self.open.iter().copied();
        open.filter(writable).filter(may_be_below).collect()
    }
    /// Moves a node to another place.
    pub(crate) fn put(&mut self, id: NodeId, place: Place) {
        let Some(slot) = self.slots.get_mut(&id) else {
            // Closed and forgotten since it was planned to live on.
            if place == Place::Orphan {
                self.dead.push(id);
            }
            return;
        };
        let old = std::mem::replace(&mut slot.place, place.clone());
        if let Place::Child(parent, name) = &old {
            self.detach(*parent, name, id);
        }
        if let Place::Child(parent, name) = place
            && let Some(parent) = self.slots.get_mut(&parent)
        {
            parent.children.insert(name, id);
        }
        if let Place::Child(parent, _) = old {
            self.tidy(parent);
        }
        // Its last handle may have been closed since it was planned to live on.
        self.doom(id);
    }
    fn detach(&mut self, parent: NodeId, name: &Bytes, id: NodeId) {
        if let Some(slot) = self.slots.get_mut(&parent)
            && slot.children.get(name) == Some(&id)
        {
            slot.children.remove(name);
            slot.epoch += 1;
        }
    }
    /// Remembers what a directory makes everything below inherit.
    pub(crate) fn set_no_set_id(&mut self, id: NodeId, value: NoSetId) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.no_set_id = value;
        }
    }
    /// Adds a reference or an open handle.
    pub(crate) fn count(&mut self, id: NodeId, what: Count) {
        let Some(slot) = self.slots.get_mut(&id) else {
            return;
        };
        match what {
            Count::Lookup => slot.lookups += 1,
            Count::Open(writes) => {
                slot.opens += 1;
                slot.writers += u64::from(writes);
                self.open.insert(id);
            }
        }
    }
    /// Gives back references or an open handle. More than were given are forgiven.
    pub(crate) fn uncount(&mut self, id: NodeId, what: Count, times: u64) {
        let Some(slot) = self.slots.get_mut(&id) else {
            return;
        };
        match what {
            Count::Lookup => slot.lookups = slot.lookups.saturating_sub(times),
            Count::Open(writes) => {
                slot.opens = slot.opens.saturating_sub(times);
                slot.writers = slot.writers.saturating_sub(u64::from(writes) * times);
                if slot.opens == 0 {
                    self.open.remove(&id);
                }
            }
        }
        self.doom(id);
        self.tidy(id);
    }
    /// An unlinked file that nobody has open can only be looked at: its content goes now, as the kernel may remember
    /// the node for as long as it has memory.
    fn doom(&mut self, id: NodeId) {
        if let Some(slot) = self.slots.get_mut(&id)
            && slot.place == Place::Orphan
            && slot.opens == 0
        {
            slot.place = Place::Gone;
            self.dead.push(id);
        }
    }
    /// Whether nothing but one pin holds the node.
    pub(crate) fn is_last_pin(&self, id: NodeId) -> bool {
        let unheld = |s: &Slot| s.lookups + s.opens == 0 && s.pins == 1 && s.children.is_empty();
        self.slots.get(&id).is_some_and(unheld)
    }
    /// Drops a slot that nobody holds, and then its parents.
    fn tidy(&mut self, mut id: NodeId) {
        loop {
            let Some(slot) = self.slots.get(&id) else {
                return;
            };
            let held = slot.lookups + slot.opens + slot.pins > 0 || !slot.children.is_empty();
            if held || slot.place == Place::Root {
                return;
            }
            let place = slot.place.clone();
            self.slots.remove(&id);
            self.dropped += 1;
            match place {
                Place::Orphan => self.dead.push(id),
                Place::Child(parent, name) => {
                    self.detach(parent, &name, id);
                    id = parent;
                    continue;
                }
                _ => {}
            }
            return;
        }
    }
    /// Nodes known.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }
}
