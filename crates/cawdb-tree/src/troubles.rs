//! What background work cannot read is remembered and left alone for a while, so that everything else goes on.
//!
//! Invariants: a step that fails leaves its slot as it is; every error is handed out once, by the tick that finds
//! nothing else to do; what is remembered is forgotten after some ticks, and then tried again.

use crate::tree::Tree;
use cawdb_disk::sync;
use cawdb_disk::sync::Mutex;
use cawdb_node::{Error, Result, RunId, Slot};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};

/// Ticks for which a run is left alone after it could not be read.
const TICKS_ALONE: u64 = 4096;
/// Different errors that are remembered as told.
const TOLD: usize = 1024;

/// What could not be read.
#[derive(Default)]
pub(crate) struct Troubles {
    /// Ticks so far.
    ticks: AtomicU64,
    /// How many runs are avoided: most of the time none, and nobody takes the lock.
    avoided: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Runs, and the tick from which on they are tried again.
    runs: HashMap<RunId, u64>,
    /// Errors already handed out.
    told: HashSet<String>,
    /// Errors to be handed out.
    untold: Vec<Error>,
}

impl Troubles {
    /// A tick begins: what was avoided for long enough is forgotten.
    pub fn tick(&self) {
        let now = self.ticks.fetch_add(1, Ordering::Relaxed);
        if now.is_multiple_of(TICKS_ALONE) || self.avoided.load(Ordering::Relaxed) > 0 {
            let mut state = sync::lock(&self.state);
            state.runs.retain(|_, until| *until > now);
            if now.is_multiple_of(TICKS_ALONE) {
                state.told.clear();
            }
            self.avoided
                .store(state.runs.len() as u64, Ordering::Relaxed);
        }
    }

    /// The oldest error that nobody has seen.
    pub fn untold(&self) -> Option<Error> {
        let mut state = sync::lock(&self.state);
        (!state.untold.is_empty()).then(|| state.untold.remove(0))
    }

    fn note(&self, error: Error) {
        let mut state = sync::lock(&self.state);
        if state.told.len() < TOLD && state.told.insert(error.to_string()) {
            state.untold.push(error);
        }
    }

    fn avoid<'a>(&self, slots: impl Iterator<Item = &'a Slot>) {
        let until = self.ticks.load(Ordering::Relaxed) + TICKS_ALONE;
        let layers = slots.flat_map(|s| s.layers.iter());
        let unread = layers.filter(|l| !l.run.verify(&mut |_| ()).is_empty());
        let bad: Vec<RunId> = unread.map(|l| l.run.id()).collect();
        let mut state = sync::lock(&self.state);
        state.runs.extend(bad.into_iter().map(|id| (id, until)));
        self.avoided
            .store(state.runs.len() as u64, Ordering::Relaxed);
    }
}

impl Tree {
    /// The value, or nothing: then the error is remembered, and the caller leaves things as they are.
    pub(crate) fn spared<T>(&self, result: Result<T>) -> Option<T> {
        result
            .map_err(|error| {
                self.counters.unreadable.bump();
                self.troubles.note(error);
            })
            .ok()
    }

    /// The same; those runs of these slots that cannot be read (all are tried) are left alone for a while.
    pub(crate) fn spared_for<'a, T>(
        &self,
        slots: impl IntoIterator<Item = &'a Slot>,
        result: Result<T>,
    ) -> Option<T> {
        if result.is_err() {
            self.troubles.avoid(slots.into_iter());
        }
        self.spared(result)
    }

    /// Whether a run of the slot could not be read lately.
    pub(crate) fn avoids(&self, slot: &Slot) -> bool {
        self.first_avoided(slot).is_some()
    }

    /// The newest layer of the slot that could not be read lately.
    pub(crate) fn first_avoided(&self, slot: &Slot) -> Option<usize> {
        if self.troubles.avoided.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let state = sync::lock(&self.troubles.state);
        let mut runs = slot.layers.iter().map(|l| l.run.id());
        runs.position(|id| state.runs.contains_key(&id))
    }
}
