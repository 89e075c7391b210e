//! The merge memo: what a merge of given runs over a given range came to.
//!
//! Versions that share runs but no longer nodes then share background work; without it each version repeats it,
//! and space has no bound. The memo is a hint: it holds no count and no run alive. Ids are never reused, so an
//! entry can be missing but not wrong. A checkpoint keeps what other versions may still ask for ([`Known`]), as each session looks at some
//! versions only.

use cawdb_disk::sync;
use cawdb_disk::sync::Mutex;
use cawdb_node::{KeyRange, Run, RunId, Translation};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

/// What was merged, in the key space of the oldest run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MergeKey {
    /// The runs, newest first, with the translation from the oldest run's keys.
    pub inputs: Vec<(RunId, Translation)>,
    /// The range merged.
    pub range: KeyRange,
    /// Whether nothing lay below, so that deletes were dropped.
    pub bottom: bool,
}

/// What it came to: pieces of the range, each with the run that holds it, or nothing.
pub type MergeOutcome = Vec<Piece>;

/// A piece of a range, with the run that holds it, or nothing.
pub type Piece = (KeyRange, Option<Arc<Run>>);

/// A merge as a checkpoint keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// What was merged.
    pub key: MergeKey,
    /// Pieces that cover its range, in order, each with the run that holds it, or nothing.
    pub pieces: Vec<(KeyRange, Option<RunId>)>,
}

impl Known {
    /// Bytes that it takes in a checkpoint, about.
    fn bytes(&self) -> u64 {
        let end = |range: &KeyRange| range.hi.as_ref().map_or(0, |hi| hi.len());
        let inputs = self.key.inputs.iter();
        let inputs: usize = inputs
            .map(|(_, tr)| 6 + tr.from().len() + tr.to().len())
            .sum();
        let pieces: usize = self.pieces.iter().map(|(range, _)| 6 + end(range)).sum();
        (8 + inputs + self.key.range.lo.len() + pieces) as u64
    }
}

/// Of merges that a checkpoint could keep so many are looked at, the latest.
const LOOKED_AT: usize = 16 << 10;

/// A merge that was done: what it came to, and when it was, among all others.
struct Done {
    pieces: Vec<(KeyRange, Option<Weak<Run>>)>,
    turn: u64,
    /// An earlier session did it, and its pieces were not read in this one: the disk may have damaged them meanwhile.
    unproven: bool,
}

impl Done {
    /// Its pieces, if all their runs still live.
    fn outcome(&self) -> Option<MergeOutcome> {
        let alive = |(range, run): &(KeyRange, Option<Weak<Run>>)| match run {
            None => Some((range.clone(), None)),
            Some(weak) => Some((range.clone(), Some(weak.upgrade()?))),
        };
        self.pieces.iter().map(alive).collect()
    }
}

/// A table of outcomes, bounded in number and in memory; the oldest are forgotten first.
pub struct Memo {
    inner: Mutex<Inner>,
    limit: usize,
    limit_bytes: u64,
}

impl MergeKey {
    /// Memory of an entry of this key, in bytes, about; outcomes are mostly one piece, with the same range.
    fn memory(&self) -> u64 {
        let ends = self.range.lo.len() + self.range.hi.as_ref().map_or(0, |hi| hi.len());
        let inputs = self.inputs.len() * size_of::<(RunId, Translation)>();
        (inputs + 2 * ends + size_of::<Self>() + 320) as u64
    }
}

#[derive(Default)]
struct Inner {
    done: HashMap<Arc<MergeKey>, Done>,
    /// The same merges, oldest first.
    order: BTreeMap<u64, Arc<MergeKey>>,
    /// The turn of the next one.
    next: u64,
    /// From this turn on they are in no checkpoint.
    unkept: u64,
    /// What that was before the checkpoint that is being written.
    unkept_before: u64,
    /// Memory that all of it takes, about.
    bytes: u64,
    /// For the newest run of known merges: how many runs they took and which was the oldest, and how many they are.
    rows: HashMap<RunId, BTreeMap<(usize, RunId), u32>>,
}

impl Inner {
    fn note_row(&mut self, key: &MergeKey) {
        let (Some((newest, _)), Some((oldest, _))) = (key.inputs.first(), key.inputs.last()) else {
            return;
        };
        let rows = self.rows.entry(*newest).or_default();
        *rows.entry((key.inputs.len(), *oldest)).or_default() += 1;
    }

