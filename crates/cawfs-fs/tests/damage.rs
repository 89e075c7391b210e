//! Every kind of damage is named by the check, and only it.
#![allow(clippy::unwrap_used)] // A failed step is a failed test.

use cawdb::disk::{FaultyDisk, OpKind, RamDisk};
use cawdb::{Batch, CreateOptions, KeyRange, Options, Store};
use cawfs_fs::{
    Caller, Fault, FileFlags, FormatOptions, Fs, Kind, MountOptions, NodeId, With, WriteFlags,
    XattrMode, check, repair_names,
};
use std::sync::Arc;

const ME: Caller = Caller::ROOT;

/// `/d/f` with three blocks and an attribute, `/d/e/` empty, `/l` a link; and a key's bytes after the volume.
fn sample() -> Store {
    let store = Store::in_memory();
    Fs::format(&store, &FormatOptions::default()).unwrap();
    let fs = Fs::mount(store.clone(), MountOptions::default()).unwrap();
    let dir = fs.mkdir(&ME, NodeId::ROOT, b"d", 0o755).unwrap().node;
    let file = fs.mknod(&ME, dir, b"f", 0o644, 0).unwrap().node;
    fs.write(file, 0, &[1; 150_000], WriteFlags::default())
        .unwrap();
    fs.setxattr(&ME, file, b"user.a", b"v", XattrMode::Any)
        .unwrap();
    fs.mkdir(&ME, dir, b"e", 0o755).unwrap();
    fs.symlink(&ME, NodeId::ROOT, b"l", b"d").unwrap();
    store
}

fn key(rest: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 1], rest].concat()
}

fn void(_: &mut Batch) {}

/// What the check finds after a change. A repair then mends what it says it does, and only that.
fn found(change: impl FnOnce(&Store, &mut Batch)) -> Vec<Fault> {
    let (store, mut batch) = (sample(), Batch::new());
    change(&store, &mut batch);
    store.commit(batch).unwrap();
    let findings = check(&store.snapshot(), true).unwrap().findings;
    let mended = repair_names(&store).unwrap();
    assert!(mended.iter().all(|finding| findings.contains(finding)));
    let left = check(&store.snapshot(), true).unwrap().findings;
    let whole = findings.iter().all(|finding| finding.fault.is_repairable());
    assert!(!whole || left.is_empty(), "{findings:?} became {left:?}");
    assert!(
        !left.iter().any(|finding| finding.fault.is_repairable()),
        "{left:?}"
    );
    findings.into_iter().map(|finding| finding.fault).collect()
}

#[test]
fn each_fault_is_found() {
    let block = |number: u64| key(&[b"dSd\0Ef\0", &number.to_be_bytes()[..]].concat());
    let record = |store: &Store, rest: &[u8]| store.get(&key(rest)).unwrap().unwrap();
    assert_eq!(found(|_, _| ()), []);
    assert_eq!(
        found(|_, b| void(b.put(key(b"mEl"), "junk"))),
        [Fault::BadRecord]
    );
    assert_eq!(
        found(|_, b| void(b.put(key(b"mZ"), "junk"))),
        [Fault::BadKey]
    );
    assert_eq!(
        found(|_, b| void(b.put(key(b"mA"), "junk"))),
        [Fault::BadKey]
    );
    assert_eq!(
        found(|s, b| void(b.put(key(b"mSx\0Ey"), record(s, b"mEl")))),
        [Fault::NoDirectory]
    );
    assert_eq!(
        found(|s, b| void(b.put(key(b"mSd\0Sf\0Ey"), record(s, b"mEl")))),
        [Fault::NoDirectory]
    );
    assert_eq!(
        found(|_, b| void(b.delete(key(b"mSd\0Ee")))),
        [Fault::BadLinks]
    );
    assert_eq!(
        found(|s, b| void(b.put(key(b"mSd\0Ee"), record(s, b"mEd")))),
        [Fault::SharedNumber, Fault::BadLinks]
    );
    assert_eq!(
        found(|_, b| void(b.put(key(b"mEl\0xuser.a"), "v"))),
        [Fault::StrayAttribute]
    );
    assert_eq!(
        found(|_, b| void(b.put(key(b"dEl\0\0\0\0\0\0\0\0\0"), "v"))),
        [Fault::StrayBlock, Fault::BadBlocks]
    );
    assert_eq!(
        found(|_, b| void(b.put(key(b"dEq\0\0\0\0\0\0\0\0\0"), "v"))),
        [Fault::StrayBlock]
    );
    assert_eq!(found(|_, b| void(b.delete(block(1)))), [Fault::BadBlocks]);
    assert_eq!(
        found(|_, b| void(b.put(block(2), vec![1; 30_000]))),
        [Fault::BeyondEnd]
    );
    assert_eq!(
        found(|s, b| void(b.put(key(b"mSd\0Eg"), record(s, b"mEl")))),
        [Fault::SharedNumber]
    );
    assert_eq!(found(|_, b| void(b.delete(key(b"xR"))))[0], Fault::NoRoot);
    assert_eq!(
        found(|_, b| void(b.put(key(b"xP\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\0"), "v"))),
        [Fault::StrayBlock]
    );
}

