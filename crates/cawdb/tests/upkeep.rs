//! What background work remembers while a store is closed: nothing is looked at twice for no reason, and nothing never.
#![allow(clippy::unwrap_used)] // A failed step is a failed test.

use cawdb::disk::RamDisk;
use cawdb::{Batch, CreateOptions, Options, Policy, Store};
use std::sync::Arc;

fn options() -> Options {
    Options {
        memtable_bytes: 64 << 10,
        policy: Policy::tiny(6),
        ..Options::default()
    }
}

fn open(disk: &Arc<RamDisk>) -> Store {
    Store::open(disk.clone(), options()).unwrap()
}

fn put(store: &Store, numbers: std::ops::Range<usize>) {
    let mut batch = Batch::new();
    for n in numbers {
        batch.put(format!("key{:05}", n * 7919 % 100_000), vec![n as u8; 20]);
    }
    store.commit(batch).unwrap();
}

/// A change that is in the tree, not only in the memtable.
fn change(store: &Store, number: usize) {
    put(store, number..number + 1);
    store.checkpoint().unwrap();
}

/// A store of some hundred nodes, with nothing left to be done.
fn in_shape() -> Arc<RamDisk> {
    in_shape_with(options())
}

fn in_shape_with(options: Options) -> Arc<RamDisk> {
    let disk = Arc::new(RamDisk::new());
    let create = CreateOptions {
        journal_bytes: Some(1 << 20),
        ..CreateOptions::default()
    };
    Store::create(disk.clone(), &create).unwrap();
    let store = Store::open(disk.clone(), options).unwrap();
    for round in 0..40 {
        put(&store, round * 100..round * 100 + 100);
        while store.tick().unwrap() {}
    }
    assert!(counter(&store, "sweeps") > 0);
    disk
}

fn counter(store: &Store, name: &str) -> u64 {
    let counters = store.stats().counters;
    counters.iter().find(|(n, _)| *n == name).unwrap().1
}

/// Of nodes only the root was read.
const AT_REST: (u64, u64, u64) = (0, 1, 0);

/// Nodes looked at, nodes read, sweeps ended.
fn done(store: &Store) -> (u64, u64, u64) {
    let count = |name| counter(store, name);
    (count("visits"), count("nodes_read"), count("sweeps"))
}

#[test]
fn a_store_at_rest_is_not_looked_at_again() {
    let disk = in_shape();
    let store = open(&disk);
    let reads = store.stats().io.reads;
    while store.tick().unwrap() {}
    assert_eq!(done(&store), AT_REST);
    assert_eq!(store.stats().io.reads, reads);
    // That it was at rest is remembered further on.
    drop(store);
    let store = open(&disk);
    while store.tick().unwrap() {}
    assert_eq!(done(&store), AT_REST);
}

#[test]
fn a_change_leads_to_a_sweep_also_after_a_crash() {
    let disk = in_shape();
    let all = {
        let store = open(&disk);
        change(&store, 1);
        while store.tick().unwrap() {}
        done(&store)
    };
    assert!(all.0 > 100 && all.2 >= 1, "{all:?}");
    let copy = {
        let store = open(&disk);
        put(&store, 2..3);
        store.sync().unwrap();
        Arc::new(RamDisk::from_image(disk.image()))
    };
    for disk in [disk, copy] {
        let store = open(&disk);
        store.checkpoint().unwrap();
        while store.tick().unwrap() {}
        let found = done(&store);
        assert!(found.0 > 100 && found.2 >= 1, "{found:?}");
    }
}

#[test]
fn a_sweep_goes_on_where_it_was_left() {
    let disk = in_shape();
    let store = open(&disk);
    change(&store, 1);
    while store.tick().unwrap() {}
    let nodes = counter(&store, "visits");
    change(&store, 2);
    let half = nodes + nodes / 2;
    while counter(&store, "visits") < half {
        assert!(store.tick().unwrap());
    }
    drop(store);
    let store = open(&disk);
    while counter(&store, "sweeps") < 1 {
        assert!(store.tick().unwrap());
    }
    let (visits, ..) = done(&store);
    assert!(visits > 0 && visits < nodes * 3 / 4, "{visits} of {nodes}");
    // Nothing had changed since it began.
    while store.tick().unwrap() {}
    assert_eq!(counter(&store, "visits"), visits);
    drop(store);
    let store = open(&disk);
    while store.tick().unwrap() {}
    assert_eq!(done(&store), AT_REST);
}

#[test]
fn a_sweep_that_was_left_is_followed_by_another_if_something_changed() {
    let disk = in_shape();
    let store = open(&disk);
    change(&store, 1);
    while counter(&store, "visits") < 50 {
        assert!(store.tick().unwrap());
    }
    change(&store, 2);
    drop(store);
    let store = open(&disk);
    while store.tick().unwrap() {}
    assert!(counter(&store, "sweeps") >= 2);
}

#[test]
fn a_store_that_is_open_for_some_ticks_at_a_time_comes_to_rest_too() {
    let disk = in_shape();
    change(&open(&disk), 1);
    let sessions = sessions_until_rest(|| open(&disk), 8, 400, tick);
    assert!(sessions > 10, "{sessions}");
}

