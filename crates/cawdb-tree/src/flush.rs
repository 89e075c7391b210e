//! Flush: the layers of a slot move, as references, onto the slots of a new version of its child.
//!
//! ```text
//!   before   slot: r1 r2 ─edge p→q─► child C (perhaps shared, perhaps wider)
//!   after    slot:       ─edge─────► C' = restricted, translated C with r1, r2 on the slots that they reach
//!            or several slots, if C' had to be split: one id never becomes two
//! ```
//! No data moves. C stays as it is for whoever shares it. Content is the same before and after.

use crate::merge::{Merge, run_merges};
use crate::tree::Tree;
use cawdb_node::{
    Edge, KeyRange, Node, NodeHandle, Result, RunRef, Slot, Translation, common_prefix,
};
use std::sync::Arc;

/// Nodes made by a step; they go on the agenda once the step is installed.
pub type Fresh = Vec<Arc<NodeHandle>>;

impl Tree {
    /// The child of a slot as a node of its own: exactly the slot's range, in the slot's keys, with the slot's
    /// layers laid on it. `height` is that of the slot's node.
    ///
    /// # Errors
    /// If the child or a run cannot be read.
    pub(crate) fn pushed_down(&self, height: u8, range: &KeyRange, slot: &Slot) -> Result<Node> {
        let mut child = match &slot.below {
            Some(edge) => {
                let shown = edge.tr.range_down(range);
                self.shelf
                    .load_below(edge, &shown)?
                    .restrict(&shown)?
                    .seen_through(&edge.tr)
            }
            None => Node::empty(height - 1, range.clone()),
        };
        // The ends as the slot has them: a translated end may be a different spelling of the same bound.
        child.range = range.clone();
        child.slots[0].lo = range.lo.clone();
        if !slot.layers.is_empty() {
            for i in 0..child.slots.len() {
                let part = child.slot_range(i);
                self.push_layers(&part, &slot.layers, &mut child.slots[i])?;
            }
        }
        Ok(child)
    }

    fn push_layers(&self, range: &KeyRange, layers: &[RunRef], slot: &mut Slot) -> Result<()> {
        let mut pushed = Vec::new();
        for layer in layers {
            pushed.extend(RunRef::showing(&layer.run, &layer.tr, range)?);
        }
        if pushed.is_empty() {
            return Ok(());
        }
        pushed.extend(slot.layers.iter().cloned());
        slot.layers = pushed.into();
        self.drop_hidden(range, slot)
    }

    /// The slots that replace `slot` when it is flushed: one for each node that its child became. Of what is not known, at most `left` bytes are merged meanwhile.
    ///
    /// # Errors
    /// If the child or a run cannot be read.
    pub(crate) fn flush(
        &self,
        height: u8,
        range: &KeyRange,
        slot: &Slot,
        (fresh, left): (&mut Fresh, &mut u64),
    ) -> Result<Vec<Slot>> {
        self.counters.flushes.bump();
        if let Some(edge) = &slot.below
            && self
                .shelf
                .table()
                .node(edge.node.id())
                .is_some_and(|e| e.count > 1)
        {
            self.counters.flushes_shared.bump();
        }
        let mut child = self.pushed_down(height, range, slot)?;
        self.join_equal(&mut child)?;
        self.thin_out(&mut child, left)?;
        Ok(self.hang(child, fresh))
    }

    /// Merges the deltas of slots that have far too many of them, if they are small: a version inherits the layers of
    /// the one it was cloned from, and when background work is late a chain of clones would read more of them in each. Of what was not merged
    /// before at most `left` bytes, as this is a part of a step that may be done anew, or with writers kept out; background work does the rest.
    ///
    /// # Errors
    /// If a run cannot be read.
    pub(crate) fn thin_out(&self, child: &mut Node, left: &mut u64) -> Result<()> {
        let mut which = Vec::new();
        let mut merges = Vec::new();
        for (i, (range, slot)) in child.ranged_slots().enumerate() {
            let deltas =
                slot.layers.len() - usize::from(child.height == 0 && slot.layers.len() > 1);
            let bytes: u64 = slot.layers[..deltas].iter().map(|l| l.shown).sum();
            if deltas <= self.policy.crowded_layers || bytes >= self.policy.small_own {
                continue;
            }
            let bottom = slot.below.is_none() && deltas == slot.layers.len();
            let merge = Merge::one(range, slot.layers[..deltas].to_vec(), bottom);
            if self.known(&merge).is_none() {
                let Some(rest) = left.checked_sub(bytes) else {
                    continue;
                };
                *left = rest;
            }
            merges.push(merge);
            which.push((i, deltas));
        }
        let all: Vec<&Merge> = merges.iter().collect();
        for ((i, deltas), pieces) in which.into_iter().zip(run_merges(self, &all, &|| ())?) {
            // At the bottom a merge may come in pieces; it is left to background work then.
            let [(_, merged)] = &pieces[..] else { continue };
            let rest = &child.slots[i].layers[deltas..];
            child.slots[i].layers = merged.iter().chain(rest).cloned().collect();
            self.counters.thinned.bump();
        }
        Ok(())
    }

