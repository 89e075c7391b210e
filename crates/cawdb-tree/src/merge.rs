//! Merging layers into new runs.
//!
//! One job serves many slots of a node, in key order; what several slots came to lies in shared runs of about
//! `run_bytes`, so that no crumbs are made:
//!
//! ```text
//!   merges      [ a: r1 r2 ][ b: r3 r4 ][ c: r5 r6 ]        each: parts of a range, layers newest first
//!   outcome     [ a ── R1 ─────── b ──][── b ── R2 ── c ]   pieces of ranges, each in one run
//! ```
//! Invariants:
//! - a merge is done in the key space of its oldest layer, so that versions at other places find it in the memo;
//! - a merge at the bottom leaves neither deletes nor patches, and may be cut into several pieces; any other is
//!   one piece and keeps them; the two lie in different runs, so that what the table counts of a run holds for each
//!   of its pieces;
//! - the pieces of a merge cover its range.

use crate::memo::{MergeKey, MergeOutcome};
use crate::stream::{Direction, Layer, ReadAhead, Stream};
use crate::tree::Tree;
use cawdb_node::{
    Key, KeyRange, MemRunBuilder, Message, Result, RunRef, Translation, common_prefix,
};
use std::collections::HashMap;
use std::sync::Arc;

/// What to merge.
pub struct Merge {
    /// Adjacent ranges in key order, each with its layers, newest first.
    pub parts: Vec<(KeyRange, Vec<RunRef>)>,
    /// Whether nothing lies below the layers.
    pub bottom: bool,
}

/// What a merge came to: pieces that cover its range, each with a reference to the run that holds it.
pub type Pieces = Vec<(KeyRange, Option<RunRef>)>;

impl Merge {
    /// A merge of the layers of one slot.
    pub fn one(range: KeyRange, layers: Vec<RunRef>, bottom: bool) -> Self {
        Self {
            parts: vec![(range, layers)],
            bottom,
        }
    }

    fn range(&self) -> KeyRange {
        let first = self
            .parts
            .first()
            .map(|p| p.0.lo.clone())
            .unwrap_or_default();
        KeyRange {
            lo: first,
            hi: self.parts.last().and_then(|p| p.0.hi.clone()),
        }
    }

    /// From the node's keys to those in which the merge is done.
    fn space(&self) -> Translation {
        match &self.parts[..] {
            [(_, layers)] => layers.last().map(|l| l.tr.clone()).unwrap_or_default(),
            _ => Translation::identity(),
        }
    }

    fn key(&self, space: &Translation) -> Option<MergeKey> {
        let [(range, layers)] = &self.parts[..] else {
            return None;
        };
        let back = space.inverse();
        let inputs = layers
            .iter()
            .map(|l| (l.run.id(), back.then(&l.tr)))
            .collect();
        Some(MergeKey {
            inputs,
            range: space.range_down(range),
            bottom: self.bottom,
        })
    }

    /// Bytes that the merge reads, about.
    pub fn bytes(&self) -> u64 {
        self.parts
            .iter()
            .flat_map(|(_, layers)| layers)
            .map(|l| l.shown)
            .sum()
    }
}

/// Does `merges`, which must be in key order and not overlap, and gives the pieces of each. Every now and then it calls `breathe`.
///
/// # Errors
/// If a run cannot be read.
pub fn run_merges(tree: &Tree, merges: &[&Merge], breathe: &dyn Fn()) -> Result<Vec<Pieces>> {
    let mut job = Job {
        tree,
        breathe,
        since_breath: 0,
        outcomes: vec![None; merges.len()],
        open: [None, None],
    };
    let mut known: Vec<Option<Pieces>> = Vec::with_capacity(merges.len());
    // Clones that lie in one node want the same merge at the same time: the memo learns of it only afterwards.
    let (mut first, mut again) = (HashMap::new(), Vec::new());
    for (i, merge) in merges.iter().enumerate() {
        let space = merge.space();
        let key = merge.key(&space);
        let pieces = key.as_ref().and_then(|key| tree.known_pieces(key, &space));
        tree.counters.memo_hits.add(u64::from(pieces.is_some()));
        known.push(pieces);
        if known[i].is_some() {
            continue;
        }
        if let Some(key) = key {
            if let Some(&same) = first.get(&key) {
                tree.counters.memo_hits.bump();
                again.push((i, same));
                continue;
            }
            first.insert(key, i);
        }
        job.add(i, merge, &space)?;
    }
    job.close(false)?;
    job.close(true)?;
    let mut done: Vec<_> = first.into_iter().collect();
    done.sort_unstable_by_key(|(_, i)| *i);
    for (key, i) in done {
        tree.memo
            .put(key, job.outcomes[i].as_deref().unwrap_or_default());
    }
    for (i, same) in again {
        job.outcomes[i] = job.outcomes[same].clone();
    }
    let all = merges.iter().zip(known).zip(job.outcomes);
    let pieces = all.map(|((merge, known), outcome)| match known {
        Some(pieces) => Ok(pieces),
        None => refer(&merge.space(), outcome.unwrap_or_default()),
    });
    pieces.collect()
}

