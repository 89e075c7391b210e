//! The merge memo: what a merge of given runs over a given range came to.
//!
//! Versions that share runs but no longer nodes then share background work; without it each version repeats it,
//! and space has no bound. The memo is a hint: it holds no count and no run alive. Ids are never reused, so an
//! entry can be missing but not wrong.

use cawdb_disk::sync;
use cawdb_node::{KeyRange, Run, RunId, Translation};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, Weak};

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

/// A bounded table of outcomes; the oldest are forgotten first.
pub struct Memo {
    inner: Mutex<Inner>,
    limit: usize,
}

#[derive(Default)]
struct Inner {
    outcomes: HashMap<MergeKey, Kept>,
    order: VecDeque<MergeKey>,
    /// For the newest run of known merges: how many runs those merges took, each with how many merges took so many.
    lengths: HashMap<RunId, BTreeMap<usize, u32>>,
}

impl Inner {
    fn note_length(&mut self, key: &MergeKey) {
        let Some((newest, _)) = key.inputs.first() else {
            return;
        };
        let lengths = self.lengths.entry(*newest).or_default();
        *lengths.entry(key.inputs.len()).or_default() += 1;
    }

    fn forget_length(&mut self, key: &MergeKey) {
        let Some((newest, _)) = key.inputs.first() else {
            return;
        };
        let Some(lengths) = self.lengths.get_mut(newest) else {
            return;
        };
        if let Some(merges) = lengths.get_mut(&key.inputs.len()) {
            *merges -= 1;
        }
        lengths.retain(|_, merges| *merges > 0);
        if lengths.is_empty() {
            self.lengths.remove(newest);
        }
    }
}

impl Memo {
    /// A memo of at most `limit` merges.
    pub fn new(limit: usize) -> Self {
        Self {
            inner: Mutex::default(),
            limit,
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

    /// How many runs the known merges took whose newest run is `newest`, most first.
    pub fn lengths(&self, newest: RunId) -> Vec<usize> {
        let inner = sync::lock(&self.inner);
        let lengths = inner.lengths.get(&newest);
        lengths.map_or(Vec::new(), |l| l.keys().rev().copied().collect())
    }

    /// Remembers an outcome.
    pub fn put(&self, key: MergeKey, outcome: &MergeOutcome) {
        let weak = |(range, run): &(KeyRange, Option<Arc<Run>>)| {
            (range.clone(), run.as_ref().map(Arc::downgrade))
        };
        let kept = outcome.iter().map(weak).collect();
        let mut inner = sync::lock(&self.inner);
        if inner.outcomes.insert(key.clone(), kept).is_none() {
            inner.note_length(&key);
            inner.order.push_back(key);
        }
        while inner.order.len() > self.limit {
            if let Some(oldest) = inner.order.pop_front() {
                inner.outcomes.remove(&oldest);
                inner.forget_length(&oldest);
            }
        }
    }
}