    fn forget_row(&mut self, key: &MergeKey) {
        let (Some((newest, _)), Some((oldest, _))) = (key.inputs.first(), key.inputs.last()) else {
            return;
        };
        let Some(rows) = self.rows.get_mut(newest) else {
            return;
        };
        if let Some(merges) = rows.get_mut(&(key.inputs.len(), *oldest)) {
            *merges -= 1;
        }
        rows.retain(|_, merges| *merges > 0);
        if rows.is_empty() {
            self.rows.remove(newest);
        }
    }

    fn insert(&mut self, key: MergeKey, outcome: &[Piece], unproven: bool) {
        self.remove(&key);
        let weak = |(range, run): &Piece| (range.clone(), run.as_ref().map(Arc::downgrade));
        let done = Done {
            pieces: outcome.iter().map(weak).collect(),
            turn: self.next,
            unproven,
        };
        let key = Arc::new(key);
        self.note_row(&key);
        self.bytes += key.memory();
        self.order.insert(self.next, key.clone());
        self.next += 1;
        self.done.insert(key, done);
    }

    fn remove(&mut self, key: &MergeKey) {
        let Some(done) = self.done.remove(key) else {
            return;
        };
        self.order.remove(&done.turn);
        self.forget_row(key);
        self.bytes -= key.memory();
    }
}

impl Memo {
    /// A memo of at most `limit` merges in at most `limit_bytes` of memory.
    pub fn new(limit: usize, limit_bytes: u64) -> Self {
        Self {
            inner: Mutex::default(),
            limit,
            limit_bytes,
        }
    }

    /// The outcome of a merge, if it is known and all its runs still live; and whether it is still to be proven that it can be read.
    pub fn get(&self, key: &MergeKey) -> Option<(MergeOutcome, bool)> {
        let inner = sync::lock(&self.inner);
        let done = inner.done.get(key)?;
        Some((done.outcome()?, done.unproven))
    }

    /// The known merges whose newest run is `newest`: how many runs they took, most first, and the oldest of them.
    pub fn rows(&self, newest: RunId) -> Vec<(usize, RunId)> {
        let inner = sync::lock(&self.inner);
        let rows = inner.rows.get(&newest);
        rows.map_or(Vec::new(), |rows| rows.keys().rev().copied().collect())
    }

    /// Remembers an outcome; the oldest are forgotten for it where it takes too much.
    pub fn put(&self, key: MergeKey, outcome: &[Piece]) {
        let mut inner = sync::lock(&self.inner);
        inner.insert(key, outcome, false);
        self.bound(&mut inner);
    }

    fn bound(&self, inner: &mut Inner) {
        while inner.order.len() > self.limit || inner.bytes > self.limit_bytes {
            let Some(oldest) = inner.order.values().next().cloned() else {
                break;
            };
            inner.remove(&oldest);
        }
    }

    /// What a checkpoint is to keep, oldest first: all, or what came since it was asked last; the latest, of at most so many bytes. Only merges of which
    /// all runs are `alive`: where one that was merged is gone, no version can ask for it any more. O(what is looked at).
    pub fn to_keep(&self, all: bool, budget: u64, alive: impl Fn(RunId) -> bool) -> Vec<Known> {
        let mut inner = sync::lock(&self.inner);
        let first = if all { 0 } else { inner.unkept };
        (inner.unkept_before, inner.unkept) = (inner.unkept, inner.next);
        let known = |key: &Arc<MergeKey>| {
            let outcome = inner.done.get(key)?.outcome()?;
            let pieces = outcome.into_iter();
            let pieces: Vec<_> = pieces
                .map(|(r, run)| (r, run.map(|run| run.id())))
                .collect();
            let made = pieces.iter().filter_map(|(_, run)| *run);
            let mut runs = key.inputs.iter().map(|(id, _)| *id).chain(made);
            runs.all(&alive).then(|| Known {
                key: MergeKey::clone(key),
                pieces,
            })
        };
        let mut left = budget;
        let fits = |known: &Known| match left.checked_sub(known.bytes()) {
            None => false,
            Some(rest) => {
                left = rest;
                true
            }
        };
        let latest = inner.order.range(first..).rev().take(LOOKED_AT);
        let latest = latest.filter_map(|(_, key)| known(key));
        let mut kept: Vec<_> = latest.take_while(fits).collect();
        kept.reverse();
        kept
    }

    /// Says that what was given to a checkpoint was not written.
    pub fn not_kept(&self) {
        let mut inner = sync::lock(&self.inner);
        inner.unkept = inner.unkept_before;
    }

    /// Says that what a merge came to can be read.
    pub fn prove(&self, key: &MergeKey) {
        if let Some(done) = sync::lock(&self.inner).done.get_mut(key) {
            done.unproven = false;
        }
    }

