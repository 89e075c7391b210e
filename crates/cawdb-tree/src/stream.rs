//! The ordered merge of layers: one message per key, newest layers over older ones.
//!
//! ```text
//!  layer 0 (newest)   b:patch            [d ──── f)        points lie above the delete-ranges of their own layer
//!  layer 1            a:put   c:delete        e:put
//!  ─────────────────────────────────────────────────
//!  out                a, b:patch, c:delete, [d, f)         e is hidden
//! ```
//! Invariants: keys come strictly in the stream's direction; a point hidden by a delete-range of a newer layer is
//! passed over by a seek, not by steps; a message that lies over a delete-range is merged over a delete, so
//! that what comes out never depends on what the delete-range hides.
//!
//! Layers wait in the order of their next keys, so one that has many keys before the first of any other is compared with that one key only.
//! What comes next in a layer is read when the next point is asked for: what cannot be read fails nobody who does not want it.

use cawdb_node::{Key, KeyRange, Message, Result, Run, RunCursor, Translation, successor};
use std::cmp::Ordering;
use std::sync::Arc;

pub use cawdb_node::{Direction, ReadAhead};

/// Points in key order, in one direction.
pub trait Points: Send {
    /// The point the cursor stands on, if any is left.
    ///
    /// # Errors
    /// If a segment cannot be read.
    fn peek(&mut self) -> Result<Option<&(Key, Message)>>;
    /// Takes the point the cursor stands on and steps over it.
    ///
    /// # Errors
    /// If a segment cannot be read.
    fn take(&mut self) -> Result<Option<(Key, Message)>>;
    /// Steps over all points before `key` in the cursor's direction; ascending it then stands at `key` or above,
    /// descending at `key` or below.
    ///
    /// # Errors
    /// If a segment cannot be read.
    fn seek(&mut self, key: &[u8]) -> Result<()>;
}

/// One layer of a stream.
pub struct Layer {
    /// Its points.
    pub points: Box<dyn Points>,
    /// Its delete-ranges in the stream's range, ascending and disjoint.
    pub deletes: Vec<KeyRange>,
}

impl Layer {
    /// What `run` holds in `range`, seen through `tr`.
    ///
    /// # Errors
    /// If the run cannot be read.
    pub fn of_run(
        run: &Arc<Run>,
        tr: &Translation,
        range: &KeyRange,
        (direction, ahead): (Direction, ReadAhead),
    ) -> Result<Self> {
        let down = tr.range_down(range);
        let deletes = match run.has_delete_ranges() {
            true => run
                .delete_ranges(&down)?
                .iter()
                .map(|r| tr.range_up(r))
                .collect(),
            false => Vec::new(),
        };
        let cursor = run.cursor(&down, direction, ahead)?;
        let points = Box::new(RunPoints {
            cursor,
            tr: tr.clone(),
            head: None,
        });
        Ok(Self { points, deletes })
    }

    /// The delete-range that covers `key`.
    fn covering(&self, key: &[u8]) -> Option<&KeyRange> {
        let i = self
            .deletes
            .partition_point(|r| r.lo[..] <= *key)
            .checked_sub(1)?;
        self.deletes.get(i).filter(|r| r.contains(key))
    }
}

struct RunPoints {
    cursor: RunCursor,
    tr: Translation,
    head: Option<(Key, Message)>,
}

impl Points for RunPoints {
    fn peek(&mut self) -> Result<Option<&(Key, Message)>> {
        if self.head.is_none() {
            self.head = self.take()?;
        }
        Ok(self.head.as_ref())
    }
    fn take(&mut self) -> Result<Option<(Key, Message)>> {
        match self.head.take() {
            Some(point) => Ok(Some(point)),
            None => {
                let point = self.cursor.next()?;
                Ok(point.map(|(k, m)| (self.tr.key_up(k), m)))
            }
        }
    }
    fn seek(&mut self, key: &[u8]) -> Result<()> {
        self.head = None;
        // `key` lies in the stream's range or ends it, so it carries the prefix or is its successor.
        match key.strip_prefix(self.tr.from()) {
            Some(rest) => self.cursor.seek(&[self.tr.to(), rest].concat()),
            None => successor(self.tr.to()).map_or(Ok(()), |end| self.cursor.seek(&end)),
        }
    }
}

