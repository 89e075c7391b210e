//! What is read before somebody asks: right after opening, and by a clone before it holds a lock. Counted in requests.
#![allow(clippy::unwrap_used)] // A failed step is a failed test.

use cawdb::disk::{Disk, Extent, FaultyDisk, HookedDisk, IoStats, OpKind, RamDisk};
use cawdb::{Batch, Compression, CreateOptions, KeyRange, Options, Policy, Store, Warming};
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const TREES: usize = 4;
const PAIRS: usize = 1500;

fn options() -> Options {
    let policy = Policy {
        fanout: 8,
        join: 6,
        root_slots: 32,
        run_bytes: 256 << 10,
        flush_bytes: 256 << 10,
        ..Policy::default()
    };
    Options {
        memtable_bytes: 1 << 20,
        policy,
        ..Options::default()
    }
}

/// A store in shape that holds some trees of a MiB and a half, with random values.
fn fill(disk: Arc<dyn Disk>) {
    let create = CreateOptions {
        size: 1 << 30,
        compression: Compression::Lz4,
        journal_bytes: Some(1 << 20),
    };
    Store::create(disk.clone(), &create).unwrap();
    let store = Store::open(disk, options()).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    for tree in 0..TREES {
        for pair in 0..PAIRS {
            let mut value = vec![0; 1000];
            random.fill(&mut value);
            let mut batch = Batch::new();
            batch.put(format!("{tree}/{pair:05}"), value);
            store.commit(batch).unwrap();
        }
    }
    while store.tick().unwrap() {}
    store.checkpoint().unwrap();
    assert!(store.stats().height >= 1, "nodes below the root");
}

fn trees() -> Vec<KeyRange> {
    let tree = |tree| KeyRange::prefix(format!("{tree}/").into_bytes());
    (0..TREES).map(tree).collect()
}

fn clone(store: &Store, tree: usize, to: &str) {
    let mut batch = Batch::new();
    batch.clone_prefix(format!("{tree}/"), to.to_owned());
    store.commit(batch).unwrap();
}

fn reads(store: &Store) -> u64 {
    store.stats().io.reads
}

#[test]
fn a_first_clone_after_opening_finds_everything() {
    let disk = Arc::new(RamDisk::new());
    fill(disk.clone());
    let cold = Store::open(disk.clone(), options()).unwrap();
    let before = reads(&cold);
    clone(&cold, 2, "x/");
    assert!(reads(&cold) >= before + 3, "nothing to be seen here");
    drop(cold);
    let store = Store::open(disk, options()).unwrap();
    Warming::start(&store, trees).wait();
    let before = reads(&store);
    clone(&store, 2, "y/");
    clone(&store, 0, "z/");
    assert_eq!(reads(&store), before);
    // Of data nothing was read: a first look at a key is a segment.
    assert!(store.get(b"y/00700").unwrap().is_some());
    assert_eq!(reads(&store), before + 1);
}

/// A store of which one tree, between pivots, has so many layers over what lies below.
fn layered(layers: usize) -> Arc<RamDisk> {
    let disk = Arc::new(RamDisk::new());
    fill(disk.clone());
    let store = Store::open(disk.clone(), options()).unwrap();
    clone(&store, 2, "x/");
    for layer in 0..layers {
        let mut batch = Batch::new();
        for pair in 0..PAIRS {
            batch.put(format!("2/{pair:05}"), vec![layer as u8; 100]);
        }
        store.commit(batch).unwrap();
        store.checkpoint().unwrap();
    }
    store.checkpoint().unwrap();
    drop(store);
    let store = Store::open(disk.clone(), options()).unwrap();
    let dump = store.dump_text().unwrap();
    let slot = dump.lines().find(|line| line.starts_with("  [2/]"));
    let found = slot.map(|line| line.matches(" r").count());
    assert_eq!(found, Some(layers), "{dump}");
    disk
}

/// Requests of a clone between pivots, of a tree over all of which something was written, or nothing.
fn reads_between_pivots(layers: usize) -> u64 {
    let store = Store::open(layered(layers), options()).unwrap();
    let before = reads(&store);
    clone(&store, 2, "y/");
    reads(&store) - before
}

/// It took time with what had just been written, though nothing was cut.
#[test]
fn a_clone_between_pivots_looks_at_nothing_that_lies_over_its_source() {
    assert_eq!(reads_between_pivots(3), reads_between_pivots(0));
}

#[test]
fn reading_ahead_keeps_to_its_budget() {
    let disk = Arc::new(RamDisk::new());
    fill(disk.clone());
    let taken = |cache_bytes| {
        let options = Options {
            cache_bytes,
            ..options()
        };
        let store = Store::open(disk.clone(), options).unwrap();
        let before = store.stats().io;
        Warming::start(&store, Vec::new).wait();
        let now = store.stats().io;
        (now.read_bytes - before.read_bytes, now.reads - before.reads)
    };
    assert_eq!(taken(0), (0, 0));
    let (little, all) = (taken(4 << 20), taken(1 << 30));
    // A request counts for 256 KiB at least, whatever it brings.
    assert!((1..=2).contains(&little.1), "{little:?}");
    assert!(all.0 > little.0 && all.0 <= 8 << 20, "{all:?}");
    assert!(all.1 > little.1 && all.1 <= 32, "{all:?}");
}

