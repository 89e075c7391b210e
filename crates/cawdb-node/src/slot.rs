//! Slots: what makes up the content of one key range of a node.
//!
//! ```text
//!   slot [lo, hi)      layers: RunRef, RunRef, ...   newest first
//!                      below:  Edge to a node one level lower, or nothing
//! ```
//!
//! Invariants:
//! - the content of a slot is its layers, newest first, over what is below, all restricted to the slot's range;
//!   runs and nodes may hold more than the slot shows;
//! - every translation of a slot applies to the slot's whole range;
//! - `shown` of a reference is fixed when the reference is made: the node table adds it up and takes it back.

use crate::{Key, KeyRange, NodeHandle, Result, Run, Translation};
use std::sync::Arc;

/// A reference from a slot to a run.
#[derive(Clone)]
pub struct RunRef {
    /// The run.
    pub run: Arc<Run>,
    /// From the keys of the slot's node to the keys of the run.
    pub tr: Translation,
    /// Bytes of the run that the slot shows, as measured or estimated when the reference was made, and then kept.
    pub shown: u64,
    /// Whether `shown` was measured. If not, the index alone told it, and the slot may show nothing of the run at all.
    pub measured: bool,
}

/// A reference from a slot to a node one level lower.
#[derive(Clone)]
pub struct Edge {
    /// The node.
    pub node: Arc<NodeHandle>,
    /// From the keys of the slot's node to those of the lower node.
    pub tr: Translation,
}

/// One key range of a node. Its end is the start of the next slot, or the end of the node.
#[derive(Clone)]
pub struct Slot {
    /// First key of the slot.
    pub lo: Key,
    /// The runs laid over what is below, newest first.
    pub layers: Arc<[RunRef]>,
    /// What the layers lie on.
    pub below: Option<Edge>,
}

impl RunRef {
    /// A reference that shows what `run` holds in `range` (keys of the slot's node), or none if it holds nothing there.
    ///
    /// # Errors
    /// If the run's index or an edge segment cannot be read.
    pub fn showing(run: &Arc<Run>, tr: &Translation, range: &KeyRange) -> Result<Option<Self>> {
        let down = tr.range_down(range);
        if !run.holds(&down)? {
            return Ok(None);
        }
        Ok(Some(Self {
            shown: run.measure(&down)?,
            measured: true,
            run: run.clone(),
            tr: tr.clone(),
        }))
    }

    /// Whether both references name the same run under the same translation.
    pub fn same(&self, other: &Self) -> bool {
        self.run.id() == other.run.id() && self.tr == other.tr
    }

    /// The same reference for a narrower range; none if the index says that nothing lies there. Reads no segment, but the only one of a run that
    /// the range cuts.
    ///
    /// # Errors
    /// If that or the run's index cannot be read.
    pub fn narrowed(&self, range: &KeyRange) -> Result<Option<Self>> {
        let estimate = self.run.estimate(&self.tr.range_down(range))?;
        // A part never shows more than the whole did, however coarse the index is.
        let shown = estimate.min(self.shown);
        Ok((shown > 0).then(|| Self {
            shown,
            measured: self.run.is_dirty(),
            ..self.clone()
        }))
    }

    /// The delete-ranges that the run holds in `range`, in the keys of the slot's node.
    ///
    /// # Errors
    /// If the run's index cannot be read.
    pub fn delete_ranges(&self, range: &KeyRange) -> Result<Vec<KeyRange>> {
        if !self.run.has_delete_ranges() {
            return Ok(Vec::new());
        }
        let found = self.run.delete_ranges(&self.tr.range_down(range))?;
        Ok(found.iter().map(|r| self.tr.range_up(r)).collect())
    }
}

impl Edge {
    /// Whether both edges lead to the same node under the same translation.
    pub fn same(&self, other: &Self) -> bool {
        self.node.id() == other.node.id() && self.tr == other.tr
    }
}

impl Slot {
    /// A slot that shows nothing.
    pub fn empty(lo: Key) -> Self {
        Self {
            lo,
            layers: Arc::new([]),
            below: None,
        }
    }

    /// Whether the slot names nothing at all, and so shows nothing.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty() && self.below.is_none()
    }

    /// Bytes that the layers show.
    pub fn layer_bytes(&self) -> u64 {
        self.layers.iter().map(|l| l.shown).sum()
    }

    /// Whether both slots name the same runs and the same node in the same way.
    pub fn same_content(&self, other: &Self) -> bool {
        (Arc::ptr_eq(&self.layers, &other.layers)
            || (self.layers.len() == other.layers.len()
                && self
                    .layers
                    .iter()
                    .zip(other.layers.iter())
                    .all(|(a, b)| a.same(b))))
            && same_edge(self.below.as_ref(), other.below.as_ref())
    }

    /// The slot restricted to a narrower `range`, by the runs' indexes, and by the segment of a run that has but one. O(layers).
    ///
    /// # Errors
    /// If one of them cannot be read.
    pub fn restrict(&self, range: &KeyRange) -> Result<Self> {
        let mut layers = Vec::with_capacity(self.layers.len());
        for layer in self.layers.iter() {
            layers.extend(layer.narrowed(range)?);
        }
        Ok(Self {
            lo: range.lo.clone(),
            layers: layers.into(),
            below: self.below.clone(),
        })
    }

    /// The slot as it looks through `tr`, which leads down to it: `range` is its own range. O(layers).
    pub fn seen_through(&self, tr: &Translation, range: &KeyRange) -> Self {
        if tr.is_identity() {
            return self.clone();
        }
        let layer = |l: &RunRef| RunRef {
            tr: tr.then(&l.tr),
            ..l.clone()
        };
        Self {
            lo: tr.range_up(range).lo,
            layers: self.layers.iter().map(layer).collect(),
            below: self.below.as_ref().map(|e| Edge {
                node: e.node.clone(),
                tr: tr.then(&e.tr),
            }),
        }
    }
}

/// Whether both are nothing, or lead to the same node under the same translation.
pub fn same_edge(a: Option<&Edge>, b: Option<&Edge>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => a.same(b),
        _ => false,
    }
}
