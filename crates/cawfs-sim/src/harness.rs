//! Replays a list of steps on an engine and on the model, and compares.
//!
//! Invariants:
//! 1. every 16 steps, and at the end, everything is read upwards and downwards and compared;
//! 2. a snapshot shows for ever what it showed when it was taken (until the engine is reopened);
//! 3. the engine's own checker runs after every step;
//! 4. after a crash everything is as after some batch since the last sync, and that state is kept;
//! 5. an error or a panic of the engine is a failure like a difference, and is shrunk like one.
//!
//! ```text
//!  steps ──resolve on the model──► batch ──┬──► engine.commit ──┐
//!                                          └──► model.apply  ───┴──► equal?
//! ```
use crate::kv_model::{KvModel, KvOp, Pair, Span};
use crate::ops::{Limits, Step, resolve};
use crate::quiet::catch;
use crate::text::{bytes_text, step_text};
use crate::versions::Versions;

/// What the harness needs of an engine. Errors are text: any is a failure.
pub trait Engine {
    /// A consistent view of one instant.
    type Snapshot;
    /// Applies a batch atomically.
    fn commit(&mut self, batch: &[KvOp]) -> Result<(), String>;
    /// The newest value of a key, by the engine's direct way.
    fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, String>;
    /// A view of this instant.
    fn snapshot(&mut self) -> Result<Self::Snapshot, String>;
    /// A value in a view.
    fn get_at(&mut self, at: &Self::Snapshot, key: &[u8]) -> Result<Option<Vec<u8>>, String>;
    /// All pairs of a range in a view, ascending or descending.
    fn scan_at(
        &mut self,
        at: &Self::Snapshot,
        span: &Span,
        down: bool,
    ) -> Result<Vec<Pair>, String>;
    /// One piece of background work; false if there was none.
    fn tick(&mut self) -> Result<bool, String>;
    /// Makes everything committed durable.
    fn sync(&mut self) -> Result<(), String>;
    /// Writes a checkpoint.
    fn checkpoint(&mut self) -> Result<(), String>;
    /// Closes and opens again; no snapshot lives then.
    fn reopen(&mut self) -> Result<(), String>;
    /// Loses power: opens again from what the disk may hold then, as the seed says; false if this engine has no
    /// disk that can lose anything. No snapshot lives then.
    fn crash(&mut self, seed: u64) -> Result<bool, String>;
    /// The engine's own invariants.
    fn check(&mut self) -> Result<(), String>;
}

/// Where a replay failed, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Position of the step in the list.
    pub step: usize,
    /// What was wrong.
    pub what: String,
    /// What the steps up to there meant, each as a line that reads like a call.
    pub calls: Vec<String>,
}

/// What a replay did, for tests that want to know that it did something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Operations in batches.
    pub operations: usize,
    /// Clones of ranges that held something.
    pub clones: usize,
    /// Full comparisons.
    pub comparisons: usize,
    /// Losses of power.
    pub crashes: usize,
}

/// Both sides of a comparison while a list is replayed.
struct Pairing<'e, E: Engine> {
    engine: &'e mut E,
    model: KvModel,
    versions: Versions,
    batches: Vec<Vec<KvOp>>,
    kept: Vec<(E::Snapshot, KvModel)>,
    limits: Limits,
    progress: Progress,
}

const COMPARE_EVERY: usize = 16;
const SNAPSHOTS: usize = 4;

/// Replays the steps on a fresh engine.
///
/// # Errors
/// The first difference, error or panic.
pub fn replay<E: Engine>(
    engine: &mut E,
    steps: &[Step],
    limits: Limits,
) -> Result<Progress, Failure> {
    let mut pairing = Pairing {
        engine,
        model: KvModel::default(),
        versions: Versions::default(),
        batches: Vec::new(),
        kept: Vec::new(),
        limits,
        progress: Progress::default(),
    };
    for (at, step) in steps.iter().enumerate() {
        let full = at % COMPARE_EVERY == COMPARE_EVERY - 1 || at + 1 == steps.len();
        let outcome = catch(|| {
            pairing.step(step)?;
            pairing.engine.check()?;
            if full { pairing.compare_all() } else { Ok(()) }
        });
        if let Err(what) = outcome.and_then(|inner| inner) {
            let mut batches = pairing.batches.iter();
            let mut meaning = |step: &Step| match step {
                Step::Commit(_) => step_text(step, batches.next().map_or(&[][..], Vec::as_slice)),
                _ => step_text(step, &[]),
            };
            let calls = steps[..=at].iter().map(&mut meaning).collect();
            return Err(Failure {
                step: at,
                what,
                calls,
            });
        }
    }
    Ok(pairing.progress)
}