#[test]
fn what_cannot_be_read_ahead_is_left_to_whoever_needs_it() {
    let disk = Arc::new(FaultyDisk::new(RamDisk::new()).unwrap());
    fill(disk.clone());
    let store = Store::open(disk.clone(), options()).unwrap();
    disk.fail_from(OpKind::Read, 0);
    Warming::start(&store, trees).wait();
    assert!(store.get(b"1/00700").is_err());
    disk.heal();
    assert!(store.get(b"1/00700").unwrap().is_some());
    clone(&store, 1, "x/");
    assert!(store.get(b"x/01499").unwrap().is_some());
}

#[test]
fn closing_does_not_wait_for_what_is_still_to_be_read() {
    let disk = Arc::new(RamDisk::new());
    fill(disk.clone());
    let (slow, asked) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (is_slow, count) = (slow.clone(), asked.clone());
    let disk = HookedDisk::new(disk, move |kind, _| {
        if kind == OpKind::Read && is_slow.load(Ordering::Relaxed) > 0 {
            count.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let store = Store::open(Arc::new(disk), options()).unwrap();
    slow.store(1, Ordering::Relaxed);
    let warming = Warming::start(&store, trees);
    let begun = Instant::now();
    while asked.load(Ordering::Relaxed) == 0 {
        assert!(begun.elapsed() < Duration::from_secs(60));
        std::thread::yield_now();
    }
    drop(warming);
    let asked = asked.load(Ordering::Relaxed);
    // It was dropped in the first one; a slow machine may come to it later.
    assert!(asked < 10, "{asked}");
}

/// A disk that notes which requests it was told of before.
#[derive(Debug)]
struct Told {
    disk: Arc<RamDisk>,
    told: Mutex<HashSet<u64>>,
    untold: AtomicU64,
}

impl Told {
    fn of(disk: &Arc<RamDisk>) -> Self {
        Self {
            disk: disk.clone(),
            told: Mutex::default(),
            untold: AtomicU64::new(0),
        }
    }
}

impl Disk for Told {
    fn len(&self) -> u64 {
        self.disk.len()
    }
    fn limit(&self) -> Option<u64> {
        self.disk.limit()
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> cawdb::disk::Result<()> {
        let told = self.told.lock().unwrap().contains(&offset);
        self.untold.fetch_add(u64::from(!told), Ordering::Relaxed);
        self.disk.read_at(buf, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> cawdb::disk::Result<()> {
        self.disk.write_at(bytes, offset)
    }
    fn sync(&self) -> cawdb::disk::Result<()> {
        self.disk.sync()
    }
    fn reserve(&self, extent: Extent) -> cawdb::disk::Result<()> {
        self.disk.reserve(extent)
    }
    fn discard(&self, extent: Extent) -> cawdb::disk::Result<()> {
        self.disk.discard(extent)
    }
    fn will_read(&self, extent: Extent) {
        self.told.lock().unwrap().insert(extent.offset);
    }
    fn occupied(&self) -> Option<u64> {
        self.disk.occupied()
    }
    fn stats(&self) -> IoStats {
        self.disk.stats()
    }
    fn name(&self) -> String {
        "a disk that is told".into()
    }
}

#[test]
fn the_disk_is_told_before_somebody_waits() {
    let disk = Arc::new(RamDisk::new());
    fill(disk.clone());
    let told = || Told::of(&disk);
    // A cold clone: all but what it finds alone.
    let watched = Arc::new(told());
    let store = Store::open(watched.clone(), options()).unwrap();
    let before = (reads(&store), watched.untold.load(Ordering::Relaxed));
    clone(&store, 2, "x/");
    let (all, untold) = (
        reads(&store) - before.0,
        watched.untold.load(Ordering::Relaxed) - before.1,
    );
    assert!(all >= 3 && untold <= 1, "{untold} of {all}");
    drop(store);
    let watched = Arc::new(told());
    let store = Store::open(watched.clone(), options()).unwrap();
    let before = watched.untold.load(Ordering::Relaxed);
    Warming::start(&store, Vec::new).wait();
    assert_eq!(watched.untold.load(Ordering::Relaxed), before);
}

/// How many requests the disk was told of before, of what `look` reads of a tree of three layers and a base.
fn told_of_layers(look: fn(&Store)) -> u64 {
    let watched = Arc::new(Told::of(&layered(3)));
    let store = Store::open(watched.clone(), options()).unwrap();
    let before = (reads(&store), watched.untold.load(Ordering::Relaxed));
    look(&store);
    let untold = watched.untold.load(Ordering::Relaxed) - before.1;
    reads(&store) - before.0 - untold
}

/// Of the indexes of one slot the second is read with the others on their way; who scans them wants all from the start.
#[test]
fn who_looks_through_layers_waits_for_their_indexes_together() {
    // None of them holds the key, so all are asked.
    let nowhere = told_of_layers(|store| assert!(store.get(b"2/00700x").unwrap().is_none()));
    assert_eq!(nowhere, 1, "those behind the second");
    let newest = told_of_layers(|store| {
        let pair = store.scan(KeyRange::prefix("2/")).next();
        assert_eq!(&pair.unwrap().unwrap().1[..], [2; 100]);
    });
    assert_eq!(newest, 3, "those and the base");
}
