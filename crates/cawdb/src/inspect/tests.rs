//! Wrong counts are found by kind and mended; lost copies are found and healed; what is damaged is named.
use super::Fault;
use crate::image::MAX_DELTAS;
use crate::{Batch, CreateOptions, Error, KeyRange, Options, Store};
use cawdb_disk::layout::SLOTS;
use cawdb_disk::{Disk, Extent, RamDisk};
use cawdb_node::{Node, Slot};
use std::sync::Arc;

fn made() -> (Arc<RamDisk>, Store) {
    let disk = Arc::new(RamDisk::new());
    let create = CreateOptions {
        size: 1 << 28,
        journal_bytes: Some(64 << 10),
        ..CreateOptions::default()
    };
    Store::create(disk.clone(), &create).unwrap();
    let store = Store::open(disk.clone(), Options::tiny(4)).unwrap();
    for n in 0..300u32 {
        let mut batch = Batch::new();
        batch.put(format!("a{n:04}"), vec![n as u8; 200]);
        if n % 50 == 49 {
            batch.clone_prefix("a", format!("b{n}"));
        }
        store.commit(batch).unwrap();
    }
    while store.tick().unwrap() {}
    store.checkpoint().unwrap();
    (disk, store)
}

fn faults(store: &Store) -> Vec<Fault> {
    let report = store.check(true).unwrap();
    report.findings.iter().map(|f| f.fault).collect()
}

fn content(store: &Store) -> Vec<(Vec<u8>, Vec<u8>)> {
    let pairs = store.scan(KeyRange::all());
    pairs
        .map(|pair| pair.map(|(k, v)| (k.to_vec(), v.to_vec())).unwrap())
        .collect()
}

fn spoil(disk: &RamDisk, extent: Extent, byte: u64) {
    let mut bytes = vec![0; 1];
    let at = extent.offset + byte;
    disk.read_at(&mut bytes, at).unwrap();
    disk.write_at(&[bytes[0] ^ 0xff], at).unwrap();
}

/// Wrong counts of every kind, found, mended, and gone after opening again.
#[test]
fn counts_are_found_wrong_and_mended() {
    let (disk, store) = made();
    assert_eq!(faults(&store), []);
    let before = content(&store);
    let root = store.0.published.pin().view.root;
    let shared: Vec<Slot> = root
        .slots
        .iter()
        .filter(|s| s.below.is_some())
        .cloned()
        .collect();
    let slot = shared.first().expect("a tree of some height").clone();
    let run = {
        let table = store.0.shelf.table();
        let entry = table.runs().next().unwrap();
        (entry.run.clone(), entry.count, entry.shown)
    };
    let stray = store.0.shelf.new_node(Node::empty(0, KeyRange::all()));
    {
        let mut table = store.0.shelf.table();
        // One reference too many is counted, one byte too few is shown, and a node that nobody refers to.
        table.retain(&[Slot {
            layers: Arc::new([]),
            ..slot
        }]);
        table.load_run(run.0.clone(), run.1, run.2 + 1);
        table.load_node(stray, 3);
    }
    let mut found = faults(&store);
    found.sort();
    assert_eq!(found, [Fault::OverCount, Fault::Unreachable, Fault::Shown]);
    assert!(found.iter().all(|f| f.is_repairable()));
    let mended = store.repair().unwrap();
    assert_eq!(mended.len(), 3, "{mended:?}");
    assert_eq!(faults(&store), []);
    assert_eq!(content(&store), before);
    {
        let mut table = store.0.shelf.table();
        table.load_run(run.0.clone(), run.1 + 7, run.2);
    }
    assert_eq!(faults(&store), [Fault::OverCount]);
    store.0.shelf.table().load_run(run.0, 0, run.2);
    assert_eq!(faults(&store), [Fault::UnderCount]);
    store.repair().unwrap();
    drop(store);
    let store = Store::open(disk, Options::tiny(4)).unwrap();
    assert_eq!(faults(&store), []);
    assert_eq!(content(&store), before);
    assert_eq!(store.check(true).unwrap().leaked_bytes, 0);
}

/// The loss of either copy of the base or of any delta is survived, found, and healed by a repair or the next checkpoint.
#[test]
fn either_copy_of_every_part_of_the_table_may_be_lost() {
    let (disk, store) = made();
    for n in 0..4u8 {
        let mut batch = Batch::new();
        batch.put(format!("c{n}"), vec![n; 3000]);
        store.commit(batch).unwrap();
        store.checkpoint().unwrap();
    }
    let body = cawdb_disk::sync::lock(&store.0.anchors).body.clone();
    assert!(!body.deltas.is_empty());
    let before = content(&store);
    drop(store);
    let image = |disk: &RamDisk| Arc::new(RamDisk::from_image(disk.image()));
    for twice in std::iter::once(&body.base).chain(&body.deltas) {
        for copy in 0..2 {
            for by_repair in [true, false] {
                let disk = image(&disk);
                spoil(&disk, twice.copies[copy], 40);
                let read_only = Options {
                    read_only: true,
                    ..Options::tiny(4)
                };
                let store = Store::open(disk.clone(), read_only).unwrap();
                let report = store.check(true).unwrap();
                let [finding] = &report.findings[..] else {
                    panic!("{:?}", report.findings)
                };
                assert_eq!(finding.fault, Fault::TableCopy);
                assert_eq!(finding.extent, Some(twice.copies[copy]));
                assert!(finding.what.contains("expected checksum"), "{finding}");
                drop(store);
                let store = Store::open(disk.clone(), Options::tiny(4)).unwrap();
                assert_eq!(content(&store), before);
                match by_repair {
                    true => assert_eq!(store.repair().unwrap().len(), 1),
                    // A copy that nobody had to read is found by who looks.
                    false if copy == 1 => continue,
                    false => store.checkpoint().unwrap(),
                }
                assert_eq!(faults(&store), []);
                drop(store);
                let store = Store::open(disk, Options::tiny(4)).unwrap();
                assert_eq!((faults(&store), content(&store)), (vec![], before.clone()));
            }
        }
    }
    let both = image(&disk);
    body.base.copies.iter().for_each(|c| spoil(&both, *c, 40));
    assert!(matches!(
        Store::open(both, Options::tiny(4)),
        Err(Error::Corrupt(_))
    ));
}

