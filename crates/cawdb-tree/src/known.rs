//! Merges that were done before, for another version, are taken from the memo without any work.
//!
//! ```text
//!   version 6      6 5 4 3 2 1 base    merged: M = 6..1
//!   version 14     14 13 12 11 10 9 8 7 6 5 4 3 2 1 base      cloned before that was done
//!   it becomes     14 13 N M base      with N = 12..7, which version 12 had merged
//! ```
//! A version inherits the layers of the one it was cloned from as they were at that moment. When background work is
//! late these are many; without this, every version of a chain would merge them for itself, each in other groups.

use crate::merge::Merge;
use crate::tree::Tree;
use cawdb_node::{KeyRange, Node, Result, RunRef};

impl Tree {
    /// Replaces rows of layers by what they are known to come to. Whether anything was replaced. O(layers) look-ups.
    ///
    /// # Errors
    /// If a run's index cannot be read.
    pub(crate) fn take_known(&self, node: &mut Node) -> Result<bool> {
        let mut changed = false;
        for i in 0..node.slots.len() {
            let range = node.slot_range(i);
            let slot = &mut node.slots[i];
            let base = usize::from(node.height == 0 && !slot.layers.is_empty());
            if slot.layers.len() - base < self.policy.merge_layers {
                continue;
            }
            let bottom = slot.below.is_none();
            let mut layers = slot.layers.to_vec();
            if self.avoids(slot) {
                continue;
            }
            loop {
                let known = self.known_once(&range, &layers, base, bottom);
                let Some(fewer) = self.spared_for([&*slot], known).flatten() else {
                    break;
                };
                layers = fewer;
            }
            if layers.len() < slot.layers.len() {
                slot.layers = layers.into();
                changed = true;
            }
        }
        Ok(changed)
    }

    /// One pass over `layers`, the last `base` of which is not a delta: at each delta the longest known row that starts
    /// there, be it a merge of deltas or one that went down to the base.
    fn known_once(
        &self,
        range: &KeyRange,
        layers: &[RunRef],
        base: usize,
        nothing_below: bool,
    ) -> Result<Option<Vec<RunRef>>> {
        let deltas = layers.len().saturating_sub(base);
        let mut fewer = Vec::with_capacity(layers.len());
        let mut at = 0;
        'layers: while at < deltas {
            for (len, oldest) in self.memo.rows(layers[at].run.id()) {
                let ends = layers
                    .get(at + len - 1)
                    .is_some_and(|l| l.run.id() == oldest);
                if len < 2 || !ends {
                    continue;
                }
                let bottom = nothing_below && at + len == layers.len();
                let merge = Merge::one(range.clone(), layers[at..at + len].to_vec(), bottom);
                let Some(pieces) = self.known(&merge) else {
                    continue;
                };
                if let [(_, layer)] = &pieces[..] {
                    self.counters.memo_hits.bump();
                    fewer.extend(layer.clone());
                    at += len;
                    continue 'layers;
                }
            }
            fewer.push(layers[at].clone());
            at += 1;
        }
        if fewer.len() == deltas && at == deltas {
            return Ok(None);
        }
        fewer.extend_from_slice(layers.get(at..).unwrap_or_default());
        Ok(Some(fewer))
    }
}
