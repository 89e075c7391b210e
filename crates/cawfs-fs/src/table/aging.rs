//! Which nodes the kernel remembers for no good reason: beyond the table's budget it is asked to forget the oldest.
//!
//! ```text
//!   front ─ 17 ─ 4 ─ 23* ─ 9 ─ back      a clock: the front goes to the back; one that was used since (*), is open, or has
//!                                        children is passed over, any other may be forgotten
//! ```
//! A node asked for stays in the table until the kernel gives its references back; if it does not, because a
//! process still stands there, its turn comes again.
//!
//! Invariant: every slot is in the queue once; ids of dropped slots are cleared away before they outnumber the others.

use super::{Place, Slot, Table};
use crate::links::LinkId;
use crate::types::{FileType, NodeId};
use bytes::Bytes;

/// Memory of a node in the table, about: the slot and its place in the map, the node, its name in it and in its parent.
pub(crate) const NODE_BYTES: u64 = (size_of::<(NodeId, Slot)>() * 3 / 2
    + size_of::<super::Node>()
    + size_of::<(Bytes, NodeId)>() * 3 / 2
    + size_of::<NodeId>()
    + 64) as u64;

/// A node that the kernel may forget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aged {
    /// The node.
    pub node: NodeId,
    /// Directory and name, if it is an entry and has no other name.
    pub entry: Option<(NodeId, Bytes)>,
    /// Its kind.
    pub kind: FileType,
}

impl Slot {
    fn is_idle(&self) -> bool {
        self.lookups > 0
            && self.opens + self.pins == 0
            && self.children.is_empty()
            && self.place != Place::Root
    }
}

impl Table {
    /// Puts a new slot into the queue.
    pub(super) fn enqueue(&mut self, id: NodeId) {
        if self.queue.len() > 2 * self.slots.len() + 64 {
            let slots = &self.slots;
            self.queue.retain(|id| slots.contains_key(id));
        }
        self.queue.push_back(id);
    }

    /// Up to `most` nodes that nobody uses, oldest first; each is named again only after all others had their turn.
    /// Amortised O(nodes passed over).
    pub(crate) fn aged(&mut self, most: usize) -> Vec<Aged> {
        let mut found = Vec::new();
        for _ in 0..self.queue.len() {
            if found.len() == most {
                break;
            }
            let Some(id) = self.queue.pop_front() else {
                break;
            };
            let Some(slot) = self.slots.get_mut(&id) else {
                continue;
            };
            self.queue.push_back(id);
            if std::mem::take(&mut slot.used) || !slot.is_idle() {
                continue;
            }
            let entry = match &slot.place {
                Place::Child(parent, name) if LinkId::key_of(name).is_none() => {
                    Some((*parent, name.clone()))
                }
                _ => None,
            };
            let (node, kind) = (id, slot.node.kind);
            found.push(Aged { node, entry, kind });
        }
        found
    }

    /// How many slots were dropped so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Memory that the table takes, in bytes, about.
    pub(crate) fn memory(&self) -> u64 {
        self.slots.len() as u64 * NODE_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::super::Count;
    use super::*;
    use crate::inode::Inode;
    use crate::types::Time;

    fn table() -> Table {
        Table::new(1, Inode::new(FileType::Directory, 0o755, Time::default()))
    }

    fn child(table: &mut Table, name: usize) -> NodeId {
        let name = Bytes::from(format!("{name}"));
        let inode = Inode::new(FileType::Regular, 0o644, Time::default());
        let id = table.add(inode, 2, None, Place::Child(NodeId::ROOT, name.clone()));
        if let Some(root) = table.slots.get_mut(&NodeId::ROOT) {
            root.children.insert(name, id);
        }
        table.count(id, Count::Lookup);
        id
    }

    #[test]
    fn the_oldest_go_first_and_what_is_used_stays() {
        let mut table = table();
        let ids: Vec<_> = (0..10).map(|n| child(&mut table, n)).collect();
        table.count(ids[0], Count::Open(false));
        if let Some(slot) = table.slots.get_mut(&ids[1]) {
            slot.used = true;
        }
        let named = |aged: Vec<Aged>| aged.into_iter().map(|a| a.node).collect::<Vec<_>>();
        assert_eq!(named(table.aged(3)), ids[2..5]);
        let entry = Some((NodeId::ROOT, Bytes::from("5")));
        assert_eq!(table.aged(1)[0].entry, entry);
        // The rest, and then those whose second chance is over; an open one never.
        assert_eq!(named(table.aged(100)), [&ids[6..], &ids[1..6]].concat());
        table.uncount(ids[7], Count::Lookup, 1);
        assert!(!named(table.aged(100)).contains(&ids[7]));
    }

    #[test]
    fn the_queue_stays_as_short_as_the_table() {
        let mut table = table();
        for round in 0..100 {
            let ids: Vec<_> = (0..100)
                .map(|n| child(&mut table, round * 100 + n))
                .collect();
            ids.iter()
                .for_each(|id| table.uncount(*id, Count::Lookup, 1));
            assert!(table.queue.len() <= 2 * (table.len() + 100) + 64);
        }
        assert_eq!(table.len(), 1);
        assert_eq!(table.aged(10), []);
        assert_eq!(table.queue.len(), 1);
    }
}
