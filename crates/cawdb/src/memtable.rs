//! The newest changes, in memory: all versions of every key, and delete-ranges.
//!
//! ```text
//!  key        versions, oldest first             delete-ranges, cut into fragments
//!  a/1   [ 3 put │ 7 patch │ 9 patch ]           [a ─────── c) stamps 8, 2
//!  a/2   [ 5 delete ]                                        [c ── d) stamp 2
//! ```
//!
//! A *stamp* is the sequence number of a batch and the index of the change in it: program order holds
//! within a batch, and a reader at a sequence number sees a batch as a whole or not at all.
//!
//! Invariants:
//! * stamps of a key, and of a fragment, strictly ascend; no two changes have the same stamp, so
//!   batches may be inserted in any order;
//! * fragments are not empty, ascend and do not overlap; a fragment has at least one stamp;
//! * a key that was put first where nothing was, and is deleted in the end, says nothing about what is below: no run gets it;
//! * while it has a *next* one, that gets all that is inserted here from then on; so what was here before can be made runs while others insert, and the next
//!   one takes its place;
//! * what is read at a sequence number is the fold of all changes up to it: a patch lies over what is
//!   older, and over nothing if a delete-range lies between.

use cawdb_disk::sync;
use cawdb_disk::sync::RwLock;
use cawdb_disk::sync::atomic::{AtomicUsize, Ordering};
use cawdb_node::{Key, KeyRange, MemRun, MemRunBuilder, Message, RangeSet};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// Bytes of memory that a version takes beside its payload, roughly.
const VERSION_OVERHEAD: usize = 112;

/// Bytes of memory that a key takes beside itself: its place in the map, and what key and list take on the heap.
const KEY_OVERHEAD: usize = 160;

/// Bytes of memory that a delete-range takes beside its ends, roughly.
const RANGE_OVERHEAD: usize = 128;

/// Bytes of memory of a stamp.
const STAMP_BYTES: usize = size_of::<Stamp>();

/// One change. Clones never come here: they change the root of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemOp {
    /// Says something about one key.
    Point(Key, Message),
    /// The same of a key that nothing below, and nothing older here, has a value for.
    First(Key, Message),
    /// Removes every key of a range.
    DeleteRange(KeyRange),
}

/// What the memtable says about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// This; a patch lies over whatever is below the memtable.
    Found(Message),
    /// A delete-range hides whatever is below.
    Covered,
    /// Nothing; what is below shows.
    Nothing,
}

/// Sequence number of the batch, index within it; and, of which no order depends, whether this came where nothing was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Stamp {
    seq: u64,
    index: u32,
    first: bool,
}

#[derive(Debug, Clone)]
struct Fragment {
    hi: Option<Key>,
    stamps: Vec<Stamp>,
}

#[derive(Debug, Default)]
struct Content {
    points: BTreeMap<Key, Vec<(Stamp, Message)>>,
    /// By the first key of each.
    fragments: BTreeMap<Key, Fragment>,
    next: Option<Arc<Memtable>>,
}

/// A multi-version sorted table. Readers and writers may use it at once, from any thread.
#[derive(Debug, Default)]
pub struct Memtable {
    content: RwLock<Content>,
    bytes: AtomicUsize,
    versions: AtomicUsize,
}

/// Where a memtable is cut into runs.
#[derive(Debug, Clone, Copy)]
pub struct Cuts<'a> {
    /// A run ends once it has about so many logical bytes.
    pub target_bytes: u64,
    /// Keys at which a run ends if it has at least `bound_min_bytes`; ascending.
    pub bounds: &'a [Key],
    /// See `bounds`.
    pub bound_min_bytes: u64,
}

