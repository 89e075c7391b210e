//! The shape of a node above height 0: which children it has, and how wide they are.
//!
//! Steps, each of which leaves the content as it is: flush what is heavy, split what is too wide, join what is too
//! narrow, restrict a child to what its only parent shows of it. Join is what keeps the height that of plain data:
//! without it the height grows with the number of clones.

use crate::flush::Fresh;
use crate::tree::Tree;
use cawdb_node::{Edge, KeyRange, Node, Result, Slot};

/// Up to this height joins may wait for merges: 24 to the sixth power bases of 4 MiB are 700 TiB.
const LATE_HEIGHT: u8 = 6;

/// What a step came to.
pub(crate) struct Reshaped {
    /// The new node.
    pub node: Node,
    /// Nodes that it names for the first time.
    pub fresh: Fresh,
}

/// How wide a child is.
struct Width {
    slots: usize,
    /// Of all these slots.
    layers: usize,
}

impl Tree {
    /// A node above height 0, put in shape; none if it is. `eager` flushes deletes however few bytes they hide. Children that are not in
    /// memory are read to see how wide they are if it `reads`, or else taken for neither too wide nor too narrow.
    ///
    /// # Errors
    /// If a child or a run cannot be read.
    pub(crate) fn reshape(
        &self,
        node: &Node,
        eager: bool,
        reads: bool,
    ) -> Result<Option<Reshaped>> {
        let mut node = node.clone();
        let mut fresh = Fresh::new();
        let mut changed = self.measure(&mut node)?;
        changed |= self.take_known(&mut node)?;
        changed |= self.flush_heavy(&mut node, eager, reads, &mut fresh)?;
        changed |= self.narrow_children(&mut node, reads, &mut fresh)?;
        changed |= self.join_equal(&mut node)?;
        changed |= self.join_children(&mut node, reads, &mut fresh)?;
        Ok(changed.then_some(Reshaped { node, fresh }))
    }

    /// Flushes every slot that holds many bytes, hides many, or leads to a child with too many slots.
    fn flush_heavy(
        &self,
        node: &mut Node,
        eager: bool,
        reads: bool,
        fresh: &mut Fresh,
    ) -> Result<bool> {
        let mut slots = Vec::with_capacity(node.slots.len());
        let mut changed = false;
        let mut left = self.policy.run_bytes;
        for (range, slot) in node.ranged_slots() {
            let flushed = match self.avoids(slot) {
                true => None,
                false => {
                    let wanted = self.wants_flush(&range, slot, eager, reads);
                    let flushed = wanted.and_then(|wanted| match wanted {
                        true => {
                            let flushed = self.flush(node.height, &range, slot, (fresh, &mut left));
                            flushed.map(Some)
                        }
                        false => Ok(None),
                    });
                    self.spared_for([slot], flushed).flatten()
                }
            };
            changed |= flushed.is_some();
            slots.extend(flushed.unwrap_or_else(|| vec![slot.clone()]));
        }
        node.slots = slots;
        Ok(changed)
    }

    /// Whether a slot is to be flushed.
    fn wants_flush(&self, range: &KeyRange, slot: &Slot, eager: bool, reads: bool) -> Result<bool> {
        Ok(self.is_heavy(range, slot, eager)?
            || self
                .visible_slots(range, slot, reads)?
                .is_some_and(|n| n > self.policy.fanout))
    }

    fn is_heavy(&self, range: &KeyRange, slot: &Slot, eager: bool) -> Result<bool> {
        if slot.layers.is_empty() {
            return Ok(false);
        }
        let weight: u64 = slot.layers.iter().map(|l| self.policy.weight(l)).sum();
        if weight >= self.policy.flush_bytes {
            return Ok(true);
        }
        if eager
            && slot
                .layers
                .iter()
                .any(|l| l.run.deletes() > 0 || l.run.has_delete_ranges())
        {
            return Ok(true);
        }
        Ok(self.hidden(range, slot)? >= self.policy.hidden_bytes)
    }

    /// Bytes that the delete-ranges of a slot's layers hide in it, about; counts no further than is needed to
    /// know that they are many. A delete weighs what it hides, or space would never come back.
    fn hidden(&self, range: &KeyRange, slot: &Slot) -> Result<u64> {
        let enough = self.policy.hidden_bytes;
        let mut sum = 0;
        for (i, layer) in slot.layers.iter().enumerate() {
            for deleted in layer.delete_ranges(range)? {
                for older in &slot.layers[i + 1..] {
                    sum += older.run.estimate(&older.tr.range_down(&deleted))?;
                }
                if let (Some(edge), true) = (&slot.below, sum < enough) {
                    sum += self.bytes_below(edge, &deleted, enough - sum)?;
                }
                if sum >= enough {
                    return Ok(sum);
                }
            }
        }
        Ok(sum)
    }