impl Tree {
    /// The pieces that `merge` comes to, if it was done before.
    pub(crate) fn known(&self, merge: &Merge) -> Option<Pieces> {
        let space = merge.space();
        self.known_pieces(&merge.key(&space)?, &space)
    }

    /// The pieces of what the memo knows, if it can be read: else what was merged is as good as ever, and is merged again. What an earlier session made is
    /// read before anything is given up for it.
    fn known_pieces(&self, key: &MergeKey, space: &Translation) -> Option<Pieces> {
        let (outcome, unproven) = self.memo.get(key)?;
        let usable = || {
            if unproven {
                for (range, run) in &outcome {
                    run.iter().try_for_each(|run| run.check(range))?;
                }
                self.memo.prove(key);
            }
            refer(space, outcome)
        };
        let pieces = self.spared(usable());
        if pieces.is_none() {
            self.memo.forget(key);
        }
        pieces
    }
}

/// References from the node's keys to the pieces of an outcome.
fn refer(space: &Translation, outcome: MergeOutcome) -> Result<Pieces> {
    let mut pieces = Vec::with_capacity(outcome.len());
    for (range, run) in outcome {
        let above = space.range_up(&range);
        let layer = match run {
            Some(run) => RunRef::showing(&run, space, &above)?,
            None => None,
        };
        pieces.push((above, layer));
    }
    Ok(pieces)
}

struct Job<'a> {
    tree: &'a Tree,
    breathe: &'a dyn Fn(),
    /// Bytes that were merged since that was called.
    since_breath: u64,
    outcomes: Vec<Option<MergeOutcome>>,
    /// The run being made of merges above the bottom, and that of those at the bottom. A run of both would say of a slot
    /// that was just cleaned of its deletes that it is full of them, and it would be cleaned again for ever.
    open: [Option<Output>; 2],
}

/// A run in the making, and the pieces that will lie in it.
struct Output {
    space: Translation,
    end: Option<Key>,
    points: Vec<(Key, Message)>,
    deletes: Vec<KeyRange>,
    bytes: u64,
    pieces: Vec<(usize, KeyRange)>,
}

impl Output {
    fn size(key: &Key, message: &Message) -> u64 {
        (key.len() + message.bytes() + 16) as u64
    }
}

