//! Every kind of damage is named by the check, and only it.
#![allow(clippy::unwrap_used)] // A failed step is a failed test.

use cawdb::{Batch, KeyRange, Store};
use cawfs_fs::{
    Caller, Fault, FormatOptions, Fs, MountOptions, NodeId, WriteFlags, XattrMode, check,
};

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

/// What the check finds after a change.
fn found(change: impl FnOnce(&Store, &mut Batch)) -> Vec<Fault> {
    let (store, mut batch) = (sample(), Batch::new());
    change(&store, &mut batch);
    store.commit(batch).unwrap();
    let findings = check(&store.snapshot(), true).unwrap().findings;
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
fn random_damage_never_panics() {
    for seed in 0..300 {
        let (store, mut rng) = (sample(), fastrand::Rng::with_seed(seed));
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
            let _ = fs.readdirplus(handle, 0, &mut |entry| {
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