/// The merge of layers over one range.
pub struct Stream {
    layers: Vec<Layer>,
    direction: Direction,
    has_deletes: bool,
    /// The next point of each layer that waits.
    heads: Vec<Option<(Key, Message)>>,
    /// The layers that wait, the one whose turn is next last; of those with the same key the newest.
    order: Vec<usize>,
    /// The layers whose next point is to be found before anything else, the next one last.
    unsettled: Vec<usize>,
}

impl Stream {
    /// A merge of `layers`, newest first, all over the same range and in the same direction.
    pub fn new(layers: Vec<Layer>, direction: Direction) -> Self {
        Self {
            direction,
            has_deletes: layers.iter().any(|layer| !layer.deletes.is_empty()),
            heads: layers.iter().map(|_| None).collect(),
            order: Vec::with_capacity(layers.len()),
            unsettled: (0..layers.len()).rev().collect(),
            layers,
        }
    }

    /// The delete-ranges of all layers (they may overlap).
    pub fn delete_ranges(&self) -> impl Iterator<Item = &KeyRange> {
        self.layers.iter().flat_map(|l| &l.deletes)
    }

    /// The next key and its message, merged over all layers. O(1) comparisons where one layer goes on, else O(layers).
    ///
    /// # Errors
    /// If a run cannot be read.
    #[allow(
        clippy::should_implement_trait,
        reason = "fallible; Option<Result> would be clumsier here"
    )]
    pub fn next(&mut self) -> Result<Option<(Key, Message)>> {
        while let Some(&layer) = self.unsettled.last() {
            self.settle(layer)?;
            self.unsettled.pop();
        }
        let Some((key, mut merged)) = self.take_first() else {
            return Ok(None);
        };
        while self.next_key().is_some_and(|next| *next == key) {
            if let Some((_, older)) = self.take_first() {
                merged = merged.over(older);
            }
        }
        // A delete-range that lies above a point has hidden it: whatever covers the key lies below what was merged.
        if self.has_deletes && matches!(merged, Message::Patch(_)) {
            let covered = self.layers.iter().any(|l| l.covering(&key).is_some());
            if covered {
                merged = merged.over(Message::Delete);
            }
        }
        Ok(Some((key, merged)))
    }

    fn next_key(&self) -> Option<&Key> {
        let head = self.heads[*self.order.last()?].as_ref();
        head.map(|(key, _)| key)
    }

    /// Takes the point whose turn it is; its layer is to be settled anew.
    fn take_first(&mut self) -> Option<(Key, Message)> {
        let layer = self.order.pop()?;
        self.unsettled.push(layer);
        self.heads[layer].take()
    }

    /// Finds the next point of a layer, and its place among those that wait.
    fn settle(&mut self, layer: usize) -> Result<()> {
        if self.has_deletes {
            self.pass_hidden(layer)?;
        }
        let Some((key, message)) = self.layers[layer].points.take()? else {
            return Ok(());
        };
        let waits_for = |other: &usize| {
            let there = self.heads[*other]
                .as_ref()
                .map(|(other, _)| other.cmp(&key));
            let comes = match self.direction {
                Direction::Forward => there,
                Direction::Backward => there.map(Ordering::reverse),
            };
            comes.is_some_and(|comes| comes.then(other.cmp(&layer)) == Ordering::Less)
        };
        let before = self.order.iter().rev().take_while(|other| waits_for(other));
        let place = self.order.len() - before.count();
        self.order.insert(place, layer);
        self.heads[layer] = Some((key, message));
        Ok(())
    }

    /// Moves layer `i` to its next point that no delete-range of a newer layer covers.
    fn pass_hidden(&mut self, i: usize) -> Result<()> {
        loop {
            let (newer, rest) = self.layers.split_at_mut(i);
            let Some((key, _)) = rest[0].points.peek()? else {
                return Ok(());
            };
            let Some(cover) = newer.iter().find_map(|l| l.covering(key)) else {
                return Ok(());
            };
            match (self.direction, &cover.hi) {
                (Direction::Forward, Some(hi)) => rest[0].points.seek(hi)?,
                (Direction::Backward, _) => {
                    let lo = cover.lo.clone();
                    rest[0].points.seek(&lo)?;
                    if rest[0].points.peek()?.is_some_and(|(k, _)| *k == lo) {
                        rest[0].points.take()?;
                    }
                }
                (Direction::Forward, None) => {
                    while rest[0].points.take()?.is_some() {}
                    return Ok(());
                }
            }
        }
    }
}