impl Memtable {
    /// Inserts the changes of the batch numbered `seq`, in their order; all at once for readers.
    /// O(log n) each; a delete-range also O(fragments in it).
    pub fn insert(&self, seq: u64, ops: &[MemOp]) {
        let mut bytes = 0;
        let mut content = sync::write(&self.content);
        for (index, op) in (0..).zip(ops) {
            let first = matches!(op, MemOp::First(..));
            let stamp = Stamp { seq, index, first };
            match op {
                MemOp::Point(key, message) | MemOp::First(key, message) => {
                    bytes += message.bytes() + VERSION_OVERHEAD;
                    if content.add_point(key, stamp, message) {
                        bytes += key.len() + KEY_OVERHEAD;
                    }
                }
                MemOp::DeleteRange(range) if range.is_empty() => {}
                MemOp::DeleteRange(range) => {
                    let hi = range.hi.as_ref().map_or(0, Key::len);
                    bytes += range.lo.len() + hi + RANGE_OVERHEAD;
                    // Wide ranges over many narrow ones: each takes a stamp.
                    bytes += content.add_range(range, stamp) * STAMP_BYTES;
                }
            }
        }
        if let Some(next) = &content.next {
            next.insert(seq, ops);
        }
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.versions.fetch_add(ops.len(), Ordering::Relaxed);
    }

    /// What it says about `key` at `seq`. O(log n + versions folded).
    pub fn get(&self, key: &[u8], seq: u64) -> Lookup {
        let content = sync::read(&self.content);
        let cover = content.cover(key, seq);
        let versions = content.points.get(key).map_or(&[][..], Vec::as_slice);
        match fold(versions, cover, seq) {
            Some(message) => Lookup::Found(message),
            None if cover.is_some() => Lookup::Covered,
            None => Lookup::Nothing,
        }
    }

    /// What it says at `seq` about the first keys between the bounds that it says something about
    /// (the last ones, descending, if `reverse`); at most `max`. Keys of which only a delete-range
    /// tells are not among them: see [`Memtable::delete_ranges`]. A patch lies over what is below.
    pub fn next_batch(
        &self,
        lo: Bound<&[u8]>,
        hi: Bound<&[u8]>,
        reverse: bool,
        seq: u64,
        max: usize,
    ) -> Vec<(Key, Message)> {
        if no_key_between(lo, hi) {
            return Vec::new();
        }
        let content = sync::read(&self.content);
        let points = content.points.range::<[u8], _>((lo, hi));
        let shown = |(key, versions): (&Key, &Vec<_>)| {
            Some((key.clone(), fold(versions, content.cover(key, seq), seq)?))
        };
        match reverse {
            false => points.filter_map(shown).take(max).collect(),
            true => points.rev().filter_map(shown).take(max).collect(),
        }
    }

    /// The keys of `range` that delete-ranges up to `seq` hide from what is below: ascending,
    /// disjoint. What the memtable says about single keys lies above them.
    pub fn delete_ranges(&self, range: &KeyRange, seq: u64) -> Vec<KeyRange> {
        sync::read(&self.content).deleted(seq, range).clip(range)
    }

    /// Memory in use, in bytes, roughly; old versions included.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Changes inserted.
    pub fn versions(&self) -> usize {
        self.versions.load(Ordering::Relaxed)
    }

    /// Whether nothing was inserted.
    pub fn is_empty(&self) -> bool {
        self.bytes() == 0
    }

    /// Whether it says anything, at any sequence number, about a key of `range`. O(log n).
    pub fn holds(&self, range: &KeyRange) -> bool {
        let content = sync::read(&self.content);
        let (lo, hi) = bounds(range);
        !range.is_empty()
            && (content.points.range::<[u8], _>((lo, hi)).next().is_some()
                || content.overlapping(range).next().is_some())
    }

    /// Everything, at the newest sequence number, as runs that follow each other in key order. A
    /// delete-range that reaches over a cut is cut with it. O(n).
    pub fn freeze(&self, cuts: Cuts<'_>) -> Vec<MemRun> {
        let runs = self.freeze_up_to(u64::MAX, cuts, usize::MAX, &|| true);
        runs.unwrap_or_default()
    }