#[test]
fn each_fault_of_files_with_several_names_is_found() {
    let back = key(b"mSd\0LEf");
    let bodies = |store: &Store| {
        let all = store.scan(KeyRange::prefix(key(b"mSd\0H")));
        let all: Vec<_> = all.map(|item| item.unwrap()).collect();
        all[0].clone()
    };
    let links = |links: u32| {
        move |store: &Store, batch: &mut Batch| {
            let (at, mut body) = (bodies(store).0, bodies(store).1.to_vec());
            body[40..44].copy_from_slice(&links.to_le_bytes());
            batch.put(at, body);
        }
    };
    assert_eq!(found(linked(|_, _| ())), []);
    assert_eq!(found(linked(links(1))), [Fault::BadLinks]);
    assert_eq!(found(linked(links(3))), [Fault::BadLinks]);
    let lost_back = found(linked(|_, b| void(b.delete(back.clone()))));
    assert_eq!(lost_back, [Fault::BadBackReference, Fault::BadLinks]);
    let lost_name = found(linked(|_, b| void(b.delete(key(b"mSd\0Ef")))));
    assert_eq!(lost_name, [Fault::BadBackReference, Fault::BadLinks]);
    let lost_body = found(linked(|s, b| void(b.delete(bodies(s).0))));
    let told = |fault| lost_body.iter().filter(|found| **found == fault).count();
    assert_eq!((told(Fault::NoBody), told(Fault::BadBackReference)), (2, 2));
    let unmarked = found(linked(|s, b| {
        let mut home = s.get(&key(b"mEd")).unwrap().unwrap().to_vec();
        home[4] &= !32;
        b.put(key(b"mEd"), home);
    }));
    assert!(unmarked.contains(&Fault::UnmarkedHome), "{unmarked:?}");
    let mapped = |map: [u32; 3]| {
        found(linked(move |s, b| {
            let mut inner = s.get(&key(b"mSd\0Ee")).unwrap().unwrap().to_vec();
            inner[0] = 2;
            inner.extend_from_slice(&[2, 1, 0]);
            inner.extend(map.iter().flat_map(|number| number.to_le_bytes()));
            b.put(key(b"mSd\0Ee"), inner);
        }))
    };
    assert_eq!(mapped([0, 100_000, 65_536]), [Fault::CrossedMaps]);
    let bad = mapped([0, 100_000, 0]);
    assert!(bad.contains(&Fault::BadRecord), "{bad:?}");
}