/// Sessions of so many steps until one finds nothing to do.
fn sessions_until_rest(
    open: impl Fn() -> Store,
    steps: usize,
    most: usize,
    mut step: impl FnMut(&Store),
) -> usize {
    let at_rest = |_: &usize| {
        let store = open();
        (0..steps).for_each(|_| step(&store));
        done(&store) == AT_REST
    };
    (0..most).find(at_rest).expect("never at rest")
}

fn tick(store: &Store) {
    store.tick().unwrap();
}

/// A store closed after some ticks over many changes: most of what they made is not looked at yet.
fn hardly_looked_at() -> Arc<RamDisk> {
    let disk = in_shape();
    let store = open(&disk);
    put(&store, 0..4000);
    while counter(&store, "visits") < 5 {
        assert!(store.tick().unwrap());
    }
    disk
}

/// Of many nodes that were just made each session looks at some, and the next goes on with the others, or it would never get further.
#[test]
fn nodes_that_were_just_made_are_looked_at_over_many_sessions() {
    let disk = hardly_looked_at();
    let sessions = sessions_until_rest(|| open(&disk), 4, 4000, tick);
    assert!(sessions > 40, "{sessions}");
}

/// Beside its first users a sweep reads a node and three children at most in a step, also where it has many, and gets through them though no
/// session is long.
#[test]
fn a_sweep_that_spares_reads_gets_on_child_by_child() {
    let wide = || Options {
        policy: Policy::tiny(12),
        ..options()
    };
    let disk = in_shape_with(wide());
    let open = || Store::open(disk.clone(), wide()).unwrap();
    change(&open(), 1);
    let mut read = Vec::new();
    let sessions = sessions_until_rest(open, 8, 400, |store| {
        store.spare_reads(true);
        let before = done(store);
        tick(store);
        read.push(done(store).1 - before.1);
    });
    assert!(sessions > 10, "{sessions}");
    // A sweep begins with the root, which is looked at as a whole; another may follow.
    let much = read.iter().filter(|nodes| **nodes > 4).count();
    assert!(much <= 2, "nodes read by steps: {read:?}");
}

#[test]
fn what_was_just_made_is_looked_at_first() {
    let disk = hardly_looked_at();
    let store = open(&disk);
    let merged = |store: &Store| {
        counter(store, "flushes") + counter(store, "merges") + counter(store, "rebases")
    };
    while counter(&store, "visits") < 40 {
        assert!(store.tick().unwrap());
    }
    assert!(merged(&store) > 0, "{:?}", store.stats().counters);
    assert_eq!(counter(&store, "sweeps"), 0);
}

/// What changes after opening, before the sweep is taken up again, is before its place too.
#[test]
fn a_change_before_a_sweep_is_taken_up_leads_to_another() {
    let disk = in_shape();
    let nodes = {
        let store = open(&disk);
        change(&store, 1);
        while store.tick().unwrap() {}
        let nodes = counter(&store, "visits");
        change(&store, 2);
        while counter(&store, "visits") < nodes + nodes * 3 / 4 {
            assert!(store.tick().unwrap());
        }
        nodes
    };
    let store = open(&disk);
    change(&store, 3);
    while store.tick().unwrap() {}
    let found = done(&store);
    assert!(
        found.0 > nodes && found.2 >= 2,
        "{found:?} of {nodes} nodes"
    );
}

#[test]
fn nodes_that_others_read_leave_memory_after_each_piece_of_work() {
    let budget = 64 << 10;
    let options = Options {
        cache_bytes: 4 * budget,
        ..options()
    };
    let store = Store::open(in_shape(), options).unwrap();
    put(&store, 0..400);
    store.checkpoint().unwrap();
    // While somebody reads, each piece is followed by a rest: it may be long until there were many.
    for _ in 0..4 {
        assert!(store.tick().unwrap(), "nothing to do");
        for n in 0..4000 {
            let key = format!("key{:05}", n * 7919 % 100_000);
            assert!(store.get(key.as_bytes()).unwrap().is_some());
        }
        let nodes = || store.stats().memory.nodes;
        assert!(nodes() > budget, "all fit");
        assert!(store.tick().unwrap(), "nothing to do");
        assert!(nodes() <= budget, "{} bytes", nodes());
    }
}

/// What was merged for one version is known to the others that share it, also if a later session looks at these.
#[test]
fn what_was_merged_is_known_in_later_sessions() {
    let disk = in_shape();
    let mut known = 0;
    for round in 1..=120 {
        let store = open(&disk);
        let made = || {
            let counted = ["merges", "rebases", "coalesces", "trims"];
            counted
                .iter()
                .map(|name| counter(&store, name))
                .sum::<u64>()
        };
        for _ in 0..8 {
            let before = counter(&store, "memo_hits");
            store.tick().unwrap();
            // Hits of this step that no step of this session can have made.
            if made() == 0 {
                known += counter(&store, "memo_hits") - before;
            }
        }
        let version = |round: usize| match round {
            0 => "key".to_string(),
            _ => format!("version{round:03}/"),
        };
        let mut batch = Batch::new();
        batch.clone_prefix(version(round - 1), version(round));
        store.commit(batch).unwrap();
        let mut batch = Batch::new();
        for n in 0..6 {
            let number = (round * 6 + n) * 31 % 4000;
            let key = format!("{}{:05}", version(round), number * 7919 % 100_000);
            batch.put(key, vec![round as u8; 20]);
        }
        store.commit(batch).unwrap();
        store.checkpoint().unwrap();
    }
    assert!(known > 0);
}
