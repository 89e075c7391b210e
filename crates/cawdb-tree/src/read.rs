//! Reading a root: the value of a key, and ordered scans. Nothing here changes anything or takes a lock for long.

use crate::path::descend;
use crate::stream::{Direction, Layer, ReadAhead, Stream};
use bytes::Bytes;
use cawdb_node::{Error, Found, Key, KeyRange, Message, Node, Part, Patch, Result, Run, Shelf};
use std::ops::Range;
use std::sync::Arc;

/// The bytes `want` of the value that the tree holds for `key`, merged from the root down, fewer where it ends; none if there is no value.
/// `newer` is what lies above the tree. O(height) nodes; of each run that may hold the key one segment, or a few pages of one. Where several
/// indexes of a slot are to be read, the disk is told of all behind the second at once.
///
/// # Errors
/// If a node or a run cannot be read.
pub fn get(
    shelf: &Shelf,
    root: &Arc<Node>,
    key: &[u8],
    want: &Range<usize>,
    newer: Option<Patch>,
) -> Result<Option<Bytes>> {
    let covered = |newer: &Option<Patch>| {
        let all = newer.as_ref().filter(|patch| patch.covers(want));
        all.map(|patch| patch.within(None, want))
    };
    if let Some(bytes) = covered(&newer) {
        return Ok(Some(bytes));
    }
    let mut newer = newer;
    let mut node = root.clone();
    let mut local = Key::copy_from_slice(key);
    loop {
        let slot = &node.slots[node.find(&local)];
        let mut told = false;
        for (i, layer) in slot.layers.iter().enumerate() {
            let older = slot.layers.iter().skip(i + 1);
            let mut tell = || {
                // Of those behind the first nothing is known to be wanted before that was asked in vain.
                if i > 0 && !std::mem::replace(&mut told, true) {
                    tell_of_indexes(shelf, older.clone().map(|layer| &layer.run), 0);
                }
            };
            let found = match layer.tr.is_identity() {
                true => layer.run.get_part(&local, want, &mut tell)?,
                false => (layer.run).get_part(&layer.tr.key_down(&local), want, &mut tell)?,
            };
            let Some(found) = found else { continue };
            newer = match (newer, found) {
                (None, Found::Message(Message::Patch(patch))) => Some(patch),
                (Some(newer), Found::Message(Message::Patch(patch))) => Some(newer.over(patch)),
                (newer, base) => return Ok(on_base(newer, base, want)),
            };
            if let Some(bytes) = covered(&newer) {
                return Ok(Some(bytes));
            }
        }
        let Some(edge) = &slot.below else { break };
        if !edge.tr.is_identity() {
            local = edge.tr.key_down(&local);
        }
        let below = shelf.load(&edge.node)?;
        if !below.range.contains(&local) {
            let what = format!("range of node {}", edge.node.id().0);
            return Err(Error::mismatch(what, &local, &below.range));
        }
        node = below;
    }
    Ok(newer.map(|patch| patch.within(None, want)))
}

/// What comes of a patch, if there is one, on what does not lie on anything.
fn on_base(newer: Option<Patch>, base: Found, want: &Range<usize>) -> Option<Bytes> {
    let part = match base {
        Found::Part(part) => Some(part),
        Found::Message(message) => message.resolve().map(Part::whole),
    };
    match newer {
        Some(patch) => Some(patch.within(part.as_ref(), want)),
        None => part.map(|part| part.within(want)),
    }
}

/// Tells the disk of the indexes of runs that are not in memory, so that who looks through all of them does not wait for each in turn; but for the
/// first few, which are read at once.
fn tell_of_indexes<'a>(
    shelf: &Shelf,
    runs: impl Iterator<Item = &'a Arc<Run>>,
    read_at_once: usize,
) {
    let missing = runs.filter_map(|run| run.missing_index());
    let told = missing.skip(read_at_once);
    told.for_each(|extent| shelf.disk.will_read(extent));
}

/// Makes the layer that lies above the tree (a memtable) for one interval.
pub type TopLayer = Box<dyn Fn(&KeyRange, Direction) -> Result<Layer> + Send>;

/// An ordered walk over a root, one interval of constant layers after another. How far it reads ahead carries over from one to the next.
pub struct Scan {
    shelf: Arc<Shelf>,
    root: Arc<Node>,
    rest: KeyRange,
    direction: Direction,
    ahead: ReadAhead,
    top: Option<TopLayer>,
    stream: Option<Stream>,
}

impl Scan {
    /// A walk over `range` on the given way.
    pub fn new(
        shelf: Arc<Shelf>,
        root: Arc<Node>,
        range: KeyRange,
        (direction, ahead): (Direction, ReadAhead),
        top: Option<TopLayer>,
    ) -> Self {
        Self {
            shelf,
            root,
            rest: range,
            direction,
            ahead,
            top,
            stream: None,
        }
    }

    /// The next key and value.
    ///
    /// # Errors
    /// If a node or a run cannot be read.
    #[allow(
        clippy::should_implement_trait,
        reason = "fallible; Option<Result> would be clumsier here"
    )]
    pub fn next(&mut self) -> Result<Option<(Key, Bytes)>> {
        loop {
            if let Some(stream) = &mut self.stream {
                while let Some((key, message)) = stream.next()? {
                    if let Some(value) = message.resolve() {
                        if let ReadAhead::After(passed) = &mut self.ahead {
                            *passed += (key.len() + value.len()) as u64;
                        }
                        return Ok(Some((key, value)));
                    }
                }
            }
            if self.rest.is_empty() {
                self.stream = None;
                return Ok(None);
            }
            self.stream = Some(self.next_interval()?);
        }
    }

    fn next_interval(&mut self) -> Result<Stream> {
        let path = descend(&self.shelf, &self.root, &self.rest, self.direction)?;
        let interval = path.interval;
        let mut layers = Vec::with_capacity(path.layers.len() + 1);
        if let Some(top) = &self.top {
            layers.push(top(&interval, self.direction)?);
        }
        tell_of_indexes(&self.shelf, path.layers.iter().map(|(run, _)| run), 1);
        for (run, tr) in &path.layers {
            let way = (self.direction, self.ahead);
            layers.push(Layer::of_run(run, tr, &interval, way)?);
        }
        match (self.direction, interval.hi) {
            (Direction::Forward, Some(hi)) => self.rest.lo = hi,
            (Direction::Forward, None) => self.rest.hi = Some(self.rest.lo.clone()),
            (Direction::Backward, _) => self.rest.hi = Some(interval.lo),
        }
        Ok(Stream::new(layers, self.direction))
    }
}