/// The mark that a directory is above something guarded.
fn unmark(store: &Store, batch: &mut Batch, dirs: &[&[u8]]) {
    for at in dirs {
        let mut record = store.get(&key(at)).unwrap().unwrap().to_vec();
        assert_ne!(record[5] & 4, 0, "it is marked");
        record[5] &= !4;
        batch.put(key(at), record);
    }
}

/// What the check finds if objects of the sample are guarded, and then marks are lost.
fn guarded(names: &[&[u8]], lost: &[&[u8]]) -> Vec<Fault> {
    found(|store, batch| {
        let fs = Fs::mount(store.clone(), MountOptions::default()).unwrap();
        let dir = fs.lookup(&ME, NodeId::ROOT, b"d").unwrap().node;
        for name in names {
            let immutable = true;
            let flags = FileFlags {
                immutable,
                ..FileFlags::default()
            };
            let node = fs.lookup(&ME, dir, name).unwrap().node;
            fs.set_flags(&ME, node, flags).unwrap();
        }
        unmark(store, batch, lost);
    })
}

#[test]
fn missing_marks_above_guards_are_found_and_mended() {
    assert_eq!(guarded(&[b"f", b"e"], &[]), []);
    let once = [Fault::UnmarkedGuard];
    assert_eq!(guarded(&[b"f"], &[b"mEd"]), once);
    assert_eq!(guarded(&[b"e"], &[b"mEd"]), once);
    assert_eq!(guarded(&[b"f", b"e"], &[b"xR"]), once);
    let both = [Fault::UnmarkedGuard, Fault::UnmarkedGuard];
    assert_eq!(guarded(&[b"f", b"e"], &[b"mEd", b"xR"]), both);
}

#[test]
fn only_what_is_guarded_itself_needs_marks() {
    let (store, mut batch) = (sample(), Batch::new());
    let fs = Fs::mount(store.clone(), MountOptions::default()).unwrap();
    let dir = fs.lookup(&ME, NodeId::ROOT, b"d").unwrap().node;
    let file = fs.lookup(&ME, dir, b"f").unwrap().node;
    let inner = fs.lookup(&ME, dir, b"e").unwrap().node;
    fs.link(&ME, file, inner, b"g").unwrap();
    let append_only = true;
    let flags = FileFlags {
        append_only,
        ..FileFlags::default()
    };
    fs.set_flags(&ME, file, flags).unwrap();
    // The clone's top has no mark, and what is below it is another object.
    fs.clone_tree(&ME, dir, NodeId::ROOT, b"c", false).unwrap();
    let faults = |store: &Store| check(&store.snapshot(), true).unwrap().findings;
    assert_eq!(faults(&store), []);
    // Of a file with several names, its home and what is above it is marked.
    unmark(&store, &mut batch, &[b"mEd"]);
    store.commit(batch).unwrap();
    assert_eq!(faults(&store)[0].fault, Fault::UnmarkedGuard);
    assert_eq!(faults(&store)[0].place, "/d/");
    assert_eq!(repair_names(&store).unwrap().len(), 1);
    assert_eq!(faults(&store), []);
    // A mark stays when the guard goes.
    let fs = Fs::mount(store.clone(), MountOptions::default()).unwrap();
    let refused = fs.remove_tree(&ME, NodeId::ROOT, b"d").unwrap_err();
    assert_eq!(refused.kind(), Kind::NotPermitted);
    let dir = fs.lookup(&ME, NodeId::ROOT, b"d").unwrap().node;
    let file = fs.lookup(&ME, dir, b"f").unwrap().node;
    fs.set_flags(&ME, file, FileFlags::default()).unwrap();
    assert_eq!(faults(&store), []);
}

/// The file of the sample gets a second name, and is then damaged.
fn linked(damage: impl FnOnce(&Store, &mut Batch)) -> impl FnOnce(&Store, &mut Batch) {
    |store, batch| {
        let fs = Fs::mount(store.clone(), MountOptions::default()).unwrap();
        let dir = fs.lookup(&ME, NodeId::ROOT, b"d").unwrap().node;
        let inner = fs.lookup(&ME, dir, b"e").unwrap().node;
        let file = fs.lookup(&ME, dir, b"f").unwrap().node;
        fs.link(&ME, file, inner, b"g").unwrap();
        damage(store, batch);
    }
}

