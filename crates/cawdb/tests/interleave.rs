//! Threads of the engine under a scheduler that chooses at every lock, wait and atomic number who goes on: by chance, or with few
//! changes at places chosen by chance, which finds what needs few of them. A thread that nobody wakes any more is found as a deadlock.
//!
//! ```sh
//! cargo test -p cawdb --features interleave --test interleave                        # a slice
//! CAWFS_SCHEDULES=100000 cargo test -p cawdb --features interleave --test interleave --release
//! ```
//!
//! A failure prints the schedule, to be replayed with `shuttle::replay`.
#![allow(clippy::unwrap_used)] // A failed step is a failed test.

use cawdb::disk::sync::broken::{self, Fault};
use cawdb::disk::{Disk, FaultyDisk, RamDisk};
use cawdb::shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use cawdb::shuttle::{Config, Runner, thread};
use cawdb::{Batch, CreateOptions, KeyRange, Options, Store};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

const STACK: usize = 1 << 20;
/// Changes of thread beyond those that somebody who waits makes.
const DEPTH: usize = 3;

/// Schedules of each test and scheduler.
fn schedules(slice: usize) -> usize {
    let asked = std::env::var("CAWFS_SCHEDULES");
    asked.map_or(slice, |n| n.parse().expect("a number"))
}

fn run(scheduler: impl Scheduler + 'static, work: fn()) {
    let mut config = Config::new();
    config.stack_size = STACK;
    Runner::new(scheduler, config).run(work);
}

/// Runs under both schedulers.
fn explore(slice: usize, work: fn()) {
    let (seed, count) = (fastrand::u64(..), schedules(slice));
    println!("seed {seed}, {count} schedules");
    run(RandomScheduler::new_from_seed(seed, count), work);
    run(PctScheduler::new_from_seed(seed, DEPTH, count), work);
}

type Ram = Arc<FaultyDisk<RamDisk>>;

fn store() -> (Ram, Store) {
    let disk: Ram = Arc::new(FaultyDisk::new(RamDisk::new()).unwrap());
    let create = CreateOptions {
        size: 16 << 20,
        journal_bytes: Some(64 << 10),
        ..CreateOptions::default()
    };
    Store::create(disk.clone(), &create).unwrap();
    let store = Store::open(disk.clone() as Arc<dyn Disk>, Options::tiny(4)).unwrap();
    (disk, store)
}

fn put(store: &Store, pairs: &[(&str, String)]) {
    let mut batch = Batch::new();
    for (key, value) in pairs {
        batch.put(key.as_bytes().to_vec(), value.clone());
    }
    store.commit(batch).unwrap();
}

fn sound(store: &Store) {
    let report = store.check(true).unwrap();
    assert!(report.findings.is_empty(), "{report:?}");
    assert_eq!(report.leaked_bytes, 0);
}

/// Whoever syncs has his batch on the disk when that returns, whoever wrote it, and is woken.
fn group_commit() {
    let (disk, store) = store();
    let threads: Vec<_> = (0..3)
        .map(|id| {
            let (disk, store) = (disk.clone(), store.clone());
            thread::spawn(move || {
                let key = format!("key {id}");
                for round in 0..2 {
                    put(&store, &[(&key, round.to_string())]);
                    store.sync().unwrap();
                }
                (key, disk.crash(id))
            })
        })
        .collect();
    let images: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
    for (key, image) in images {
        let found = Store::open(Arc::new(image), Options::tiny(4)).unwrap();
        assert_eq!(
            found.get(key.as_bytes()).unwrap().as_deref(),
            Some(&b"1"[..])
        );
    }
    sound(&store);
}

/// A batch is seen whole or not at all, also while the memtable is sealed under it by clones, and a clone shows one instant.
fn seals_against_writers_and_readers() {
    let (_, store) = store();
    put(&store, &[("a1", "0".into()), ("a2", "0".into())]);
    let writer = {
        let store = store.clone();
        thread::spawn(move || {
            for round in 1..3 {
                put(
                    &store,
                    &[("a1", round.to_string()), ("a2", round.to_string())],
                );
            }
        })
    };
    let cloner = {
        let store = store.clone();
        thread::spawn(move || {
            for name in ["b", "c", "d"] {
                let mut batch = Batch::new();
                batch.clone_prefix("a", name);
                batch.put(format!("{name}9"), "made with the clone");
                store.commit(batch).unwrap();
            }
        })
    };
    let mut newest = 0;
    for _ in 0..10 {
        let seen = store.snapshot();
        let get = |key: &str| seen.get(key.as_bytes()).unwrap();
        assert_eq!(get("a1"), get("a2"), "half a batch");
        for name in ["b", "c", "d"] {
            let part = |at: &str| get(&format!("{name}{at}"));
            assert_eq!(part("1"), part("2"), "a clone of two instants");
            assert_eq!(
                part("1").is_some(),
                part("9").is_some(),
                "half a batch with a clone"
            );
        }
        let round: u32 = std::str::from_utf8(&get("a1").unwrap())
            .unwrap()
            .parse()
            .unwrap();
        assert!(round >= newest, "time goes back");
        newest = round;
    }
    writer.join().unwrap();
    cloner.join().unwrap();
    assert_eq!(store.scan(KeyRange::all()).count(), 11);
    sound(&store);
}

/// Snapshots that come and go while background work and checkpoints replace what they hold keep it, and nothing for longer.
fn releases_against_background_work() {
    let (_, store) = store();
    let big = "x".repeat(700);
    for key in 0..12 {
        put(&store, &[(&format!("k{key}"), big.clone())]);
    }
    let worker = {
        let store = store.clone();
        thread::spawn(move || {
            for _ in 0..6 {
                store.tick().unwrap();
            }
            store.checkpoint().unwrap();
        })
    };
    let changer = {
        let store = store.clone();
        thread::spawn(move || {
            let mut batch = Batch::new();
            batch.delete_range(KeyRange::prefix("k"));
            store.commit(batch).unwrap();
            put(&store, &[("k3", "new".into())]);
            store.sync().unwrap();
        })
    };
    for _ in 0..2 {
        let seen = store.snapshot();
        let keys = seen.scan(KeyRange::all()).map(|item| item.unwrap().0);
        let count = keys.count();
        assert!([0, 1, 12].contains(&count), "{count} keys");
        assert_eq!(
            seen.scan(KeyRange::all()).count(),
            count,
            "a snapshot changed"
        );
    }
    worker.join().unwrap();
    changer.join().unwrap();
    store.checkpoint().unwrap();
    while store.tick().unwrap() {}
    sound(&store);
}

#[test]
fn who_syncs_is_served_in_every_order() {
    explore(500, group_commit);
}

#[test]
fn batches_are_whole_in_every_order() {
    explore(500, seals_against_writers_and_readers);
}

#[test]
fn snapshots_hold_what_they_show_in_every_order() {
    explore(100, releases_against_background_work);
}

/// The explorer has teeth: engines that are wrong on purpose are found out.
#[test]
fn teeth_what_is_wrong_on_purpose_is_found() {
    let faults: [(Fault, fn()); 2] = [
        (Fault::WakesOne, group_commit),
        (Fault::NumberFirst, seals_against_writers_and_readers),
    ];
    for (fault, work) in faults {
        let found = catch_unwind(AssertUnwindSafe(|| {
            broken::choose(Some(fault));
            run(RandomScheduler::new_from_seed(1, 3000), work);
        }));
        broken::choose(None);
        assert!(found.is_err(), "{fault:?} is not found");
    }
}
