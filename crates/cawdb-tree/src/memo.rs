//! The merge memo: what a merge of given runs over a given range came to.
//!
//! Versions that share runs but no longer nodes then share background work; without it each version repeats it,
//! and space has no bound. The memo is a hint: it holds no count and no run alive. Ids are never reused, so an
//! entry can be missing but not wrong.

use cawdb_disk::sync;
use cawdb_disk::sync::Mutex;
use cawdb_node::{KeyRange, Run, RunId, Translation};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Weak};

/// What was merged, in the key space of the oldest run.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct MergeKey {
    /// The runs, newest first, with the translation from the oldest run's keys.
    pub inputs: Vec<(RunId, Translation)>,
    /// The range merged.
    pub range: KeyRange,
    /// Whether nothing lay below, so that deletes were dropped.
    pub bottom: bool,
}

/// What it came to: pieces of the range, each with the run that holds it, or nothing.
pub type MergeOutcome = Vec<(KeyRange, Option<Arc<Run>>)>;

type Kept = Vec<(KeyRange, Option<Weak<Run>>)>;

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
    outcomes: HashMap<Arc<MergeKey>, Kept>,
    order: VecDeque<Arc<MergeKey>>,
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

    /// The outcome of a merge, if it is known and all its runs still live.
    pub fn get(&self, key: &MergeKey) -> Option<MergeOutcome> {
        let inner = sync::lock(&self.inner);
        let alive = |(range, run): &(KeyRange, Option<Weak<Run>>)| match run {
            None => Some((range.clone(), None)),
            Some(weak) => Some((range.clone(), Some(weak.upgrade()?))),
        };
        inner.outcomes.get(key)?.iter().map(alive).collect()
    }

    /// The known merges whose newest run is `newest`: how many runs they took, most first, and the oldest of them.
    pub fn rows(&self, newest: RunId) -> Vec<(usize, RunId)> {
        let inner = sync::lock(&self.inner);
        let rows = inner.rows.get(&newest);
        rows.map_or(Vec::new(), |rows| rows.keys().rev().copied().collect())
    }

    /// Remembers an outcome.
    pub fn put(&self, key: MergeKey, outcome: &MergeOutcome) {
        let weak = |(range, run): &(KeyRange, Option<Arc<Run>>)| {
            (range.clone(), run.as_ref().map(Arc::downgrade))
        };
        let kept = outcome.iter().map(weak).collect();
        let mut inner = sync::lock(&self.inner);
        let key = Arc::new(key);
        if inner.outcomes.insert(key.clone(), kept).is_none() {
            inner.note_row(&key);
            inner.bytes += key.memory();
            inner.order.push_back(key);
        }
        while inner.order.len() > self.limit || inner.bytes > self.limit_bytes {
            let Some(oldest) = inner.order.pop_front() else {
                break;
            };
            inner.outcomes.remove(&oldest);
            inner.forget_row(&oldest);
            inner.bytes -= oldest.memory();
        }
    }

    /// Memory that it takes, in bytes, about.
    pub fn memory(&self) -> u64 {
        sync::lock(&self.inner).bytes
    }
}
