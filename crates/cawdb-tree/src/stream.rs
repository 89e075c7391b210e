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
//! One layer often has many keys before the first of any other: it leads, and is compared with that one key only.

use cawdb_node::{Key, KeyRange, Message, Result, Run, RunCursor, Translation, successor};
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
            self.head = self.cursor.next()?.map(|(k, m)| (self.tr.key_up(&k), m));
        }
        Ok(self.head.as_ref())
    }
    fn take(&mut self) -> Result<Option<(Key, Message)>> {
        self.peek()?;
        Ok(self.head.take())
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

/// Whether `a` comes before `b` on the way.
fn is_before(direction: Direction, a: &Key, b: &Key) -> bool {
    match direction {
        Direction::Forward => a < b,
        Direction::Backward => a > b,
    }
}

/// The merge of layers over one range.
pub struct Stream {
    layers: Vec<Layer>,
    direction: Direction,
    /// Whether some layer has delete-ranges: then nothing leads.
    has_deletes: bool,
    lead: Option<Lead>,
}

/// A layer that had the front, and where the others were then.
struct Lead {
    layer: usize,
    /// The first key of all others; none if they have come to their ends.
    until: Option<Key>,
}

impl Stream {
    /// A merge of `layers`, newest first, all over the same range and in the same direction.
    pub fn new(layers: Vec<Layer>, direction: Direction) -> Self {
        let has_deletes = layers.iter().any(|layer| !layer.deletes.is_empty());
        Self {
            layers,
            direction,
            has_deletes,
            lead: None,
        }
    }

    /// The delete-ranges of all layers (they may overlap).
    pub fn delete_ranges(&self) -> impl Iterator<Item = &KeyRange> {
        self.layers.iter().flat_map(|l| &l.deletes)
    }

    /// The next key and its message, merged over all layers.
    ///
    /// # Errors
    /// If a run cannot be read.
    #[allow(
        clippy::should_implement_trait,
        reason = "fallible; Option<Result> would be clumsier here"
    )]
    pub fn next(&mut self) -> Result<Option<(Key, Message)>> {
        if let Some(point) = self.next_of_lead()? {
            return Ok(Some(point));
        }
        let Some(key) = self.front()? else {
            return Ok(None);
        };
        let mut merged: Option<Message> = None;
        for layer in &mut self.layers {
            if layer.points.peek()?.is_some_and(|(k, _)| *k == key) {
                let older = layer.points.take()?.map(|(_, m)| m);
                merged = match (merged, older) {
                    (Some(newer), Some(older)) => Some(newer.over(older)),
                    (newer, older) => newer.or(older),
                };
            }
            let hidden = !matches!(merged, Some(Message::Patch(_))) || layer.deletes.is_empty();
            if !hidden && layer.covering(&key).is_some() {
                merged = merged.map(|m| m.over(Message::Delete));
            }
        }
        Ok(merged.map(|m| (key, m)))
    }

    /// The next point of the layer that leads, if it comes before all others.
    fn next_of_lead(&mut self) -> Result<Option<(Key, Message)>> {
        let Some(Lead { layer, until }) = &self.lead else {
            return Ok(None);
        };
        let points = &mut self.layers[*layer].points;
        let leads = points.peek()?.is_some_and(|(key, _)| match until {
            Some(until) => is_before(self.direction, key, until),
            None => true,
        });
        if leads {
            return points.take();
        }
        self.lead = None;
        Ok(None)
    }

    /// The first key, in the stream's direction, that some layer shows. That layer leads from here on.
    fn front(&mut self) -> Result<Option<Key>> {
        let (mut front, mut second): (Option<(usize, Key)>, Option<Key>) = (None, None);
        for i in 0..self.layers.len() {
            self.pass_hidden(i)?;
            let Some((key, _)) = self.layers[i].points.peek()? else {
                continue;
            };
            match &front {
                Some((_, first)) if !is_before(self.direction, key, first) => {
                    let nearer = |second| is_before(self.direction, key, second);
                    if second.as_ref().is_none_or(nearer) {
                        second = Some(key.clone());
                    }
                }
                _ => {
                    let passed = front.replace((i, key.clone()));
                    second = passed.map(|(_, key)| key).or(second);
                }
            }
        }
        Ok(front.map(|(layer, key)| {
            self.lead = (!self.has_deletes).then_some(Lead {
                layer,
                until: second,
            });
            key
        }))
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