    /// Bytes that the child shows in `range` (keys of the edge's upper end), about, up to `enough`.
    fn bytes_below(&self, edge: &Edge, range: &KeyRange, enough: u64) -> Result<u64> {
        let shown = edge.tr.range_down(range);
        let child = self.shelf.load_below(edge, &shown)?;
        let mut sum = 0;
        for i in child.overlapping(&shown) {
            let part = child.slot_range(i).intersect(&shown);
            let whole = part == child.slot_range(i);
            let slot = &child.slots[i];
            for layer in slot.layers.iter() {
                sum += match whole {
                    true => layer.shown,
                    false => layer.run.estimate(&layer.tr.range_down(&part))?,
                };
            }
            if let (Some(below), true) = (&slot.below, sum < enough) {
                sum += self.bytes_below(below, &part, enough - sum)?;
            }
            if sum >= enough {
                break;
            }
        }
        Ok(sum)
    }

    /// How many slots of the child a slot shows; none if the child is not in memory and not to be read.
    fn visible_slots(&self, range: &KeyRange, slot: &Slot, reads: bool) -> Result<Option<usize>> {
        Ok(self.width(range, slot, reads)?.map(|width| width.slots))
    }

    /// What the child would be if the slot's layers lay on what the slot shows of it: one slot if it has no child; none if the child is not
    /// in memory and not to be read.
    fn width(&self, range: &KeyRange, slot: &Slot, reads: bool) -> Result<Option<Width>> {
        let own = slot.layers.len();
        let Some(edge) = &slot.below else {
            let (slots, layers) = (1, own);
            return Ok(Some(Width { slots, layers }));
        };
        let child = match reads {
            true => Some(self.shelf.load(&edge.node)?),
            false => edge.node.loaded(),
        };
        Ok(child.map(|child| {
            let shown = child.overlapping(&edge.tr.range_down(range));
            let slots = shown.len();
            let below: usize = child.slots[shown].iter().map(|s| s.layers.len()).sum();
            let layers = below + own * slots;
            Width { slots, layers }
        }))
    }

    /// Joins adjacent children that together hold few slots, recursively through the nodes this makes. From left to right: one that might be
    /// joined to a neighbour on its left that was not read waits for that, or what is narrow would be joined to a child that versions share.
    ///
    /// Crowded ones wait until merges have thinned them out: a join lays all layers on slots of its own, so of a child that versions share
    /// each would keep and merge its own references to them. What has few layers is joined meanwhile, so the height stays logarithmic; above
    /// a height that no data reaches nothing waits.
    fn join_children(&self, node: &mut Node, reads: bool, fresh: &mut Fresh) -> Result<bool> {
        let mut widths = Vec::with_capacity(node.slots.len());
        let mut waits = Vec::with_capacity(node.slots.len());
        let mut left_known = true;
        let mut late = None;
        for (range, slot) in node.ranged_slots() {
            // What cannot be read, or is not, is joined to nothing.
            let width = self.spared(self.width(&range, slot, reads));
            let width = width.flatten();
            let slots = width.as_ref().map_or(self.policy.join, |w| w.slots);
            waits.push(!left_known || late.is_some_and(|left| left + slots <= self.policy.join));
            left_known = reads || width.is_some();
            let is_late = node.height <= LATE_HEIGHT
                && width.is_some_and(|w| self.policy.is_crowded(w.slots, w.layers));
            late = is_late.then_some(slots);
            if is_late && slots < self.policy.join {
                self.counters.joins_late.bump();
            }
            widths.push(if is_late { self.policy.join } else { slots });
        }
        let mut slots = Vec::with_capacity(node.slots.len());
        let mut start = 0;
        while start < widths.len() {
            let mut end = start + 1;
            let mut width = widths[start];
            while end < widths.len()
                && !waits[start]
                && width + widths[end] <= self.policy.join
                && !self.avoids(&node.slots[start])
                && !self.avoids(&node.slots[end])
            {
                width += widths[end];
                end += 1;
            }
            if end - start < 2 {
                slots.push(node.slots[start].clone());
            } else {
                let joined = self.joined_children(node, start..end, reads, fresh);
                let joined = self.spared_for(&node.slots[start..end], joined);
                if joined.is_some() {
                    self.counters.joins.add((end - start - 1) as u64);
                }
                slots.extend(joined.unwrap_or_else(|| node.slots[start..end].to_vec()));
            }
            start = end;
        }
        let changed = slots.len() < node.slots.len();
        node.slots = slots;
        Ok(changed)
    }

    fn joined_children(
        &self,
        node: &Node,
        which: std::ops::Range<usize>,
        reads: bool,
        fresh: &mut Fresh,
    ) -> Result<Vec<Slot>> {
        let range = KeyRange {
            lo: node.slots[which.start].lo.clone(),
            hi: node.slot_range(which.end - 1).hi,
        };
        let mut slots = Vec::new();
        for i in which {
            slots.extend(
                self.pushed_down(node.height, &node.slot_range(i), &node.slots[i])?
                    .slots,
            );
        }
        let mut child = Node {
            height: node.height - 1,
            range,
            slots,
        };
        self.join_equal(&mut child)?;
        if child.height > 0 {
            self.join_children(&mut child, reads, fresh)?;
        }
        self.thin_out(&mut child, &mut { self.policy.run_bytes })?;
        Ok(self.hang(child, fresh))
    }

