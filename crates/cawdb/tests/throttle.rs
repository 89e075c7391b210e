//! Writers on a slow disk: memory keeps its bounds, and everybody waits a little instead of somebody for long.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use cawdb::disk::meter::{self, Spent};
use cawdb::disk::{Access, Disk, FileDisk, HookedDisk, OpKind, RamDisk};
use cawdb::{Background, Batch, CreateOptions, KeyRange, Options, Policy, Store};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;
const MEMTABLE: u64 = 4 * MIB;
/// What one piece of background work reads.
const JOB: u64 = 3 * MIB / 2;
/// Where writers wait: see `throttle.rs`.
const END: u64 = MEMTABLE * 5 / 2;

/// A store on a disk in memory that writes so many bytes a second.
fn open(bytes_a_second: u64) -> Store {
    let disk = RamDisk::new();
    let create = CreateOptions {
        size: 1 << 30,
        journal_bytes: Some(MIB),
        ..CreateOptions::default()
    };
    let slow = Arc::new(HookedDisk::new(Arc::new(disk), move |kind, bytes| {
        if kind == OpKind::Write {
            let seconds = bytes as f64 / bytes_a_second as f64;
            std::thread::sleep(Duration::from_secs_f64(seconds));
        }
    }));
    Store::create(slow.clone(), &create).unwrap();
    // As small beside the memtable as they are by default.
    let policy = Policy {
        run_bytes: MIB / 4,
        flush_bytes: MIB / 4,
        job_bytes: JOB,
        ..Policy::default()
    };
    let options = Options {
        policy,
        cache_bytes: 4 * MIB,
        memtable_bytes: MEMTABLE,
        ..Options::default()
    };
    Store::open(slow, options).unwrap()
}

/// Commits random values of 32 KiB; the longest that one of them waited.
fn write(store: &Store, thread: u64, count: u64) -> Spent {
    let mut rng = fastrand::Rng::with_seed(thread);
    let mut longest = Spent::default();
    for n in 0..count {
        let value: Vec<u8> = std::iter::repeat_with(|| rng.u8(..))
            .take(32 << 10)
            .collect();
        let mut batch = Batch::new();
        batch.put(format!("{thread}/{n:06}"), value);
        let before = meter::spent();
        store.commit(batch).unwrap();
        let spent = meter::spent() - before;
        longest.throttle = longest.throttle.max(spent.throttle);
        longest.lock = longest.lock.max(spent.lock);
        longest.disk = longest.disk.max(spent.disk);
    }
    longest
}

fn counter(store: &Store, name: &str) -> u64 {
    let counters = store.stats().counters;
    counters.iter().find(|c| c.0 == name).unwrap().1
}

#[test]
fn writers_are_slowed_smoothly_and_memory_stays_within_its_bounds() {
    const THREADS: u64 = 4;
    const VALUES: u64 = 400;
    let store = open(16 * MIB);
    let background = Background::start(&store, Duration::from_secs(5));
    let most = AtomicU64::new(0);
    let ended = AtomicBool::new(false);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                let memory = store.stats().memory;
                most.fetch_max(memory.unwritten_runs + memory.memtable, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let writers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let store = &store;
                scope.spawn(move || write(store, thread, VALUES))
            })
            .collect();
        for writer in writers {
            let longest = writer.join().unwrap();
            println!("longest waits: {longest:?}");
            // A machine that is busy with other tests adds some.
            assert!(longest.throttle < Duration::from_secs(1), "{longest:?}");
            assert!(longest.lock < Duration::from_secs(1), "{longest:?}");
            assert_eq!(longest.disk, Duration::ZERO, "a writer wrote a checkpoint");
        }
        ended.store(true, Ordering::Relaxed);
    });
    let most = most.into_inner();
    let (delays, checkpoints) = (
        counter(&store, "throttle_delays"),
        counter(&store, "checkpoints"),
    );
    println!(
        "{:?}; at most {most} bytes unwritten, {delays} delays, {checkpoints} checkpoints",
        begun.elapsed()
    );
    // What is admitted at the end of the range goes to the memtable first, and a job of merges may end just then.
    let bound = END + MEMTABLE / 2 + 2 * JOB + THREADS * (64 << 10);
    assert!(
        most <= bound,
        "{most} bytes unwritten, {bound} are the most"
    );
    assert!(
        most > MEMTABLE,
        "the disk was not slow enough: {most} bytes"
    );
    assert!(
        delays > 100 && checkpoints > 2,
        "{delays} delays, {checkpoints} checkpoints"
    );
    drop(background);
    let content = store.scan(KeyRange::all()).map(|pair| pair.unwrap());
    assert_eq!(content.count() as u64, THREADS * VALUES);
    store.checkpoint().unwrap();
    assert_eq!(store.stats().memory.unwritten_runs, 0);
}