    /// The same of the batches up to `seq`, `piece` keys at a time, between which others may insert later ones; none once `go_on` says no.
    pub fn freeze_up_to(
        &self,
        seq: u64,
        cuts: Cuts<'_>,
        piece: usize,
        go_on: &dyn Fn() -> bool,
    ) -> Option<Vec<MemRun>> {
        let deleted = sync::read(&self.content).deleted(seq, &KeyRange::all());
        let (mut runs, mut builder) = (Vec::new(), MemRunBuilder::new());
        let (mut rest, mut passed) = (KeyRange::all(), 0);
        // The last key looked at, and the last that was taken.
        let (mut seen, mut last): (Option<Key>, Option<Key>) = (None, None);
        loop {
            let content = sync::read(&self.content);
            let from = seen.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let points = content.points.range::<[u8], _>((from, Bound::Unbounded));
            let (mut newly_seen, mut newest) = (None, last.as_ref());
            for (key, versions) in points.take(piece) {
                newly_seen = Some(key);
                let Some(message) = fold(versions, content.cover(key, seq), seq) else {
                    continue;
                };
                if came_and_went(versions, &message) {
                    continue;
                }
                passed += cuts.bounds[passed..]
                    .iter()
                    .take_while(|bound| *bound <= key)
                    .count();
                let cut = newest.and_then(|last| cuts.between(last, key, passed, builder.bytes()));
                if let Some(cut) = cut {
                    let piece = KeyRange {
                        lo: rest.lo,
                        hi: Some(cut.clone()),
                    };
                    runs.push(finish(builder, &deleted, &piece));
                    builder = MemRunBuilder::new();
                    rest = KeyRange { lo: cut, hi: None };
                }
                builder.push(key.clone(), message);
                newest = Some(key);
            }
            let Some(newly_seen) = newly_seen.cloned() else {
                break;
            };
            last = newest.cloned();
            seen = Some(newly_seen);
            drop(content);
            if !go_on() {
                return None;
            }
        }
        runs.push(finish(builder, &deleted, &rest));
        runs.retain(|run| !run.is_empty());
        Some(runs)
    }

    /// A memtable that gets, from now on, what is inserted here too; none if there is one already.
    pub fn begin_next(&self) -> Option<Arc<Self>> {
        let mut content = sync::write(&self.content);
        if content.next.is_some() {
            return None;
        }
        let next = Arc::<Self>::default();
        content.next = Some(next.clone());
        Some(next)
    }

    /// From now on nothing more goes to the next one.
    pub fn end_next(&self) {
        sync::write(&self.content).next = None;
    }
}

impl Cuts<'_> {
    /// Where the run that ends with the key `last` and has `bytes` is cut before `next`, which lies above the first `passed` bounds, if it is.
    fn between(&self, last: &Key, next: &Key, passed: usize, bytes: u64) -> Option<Key> {
        let bound = self.bounds[..passed].last().filter(|bound| *bound > last);
        match bound {
            Some(bound) if bytes >= self.bound_min_bytes => Some(bound.clone()),
            _ => (bytes >= self.target_bytes).then(|| next.clone()),
        }
    }
}

impl Content {
    /// Adds a version; whether the key is new.
    fn add_point(&mut self, key: &Key, stamp: Stamp, message: &Message) -> bool {
        // Not the entry interface: most keys come more than once, and need no copy then.
        match self.points.get_mut(key) {
            Some(versions) => {
                let at = versions.partition_point(|(older, _)| *older < stamp);
                versions.insert(at, (stamp, message.clone()));
                false
            }
            None => {
                self.points
                    .insert(key.clone(), vec![(stamp, message.clone())]);
                true
            }
        }
    }

    /// Adds a stamp to all fragments in `range`, and makes new ones where there is none. How many fragments.
    fn add_range(&mut self, range: &KeyRange, stamp: Stamp) -> usize {
        self.split_at(&range.lo);
        if let Some(hi) = &range.hi {
            self.split_at(hi);
        }
        let (lo, hi) = bounds(range);
        let (mut gaps, mut stamped) = (Vec::new(), 0);
        let mut at = Some(range.lo.clone());
        for (first, fragment) in self.fragments.range_mut::<[u8], _>((lo, hi)) {
            if let Some(gap) = at.filter(|at| at < first) {
                gaps.push((gap, Some(first.clone())));
            }
            let place = fragment.stamps.partition_point(|older| *older < stamp);
            fragment.stamps.insert(place, stamp);
            stamped += 1;
            at = fragment.hi.clone();
        }
        if let Some(gap) = at.filter(|at| range.hi.as_ref().is_none_or(|hi| at < hi)) {
            gaps.push((gap, range.hi.clone()));
        }
        stamped += gaps.len();
        for (lo, hi) in gaps {
            self.fragments.insert(
                lo,
                Fragment {
                    hi,
                    stamps: vec![stamp],
                },
            );
        }
        stamped
    }

