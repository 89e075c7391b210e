//! The handle table: which node is what, as long as somebody holds it.
//!
//! ```text
//!  node 1 (root) ──"a"──► node 7 ──"x"──► node 9        place = (parent, name): renaming a directory
//!    lookups, opens, pins      each slot                is one change here, paths are composed when needed
//! ```
//!
//! * Ids rise and are never reused. A slot lives while it is looked up, open, pinned by an operation or has children.
//! * Every node's inode is in memory and is the truth; the store holds the same, but for access times.
//! * A node's shown number and, for directories, the sum of shifts never change: renames re-base the record.
//! * `epoch` of a slot counts the children dropped from it. Whoever read a record to make a node of it must see the same
//!   epoch as before the read, else the record may have been changed by a node that came and went meanwhile.

use crate::errno::{Kind, Result};
use crate::inode::{Inode, NoSetId};
use crate::locks::lock;
use crate::schema::Location;
use crate::types::{FileType, NodeId};
use bytes::Bytes;
use std::collections::{BTreeSet, HashMap};
use std::ops::Deref;
use std::sync::{Arc, Mutex, RwLock};

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
}

/// A slot on its way to a successor's table.
pub(crate) struct Passed {
    pub(crate) id: NodeId,
    pub(crate) place: Place,
    pub(crate) lookups: u64,
    pub(crate) opens: u64,
    pub(crate) writers: u64,
    pub(crate) ino: u64,
    pub(crate) inode: Inode,
}

/// A node that stays in the table while this value lives.
pub(crate) struct Pin<'a> {
    table: &'a Mutex<Table>,
    node: Arc<Node>,
}

impl Deref for Pin<'_> {
    type Target = Arc<Node>;
    fn deref(&self) -> &Arc<Node> {
        &self.node
    }
}

impl Clone for Pin<'_> {
    fn clone(&self) -> Self {
        let mut table = lock(self.table);
        if let Some(slot) = table.slots.get_mut(&self.node.id) {
            slot.pins += 1;
        }
        Pin {
            table: self.table,
            node: self.node.clone(),
        }
    }
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        let mut table = lock(self.table);
        if let Some(slot) = table.slots.get_mut(&self.node.id) {
            slot.pins -= 1;
        }
        table.tidy(self.node.id);
    }
}

/// What follows from a node's place.
pub(crate) struct Resolved {
    /// Where it is kept.
    pub(crate) at: Location,
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
    slots: HashMap<NodeId, Slot>,
    next: u64,
    open: BTreeSet<NodeId>,
    /// Orphans whose last holder is gone; their keys wait to be deleted.
    pub(crate) dead: Vec<NodeId>,
}

