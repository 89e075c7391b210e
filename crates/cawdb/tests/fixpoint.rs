//! Nothing is forgotten: a store that says it is at rest finds nothing to do when it is made to look at everything.
#![allow(clippy::unwrap_used)] // A failed step is a failed test.

use cawdb::disk::{RamDisk, Superblock, superblock};
use cawdb::{Batch, CreateOptions, KeyRange, Options, Policy, Store};
use fastrand::Rng;
use std::sync::Arc;

const SEEDS: u64 = 30;
const STEPS: usize = 120;

fn open(disk: &Arc<RamDisk>) -> Store {
    let options = Options {
        memtable_bytes: 64 << 10,
        policy: Policy::tiny(6),
        ..Options::default()
    };
    Store::open(disk.clone(), options).unwrap()
}

fn counter(store: &Store, name: &str) -> u64 {
    let counters = store.stats().counters;
    counters.iter().find(|(n, _)| *n == name).unwrap().1
}

fn settle(store: &Store) {
    while store.tick().unwrap() {}
}

/// Puts into some directories, clones, removals of whole ones and of some keys.
fn change(store: &Store, rng: &mut Rng) {
    let mut batch = Batch::new();
    let directory = |number: u32| format!("d{number:02}/");
    let key =
        |rng: &mut Rng, among| format!("{}{:04}", directory(rng.u32(..among)), rng.u32(..400));
    match rng.u8(..8) {
        0..3 => {
            for _ in 0..rng.usize(1..60) {
                batch.put(key(rng, 12), vec![rng.u8(..); rng.usize(..40)]);
            }
        }
        3..5 => {
            let (from, to) = (directory(rng.u32(..12)), directory(12 + rng.u32(..12)));
            batch.delete_range(KeyRange::prefix(to.clone().into_bytes()));
            batch.clone_prefix(from, to);
        }
        5 => {
            let gone = directory(rng.u32(..24));
            batch.delete_range(KeyRange::prefix(gone.into_bytes()));
        }
        _ => {
            for _ in 0..rng.usize(1..20) {
                batch.delete(key(rng, 24));
            }
        }
    }
    store.commit(batch).unwrap();
}

/// The store with the checkpoint as one of version 2 would say it: everything is to be looked at.
fn made_to_look(disk: &Arc<RamDisk>) -> Store {
    let found = superblock::read(disk.as_ref()).unwrap().superblock;
    // What background work left to do is three bytes at least: an id and that no sweep is owed.
    let old = (2..14).find_map(|upkeep_bytes| {
        let mut body = found.body.clone();
        body.truncate(body.len() - upkeep_bytes);
        body[0] = 1;
        let superblock = Superblock {
            generation: found.generation + 1,
            body,
            ..found.clone()
        };
        let copy = Arc::new(RamDisk::from_image(disk.image()));
        superblock::write(copy.as_ref(), &superblock).unwrap();
        Store::open(copy.clone(), Options::default()).ok()?;
        let copy = RamDisk::from_image(disk.image());
        superblock::write(&copy, &superblock).unwrap();
        Some(Arc::new(copy))
    });
    open(&old.unwrap())
}

/// Random changes and background work; with `reopens` also closings, crashes, and times in which reads are spared.
fn lived(rng: &mut Rng, reopens: bool) -> Arc<RamDisk> {
    let mut disk = Arc::new(RamDisk::new());
    let create = CreateOptions {
        journal_bytes: Some(1 << 20),
        ..CreateOptions::default()
    };
    Store::create(disk.clone(), &create).unwrap();
    let mut store = open(&disk);
    for _ in 0..STEPS {
        match rng.u8(..12) {
            0..5 => change(&store, rng),
            5..8 => {
                for _ in 0..rng.usize(..60) {
                    store.tick().unwrap();
                }
            }
            8 => settle(&store),
            9 => store.checkpoint().unwrap(),
            10 if reopens => {
                drop(store);
                store = open(&disk);
                store.spare_reads(rng.bool());
            }
            11 if reopens => {
                store.sync().unwrap();
                disk = Arc::new(RamDisk::from_image(disk.image()));
                store = open(&disk);
            }
            _ => {}
        }
    }
    // Whether reads are spared changes what a step looks at, not what is found in the end.
    store.spare_reads(rng.bool());
    if reopens {
        store = left_in_a_sweep(store, &disk, rng);
    }
    store.checkpoint().unwrap();
    settle(&store);
    disk
}

/// Closed in the middle of a sweep, opened again, and changed before that goes on, or only read.
fn left_in_a_sweep(store: Store, disk: &Arc<RamDisk>, rng: &mut Rng) -> Store {
    settle(&store);
    change(&store, rng);
    store.checkpoint().unwrap();
    let sweeps = counter(&store, "sweeps");
    while counter(&store, "sweeps") == sweeps {
        store.tick().unwrap();
    }
    for _ in 0..rng.usize(..40) {
        store.tick().unwrap();
    }
    drop(store);
    let store = open(disk);
    store.spare_reads(rng.bool());
    if rng.bool() {
        (0..3).for_each(|_| change(&store, rng));
        return store;
    }
    for _ in 0..40 {
        for _ in 0..rng.usize(..4) {
            let key = format!("d{:02}/{:04}", rng.u32(..24), rng.u32(..400));
            store.get(key.as_bytes()).unwrap();
        }
        store.tick().unwrap();
    }
    store
}

fn at_rest_means_nothing_to_do(reopens: bool) {
    for seed in 0..SEEDS {
        let disk = lived(&mut Rng::with_seed(seed), reopens);
        let store = open(&disk);
        settle(&store);
        assert_eq!(counter(&store, "visits"), 0, "seed {seed}: not at rest");
        drop(store);
        let store = made_to_look(&disk);
        settle(&store);
        assert!(counter(&store, "sweeps") > 0, "seed {seed}");
        for step in [
            "flushes",
            "merges",
            "rebases",
            "joins",
            "narrowed",
            "root_splits",
            "root_collapses",
            "reaped",
        ] {
            assert_eq!(
                counter(&store, step),
                0,
                "seed {seed}: {step} were left to do"
            );
        }
    }
}

#[test]
fn in_a_store_that_stays_open() {
    at_rest_means_nothing_to_do(false);
}

#[test]
fn in_a_store_that_is_closed_and_lost_now_and_then() {
    at_rest_means_nothing_to_do(true);
}
