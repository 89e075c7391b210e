//! Thousands of clones: the tree stays as low as plain data would make it, and everything comes back when they go.
use crate::support::{assert_whole, settle};
use cawdb::disk::RamDisk;
use cawdb::{Batch, Compression, CreateOptions, KeyRange, Options, Policy, Store};
use std::sync::Arc;
use std::time::{Duration, Instant};

const CLONES: usize = 2000;
pub(crate) const FILES: usize = 24;
const VALUE: usize = 256;

/// Sizes in the proportions of the real ones, everything 256 times smaller.
fn options() -> Options {
    let policy = Policy {
        fanout: 16,
        join: 12,
        root_slots: 64,
        run_bytes: 16 << 10,
        flush_bytes: 16 << 10,
        hidden_bytes: 512,
        small_shared: 256,
        small_own: 4 << 10,
        trim_least: 512,
        delete_weight: 64,
        job_bytes: 96 << 10,
        ..Policy::default()
    };
    Options {
        cache_bytes: 1 << 20,
        memtable_bytes: 256 << 10,
        policy,
        ..Options::default()
    }
}

pub(crate) fn store() -> Store {
    let disk = Arc::new(RamDisk::new());
    let create = CreateOptions {
        size: 1 << 30,
        compression: Compression::None,
        journal_bytes: Some(1 << 20),
    };
    Store::create(disk.clone(), &create).unwrap();
    Store::open(disk, options()).unwrap()
}

pub(crate) fn key(directory: &str, file: usize) -> String {
    format!("{directory}/{file:04}")
}

/// Values that no compression and no sharing makes small.
fn value(directory: usize, file: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed((directory * 1000 + file) as u64);
    (0..VALUE).map(|_| rng.u8(..)).collect()
}

pub(crate) fn directory(store: &Store, name: &str, seed: usize) {
    let mut batch = Batch::new();
    for file in 0..FILES {
        batch.put(key(name, file), value(seed, file));
    }
    store.commit(batch).unwrap();
}

/// Nothing left to do, and nothing kept that the last checkpoint alone needed.
pub(crate) fn rest(store: &Store) -> u64 {
    for _ in 0..3 {
        settle(store);
        store.checkpoint().unwrap();
    }
    assert_whole(store);
    store.stats().allocated_bytes
}

fn plain_height() -> u8 {
    let store = store();
    for clone in 0..CLONES {
        directory(&store, &format!("c{clone:04}"), clone);
        store.tick().unwrap();
    }
    rest(&store);
    store.stats().height
}

/// Clones `source(i)` to `c<i>` and edits a file of each; the greatest height met.
fn edited_clones(store: &Store, source: impl Fn(usize) -> String) -> u8 {
    let mut highest = 0;
    for clone in 0..CLONES {
        let to = format!("c{clone:04}");
        let mut batch = Batch::new();
        batch.clone_prefix(format!("{}/", source(clone)), format!("{to}/"));
        store.commit(batch).unwrap();
        let mut batch = Batch::new();
        batch.patch(key(&to, clone % FILES), 7, clone.to_le_bytes().to_vec());
        store.commit(batch).unwrap();
        for _ in 0..3 {
            store.tick().unwrap();
        }
        highest = highest.max(store.stats().height);
    }
    highest
}

fn delete_clones(store: &Store) {
    for clone in 0..CLONES {
        let mut batch = Batch::new();
        batch.delete_range(KeyRange::prefix(format!("c{clone:04}/")));
        store.commit(batch).unwrap();
        store.tick().unwrap();
    }
}

/// Clones `source(i)` to `c<i>`, edits a file of each, and then deletes all of them.
fn clones_come_and_go(name: &str, source: impl Fn(usize) -> String) {
    let store = store();
    directory(&store, "base", 0);
    (0..40).for_each(|i| directory(&store, &format!("d{i:02}"), i));
    let before = rest(&store);
    let free_before = store.space();
    let highest = edited_clones(&store, source);
    let with_clones = rest(&store);
    let (stats, plain) = (store.stats(), plain_height());
    println!(
        "{name}: height {} (at most {highest}, plain {plain}), {} nodes, {} runs, {} bytes a clone",
        stats.height,
        stats.nodes,
        stats.runs,
        (with_clones - before) / CLONES as u64
    );
    assert!(
        stats.height <= plain + 1 && highest <= plain + 1,
        "{highest} and {plain}"
    );
    assert!(
        (with_clones - before) / CLONES as u64 <= 4096,
        "a clone with its edit"
    );
    let middle = store.snapshot();
    for clone in (0..CLONES).step_by(97) {
        let (found, file) = (
            middle
                .get(key(&format!("c{clone:04}"), 1).as_bytes())
                .unwrap()
                .unwrap(),
            1,
        );
        assert_eq!(found[100..], value(0, file)[100..], "clone {clone}");
    }
    drop(middle);
    delete_clones(&store);
    let after = rest(&store);
    println!(
        "{name}: {before} bytes before, {with_clones} with clones, {after} after; {:?}",
        store.space()
    );
    assert!(
        after <= before + before / 100 + 4096,
        "{before} bytes before, {after} after"
    );
    let free_after = store.space();
    let slack = before / 50 + (64 << 10);
    assert!(
        free_after.available + slack >= free_before.available,
        "{free_before:?} {free_after:?}"
    );
    assert!(
        free_after.used <= free_before.used + slack,
        "{free_before:?} {free_after:?}"
    );
}

#[test]
fn a_fan_of_2000_clones() {
    clones_come_and_go("fan", |_| "base".into());
}

#[test]
fn a_chain_of_2000_clones() {
    clones_come_and_go("chain", |i| {
        if i == 0 {
            "base".into()
        } else {
            format!("c{:04}", i - 1)
        }
    });
}

/// A copy file by file, as `cp -r` makes it, ends as the tree that one clone of the directory would be, and no
/// clone takes longer the more there are.
#[test]
fn a_copy_file_by_file() {
    let store = store();
    let files = 8000;
    for file in 0..files {
        let mut batch = Batch::new();
        batch.put(format!("a/{file:06}/0"), value(0, file));
        store.commit(batch).unwrap();
    }
    let before = rest(&store);
    let nodes = store.stats().nodes;
    let mut slowest = Duration::ZERO;
    let halves = [0..files / 2, files / 2..files].map(|half| {
        let start = Instant::now();
        for file in half {
            let mut batch = Batch::new();
            batch.clone_prefix(format!("a/{file:06}/"), format!("b/{file:06}/"));
            let commit = Instant::now();
            store.commit(batch).unwrap();
            slowest = slowest.max(commit.elapsed());
            store.tick().unwrap();
        }
        start.elapsed()
    });
    let after = rest(&store);
    let stats = store.stats();
    println!("{files} file clones in {halves:?}, slowest {slowest:?}");
    println!(
        "{before} bytes before, {after} after; {nodes} nodes before, {} after, height {}",
        stats.nodes, stats.height
    );
    assert!(
        halves[1] < 3 * halves[0] + Duration::from_millis(500),
        "{halves:?}"
    );
    assert!(
        after <= before + before / 10,
        "{before} bytes before, {after} after"
    );
    assert!(
        stats.nodes <= 3 * nodes,
        "{nodes} nodes before, {} after",
        stats.nodes
    );
}