impl Table {
    /// A table that knows the root only.
    pub(crate) fn new(volume: u32, root: Inode) -> Self {
        let mut table = Self {
            volume,
            slots: HashMap::new(),
            next: NodeId::ROOT.0,
            open: BTreeSet::new(),
            dead: Vec::new(),
        };
        table.add(root, 1, 0, Place::Root);
        table
    }
    fn add(&mut self, inode: Inode, ino: u64, base: u64, place: Place) -> NodeId {
        let id = NodeId(self.next);
        self.next += 1;
        let shifts = if inode.is_dir() {
            base.wrapping_add(inode.shift)
        } else {
            0
        };
        let (kind, no_set_id) = (inode.kind, inode.no_set_id);
        let (busy, inode) = (RwLock::new(()), Mutex::new(inode));
        let node = Arc::new(Node {
            id,
            kind,
            ino,
            shifts,
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
        };
        self.slots.insert(id, slot);
        id
    }
    fn slot(&self, id: NodeId) -> Result<&Slot> {
        self.slots
            .get(&id)
            .ok_or_else(|| Kind::Stale.because("a node id that is not known"))
    }
    /// Where a node is, O(depth); ENOENT if it or a directory above was removed.
    pub(crate) fn resolve(&self, id: NodeId) -> Result<Resolved> {
        let (mut names, mut no_set_id, mut slot) = (Vec::new(), NoSetId::None, self.slot(id)?);
        loop {
            no_set_id = no_set_id.and(slot.no_set_id);
            match &slot.place {
                Place::Root => break,
                Place::Child(parent, name) => {
                    names.push(name.clone());
                    slot = self.slot(*parent)?;
                }
                Place::Orphan => {
                    let at = Location::orphan(self.volume, id.0);
                    return Ok(Resolved {
                        at,
                        no_set_id: NoSetId::None,
                    });
                }
                Place::Staged => {
                    return Err(Kind::NotPermitted.because("a staged clone can only be renamed"));
                }
                Place::Gone => return Err(Kind::NotFound.because("the object was removed")),
            }
        }
        let root = Location::root(self.volume);
        let at = names
            .into_iter()
            .rev()
            .fold(root, |dir, name| dir.child(name));
        Ok(Resolved { at, no_set_id })
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
    /// Where a node is, without its path.
    pub(crate) fn place(&self, id: NodeId) -> Option<Place> {
        self.slots.get(&id).map(|slot| slot.place.clone())
    }
    /// Epoch of a directory.
    pub(crate) fn epoch(&self, id: NodeId) -> u64 {
        self.slots.get(&id).map_or(0, |slot| slot.epoch)
    }
    /// Open handles of a node.
    pub(crate) fn opens(&self, id: NodeId) -> u64 {
        self.slots.get(&id).map_or(0, |slot| slot.opens)
    }
    /// The open nodes below a directory (or the node itself); only those open for writing if asked.
    /// O(open nodes · depth).
    pub(crate) fn open_below(&self, id: NodeId, writable: bool) -> Vec<NodeId> {
        let wanted = |n: &NodeId| !writable || self.slots.get(n).is_some_and(|s| s.writers > 0);
        self.open
            .iter()
            .copied()
            .filter(wanted)
            .filter(|&n| self.is_below(n, id))
            .collect()
    }
    /// Moves a node to another place.
    pub(crate) fn put(&mut self, id: NodeId, place: Place) {
        let Some(slot) = self.slots.get_mut(&id) else {
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
    }
    fn detach(&mut self, parent: NodeId, name: &Bytes, id: NodeId) {
        if let Some(slot) = self.slots.get_mut(&parent)
            && slot.children.get(name) == Some(&id)
        {
            slot.children.remove(name);
            slot.epoch += 1;
        }
    }
    /// Swaps two entries.
    pub(crate) fn exchange(&mut self, a: NodeId, b: NodeId) {
        let (Some(at_a), Some(at_b)) = (self.place(a), self.place(b)) else {
            return;
        };
        self.put(a, Place::Gone);
        self.put(b, at_a);
        self.put(a, at_b);
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
        self.tidy(id);
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
    /// All nodes that somebody outside holds, parents before children, and the next id.
    pub(crate) fn pass(&self) -> (u64, Vec<Passed>) {
        let mut nodes: Vec<_> = self.slots.values().map(|s| (self.depth(s), s)).collect();
        nodes.sort_unstable_by_key(|(depth, slot)| (*depth, slot.node.id));
        let passed = nodes.into_iter().map(|(_, slot)| Passed {
            id: slot.node.id,
            place: slot.place.clone(),
            lookups: slot.lookups,
            opens: slot.opens,
            writers: slot.writers,
            ino: slot.node.ino,
            inode: slot.node.inode(),
        });
        (self.next, passed.collect())
    }
    fn depth<'a>(&'a self, mut slot: &'a Slot) -> usize {
        let mut depth = 0;
        while let Place::Child(parent, _) = &slot.place
            && let Some(above) = self.slots.get(parent)
        {
            (depth, slot) = (depth + 1, above);
        }
        depth
    }
    /// Takes the nodes of an earlier table, parents before children; none if they do not fit together.
    pub(crate) fn receive(&mut self, next: u64, nodes: Vec<Passed>) -> Option<()> {
        for passed in nodes {
            let base = match &passed.place {
                Place::Child(parent, _) => self.slots.get(parent)?.node.shifts,
                _ => 0,
            };
            if passed.place != Place::Root {
                self.next = passed.id.0;
                self.add(passed.inode, passed.ino, base, passed.place.clone());
            }
            if let Place::Child(parent, name) = passed.place {
                self.slots
                    .get_mut(&parent)?
                    .children
                    .insert(name, passed.id);
            }
            let slot = self.slots.get_mut(&passed.id)?;
            (slot.lookups, slot.opens) = (passed.lookups, passed.opens);
            slot.writers = passed.writers;
            if passed.opens > 0 {
                self.open.insert(passed.id);
            }
        }
        self.next = next;
        self.slots.keys().all(|id| id.0 < next).then_some(())
    }
    /// Nodes known.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }
}

/// The node of an id, pinned.
pub(crate) fn pin(table: &Mutex<Table>, id: NodeId) -> Result<Pin<'_>> {
    let mut guard = lock(table);
    let node = guard.slot(id)?.node.clone();
    if let Some(slot) = guard.slots.get_mut(&id) {
        slot.pins += 1;
    }
    Ok(Pin { table, node })
}

/// The node of a name, pinned, if it is in the table.
pub(crate) fn pin_child<'a>(
    table: &'a Mutex<Table>,
    parent: NodeId,
    name: &[u8],
) -> Option<Pin<'a>> {
    let mut guard = lock(table);
    let id = *guard.slots.get(&parent)?.children.get(name)?;
    let slot = guard.slots.get_mut(&id)?;
    slot.pins += 1;
    Some(Pin {
        table,
        node: slot.node.clone(),
    })
}

/// Makes a node of what was read from the store as `name` of `parent` in `epoch`, or finds the one that is there; pinned.
/// None if the epoch has passed: read again.
pub(crate) fn pin_new_child<'a>(
    table: &'a Mutex<Table>,
    parent: &Node,
    name: &Bytes,
    inode: Inode,
    epoch: Option<u64>,
) -> Option<Pin<'a>> {
    if let Some(pin) = pin_child(table, parent.id, name) {
        return Some(pin);
    }
    let mut guard = lock(table);
    let slot = guard.slots.get(&parent.id)?;
    if epoch.is_some_and(|e| e != slot.epoch) || slot.children.contains_key(name) {
        return None;
    }
    let ino = inode.shown(parent.shifts);
    let id = guard.add(
        inode,
        ino,
        parent.shifts,
        Place::Child(parent.id, name.clone()),
    );
    guard
        .slots
        .get_mut(&parent.id)?
        .children
        .insert(name.clone(), id);
    let slot = guard.slots.get_mut(&id)?;
    slot.pins += 1;
    Some(Pin {
        table,
        node: slot.node.clone(),
    })
}

/// Makes a node that is no entry, shown under number `ino`; pinned. For a directory, `inode.shift` counts
/// from the root.
pub(crate) fn pin_new(
    table: &Mutex<Table>,
    inode: Inode,
    ino: u64,
    place: Place,
) -> Result<Pin<'_>> {
    let id = lock(table).add(inode, ino, 0, place);
    pin(table, id)
}