    /// Slots that lead to `child`, split into several nodes if it has too many slots.
    pub(crate) fn hang(&self, child: Node, fresh: &mut Fresh) -> Vec<Slot> {
        if child.slots.iter().all(Slot::is_empty) {
            return vec![Slot::empty(child.range.lo)];
        }
        let affinity = |i: usize| common_prefix(&child.slots[i - 1].lo, &child.slots[i].lo);
        let starts = self.policy.partition(child.slots.len(), affinity);
        if starts.len() > 1 {
            self.counters.splits.bump();
        }
        let mut slots = Vec::with_capacity(starts.len());
        for (n, &start) in starts.iter().enumerate() {
            let end = starts.get(n + 1).copied().unwrap_or(child.slots.len());
            let hi = child
                .slots
                .get(end)
                .map(|s| s.lo.clone())
                .or_else(|| child.range.hi.clone());
            let lo = child.slots[start].lo.clone();
            let range = KeyRange { lo: lo.clone(), hi };
            let part = child.slots[start..end].to_vec();
            let node = self.shelf.new_node(Node {
                height: child.height,
                range,
                slots: part,
            });
            fresh.push(node.clone());
            let below = Some(Edge {
                node,
                tr: Translation::identity(),
            });
            slots.push(Slot {
                lo,
                layers: Arc::new([]),
                below,
            });
        }
        slots
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;
    use cawdb_disk::{RamDisk, SpaceMap};
    use cawdb_node::{Cache, Compression, Key, MemRunBuilder, Message, Shelf};

    /// However many slots are crowded, a flush merges little: its result may come to nothing, and writers may wait for it.
    #[test]
    fn a_flush_thins_out_no_more_than_makes_a_run() -> Result<()> {
        let disk = Arc::new(RamDisk::new());
        let space = SpaceMap::new(1 << 20, None);
        let space = Arc::new(space.unwrap_or_else(|error| panic!("{error}")));
        let cache = Arc::new(Cache::new(1 << 20));
        let shelf = Arc::new(Shelf::new(disk, space, cache, Compression::None));
        let tree = Tree::new(shelf, Policy::tiny(64));
        let mut child = Node::empty(1, KeyRange::all());
        child.slots = (0..64_u8)
            .map(|n| Slot::empty(Key::copy_from_slice(&[n][..usize::from(n > 0)])))
            .collect();
        for value in 0..4_u8 {
            let mut content = MemRunBuilder::new();
            for key in 0..64_u8 {
                let value = Key::copy_from_slice(&[value]);
                content.push(Key::copy_from_slice(&[key]), Message::Put(value));
            }
            let run = tree.shelf.new_run(content.finish());
            child = tree.lay(&child, &[run])?;
        }
        let layers = |child: &Node| -> usize { child.slots.iter().map(|s| s.layers.len()).sum() };
        let mut before = child.clone();
        let mut left = tree.policy.run_bytes;
        tree.thin_out(&mut child, &mut left)?;
        let thinned = tree.counters.thinned.get();
        assert!(thinned > 0 && layers(&child) < layers(&before));
        let shown: u64 = child.slots[63].layers.iter().map(|l| l.shown).sum();
        assert!(thinned * shown <= tree.policy.run_bytes, "{thinned}");
        // The next one of the same step gets what is left; what is known costs nothing.
        tree.thin_out(&mut before, &mut left)?;
        assert_eq!(layers(&before), layers(&child));
        assert_eq!(tree.counters.thinned.get(), 2 * thinned);
        Ok(())
    }
}
