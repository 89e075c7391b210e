//! What the trials have in common: workloads that are a function of a seed, and comparing with the model.
use cawdb::disk::{Disk, FaultyDisk, RamDisk};
use cawdb::{Batch, Compression, CreateOptions, Error, KeyRange, Options, Result, Store};
use cawfs_sim::{KvModel, KvOp, Limits, Mix, Pair, Span, Step, generate, resolve};
use std::sync::Arc;

/// A range of the model as one of the engine.
pub fn range(span: &Span) -> KeyRange {
    KeyRange {
        lo: span.lo.clone().into(),
        hi: span.hi.clone().map(Into::into),
    }
}

/// Operations of the model as a batch of the engine.
pub fn batch(ops: &[KvOp]) -> Batch {
    let mut batch = Batch::new();
    for op in ops.iter().cloned() {
        match op {
            KvOp::Put(key, value) => batch.put(key, value),
            KvOp::Delete(key) => batch.delete(key),
            KvOp::Patch(key, offset, bytes) => batch.patch(key, offset, bytes),
            KvOp::DeleteRange(span) => batch.delete_range(range(&span)),
            KvOp::CloneRange { source, from, to } => batch.clone_range(range(&source), from, to),
        };
    }
    batch
}

/// Commits one put.
pub fn put(store: &Store, key: impl Into<bytes::Bytes>, value: Vec<u8>) -> Result<()> {
    let mut batch = Batch::new();
    batch.put(key, value);
    store.commit(batch)
}

/// Everything that a store shows.
pub fn content(store: &Store) -> Result<Vec<Pair>> {
    let owned =
        |pair: Result<(bytes::Bytes, bytes::Bytes)>| pair.map(|(k, v)| (k.to_vec(), v.to_vec()));
    store.scan(KeyRange::all()).map(owned).collect()
}

/// A new store on `disk` with a journal of 64 KiB.
pub fn create(disk: Arc<dyn Disk>, size: u64) {
    let create = CreateOptions {
        size,
        compression: Compression::Lz4,
        journal_bytes: Some(64 << 10),
    };
    Store::create(disk, &create).unwrap();
}

/// A faulty disk with an empty store.
pub fn faulty() -> Arc<FaultyDisk<RamDisk>> {
    let disk = Arc::new(FaultyDisk::new(RamDisk::new()).unwrap());
    create(disk.clone(), 1 << 28);
    disk
}

/// Everything tiny, so that each path is met, and no cache, so that all is read from the disk.
pub fn tiny() -> Options {
    Options {
        cache_bytes: 0,
        ..Options::tiny(4)
    }
}

/// One thing done to a store.
#[derive(Debug, Clone)]
pub enum Act {
    /// A batch.
    Commit(Vec<KvOp>),
    /// A scan of everything.
    Read,
    /// Background work.
    Tick(u8),
    /// A sync.
    Sync,
    /// A checkpoint.
    Checkpoint,
}

/// A row of acts with clones, syncs and checkpoints; resolved on a model that takes all of them.
pub fn workload(seed: u64, steps: usize) -> Vec<Act> {
    let mix = Mix {
        value_bytes: 700,
        tick_every: 4,
        reopen_every: 0,
        crash_every: 0,
    };
    let limits = Limits {
        keys: 120,
        bytes: 40 << 10,
        key_bytes: 200,
    };
    let mut model = KvModel::default();
    let mut acts = Vec::new();
    for (i, step) in generate(seed, steps, mix).into_iter().enumerate() {
        acts.push(match step {
            Step::Commit(ops) => {
                let ops = resolve(&ops, &model, limits);
                model.apply(&ops);
                Act::Commit(ops)
            }
            Step::Tick(n) => Act::Tick(n),
            Step::Sync => Act::Sync,
            Step::Checkpoint => Act::Checkpoint,
            _ => Act::Read,
        });
        if i % 16 == 15 {
            acts.push(if i % 32 == 15 {
                Act::Sync
            } else {
                Act::Checkpoint
            });
        }
    }
    acts
}

/// Ticks until nothing is left to do.
///
/// # Panics
/// If it never ends, or fails.
pub fn settle(store: &Store) {
    for _ in 0..200_000 {
        if !store.tick().unwrap() {
            return;
        }
    }
    panic!("background work never ends: {:?}", store.stats().counters);
}

/// No findings, nothing leaked.
pub fn assert_whole(store: &Store) {
    let report = store.check(true).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    assert_eq!(report.leaked_bytes, 0, "leaked");
}

/// An error is of a kind that a failing disk explains.
pub fn assert_of_the_disk(error: &Error) {
    assert!(matches!(error, Error::Io(_)), "{error:?}");
}
