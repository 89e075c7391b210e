//! What somebody may hold at or below a directory: what is open, and the directories that the kernel remembers.

use super::{Place, Table};
use crate::links::LinkId;
use crate::types::NodeId;
use bytes::Bytes;
use std::collections::BTreeSet;

impl Table {
    /// The directories that are open, at or below one. O(open nodes · depth).
    pub(crate) fn open_dirs_below(&self, id: NodeId) -> BTreeSet<NodeId> {
        let open = self.open_below(id).into_iter();
        open.filter(|id| self.slots.get(id).is_some_and(|slot| slot.node.is_dir()))
            .collect()
    }

    /// The known directories at or below one; none of them if more than `most` nodes are known there. O(most).
    pub(crate) fn few_dirs_below(&self, id: NodeId, most: usize) -> Vec<NodeId> {
        let (mut dirs, mut at, mut known) = (vec![id], 0, 0);
        while let Some(dir) = dirs.get(at) {
            at += 1;
            let Some(slot) = self.slots.get(dir) else {
                continue;
            };
            known += slot.children.len();
            if known > most {
                return Vec::new();
            }
            let is_dir = |id: &NodeId| self.slots.get(id).is_some_and(|slot| slot.node.is_dir());
            dirs.extend(slot.children.values().copied().filter(is_dir));
        }
        dirs
    }

    /// The known names in a directory, but for those of files with several names.
    pub(crate) fn names_in(&self, dir: NodeId) -> Vec<(NodeId, Bytes)> {
        let known = self.slots.get(&dir).into_iter();
        known
            .flat_map(|slot| slot.children.keys())
            .filter(|name| LinkId::key_of(name).is_none())
            .map(|name| (dir, name.clone()))
            .collect()
    }

    /// The names of what is open below a directory (or is that itself), but for those of files with several names. O(open nodes ·
    /// depth).
    pub(crate) fn names_of_open_below(&self, id: NodeId) -> Vec<(NodeId, Bytes)> {
        let open = self.open_below(id).into_iter();
        open.filter_map(|id| match &self.slots.get(&id)?.place {
            Place::Child(dir, name) => LinkId::key_of(name).is_none().then(|| (*dir, name.clone())),
            _ => None,
        })
        .collect()
    }
}
