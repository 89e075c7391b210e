//! What the foreground does to a root: lay runs on it, cut it, clone ranges of it. Pure: a root goes in, a new one
//! comes out, and the caller counts and publishes it.
//!
//! ```text
//!   clone [a, c) to [x, z):        root   │ ..a │ a──c │ c.. │ ..x │ x──z │ z.. │
//!                                                  └──► one child ◄──┘ x→a
//! ```
//! Some four slots are touched, whatever the size of the ranges: no run is read, no child is changed. A child of
//! which the source shows only a part is restricted first, and both share the restricted one, so that the clone
//! does not pin what lies beside its source.

use crate::tree::Tree;
use cawdb_node::{
    Edge, Error, Key, KeyRange, Node, Result, Run, RunRef, Slot, Translation, successor,
};
use std::sync::Arc;

/// One range to clone: every key of `source` starts with `from`, which becomes `to`.
pub struct CloneSpec {
    /// What is cloned.
    pub source: KeyRange,
    /// Prefix of all its keys.
    pub from: Key,
    /// What replaces the prefix.
    pub to: Key,
}

impl CloneSpec {
    /// Where the clone goes.
    ///
    /// # Errors
    /// If not every key of the source carries the prefix, or the source is empty.
    pub fn destination(&self) -> Result<KeyRange> {
        let ends = |prefix: &Key| successor(prefix);
        let fits = match (&self.source.hi, ends(&self.from)) {
            (_, None) => true,
            (Some(hi), Some(end)) => *hi <= end,
            (None, Some(_)) => false,
        };
        if self.source.is_empty() || !self.source.lo.starts_with(&self.from) || !fits {
            return Err(Error::Invalid(format!(
                "cannot clone {:?}: not all its keys start with {:?}",
                self.source, self.from
            )));
        }
        let moved = |key: &Key| Key::from([&self.to, &key[self.from.len()..]].concat());
        let hi = match &self.source.hi {
            Some(hi) if hi.starts_with(&self.from) => Some(moved(hi)),
            _ => ends(&self.to),
        };
        Ok(KeyRange {
            lo: moved(&self.source.lo),
            hi,
        })
    }
}

impl Tree {
    /// The root with `runs` laid on it, as the newest layers. The runs must not overlap.
    ///
    /// # Errors
    /// If a run cannot be read (runs in memory always can).
    pub fn lay(&self, root: &Node, runs: &[Arc<Run>]) -> Result<Node> {
        let mut root = root.clone();
        let identity = Translation::identity();
        for run in runs {
            self.counters.sealed_runs.bump();
            let Some(span) = run.span(&KeyRange::all())? else {
                continue;
            };
            for i in root.overlapping(&span) {
                let range = root.slot_range(i);
                let Some(layer) = RunRef::showing(run, &identity, &range)? else {
                    continue;
                };
                let slot = &mut root.slots[i];
                // Of the older layers nothing is read: one that cannot be must not keep others from being written.
                if covers_all(&layer, &range)? {
                    self.counters.range_drops.bump();
                    slot.layers = [layer].into();
                    slot.below = None;
                    continue;
                }
                slot.layers = std::iter::once(layer)
                    .chain(slot.layers.iter().cloned())
                    .collect();
            }
        }
        Ok(root)
    }

    /// The root with ranges cloned. All sources are read from the root as it comes in; destinations are replaced
    /// whole. O(slots of the ranges at the root), and one child restricted at each end of a source.
    ///
    /// # Errors
    /// If a range is not valid, or a child or run index cannot be read.
    pub fn clone_ranges(&self, root: &Node, clones: &[CloneSpec]) -> Result<Node> {
        let mut root = root.clone();
        let mut cloned = Vec::with_capacity(clones.len());
        for clone in clones {
            let destination = clone.destination()?;
            self.counters.clones.bump();
            self.share(&mut root, &clone.source)?;
            // From the keys of the clone to those of its source.
            let tr = Translation::new(clone.to.clone(), clone.from.clone());
            let slots: Vec<_> = root
                .overlapping(&clone.source)
                .map(|i| root.slots[i].seen_through(&tr, &root.slot_range(i)))
                .collect();
            cloned.push((destination, slots));
        }
        for (destination, slots) in cloned {
            self.cut_out(&mut root, &destination, slots)?;
        }
        Ok(root)
    }

    /// Makes the ends of `source` pivots, and restricts each child of which it shows only a part.
    fn share(&self, root: &mut Node, source: &KeyRange) -> Result<()> {
        self.cut(root, &source.lo)?;
        if let Some(hi) = &source.hi {
            self.cut(root, hi)?;
        }
        for i in root.overlapping(source) {
            let Some(edge) = &root.slots[i].below else {
                continue;
            };
            let shown = edge.tr.range_down(&root.slot_range(i));
            let child = self.shelf.load_below(edge, &shown)?;
            if child.range == shown {
                continue;
            }
            let node = self.shelf.new_node(child.restrict(&shown)?);
            let tr = edge.tr.clone();
            root.slots[i].below = Some(Edge { node, tr });
            self.counters.shared_children.bump();
        }
        Ok(())
    }

    /// Makes `key` a pivot of the root: a slot that holds it becomes two that share layers and child.
    fn cut(&self, root: &mut Node, key: &Key) -> Result<()> {
        if !root.range.contains(key) {
            return Ok(());
        }
        let i = root.find(key);
        if root.slots[i].lo == *key {
            return Ok(());
        }
        let whole = root.slot_range(i);
        let left = KeyRange {
            lo: whole.lo,
            hi: Some(key.clone()),
        };
        let right = KeyRange {
            lo: key.clone(),
            hi: whole.hi,
        };
        let halves = [
            root.slots[i].restrict(&left)?,
            root.slots[i].restrict(&right)?,
        ];
        root.slots.splice(i..=i, halves);
        self.counters.cuts.bump();
        Ok(())
    }

    /// Replaces what the root shows in `range` by `slots`, which cover exactly that range.
    fn cut_out(&self, root: &mut Node, range: &KeyRange, slots: Vec<Slot>) -> Result<()> {
        self.cut(root, &range.lo)?;
        if let Some(hi) = &range.hi {
            self.cut(root, hi)?;
        }
        let old = root.overlapping(range);
        root.slots.splice(old, slots);
        Ok(())
    }

    /// Drops from a slot what a delete-range hides that covers the slot whole.
    ///
    /// # Errors
    /// If a run's index cannot be read.
    pub(crate) fn drop_hidden(&self, range: &KeyRange, slot: &mut Slot) -> Result<()> {
        for (i, layer) in slot.layers.iter().enumerate() {
            if covers_all(layer, range)? && (i + 1 < slot.layers.len() || slot.below.is_some()) {
                slot.layers = slot.layers[..=i].into();
                slot.below = None;
                self.counters.range_drops.bump();
                break;
            }
        }
        Ok(())
    }
}

/// Whether a delete-range of `layer` covers all of `range`.
fn covers_all(layer: &RunRef, range: &KeyRange) -> Result<bool> {
    Ok(layer.delete_ranges(range)?.iter().any(|d| d.covers(range)))
}