#[test]
fn nodes_count_until_they_are_written() {
    let store = open(1 << 40);
    write(&store, 1, 600);
    let mut batch = Batch::new();
    batch.clone_range(KeyRange::all(), "", "clone/");
    store.commit(batch).unwrap();
    while store.tick().unwrap() {}
    let memory = store.stats().memory;
    assert!(memory.unwritten_nodes > 0, "{memory:?}");
    assert!(memory.unwritten_nodes <= memory.nodes, "{memory:?}");
    store.checkpoint().unwrap();
    let written = store.stats().memory;
    assert_eq!(written.unwritten_nodes, 0, "{written:?}");
    // What became of one by work on it is to be written anew.
    let mut batch = Batch::new();
    batch.delete_range(KeyRange::prefix("clone/"));
    store.commit(batch).unwrap();
    while store.tick().unwrap() {}
    store.checkpoint().unwrap();
    assert_eq!(store.stats().memory.unwritten_nodes, 0);
}

#[test]
fn what_readers_hold_is_told_apart_and_comes_back() {
    let store = open(1 << 40);
    write(&store, 1, 30);
    let snapshot = store.snapshot();
    let mut scan = store.scan(KeyRange::all());
    scan.next().unwrap().unwrap();
    store.checkpoint().unwrap();
    let held = store.stats().memory;
    assert_eq!(held.unwritten_runs, 0, "{held:?}");
    assert!(held.held_by_readers > 30 * (32 << 10), "{held:?}");
    drop((snapshot, scan));
    assert_eq!(store.stats().memory.held_by_readers, 0);
}

#[test]
fn without_threads_a_writer_writes_the_checkpoint_and_never_sleeps() {
    let store = open(1 << 40);
    let longest = write(&store, 1, 600);
    assert_eq!(longest.throttle, Duration::ZERO);
    assert!(counter(&store, "checkpoints") >= 1);
    let memory = store.stats().memory;
    assert!(memory.unwritten_runs <= END + MEMTABLE, "{memory:?}");
}

/// Bytes that went past the machine's cache while `count` values of `len` bytes were put, or laid at an offset of values, and made durable, and
/// the bytes written.
fn past_cache(path: &Path, count: u64, len: usize, offset: Option<u32>) -> (u64, u64) {
    let disk = Arc::new(FileDisk::open(path, Access::Create, Duration::ZERO).unwrap());
    let create = CreateOptions {
        size: 1 << 30,
        journal_bytes: Some(MIB),
        ..CreateOptions::default()
    };
    Store::create(disk.clone(), &create).unwrap();
    let options = Options {
        memtable_bytes: 8 * MIB,
        ..Options::default()
    };
    let store = Store::open(disk, options).unwrap();
    let mut rng = fastrand::Rng::with_seed(1);
    let value = |n: u64, rng: &mut fastrand::Rng| {
        let mut value = vec![0; len];
        rng.fill(&mut value);
        (format!("{n:09}"), value)
    };
    let mut written = vec![];
    for n in 0..count {
        let (key, bytes) = value(n, &mut rng);
        let mut batch = Batch::new();
        let zeros = match offset {
            Some(offset) => {
                batch.patch(key.clone(), offset, bytes.clone());
                offset as usize
            }
            None => {
                batch.put(key.clone(), bytes.clone());
                0
            }
        };
        store.commit(batch).unwrap();
        written.push((key, [vec![0; zeros], bytes].concat()));
    }
    store.checkpoint().unwrap();
    let io = store.stats().io;
    // And it is there, for who opens it anew.
    drop(store);
    let disk = FileDisk::open(path, Access::Write, Duration::from_secs(5)).unwrap();
    let store = Store::open(Arc::new(disk), Options::default()).unwrap();
    for (key, bytes) in written {
        assert_eq!(
            store.get(key.as_bytes()).unwrap().as_deref(),
            Some(&bytes[..])
        );
    }
    (io.past_cache_bytes, io.write_bytes)
}

#[test]
fn long_streams_go_past_the_cache_and_nothing_else_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    for (count, len, offset, why) in [
        (32, 64 << 10, None, "2 MiB are no stream"),
        (1000, 40 << 10, None, "many files of one block are none"),
        (8000, 4 << 10, None, "nor are many small ones"),
        (500, 4 << 10, Some(4096), "2 MiB of pages"),
        (80_000, 64, Some(4096), "many bytes here and there"),
    ] {
        let (past, written) = past_cache(&path, count, len, offset);
        assert_eq!(past, 0, "{why}: {written} bytes were written");
        std::fs::remove_file(&path).unwrap();
    }
    let disk = FileDisk::open(&path, Access::Create, Duration::ZERO).unwrap();
    disk.write_bulk(&vec![0; 1 << 20], 0).unwrap();
    let direct = disk.stats().past_cache_bytes > 0;
    drop(disk);
    std::fs::remove_file(&path).unwrap();
    for (count, len, offset) in [(1000, 64 << 10, None), (10_000, 4 << 10, Some(4096))] {
        let (past, written) = past_cache(&path, count, len, offset);
        match direct {
            true => assert!(past > written / 2, "{past} of {written} bytes"),
            false => println!("the folder for tests lies where nothing goes past the cache"),
        }
        std::fs::remove_file(&path).unwrap();
    }
}
