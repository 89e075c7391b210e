//! Bugs that were found by reading, each as a test.
use crate::support::{assert_whole, content, faulty, put, settle, tiny};
use cawdb::disk::{FaultyDisk, HookedDisk, OpKind, RamDisk};
use cawdb::{Batch, Error, KeyRange, Options, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Ten thousand clones in the journal: replay keeps the root within bounds, and takes seconds, not hours.
#[test]
fn replay_of_many_clones_keeps_the_root_small() {
    let disk = Arc::new(FaultyDisk::new(RamDisk::new()).unwrap());
    let create = cawdb::CreateOptions {
        journal_bytes: Some(8 << 20),
        ..cawdb::CreateOptions::default()
    };
    Store::create(disk.clone(), &create).unwrap();
    let options = Options {
        journal_bulk_bytes: 8 << 20,
        ..Options::default()
    };
    let store = Store::open(disk.clone(), options.clone()).unwrap();
    for file in 0..30 {
        put(&store, format!("a/{file:02}"), vec![file; 100]).unwrap();
    }
    store.checkpoint().unwrap();
    let checkpoints = |s: &Store| {
        s.stats()
            .counters
            .iter()
            .find(|(n, _)| *n == "checkpoints")
            .unwrap()
            .1
    };
    let before = checkpoints(&store);
    for clone in 0..10_000 {
        let mut batch = Batch::new();
        batch.clone_prefix("a/", format!("c{clone:05}/"));
        batch.put(format!("c{clone:05}/00"), "own");
        store.commit(batch).unwrap();
    }
    store.sync().unwrap();
    assert_eq!(checkpoints(&store), before, "the journal holds all of it");
    let image = Arc::new(disk.crash(2));
    drop(store);
    for read_only in [true, false] {
        let start = Instant::now();
        let store = Store::open(
            image.clone(),
            Options {
                read_only,
                ..options.clone()
            },
        )
        .unwrap();
        let (slots, time) = (store.stats().root_slots, start.elapsed());
        println!("replayed in {time:?}, {slots} slots");
        assert!(
            slots <= 2 * options.policy.root_slots as u64,
            "{slots} slots"
        );
        assert!(time < Duration::from_secs(20), "{time:?}");
        assert_eq!(store.get(b"c09999/29").unwrap().unwrap(), vec![29; 100]);
        assert!(store.check(false).unwrap().findings.is_empty());
    }
}

/// A store opened for reading writes nothing, whatever is asked of it, and shows what the journal holds.
#[test]
fn reading_only_never_writes() {
    let disk = faulty();
    let store = Store::open(disk.clone(), tiny()).unwrap();
    put(&store, "a", vec![1; 3000]).unwrap();
    store.checkpoint().unwrap();
    put(&store, "b", vec![2; 3000]).unwrap();
    store.sync().unwrap();
    let image = Arc::new(FaultyDisk::new(disk.crash(0)).unwrap());
    let kinds = [
        OpKind::Write,
        OpKind::Sync,
        OpKind::Discard,
        OpKind::Reserve,
    ];
    {
        let store = Store::open(
            image.clone(),
            Options {
                read_only: true,
                ..tiny()
            },
        )
        .unwrap();
        assert_eq!(content(&store).unwrap().len(), 2);
        assert!(
            put(&store, "c", vec![3]).is_err()
                && store.sync().is_err()
                && store.checkpoint().is_err()
        );
        assert!(!store.tick().unwrap());
        assert_whole(&store);
    }
    assert!(kinds.iter().all(|kind| image.count(*kind) == 0));
}

/// Sealing a memtable reads nothing: a run that cannot be read must not keep others from being written.
#[test]
fn sealing_reads_nothing() {
    let disk = faulty();
    let options = Options {
        cache_bytes: 0,
        ..tiny()
    };
    let store = Store::open(disk.clone(), options).unwrap();
    let mut batch = Batch::new();
    (0..200).for_each(|n| {
        batch.put(format!("a{n:03}"), vec![7; 50]);
    });
    store.commit(batch).unwrap();
    let mut batch = Batch::new();
    batch.delete_range(KeyRange::prefix("a05"));
    store.commit(batch).unwrap();
    store.checkpoint().unwrap();
    disk.fail_from(OpKind::Read, 0);
    for n in 0..100 {
        put(&store, format!("b{n:03}"), vec![8; 200]).unwrap();
    }
    store.checkpoint().unwrap();
    disk.heal();
    assert_eq!(content(&store).unwrap().len(), 290);
    settle(&store);
    assert_whole(&store);
}

/// A batch that was applied is acknowledged, even if tidying up behind it meets a damaged disk.
#[test]
fn what_is_applied_is_acknowledged() {
    let disk = faulty();
    let options = Options {
        cache_bytes: 0,
        ..tiny()
    };
    let store = Store::open(disk.clone(), options).unwrap();
    for n in 0..400_u32 {
        put(&store, format!("a{:03}", n % 150), vec![n as u8; 60]).unwrap();
    }
    store.checkpoint().unwrap();
    disk.fail_from(OpKind::Read, 0);
    let mut expected = 150;
    for n in 0..600 {
        let mut batch = Batch::new();
        match n % 3 {
            0 => batch.clone_prefix(format!("a{:02}", n % 15), format!("c{n:04}")),
            _ => batch.put(format!("b{n:04}"), vec![9; 300]),
        };
        match (store.commit(batch), n % 3) {
            (Ok(()), 0) => expected += 10,
            (Ok(()), _) => expected += 1,
            (Err(Error::Io(_)), 0) => {}
            (Err(error), _) => panic!("{n}: {error:?}"),
        }
    }
    disk.heal();
    assert_eq!(content(&store).unwrap().len(), expected);
    settle(&store);
    assert_whole(&store);
}

/// After a panic nobody knows what is half changed: errors, no more writing, also not when the store is closed.
#[test]
fn after_a_panic_nothing_is_written() {
    let inner = faulty();
    // As a bug in the engine would.
    let armed = Arc::new(AtomicBool::new(false));
    let strikes = armed.clone();
    let disk = Arc::new(HookedDisk::new(inner.clone(), move |kind, _| {
        let strikes = kind == OpKind::Write && strikes.load(Ordering::Relaxed);
        assert!(!strikes, "a planned panic");
    }));
    let store = Store::open(disk.clone(), tiny()).unwrap();
    put(&store, "a", vec![1; 100]).unwrap();
    store.sync().unwrap();
    put(&store, "b", vec![2; 100]).unwrap();
    armed.store(true, Ordering::Relaxed);
    assert!(cawfs_sim::catch(|| store.checkpoint()).is_err());
    armed.store(false, Ordering::Relaxed);
    let writes = inner.count(OpKind::Write);
    assert!(matches!(put(&store, "c", vec![3]), Err(Error::Io(_))));
    assert!(matches!(store.sync(), Err(Error::Io(_))));
    assert!(matches!(store.checkpoint(), Err(Error::Io(_))));
    assert!(matches!(store.tick(), Err(Error::Io(_))));
    drop(store);
    assert_eq!(inner.count(OpKind::Write), writes);
    let store = Store::open(inner, tiny()).unwrap();
    assert_eq!(store.get(b"a").unwrap().unwrap(), vec![1; 100]);
    assert_whole(&store);
}

/// Many clones in one node that all want the same merge get it done once, and share what it came to.
#[test]
fn equal_merges_of_one_job_are_done_once() {
    let disk = faulty();
    let policy = cawdb::Policy {
        fanout: 64,
        join: 48,
        root_slots: 256,
        ..cawdb::Policy::tiny(4)
    };
    let policy = cawdb::Policy {
        run_bytes: 64 << 10,
        flush_bytes: 64 << 10,
        job_bytes: 4 << 20,
        ..policy
    };
    let store = Store::open(
        disk,
        Options {
            memtable_bytes: 4 << 20,
            policy,
            ..tiny()
        },
    )
    .unwrap();
    put(&store, "a/1", vec![1; 4000]).unwrap();
    settle(&store);
    for patch in 0..4_u8 {
        let mut batch = Batch::new();
        batch
            .patch("a/1", u32::from(patch) * 900, vec![patch; 850])
            .clone_prefix("zz", "a/2");
        store.commit(batch).unwrap();
        store.checkpoint().unwrap();
    }
    let mut batch = Batch::new();
    (0..30).for_each(|clone| {
        batch.clone_prefix("a/", format!("c{clone:02}/"));
    });
    store.commit(batch).unwrap();
    settle(&store);
    let merged = counter(&store, "merged_bytes");
    assert!(
        (1..40_000).contains(&merged),
        "{merged} bytes merged of 4000, for 30 clones"
    );
    assert_whole(&store);
}

/// Wide delete-ranges over many narrow ones take memory that is accounted for, so that it is bounded.
#[test]
fn nested_delete_ranges_take_bounded_memory() {
    let store = Store::open(
        faulty(),
        Options {
            memtable_bytes: 4 << 20,
            ..Options::default()
        },
    )
    .unwrap();
    for n in 0..3000 {
        let mut batch = Batch::new();
        batch.delete_range(KeyRange::prefix(format!("a/{n:05}/")));
        store.commit(batch).unwrap();
    }
    let sealed = |s: &Store| {
        s.stats()
            .counters
            .iter()
            .find(|(n, _)| *n == "sealed_runs")
            .unwrap()
            .1
    };
    let before = sealed(&store);
    for _ in 0..100 {
        let mut batch = Batch::new();
        batch.delete_range(KeyRange::prefix("a/"));
        store.commit(batch).unwrap();
    }
    assert!(
        sealed(&store) > before,
        "300,000 stamps in a memtable of 2 MiB"
    );
}

fn counter(store: &Store, name: &str) -> u64 {
    store
        .stats()
        .counters
        .iter()
        .find(|(n, _)| *n == name)
        .unwrap()
        .1
}

/// Clones write no data, but nodes: without a checkpoint now and then they would fill the memory.
#[test]
fn clones_alone_lead_to_checkpoints() {
    let options = Options {
        memtable_bytes: 4 << 20,
        ..Options::default()
    };
    let store = Store::open(faulty(), options).unwrap();
    put(&store, "a/1", vec![1; 100]).unwrap();
    for clone in 0..3000 {
        let mut batch = Batch::new();
        batch.clone_prefix("a/", format!("c{clone:04}/"));
        store.commit(batch).unwrap();
        store.tick().unwrap();
    }
    assert!(counter(&store, "checkpoints") >= 2, "{:?}", store.stats());
    assert!(store.stats().unwritten_bytes < 5 << 20);
}