    /// Forgets a merge whose outcome is of no use.
    pub fn forget(&self, key: &MergeKey) {
        sync::lock(&self.inner).remove(key);
    }

    /// Knows again what a checkpoint kept, as far as its runs are found.
    pub fn recall(&self, kept: Vec<Known>, find: impl Fn(RunId) -> Option<Arc<Run>>) {
        let mut inner = sync::lock(&self.inner);
        for Known { key, pieces } in kept {
            if !key.inputs.iter().all(|(id, _)| find(*id).is_some()) {
                continue;
            }
            let found = |(range, id): (KeyRange, Option<RunId>)| match id {
                None => Some((range, None)),
                Some(id) => Some((range, Some(find(id)?))),
            };
            let outcome: Option<MergeOutcome> = pieces.into_iter().map(found).collect();
            if let Some(outcome) = outcome {
                inner.insert(key, &outcome, true);
            }
        }
        self.bound(&mut inner);
        inner.unkept = inner.next;
    }

    /// Memory that it takes, in bytes, about.
    pub fn memory(&self) -> u64 {
        sync::lock(&self.inner).bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cawdb_node::MemRunBuilder;

    fn run(id: u64) -> Arc<Run> {
        Run::in_memory(RunId(id), MemRunBuilder::new().finish())
    }

    fn key(ids: &[u64]) -> MergeKey {
        MergeKey {
            inputs: ids
                .iter()
                .map(|id| (RunId(*id), Translation::identity()))
                .collect(),
            range: KeyRange::all(),
            bottom: false,
        }
    }

    fn ids(kept: &[Known]) -> Vec<u64> {
        kept.iter()
            .flat_map(|known| known.key.inputs.iter().map(|(id, _)| id.0))
            .collect()
    }

    #[test]
    fn a_checkpoint_keeps_once_what_somebody_may_still_ask_for() {
        let memo = Memo::new(10, u64::MAX);
        let made: Vec<_> = (100..104).map(run).collect();
        for (n, made) in made.iter().enumerate() {
            let outcome = vec![(KeyRange::all(), Some(made.clone()))];
            memo.put(key(&[n as u64 + 1]), &outcome);
        }
        // Of the second what was merged is gone, of the third what it came to.
        let alive = |id: RunId| id.0 != 2 && id.0 != 102;
        let kept = memo.to_keep(false, 1000, alive);
        assert_eq!(ids(&kept), [1, 4]);
        assert!(memo.to_keep(false, 1000, alive).is_empty());
        assert_eq!(memo.to_keep(true, 1000, alive), kept);
        assert_eq!(ids(&memo.to_keep(true, kept[1].bytes(), alive)), [4]);

        let again = Memo::new(10, u64::MAX);
        let find = |id: RunId| match id.0 {
            1 | 4 => Some(run(id.0)),
            100 => Some(made[0].clone()),
            _ => None,
        };
        again.recall(kept, find);
        let (outcome, unproven) = again.get(&key(&[1])).unwrap();
        assert!(unproven);
        assert_eq!(outcome[0].1.as_ref().unwrap().id(), RunId(100));
        assert!(again.get(&key(&[4])).is_none());
        assert_eq!(again.rows(RunId(1)), [(1, RunId(1))]);
        assert!(again.to_keep(false, 1000, |_| true).is_empty());
    }

    #[test]
    fn a_merge_done_again_is_kept_again() {
        let memo = Memo::new(10, u64::MAX);
        let first = [(KeyRange::all(), Some(run(100)))];
        memo.put(key(&[1]), &first);
        memo.put(key(&[2]), &[(KeyRange::all(), None)]);
        assert_eq!(ids(&memo.to_keep(false, 1000, |_| true)), [1, 2]);
        drop(first);
        assert!(memo.get(&key(&[1])).is_none());
        let second = [(KeyRange::all(), Some(run(101)))];
        memo.put(key(&[1]), &second);
        assert_eq!(ids(&memo.to_keep(false, 1000, |_| true)), [1]);
        memo.not_kept();
        assert_eq!(ids(&memo.to_keep(false, 1000, |_| true)), [1]);
        assert_eq!(ids(&memo.to_keep(true, 1000, |_| true)), [2, 1]);
        memo.forget(&key(&[1]));
        assert!(memo.get(&key(&[1])).is_none() && memo.rows(RunId(1)).is_empty());
        memo.forget(&key(&[2]));
        assert_eq!(memo.memory(), 0);
    }
}