    /// Lets a fragment begin at `key`, if one lies around it.
    fn split_at(&mut self, key: &Key) {
        let below = (Bound::Unbounded, Bound::Excluded(&key[..]));
        let Some((_, fragment)) = self.fragments.range_mut::<[u8], _>(below).next_back() else {
            return;
        };
        if fragment.hi.as_ref().is_none_or(|hi| hi > key) {
            let upper = fragment.clone();
            fragment.hi = Some(key.clone());
            self.fragments.insert(key.clone(), upper);
        }
    }

    /// The stamp of the newest delete-range over `key` up to `seq`.
    fn cover(&self, key: &[u8], seq: u64) -> Option<Stamp> {
        let below = (Bound::Unbounded, Bound::Included(key));
        let (_, fragment) = self.fragments.range::<[u8], _>(below).next_back()?;
        let inside = fragment.hi.as_ref().is_none_or(|hi| key < &hi[..]);
        let visible = fragment.stamps.partition_point(|stamp| stamp.seq <= seq);
        fragment.stamps[..visible]
            .last()
            .copied()
            .filter(|_| inside)
    }

    /// The fragments that share a key with `range`, which is not empty.
    fn overlapping(&self, range: &KeyRange) -> impl Iterator<Item = (&Key, &Fragment)> {
        let below = (Bound::Unbounded, Bound::Excluded(&range.lo[..]));
        let around = self.fragments.range::<[u8], _>(below).next_back();
        let around = around.filter(|(_, f)| f.hi.as_ref().is_none_or(|hi| *hi > range.lo));
        around
            .into_iter()
            .chain(self.fragments.range::<[u8], _>(bounds(range)))
    }

    /// All fragments near `range` that a delete-range up to `seq` covers.
    fn deleted(&self, seq: u64, range: &KeyRange) -> RangeSet {
        if range.is_empty() {
            return RangeSet::new();
        }
        let visible = |f: &Fragment| f.stamps.first().is_some_and(|stamp| stamp.seq <= seq);
        let fragments = self.overlapping(range).filter(|(_, f)| visible(f));
        fragments
            .map(|(lo, f)| KeyRange {
                lo: lo.clone(),
                hi: f.hi.clone(),
            })
            .collect()
    }
}

/// The versions up to `seq` and above `cover` as one message; none if there are none.
fn fold(versions: &[(Stamp, Message)], cover: Option<Stamp>, seq: u64) -> Option<Message> {
    let visible = versions.partition_point(|(stamp, _)| stamp.seq <= seq);
    let hidden = versions.partition_point(|(stamp, _)| cover.is_some_and(|cover| *stamp < cover));
    let mut shown = versions
        .get(hidden..visible)?
        .iter()
        .rev()
        .map(|(_, message)| message);
    let mut folded = shown.next()?.clone();
    while let Message::Patch(_) = folded {
        match shown.next() {
            Some(older) => folded = folded.over(older.clone()),
            None if cover.is_some() => folded = folded.over(Message::Delete),
            None => break,
        }
    }
    Some(folded)
}

/// Whether all versions of a key say no more than nothing did before: the oldest came where nothing was, and now there is nothing.
fn came_and_went(versions: &[(Stamp, Message)], now: &Message) -> bool {
    let first = versions.first().is_some_and(|(oldest, _)| oldest.first);
    first && matches!(now, Message::Delete)
}

/// The run of what was pushed and of the deletes in `piece`.
fn finish(mut builder: MemRunBuilder, deleted: &RangeSet, piece: &KeyRange) -> MemRun {
    for range in deleted.clip(piece) {
        builder.delete_range(range);
    }
    builder.finish()
}

fn bounds(range: &KeyRange) -> (Bound<&[u8]>, Bound<&[u8]>) {
    let hi = range
        .hi
        .as_ref()
        .map_or(Bound::Unbounded, |hi| Bound::Excluded(&hi[..]));
    (Bound::Included(&range.lo[..]), hi)
}

/// Whether no key can lie between these; an ordered map does not take such bounds.
fn no_key_between(lo: Bound<&[u8]>, hi: Bound<&[u8]>) -> bool {
    match (lo, hi) {
        (Bound::Included(lo), Bound::Included(hi)) => lo > hi,
        (Bound::Included(lo) | Bound::Excluded(lo), Bound::Included(hi) | Bound::Excluded(hi)) => {
            lo >= hi
        }
        _ => false,
    }
}
