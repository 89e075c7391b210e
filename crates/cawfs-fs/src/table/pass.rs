//! A table as a list of slots, for a hand-over.

use super::{Place, Slot, Table};
use crate::inode::Inode;
use crate::types::NodeId;

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

impl Table {
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
            inode: Inode {
                inherited: match slot.place {
                    Place::Root | Place::Child(..) => slot.node.inode().inherited,
                    _ => slot.node.zone.clone(),
                },
                ..slot.node.inode()
            },
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
            let parent = match &passed.place {
                Place::Child(parent, _) => Some(self.slots.get(parent)?.node.clone()),
                _ => None,
            };
            if passed.place != Place::Root {
                self.next = passed.id.0;
                let place = passed.place.clone();
                self.add(passed.inode, passed.ino, parent.as_deref(), place);
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
}
