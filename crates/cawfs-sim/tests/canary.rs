//! The harness must find bugs: engines that are wrong on purpose, each of which must be caught and shrunk.
use cawfs_sim::{
    Engine, KvModel, KvOp, Limits, Mix, Pair, Plan, Span, Step, catch, generate, replay, run,
};

/// How the engine under test is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    CloneKeepsOldTarget,
    ClonesSeeEarlierClones,
    PatchDoesNotExtend,
    RangeIncludesItsEnd,
    DownwardSkipsFirst,
    SnapshotMoves,
    ReopenForgetsUnsynced,
    PanicsOnLongKeys,
    CrashLosesSynced,
    CrashTearsABatch,
    CrashSkipsABatch,
}

struct Wrong {
    bug: Bug,
    model: KvModel,
    durable: KvModel,
    unsynced: Vec<Vec<KvOp>>,
}

impl Wrong {
    fn new(bug: Bug) -> Self {
        Self {
            bug,
            model: KvModel::default(),
            durable: KvModel::default(),
            unsynced: Vec::new(),
        }
    }

    fn apply_wrongly(&mut self, batch: &[KvOp]) {
        for op in batch {
            let op = match (self.bug, op.clone()) {
                (Bug::CloneKeepsOldTarget, KvOp::CloneRange { source, from, to }) => {
                    for (key, value) in self.model.scan(&source) {
                        let key = [&to, &key[from.len()..]].concat();
                        self.model.apply(&[KvOp::Put(key, value)]);
                    }
                    continue;
                }
                (Bug::PatchDoesNotExtend, KvOp::Patch(key, offset, bytes)) => {
                    let len = self.model.get(&key).map_or(0, <[u8]>::len);
                    if offset as usize + bytes.len() > len {
                        continue;
                    }
                    KvOp::Patch(key, offset, bytes)
                }
                (Bug::RangeIncludesItsEnd, KvOp::DeleteRange(span)) => {
                    if let Some(hi) = &span.hi {
                        self.model.apply(&[KvOp::Delete(hi.clone())]);
                    }
                    KvOp::DeleteRange(span)
                }
                (_, op) => op,
            };
            self.model.apply(&[op]);
        }
    }
}

impl Engine for Wrong {
    type Snapshot = KvModel;
    fn commit(&mut self, batch: &[KvOp]) -> Result<(), String> {
        self.unsynced.push(batch.to_vec());
        match self.bug {
            Bug::CloneKeepsOldTarget
            | Bug::ClonesSeeEarlierClones
            | Bug::PatchDoesNotExtend
            | Bug::RangeIncludesItsEnd => self.apply_wrongly(batch),
            _ => self.model.apply(batch),
        }
        Ok(())
    }
    fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        assert!(
            self.bug != Bug::PanicsOnLongKeys || key.len() < 100,
            "a long key"
        );
        Ok(self.model.get(key).map(<[u8]>::to_vec))
    }
    fn snapshot(&mut self) -> Result<KvModel, String> {
        Ok(self.model.clone())
    }
    fn get_at(&mut self, at: &KvModel, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        Ok(at.get(key).map(<[u8]>::to_vec))
    }
    fn scan_at(&mut self, at: &KvModel, span: &Span, down: bool) -> Result<Vec<Pair>, String> {
        let at = if self.bug == Bug::SnapshotMoves {
            &self.model
        } else {
            at
        };
        let mut pairs = at.scan(span);
        if down {
            pairs.reverse();
            if self.bug == Bug::DownwardSkipsFirst && pairs.len() > 3 {
                pairs.remove(0);
            }
        }
        Ok(pairs)
    }
    fn tick(&mut self) -> Result<bool, String> {
        Ok(false)
    }
    fn sync(&mut self) -> Result<(), String> {
        if self.bug != Bug::CrashLosesSynced {
            self.durable = self.model.clone();
            self.unsynced.clear();
        }
        Ok(())
    }
    fn checkpoint(&mut self) -> Result<(), String> {
        self.sync()
    }
    fn reopen(&mut self) -> Result<(), String> {
        if self.bug == Bug::ReopenForgetsUnsynced {
            self.model = self.durable.clone();
        }
        self.sync()
    }
    fn crash(&mut self, seed: u64) -> Result<bool, String> {
        let survive = usize::try_from(seed).unwrap_or(0) % (self.unsynced.len() + 1);
        let mut batches = std::mem::take(&mut self.unsynced);
        let mut torn = batches.get(survive).cloned().unwrap_or_default();
        batches.truncate(survive);
        if self.bug == Bug::CrashTearsABatch {
            torn.truncate(torn.len() / 2);
            batches.push(torn);
        } else if self.bug == Bug::CrashSkipsABatch && batches.len() > 1 {
            batches.remove(0);
        }
        let mut model = self.durable.clone();
        batches.iter().for_each(|batch| model.apply(batch));
        (self.model, self.durable) = (model.clone(), model);
        Ok(true)
    }
    fn check(&mut self) -> Result<(), String> {
        Ok(())
    }
}

fn plan(seeds: u64) -> Plan {
    Plan {
        seed: None,
        seeds,
        steps: 400,
        time: None,
    }
}

#[test]
fn a_right_engine_passes_and_work_was_done() {
    let mixed = (Mix::default(), Limits::default());
    let progress = run(&plan(4), "canary", mixed, |_| Wrong::new(Bug::None));
    assert!(
        progress.operations > 1000 && progress.clones > 100 && progress.crashes > 4,
        "{progress:?}"
    );
    assert!(progress.comparisons >= 4 * 25, "{progress:?}");
}

/// Each bug must be found within some seeds, and its shortest list be really short.
#[test]
fn every_bug_is_found_and_shrunk() {
    for bug in [
        Bug::CloneKeepsOldTarget,
        Bug::ClonesSeeEarlierClones,
        Bug::PatchDoesNotExtend,
        Bug::RangeIncludesItsEnd,
        Bug::DownwardSkipsFirst,
        Bug::SnapshotMoves,
        Bug::ReopenForgetsUnsynced,
        Bug::PanicsOnLongKeys,
        Bug::CrashLosesSynced,
        Bug::CrashTearsABatch,
        Bug::CrashSkipsABatch,
    ] {
        let mixed = (Mix::default(), Limits::default());
        let message = catch(|| run(&plan(20), "canary", mixed, |_| Wrong::new(bug)))
            .expect_err(&format!("{bug:?} was not found"));
        let (_, rest) = message
            .split_once("list found (")
            .expect("the report names its length");
        let steps: usize = rest.split(' ').next().unwrap().parse().unwrap();
        assert!(
            steps <= 6,
            "{bug:?} was shrunk to {steps} steps only:\n{message}"
        );
    }
}

/// Every sub-list of a list must make sense, or shrinking would not work.
#[test]
fn sublists_replay() {
    let list = generate(3, 300, Mix::default());
    for keep in 2..6 {
        let part: Vec<Step> = list.iter().step_by(keep).cloned().collect();
        replay(&mut Wrong::new(Bug::None), &part, Limits::default()).unwrap();
    }
}