impl Job<'_> {
    fn add(&mut self, index: usize, merge: &Merge, space: &Translation) -> Result<()> {
        let range = space.range_down(&merge.range());
        let limit = self.tree.policy.run_bytes;
        let fits = |o: &Output| {
            o.space == *space
                && o.bytes < limit
                && o.end.as_ref().is_some_and(|end| *end <= range.lo)
        };
        let kind = usize::from(merge.bottom);
        if self.open[kind].as_ref().is_some_and(|o| !fits(o)) {
            self.close(merge.bottom)?;
        }
        self.open[kind].get_or_insert_with(|| Output {
            space: space.clone(),
            end: None,
            points: Vec::new(),
            deletes: Vec::new(),
            bytes: 0,
            pieces: Vec::new(),
        });
        let mut lo = range.lo.clone();
        for (part, layers) in &merge.parts {
            self.add_part(index, merge.bottom, space, (part, layers), &mut lo)?;
        }
        self.add_piece(index, merge.bottom, KeyRange { lo, hi: range.hi });
        Ok(())
    }

    /// Streams one part into the open run; cuts the run when it is full and this is the bottom. `lo` is where
    /// the piece being made starts.
    fn add_part(
        &mut self,
        index: usize,
        bottom: bool,
        space: &Translation,
        (range, layers): (&KeyRange, &[RunRef]),
        lo: &mut Key,
    ) -> Result<()> {
        let back = space.inverse();
        let range = space.range_down(range);
        let mut inputs = Vec::with_capacity(layers.len());
        for layer in layers {
            let tr = back.then(&layer.tr);
            let way = (Direction::Forward, ReadAhead::Full);
            inputs.push(Layer::of_run(&layer.run, &tr, &range, way)?);
        }
        let mut stream = Stream::new(inputs, Direction::Forward);
        if let (Some(open), false) = (&mut self.open[0], bottom) {
            open.deletes.extend(stream.delete_ranges().cloned());
        }
        while let Some((key, message)) = stream.next()? {
            self.breathe_after(Output::size(&key, &message));
            let message = match bottom {
                true => match message.resolve() {
                    Some(value) => Message::Put(value),
                    None => continue,
                },
                false => message,
            };
            let Some(open) = &mut self.open[usize::from(bottom)] else {
                break;
            };
            open.bytes += Output::size(&key, &message);
            open.points.push((key, message));
            if bottom && open.bytes > self.tree.policy.run_bytes / 4 * 5 {
                self.cut(index, lo)?;
            }
        }
        Ok(())
    }

    fn breathe_after(&mut self, bytes: u64) {
        self.since_breath += bytes;
        if self.since_breath >= self.tree.policy.breath_bytes {
            self.since_breath = 0;
            self.tree.counters.breaths.bump();
            (self.breathe)();
        }
    }

    fn add_piece(&mut self, index: usize, bottom: bool, range: KeyRange) {
        if let Some(open) = &mut self.open[usize::from(bottom)] {
            open.end = range.hi.clone();
            open.pieces.push((index, range));
        }
    }

    /// Cuts the open run of the bottom in its last third, where the fewest bytes are common to the keys on both sides: there a
    /// directory ends rather than in the middle of one. What comes after starts the next run.
    fn cut(&mut self, index: usize, lo: &mut Key) -> Result<()> {
        let Some(open) = &mut self.open[1] else {
            return Ok(());
        };
        let Some((at, pivot)) = best_cut(&open.points, open.bytes, lo) else {
            return Ok(());
        };
        let rest = open.points.split_off(at);
        let space = open.space.clone();
        self.add_piece(
            index,
            true,
            KeyRange {
                lo: lo.clone(),
                hi: Some(pivot.clone()),
            },
        );
        self.close(true)?;
        let bytes = rest.iter().map(|(k, m)| Output::size(k, m)).sum();
        *lo = pivot;
        let (deletes, pieces) = (Vec::new(), Vec::new());
        self.open[1] = Some(Output {
            space,
            end: None,
            points: rest,
            deletes,
            bytes,
            pieces,
        });
        Ok(())
    }

    /// Makes the open run, and the outcome of every merge that has a piece in it.
    fn close(&mut self, bottom: bool) -> Result<()> {
        let Some(open) = self.open[usize::from(bottom)].take() else {
            return Ok(());
        };
        self.tree.counters.merged_bytes.add(open.bytes);
        let holds_something = !open.points.is_empty() || !open.deletes.is_empty();
        let mut builder = MemRunBuilder::new();
        for (key, message) in open.points {
            builder.push(key, message);
        }
        open.deletes
            .into_iter()
            .for_each(|range| builder.delete_range(range));
        let run = holds_something.then(|| self.tree.shelf.new_run(builder.finish()));
        for (index, range) in open.pieces {
            let run = match &run {
                Some(run) if run.holds(&range)? => Some(run.clone()),
                _ => None,
            };
            self.outcomes[index]
                .get_or_insert_default()
                .push((range, run));
        }
        Ok(())
    }
}

/// Where to cut a full run: the index of the first point after the cut, and the shortest pivot for it. The
/// cut lies above `lo`, so that no piece is empty.
fn best_cut(points: &[(Key, Message)], bytes: u64, lo: &Key) -> Option<(usize, Key)> {
    let mut best: Option<(usize, usize)> = None;
    let mut sum = 0;
    for i in 1..points.len() {
        sum += Output::size(&points[i - 1].0, &points[i - 1].1);
        let common = common_prefix(&points[i - 1].0, &points[i].0);
        let better = best.is_none_or(|(_, least)| common < least);
        if sum >= bytes / 5 * 3 && better && points[i].0[..=common] > lo[..] {
            best = Some((i, common));
        }
    }
    let (at, common) = best?;
    Some((at, points[at].0.slice(..=common)))
}

/// Whether two lists of layers are the same references in the same order.
pub fn same_layers(a: &[RunRef], b: &[RunRef]) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|(a, b)| Arc::ptr_eq(&a.run, &b.run) && a.tr == b.tr)
}