    /// Restricts every child that only this node refers to and that holds slots which this node does not show.
    fn narrow_children(&self, node: &mut Node, reads: bool, fresh: &mut Fresh) -> Result<bool> {
        let mut changed = false;
        for i in 0..node.slots.len() {
            let Some(edge) = node.slots[i].below.clone() else {
                continue;
            };
            if !reads && edge.node.missing().is_some() {
                continue;
            }
            if self
                .shelf
                .table()
                .node(edge.node.id())
                .is_none_or(|e| e.count != 1)
            {
                continue;
            }
            let shown = edge.tr.range_down(&node.slot_range(i));
            let narrow = self.shelf.load_below(&edge, &shown).and_then(|child| {
                match child.overlapping(&shown).len() == child.slots.len() {
                    true => Ok(None),
                    false => child.restrict(&shown).map(Some),
                }
            });
            let Some(narrow) = self.spared(narrow).flatten() else {
                continue;
            };
            let narrow = self.shelf.new_node(narrow);
            fresh.push(narrow.clone());
            node.slots[i].below = Some(Edge {
                node: narrow,
                tr: edge.tr,
            });
            self.counters.narrowed.bump();
            changed = true;
        }
        Ok(changed)
    }

    /// The root with as many levels as it needs: split if it has too many slots, replaced by its child if that is
    /// its only one. Every other step of shaping comes before.
    ///
    /// # Errors
    /// If the child cannot be read.
    pub(crate) fn level(&self, root: &Node, fresh: &mut Fresh) -> Result<Option<Node>> {
        if root.slots.len() > self.policy.fanout {
            self.counters.root_splits.bump();
            let (height, range) = (root.height + 1, root.range.clone());
            return Ok(Some(Node {
                height,
                range,
                slots: self.hang(root.clone(), fresh),
            }));
        }
        if root.height > 0 && root.slots.len() == 1 {
            self.counters.root_collapses.bump();
            return Ok(Some(self.pushed_down(
                root.height,
                &root.range,
                &root.slots[0],
            )?));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;
    use cawdb_disk::{RamDisk, SpaceMap};
    use cawdb_node::{Cache, Compression, Key, MemRunBuilder, Message, Shelf, Translation};
    use std::sync::Arc;

    fn tree() -> Tree {
        let disk = Arc::new(RamDisk::new());
        let space = SpaceMap::new(1 << 20, None);
        let space = Arc::new(space.unwrap_or_else(|error| panic!("{error}")));
        let cache = Arc::new(Cache::new(1 << 20));
        let shelf = Arc::new(Shelf::new(disk, space, cache, Compression::None));
        Tree::new(shelf, Policy::tiny(8))
    }

    /// A node of two narrow children, each of two slots with so many layers; and `own` on the slot of each.
    fn narrow_twins(tree: &Tree, layers: u8, own: u8) -> Result<Node> {
        let keys = |letters: &str| -> Vec<Key> {
            let key = |letter: char| Key::from(letter.to_string());
            letters.chars().map(key).collect()
        };
        let lay = |mut node: Node, letters: &str, times: u8| -> Result<Node> {
            for value in 0..times {
                let mut content = MemRunBuilder::new();
                for key in keys(letters) {
                    content.push(key, Message::Put(Key::copy_from_slice(&[value])));
                }
                node = tree.lay(&node, &[tree.shelf.new_run(content.finish())])?;
            }
            Ok(node)
        };
        let twin = |letters: &str, range: KeyRange| -> Result<Slot> {
            let mut child = Node::empty(0, range.clone());
            child.slots = keys(letters).into_iter().map(Slot::empty).collect();
            child.slots[0].lo = range.lo.clone();
            let node = tree.shelf.new_node(lay(child, letters, layers)?);
            let mut slot = Slot::empty(range.lo);
            let tr = Translation::identity();
            slot.below = Some(Edge { node, tr });
            Ok(slot)
        };
        let (lo, hi) = (Key::new(), Key::from("c"));
        let left = KeyRange {
            lo,
            hi: Some(hi.clone()),
        };
        let right = KeyRange { lo: hi, hi: None };
        let mut node = Node::empty(1, KeyRange::all());
        node.slots = vec![twin("ab", left)?, twin("cd", right)?];
        lay(node, "abcd", own)
    }

    /// A join lays all layers on slots of its own, so that of what clones share each would have its own to merge.
    #[test]
    fn what_merges_are_to_thin_out_is_joined_later() -> Result<()> {
        let tree = tree();
        let most = u8::try_from(2 * tree.policy.max_layers).unwrap_or(u8::MAX);
        for (layers, own, joined) in [
            (1, 0, true),
            (most, 0, true),
            (most + 1, 0, false),
            (most - 3, 3, true),
            (most - 3, 4, false),
        ] {
            let mut node = narrow_twins(&tree, layers, own)?;
            let changed = tree.join_children(&mut node, true, &mut Fresh::new())?;
            assert_eq!(changed, joined, "{layers} layers, {own} on the slot");
            assert_eq!(node.slots.len(), if joined { 1 } else { 2 });
        }
        Ok(())
    }
}
