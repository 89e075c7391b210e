//! Nodes at height 0: shape, without reading data.
//!
//! ```text
//!   layers of one slot        r1 ────        cut where no run reaches across: sequential bulk data
//!                                   ──── r2  is written once and never merged
//!
//!   delta  [d ─────── f)                     cut at the ends of what a delete-range hides, and drop what
//!   base ─────────────────                   lies under it: space comes back although nothing is rewritten
//! ```

use crate::policy::common_prefix;
use crate::tree::Tree;
use cawdb_node::{Key, KeyRange, Node, Result, RunRef, Slot};

impl Tree {
    /// A node at height 0 with its slots cut where that is free, and without what nobody can see; none if
    /// there is nothing to do.
    ///
    /// # Errors
    /// If a run cannot be read.
    pub(crate) fn shape_leaf(&self, node: &Node) -> Result<Option<Node>> {
        let mut slots = Vec::with_capacity(node.slots.len());
        let mut changed = false;
        for (range, slot) in node.ranged_slots() {
            let mut pivots = self.delete_pivots(&range, slot)?;
            if pivots.is_empty() {
                pivots = self.free_pivots(&range, slot)?;
            }
            for part in pieces(&range, &pivots) {
                let mut piece = match pivots.is_empty() {
                    true => slot.clone(),
                    false => shown_part(slot, &part)?,
                };
                changed |= self.drop_dead(&part, &mut piece)?;
                slots.push(piece);
            }
            changed |= !pivots.is_empty();
        }
        let mut node = Node { slots, ..node.clone() };
        changed |= self.join_equal(&mut node)?;
        Ok(changed.then_some(node))
    }

    /// Drops what a covering delete-range hides, and then layers at the bottom that hold nothing but deletes.
    fn drop_dead(&self, range: &KeyRange, slot: &mut Slot) -> Result<bool> {
        let before = slot.layers.len();
        self.drop_hidden(range, slot)?;
        while let Some(oldest) = slot.layers.last() {
            let only_deletes = oldest.run.has_delete_ranges()
                && oldest.run.cursor(&oldest.tr.range_down(range), crate::Direction::Forward)?.next()?.is_none();
            if !only_deletes {
                break;
            }
            slot.layers = slot.layers[..slot.layers.len() - 1].into();
        }
        Ok(slot.layers.len() < before)
    }

    /// The ends of the first delete-range in the slot that hides much of it.
    fn delete_pivots(&self, range: &KeyRange, slot: &Slot) -> Result<Vec<Key>> {
        for (i, layer) in slot.layers.iter().enumerate() {
            for deleted in layer.delete_ranges(range)? {
                let mut hidden = 0;
                for older in &slot.layers[i + 1..] {
                    hidden += older.run.estimate(&older.tr.range_down(&deleted))?;
                }
                if hidden >= self.policy.hidden_bytes && deleted != *range {
                    self.counters.delete_cuts.bump();
                    let inside = |key: &Key| *key > range.lo && range.contains(key);
                    return Ok([Some(deleted.lo), deleted.hi].into_iter().flatten().filter(inside).collect());
                }
            }
        }
        Ok(Vec::new())
    }

    /// Where a big slot can be cut without cutting through a run, or, if it has but one, through that run.
    fn free_pivots(&self, range: &KeyRange, slot: &Slot) -> Result<Vec<Key>> {
        let aim = self.policy.run_bytes;
        let pivots = match &slot.layers[..] {
            [only] if only.shown >= 2 * aim => {
                let inside = only.run.split_keys(&only.tr.range_down(range), aim)?;
                inside.iter().map(|key| only.tr.key_up(key)).collect()
            }
            [_, _, ..] if slot.layer_bytes() >= aim + aim / 2 => pivots_between(range, slot, aim)?,
            _ => Vec::new(),
        };
        if !pivots.is_empty() {
            self.counters.free_cuts.bump();
        }
        Ok(pivots)
    }
}

/// Pivots between groups of runs that do not overlap; each group shows at least `aim` bytes if it can.
fn pivots_between(range: &KeyRange, slot: &Slot, aim: u64) -> Result<Vec<Key>> {
    let mut spans: Vec<(KeyRange, u64)> = Vec::new();
    for layer in slot.layers.iter() {
        if let Some(span) = layer.run.span(&layer.tr.range_down(range))? {
            spans.push((layer.tr.range_up(&span), layer.shown));
        }
    }
    spans.sort_by(|a, b| a.0.lo.cmp(&b.0.lo));
    let mut pivots = Vec::new();
    let mut end: Option<Key> = Some(Key::new());
    let mut bytes = 0;
    for (span, shown) in spans {
        if let Some(end) = end.as_ref().filter(|end| **end <= span.lo && bytes >= aim) {
            pivots.push(separator(end, &span.lo));
            bytes = 0;
        }
        bytes += shown;
        end = match (end, span.hi) {
            (Some(a), Some(b)) => Some(a.max(b)),
            _ => None,
        };
    }
    pivots.retain(|key| *key > range.lo && range.contains(key));
    Ok(pivots)
}

/// The shortest key that is at least `end` and at most `next`.
fn separator(end: &Key, next: &Key) -> Key {
    let common = common_prefix(end, next);
    if common < next.len() { next.slice(..=common) } else { next.clone() }
}

/// The parts of `range` between `pivots`.
pub(crate) fn pieces(range: &KeyRange, pivots: &[Key]) -> Vec<KeyRange> {
    let mut parts = Vec::with_capacity(pivots.len() + 1);
    let mut lo = range.lo.clone();
    for pivot in pivots {
        parts.push(KeyRange { lo: std::mem::replace(&mut lo, pivot.clone()), hi: Some(pivot.clone()) });
    }
    parts.push(KeyRange { lo, hi: range.hi.clone() });
    parts
}

/// What `slot` shows in a part of its range: exactly the layers that hold something there.
pub(crate) fn shown_part(slot: &Slot, part: &KeyRange) -> Result<Slot> {
    let layers = shown_layers(&slot.layers, part)?;
    Ok(Slot { lo: part.lo.clone(), layers: layers.into(), below: slot.below.clone() })
}

/// Those of `layers` that hold something in `part`.
pub(crate) fn shown_layers(layers: &[RunRef], part: &KeyRange) -> Result<Vec<RunRef>> {
    let mut shown = Vec::with_capacity(layers.len());
    for layer in layers {
        shown.extend(RunRef::showing(&layer.run, &layer.tr, part)?);
    }
    Ok(shown)
}
