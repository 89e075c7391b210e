//! Nodes at height 0: shape, without reading data.
//!
//! ```text
//!   layers of one slot        r1 ────        cut where a run begins or ends: sequential bulk data
//!                                   ──── r2  is written once and never merged
//!
//!   delta  [d ─────── f)                     cut at the ends of what a delete-range hides, and drop what
//!   base ─────────────────                   lies under it: space comes back although nothing is rewritten
//! ```

use crate::stream::{Direction, ReadAhead};
use crate::tree::Tree;
use cawdb_node::{Key, KeyRange, Node, Result, RunRef, Slot};

impl Tree {
    /// A node at height 0 with its slots cut where that is free, and without what nobody can see; none if
    /// there is nothing to do.
    ///
    /// # Errors
    /// If a run cannot be read.
    pub(crate) fn shape_leaf(&self, node: &Node) -> Result<Option<Node>> {
        let mut node = node.clone();
        let mut changed = self.measure(&mut node)?;
        changed |= self.take_known(&mut node)?;
        let mut slots = Vec::with_capacity(node.slots.len());
        for (range, slot) in node.ranged_slots() {
            let shaped = match self.avoids(slot) {
                true => None,
                false => self.spared_for([slot], self.shape_slot(&range, slot)),
            };
            let (parts, reshaped) = shaped.unwrap_or_else(|| (vec![slot.clone()], false));
            slots.extend(parts);
            changed |= reshaped;
        }
        node.slots = slots;
        changed |= self.join_equal(&mut node)?;
        Ok(changed.then_some(node))
    }

    /// What a slot becomes, and whether that is anything else than it was.
    fn shape_slot(&self, range: &KeyRange, slot: &Slot) -> Result<(Vec<Slot>, bool)> {
        let mut pivots = self.delete_pivots(range, slot)?;
        if pivots.is_empty() {
            pivots = self.free_pivots(range, slot)?;
        }
        let (mut slots, mut changed) = (Vec::new(), !pivots.is_empty());
        for part in pieces(range, &pivots) {
            let mut piece = match pivots.is_empty() {
                true => slot.clone(),
                false => shown_part(slot, &part)?,
            };
            changed |= self.drop_dead(&part, &mut piece)?;
            slots.push(piece);
        }
        Ok((slots, changed))
    }

    /// Measures what the slots show where only an index told it when they were cut, and drops layers of which they
    /// show nothing: those would keep neighbours from becoming one.
    ///
    /// # Errors
    /// If a run cannot be read.
    pub(crate) fn measure(&self, node: &mut Node) -> Result<bool> {
        let mut changed = false;
        for i in 0..node.slots.len() {
            if node.slots[i].layers.iter().all(|l| l.measured) {
                continue;
            }
            let range = node.slot_range(i);
            let slot = &node.slots[i];
            if self.avoids(slot) {
                continue;
            }
            if let Some(shown) = self.spared_for([slot], shown_part(slot, &range)) {
                node.slots[i] = shown;
                changed = true;
            }
        }
        Ok(changed)
    }

    /// Drops what a covering delete-range hides, and then layers at the bottom that hold nothing but deletes.
    fn drop_dead(&self, range: &KeyRange, slot: &mut Slot) -> Result<bool> {
        let before = slot.layers.len();
        self.drop_hidden(range, slot)?;
        while let Some(oldest) = slot.layers.last() {
            let only_deletes = oldest.run.has_delete_ranges()
                && oldest
                    .run
                    .cursor(
                        &oldest.tr.range_down(range),
                        Direction::Forward,
                        ReadAhead::ADAPTIVE,
                    )?
                    .next()?
                    .is_none();
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
                    return Ok([Some(deleted.lo), deleted.hi]
                        .into_iter()
                        .flatten()
                        .filter(inside)
                        .collect());
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
                // A pivot outlives the index that its key lies in.
                let copied = inside.iter().map(|key| Key::copy_from_slice(key));
                copied.map(|key| only.tr.key_up(key)).collect()
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

/// Pivots where a run of some size begins or ends, so that on one side of each there is a layer less. A run may
/// well reach across with nothing at the pivot; both sides then name it. No piece shows less than half of `aim`.
fn pivots_between(range: &KeyRange, slot: &Slot, aim: u64) -> Result<Vec<Key>> {
    let mut ends = Vec::new();
    for layer in slot.layers.iter().filter(|l| l.shown >= aim / 4) {
        if let Some(span) = layer.run.span(&layer.tr.range_down(range))? {
            let span = layer.tr.range_up(&span);
            ends.extend(std::iter::once(span.lo).chain(span.hi));
        }
    }
    ends.retain(|key| *key > range.lo && range.contains(key));
    ends.sort();
    ends.dedup();
    let mut pivots: Vec<Key> = Vec::new();
    let mut rest = shown_bytes(slot, range)?;
    let mut lo = range.lo.clone();
    for end in ends {
        let bytes = shown_bytes(
            slot,
            &KeyRange {
                lo: lo.clone(),
                hi: Some(end.clone()),
            },
        )?;
        if bytes >= aim / 2 && rest.saturating_sub(bytes) >= aim / 2 {
            rest -= bytes;
            lo = end.clone();
            pivots.push(end);
        }
    }
    Ok(pivots)
}

/// Bytes that the layers of a slot show in `range`, about.
fn shown_bytes(slot: &Slot, range: &KeyRange) -> Result<u64> {
    let mut sum = 0;
    for layer in slot.layers.iter() {
        sum += layer.run.estimate(&layer.tr.range_down(range))?;
    }
    Ok(sum)
}

/// The parts of `range` between `pivots`.
pub(crate) fn pieces(range: &KeyRange, pivots: &[Key]) -> Vec<KeyRange> {
    let mut parts = Vec::with_capacity(pivots.len() + 1);
    let mut lo = range.lo.clone();
    for pivot in pivots {
        parts.push(KeyRange {
            lo: std::mem::replace(&mut lo, pivot.clone()),
            hi: Some(pivot.clone()),
        });
    }
    parts.push(KeyRange {
        lo,
        hi: range.hi.clone(),
    });
    parts
}

/// What `slot` shows in a part of its range: exactly the layers that hold something there.
pub(crate) fn shown_part(slot: &Slot, part: &KeyRange) -> Result<Slot> {
    let layers = shown_layers(&slot.layers, part)?;
    Ok(Slot {
        lo: part.lo.clone(),
        layers: layers.into(),
        below: slot.below.clone(),
    })
}

/// Those of `layers` that hold something in `part`.
pub(crate) fn shown_layers(layers: &[RunRef], part: &KeyRange) -> Result<Vec<RunRef>> {
    let mut shown = Vec::with_capacity(layers.len());
    for layer in layers {
        shown.extend(RunRef::showing(&layer.run, &layer.tr, part)?);
    }
    Ok(shown)
}