impl<E: Engine> Pairing<'_, E> {
    fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Commit(ops) => {
                let batch = resolve(ops, &self.model, self.limits);
                self.note(&batch);
                self.batches.push(batch.clone());
                self.engine.commit(&batch)?;
                self.model.apply(&batch);
                self.versions.committed(&batch);
            }
            Step::Get(key) => {
                let key = key.on(&self.model);
                let got = self.engine.get(&key)?;
                same_value(&key, got.as_deref(), self.model.get(&key))?;
            }
            Step::Scan(span, down) => {
                let at = self.engine.snapshot()?;
                same_scan(self.engine, &at, &self.model, &span.on(&self.model), *down)?;
            }
            Step::Snapshot => {
                if self.kept.len() == SNAPSHOTS {
                    self.kept.remove(0);
                }
                self.kept
                    .push((self.engine.snapshot()?, self.model.clone()));
            }
            Step::Compare(pick, dropped) => self.compare_kept(*pick, *dropped)?,
            Step::Tick(count) => {
                for _ in 0..*count {
                    self.engine.tick()?;
                }
            }
            Step::Sync => {
                self.engine.sync()?;
                self.versions.synced(&self.model);
            }
            Step::Checkpoint => {
                self.engine.checkpoint()?;
                self.versions.synced(&self.model);
            }
            Step::Reopen => {
                self.kept.clear();
                self.engine.reopen()?;
                self.versions.synced(&self.model);
            }
            Step::Crash(seed) => self.crash(u64::from(*seed))?,
        }
        Ok(())
    }

    fn crash(&mut self, seed: u64) -> Result<(), String> {
        self.kept.clear();
        if self.engine.crash(seed)? {
            self.progress.crashes += 1;
            let now = self.engine.snapshot()?;
            let found = self.engine.scan_at(&now, &Span::all(), false)?;
            self.model = self.versions.recovered(&found)?;
        }
        Ok(())
    }

    fn note(&mut self, batch: &[KvOp]) {
        let full = |op: &&KvOp| matches!(op, KvOp::CloneRange { source, .. } if self.model.weigh(source).0 > 0);
        self.progress.operations += batch.len();
        self.progress.clones += batch.iter().filter(full).count();
    }

    fn compare_kept(&mut self, pick: u32, dropped: bool) -> Result<(), String> {
        let Some(at) = usize::try_from(pick)
            .unwrap_or(0)
            .checked_rem(self.kept.len())
        else {
            return Ok(());
        };
        let (view, model) = &self.kept[at];
        let context = |what: String| format!("in an older snapshot: {what}");
        same_scan(
            self.engine,
            view,
            model,
            &Span::all(),
            pick.is_multiple_of(2),
        )
        .map_err(context)?;
        for (key, value) in model.scan(&Span::all()).iter().step_by(7) {
            let got = self.engine.get_at(view, key)?;
            same_value(key, got.as_deref(), Some(value)).map_err(context)?;
        }
        if dropped {
            self.kept.remove(at);
        }
        Ok(())
    }

    fn compare_all(&mut self) -> Result<(), String> {
        self.progress.comparisons += 1;
        let now = self.engine.snapshot()?;
        same_scan(self.engine, &now, &self.model, &Span::all(), false)?;
        same_scan(self.engine, &now, &self.model, &Span::all(), true)
    }
}

fn same_value(key: &[u8], got: Option<&[u8]>, want: Option<&[u8]>) -> Result<(), String> {
    if got == want {
        return Ok(());
    }
    let text = |v: Option<&[u8]>| v.map_or_else(|| "nothing".to_string(), bytes_text);
    Err(format!(
        "key {}: got {}, expected {}",
        bytes_text(key),
        text(got),
        text(want)
    ))
}

fn same_scan<E: Engine>(
    engine: &mut E,
    at: &E::Snapshot,
    model: &KvModel,
    span: &Span,
    down: bool,
) -> Result<(), String> {
    let got = engine.scan_at(at, span, down)?;
    let mut want = model.scan(span);
    if down {
        want.reverse();
    }
    if got == want {
        return Ok(());
    }
    let at = got
        .iter()
        .zip(&want)
        .position(|(g, w)| g != w)
        .unwrap_or(got.len().min(want.len()));
    let text = |pairs: &[Pair]| {
        let pair = |(k, v): &Pair| format!("{} = {}", bytes_text(k), bytes_text(v));
        pairs.get(at).map_or_else(|| "the end".to_string(), pair)
    };
    let way = if down { "downwards" } else { "upwards" };
    Err(format!(
        "scan {way}, pair {at}: got {}, expected {}",
        text(&got),
        text(&want)
    ))
}
