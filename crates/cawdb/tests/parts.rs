//! Parts of large values, which lie on the disk in pages: under patches, in clones, behind deletes, after reopening.
#![allow(clippy::unwrap_used)] // A failed step is a failed test.

mod driven;

use cawdb::{Options, Policy};
use cawfs_sim::{Engine, KvModel, KvOp, Plan, Span, clipped, for_each_seed};
use driven::{Driven, assert_met};
use fastrand::Rng;
use std::sync::atomic::{AtomicU64, Ordering};

/// Directories, each with a few large values.
const DIRS: [&str; 3] = ["a/", "b/", "c/deeper/"];

fn key(rng: &mut Rng) -> Vec<u8> {
    format!("{}{:02}", DIRS[rng.usize(..3)], rng.u8(..30)).into_bytes()
}

/// Bytes that do not compress.
fn noise(rng: &mut Rng, len: usize) -> Vec<u8> {
    (0..len).map(|_| rng.u8(..)).collect()
}

fn op(rng: &mut Rng) -> KvOp {
    match rng.u8(..20) {
        0..=9 => {
            let len = rng.usize(60_000..140_000);
            KvOp::Put(key(rng), noise(rng, len))
        }
        10..=14 => {
            let len = [1, 100, 4096, 9000][rng.usize(..4)];
            KvOp::Patch(key(rng), rng.u32(..150_000), noise(rng, len))
        }
        15 => KvOp::Delete(key(rng)),
        16 => KvOp::DeleteRange(Span::prefix(DIRS[rng.usize(..3)].as_bytes())),
        _ => {
            let from = DIRS[rng.usize(..3)].as_bytes().to_vec();
            let to = DIRS[rng.usize(..3)].as_bytes().to_vec();
            let source = Span::prefix(&from);
            KvOp::CloneRange { source, from, to }
        }
    }
}

/// Asks for a part before anything else of that value was read.
fn compare(engine: &mut Driven, model: &KvModel, rng: &mut Rng) -> Result<(), String> {
    let key = key(rng);
    let start = rng.usize(..150_000);
    let want = start..start + [1, 4096, 10_000, 100_000][rng.usize(..4)];
    let now = engine.snapshot()?;
    let found = now
        .get_part(&key, want.clone())
        .map_err(|e| e.to_string())?;
    let expected = model.get(&key).map(|value| clipped(value, &want));
    match found.as_deref() == expected {
        true => Ok(()),
        false => Err(format!("{key:?} {want:?} is not what was written")),
    }
}

/// Parts that were read alone at the end of all trials.
static PARTS: AtomicU64 = AtomicU64::new(0);

fn count_parts(engine: &Driven) {
    let counters = engine.store().stats().counters;
    let parts = counters.iter().find(|(name, _)| *name == "parts_read");
    PARTS.fetch_add(parts.unwrap().1, Ordering::Relaxed);
}

fn trial(seed: u64, steps: usize) -> Result<(), String> {
    let mut rng = Rng::with_seed(seed);
    let options = Options {
        cache_bytes: 1 << 20,
        memtable_bytes: 256 << 10,
        policy: Policy::tiny(6),
        ..Options::default()
    };
    let mut model = KvModel::default();
    let mut engine = match seed % 2 {
        0 => Driven::with(seed, options),
        _ => Driven::open(seed),
    };
    for step in 0..steps {
        let ops = [op(&mut rng)];
        engine.commit(&ops)?;
        model.apply(&ops);
        match rng.u8(..8) {
            0 => engine.checkpoint()?,
            1 => engine.reopen()?,
            2 => drop(engine.tick()?),
            _ => {}
        }
        for _ in 0..4 {
            compare(&mut engine, &model, &mut rng).map_err(|e| format!("step {step}: {e}"))?;
        }
    }
    engine.checkpoint()?;
    engine.reopen()?;
    for _ in 0..100 {
        compare(&mut engine, &model, &mut rng).map_err(|e| format!("at the end: {e}"))?;
    }
    count_parts(&engine);
    engine.check()?;
    match engine.scan_at(&engine.store().snapshot(), &Span::all(), false)?
        == model.scan(&Span::all())
    {
        true => Ok(()),
        false => Err("a scan is not what was written".into()),
    }
}

#[test]
fn parts_are_what_was_written() {
    let command = "cargo test -p cawdb --test parts parts_are_what_was_written";
    for_each_seed(&Plan::from_env(24, 80), command, |seed, steps| {
        trial(seed, steps).unwrap();
    });
    assert_met(&["parts_read", "clones", "merges"]);
    let parts = PARTS.load(Ordering::Relaxed);
    assert!(parts > 100, "{parts} parts were read alone at the end");
}