/// Damages both copies of the base of the table, or of the newest superblock, beneath an open store.
fn lose(disk: &RamDisk, store: &Store, fault: Fault) {
    let anchors = cawdb_disk::sync::lock(&store.0.anchors);
    let base = anchors.body.base;
    let newest = SLOTS[(anchors.superblock.generation % 2) as usize];
    let (copies, byte) = match fault {
        Fault::Table => (base.copies, base.len - 1),
        _ => (newest, 100),
    };
    copies.iter().for_each(|copy| spoil(disk, *copy, byte));
}

/// What both copies lose beneath an open store only that store still knows: closed then, it does not open again, so no
/// repair is promised for later. A repair before that, or its next checkpoints, write it anew.
#[test]
fn what_is_lost_beneath_an_open_store_is_written_anew_by_it() {
    for (fault, by_repair) in [
        (Fault::Table, true),
        (Fault::Table, false),
        (Fault::Superblock, false),
    ] {
        let (disk, store) = made();
        lose(&disk, &store, fault);
        assert_eq!(faults(&store), [fault]);
        assert!(!fault.is_repairable());
        let left = Arc::new(RamDisk::from_image(disk.image()));
        let opened = Store::open(left, Options::tiny(4));
        assert!(matches!(opened, Err(Error::Corrupt(_))), "{fault:?}");
        if by_repair {
            assert_eq!(store.repair().unwrap().len(), 1);
        }
        // At the latest the last of these writes the table whole.
        let checkpoints = if by_repair { 0 } else { MAX_DELTAS + 1 };
        for n in 0..checkpoints {
            let mut batch = Batch::new();
            batch.put(format!("d{n}"), vec![n as u8; 20]);
            store.commit(batch).unwrap();
            store.checkpoint().unwrap();
        }
        assert_eq!(faults(&store), []);
        let before = content(&store);
        drop(store);
        let store = Store::open(disk, Options::tiny(4)).unwrap();
        assert_eq!((faults(&store), content(&store)), (vec![], before));
    }
}

/// A damaged run is found once, whoever shares it, with its extent and all places where it shows.
#[test]
fn shared_damage_is_found_once_and_all_its_places_are_named() {
    let (disk, store) = made();
    let shared = {
        let table = store.0.shelf.table();
        let mut runs: Vec<_> = table.runs().filter(|e| e.count > 1).collect();
        runs.sort_by_key(|e| std::cmp::Reverse(e.run.bytes()));
        runs.first().map(|e| e.run.place().unwrap().extent())
    };
    let extent = shared.expect("a run that clones share");
    let before = content(&store);
    drop(store);
    spoil(&disk, extent, 3);
    let options = Options {
        cache_bytes: 0,
        ..Options::tiny(4)
    };
    let store = Store::open(disk, options).unwrap();
    let report = store.check(true).unwrap();
    let [finding] = &report.findings[..] else {
        panic!("{:?}", report.findings)
    };
    assert_eq!(finding.fault, Fault::Segment, "{finding}");
    assert_eq!(finding.extent.map(|e| e.offset), Some(extent.offset));
    assert!(finding.keys.len() > 1, "{:?}", finding.keys);
    assert!(!finding.fault.is_repairable());
    // What cannot be read lies in the places named, and nowhere else.
    for (key, value) in before {
        let hurt = finding.keys.iter().any(|range| range.contains(&key));
        match store.get(&key) {
            Ok(found) => assert_eq!(found.as_deref(), Some(&value[..])),
            Err(_) => assert!(hurt, "{}", key.escape_ascii()),
        }
    }
    // A repair leaves it as it is.
    assert_eq!(store.repair().unwrap().len(), 0);
    assert_eq!(faults(&store), [Fault::Segment]);
}

/// A walk between whose steps everything changes finds nothing, ends, and keeps no space from being free.
#[test]
fn a_scrub_beside_changes_finds_nothing_and_holds_nothing() {
    let (_, store) = made();
    let before = store.0.space.stats().allocated;
    let mut scrub = store.scrub(0);
    let (mut steps, mut bytes) = (0, 0);
    while let Some(step) = scrub.step() {
        assert_eq!(step.findings.len(), 0, "{:?}", step.findings);
        bytes += step.bytes;
        steps += 1;
        if steps == 5 {
            let mut batch = Batch::new();
            batch.delete_range(KeyRange::all());
            store.commit(batch).unwrap();
            // What a checkpoint names is free after the second that does not.
            for _ in 0..3 {
                store.checkpoint().unwrap();
                while store.tick().unwrap() {}
            }
            let after = store.0.space.stats().allocated;
            assert!(after < before / 2, "{after} of {before} bytes are held");
        }
        if steps % 3 == 0 {
            let mut batch = Batch::new();
            batch.put(format!("n{steps:05}"), vec![steps as u8; 300]);
            store.commit(batch).unwrap();
            while store.tick().unwrap() {}
            store.checkpoint().unwrap();
        }
    }
    assert_eq!(scrub.bytes_left(), 0);
    assert!(steps > 20 && bytes > 0, "{steps} steps, {bytes} bytes");
    assert_eq!(faults(&store), []);
}
