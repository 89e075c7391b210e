//! Equal neighbours become one slot, empty ones are absorbed. Metadata only.
//!
//! ```text
//!   cp of f1, f2, f3 one by one:     │ d/f1: r d→s │ gap │ d/f2: r d→s │ gap │ d/f3: r d→s │
//!   the same tree as one clone of s: │ d/f1 ─────────────── r d→s ─────────────────────────│
//! ```
//! Two neighbours are one if all their runs, their child and all translations agree, the translations apply to the
//! joined range, and nothing hidden shows in a gap between them; at height 0 only as long as they are small together. Normalised translations are what makes this
//! happen: they are equal although each file was cloned under its own name.

use crate::tree::Tree;
use cawdb_node::{KeyRange, Node, Result, RunRef, Slot};

impl Tree {
    /// Joins equal and empty neighbours of a node. Whether anything was joined.
    ///
    /// # Errors
    /// If a run or child cannot be read.
    pub(crate) fn join_equal(&self, node: &mut Node) -> Result<bool> {
        let mut joined: Vec<Slot> = Vec::with_capacity(node.slots.len());
        for i in 0..node.slots.len() {
            let range = node.slot_range(i);
            let slot = node.slots[i].clone();
            let Some(last) = joined.last() else {
                joined.push(slot);
                continue;
            };
            let both = last.layer_bytes() + slot.layer_bytes();
            // At height 0 a slot stays small enough not to be cut again at once.
            if node.height == 0 && both >= self.policy.run_bytes / 2 * 3 {
                joined.push(slot);
                continue;
            }
            match self.spared(self.joined(last, &slot, &range)).flatten() {
                Some(both) => *joined.last_mut().expect("it has a last slot") = both,
                None => joined.push(slot),
            }
        }
        let changed = joined.len() < node.slots.len();
        node.slots = joined;
        Ok(changed)
    }

    /// The one slot that `left` and its neighbour `right`, whose range is given, come to; none if they must stay two.
    fn joined(&self, left: &Slot, right: &Slot, right_range: &KeyRange) -> Result<Option<Slot>> {
        let left_range = KeyRange {
            lo: left.lo.clone(),
            hi: Some(right.lo.clone()),
        };
        let both = KeyRange {
            lo: left.lo.clone(),
            hi: right_range.hi.clone(),
        };
        if left.same_content(right) && applies(left, &both) {
            self.counters.equal_joins.bump();
            let sum = |(a, b): (&RunRef, &RunRef)| RunRef {
                shown: a.shown + b.shown,
                measured: a.measured && b.measured,
                ..a.clone()
            };
            let layers = left
                .layers
                .iter()
                .zip(right.layers.iter())
                .map(sum)
                .collect();
            return Ok(Some(Slot {
                layers,
                ..left.clone()
            }));
        }
        if right.is_empty() && applies(left, &both) && self.shows_nothing(left, right_range)? {
            self.counters.absorbed.bump();
            return Ok(Some(left.clone()));
        }
        if left.is_empty() && applies(right, &both) && self.shows_nothing(right, &left_range)? {
            self.counters.absorbed.bump();
            return Ok(Some(Slot {
                lo: left.lo.clone(),
                ..right.clone()
            }));
        }
        Ok(None)
    }

    /// Whether `slot` would show nothing in `range`, to which its translations apply.
    fn shows_nothing(&self, slot: &Slot, range: &KeyRange) -> Result<bool> {
        for layer in slot.layers.iter() {
            if layer.run.holds(&layer.tr.range_down(range))? {
                return Ok(false);
            }
        }
        let Some(edge) = &slot.below else {
            return Ok(true);
        };
        let shown = edge.tr.range_down(range);
        let child = self.shelf.load(&edge.node)?;
        if !child.range.covers(&shown) {
            return Ok(false);
        }
        for i in child.overlapping(&shown) {
            let part = child.slot_range(i).intersect(&shown);
            if !self.shows_nothing(&child.slots[i], &part)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn applies(slot: &Slot, range: &KeyRange) -> bool {
    let edge = slot.below.iter().map(|e| &e.tr);
    slot.layers
        .iter()
        .map(|l| &l.tr)
        .chain(edge)
        .all(|tr| tr.applies_to(range))
}