#[test]
fn random_damage_never_panics() {
    for seed in 0..300 {
        let (store, mut rng) = (sample(), fastrand::Rng::with_seed(seed));
        linked(|_, _| ())(&store, &mut Batch::new());
        let all: Vec<_> = store
            .scan(KeyRange::all())
            .map(|item| item.unwrap())
            .collect();
        let mut batch = Batch::new();
        for _ in 0..3 {
            let (key, value) = all[rng.usize(..all.len())].clone();
            let (mut key, mut value) = (key.to_vec(), value.to_vec());
            let target = if rng.bool() { &mut key } else { &mut value };
            let at = rng.usize(..target.len().min(120));
            target[at] = rng.u8(..);
            batch.put(key, value);
        }
        store.commit(batch).unwrap();
        println!("seed {seed}");
        check(&store.snapshot(), true).unwrap();
        // A mount of it answers or fails, whatever it meets.
        let Ok(fs) = Fs::mount(store, MountOptions::default()) else {
            continue;
        };
        let mut todo = vec![NodeId::ROOT];
        while let Some(dir) = todo.pop() {
            let Ok(handle) = fs.opendir(dir) else {
                continue;
            };
            let _ = fs.readdirplus(handle, 0, With::All, &mut |entry| {
                todo.extend(entry.entry.map(|entry| entry.node));
                true
            });
            let _ = fs.read(dir, 0, 1 << 20);
        }
        for name in [b"d", b"l"] {
            let _ = fs.clone_tree(&ME, NodeId::ROOT, NodeId::ROOT, b"c", false);
            let _ = fs.remove_tree(&ME, NodeId::ROOT, name);
        }
    }
}

/// A disk that fails while a directory is listed: who goes on hears of it again and again, and at last gets the rest.
#[test]
fn what_cannot_be_listed_is_not_the_end_of_the_directory() {
    const NAMES: usize = 4000;
    let disk = Arc::new(FaultyDisk::new(RamDisk::new()).unwrap());
    Store::create(disk.clone(), &CreateOptions::default()).unwrap();
    let options = || Options {
        cache_bytes: 0,
        ..Options::default()
    };
    let store = Store::open(disk.clone(), options()).unwrap();
    Fs::format(&store, &FormatOptions::default()).unwrap();
    let fs = Fs::mount(store.clone(), MountOptions::default()).unwrap();
    for i in 0..NAMES {
        let name = format!("{i:0200}");
        fs.mknod(&ME, NodeId::ROOT, name.as_bytes(), 0o644, 0)
            .unwrap();
    }
    fs.sync_all().unwrap();
    drop(fs);
    store.checkpoint().unwrap();
    drop(store);
    let store = Store::open(disk.clone(), options()).unwrap();
    let fs = Fs::mount(store, MountOptions::default()).unwrap();
    let handle = fs.opendir(NodeId::ROOT).unwrap();
    let (mut found, mut next, mut errors) = (0, 0, 0);
    loop {
        let (before, mut room) = (found, 100);
        let listed = fs.readdir(handle, next, &mut |entry| {
            let fits = room > 0;
            if fits {
                (room, found, next) = (room - 1, found + 1, entry.next);
            }
            fits
        });
        match listed {
            Ok(()) if found == before => break,
            Ok(()) if found == 500 => disk.fail_from(OpKind::Read, 0),
            Ok(()) => {}
            Err(_) => errors += 1,
        }
        if errors == 4 {
            disk.heal();
        }
        assert!(errors <= 4, "it is well again");
    }
    assert_eq!((found, errors), (NAMES + 2, 4));
}
