//! A full store, as the kernel meets it.

use crate::mount::{ME, Mount, TOP, kind};
use cawdb::disk::{FaultyDisk, RamDisk};
use cawdb::{CreateOptions, Options, Store};
use cawfs_fs::{FormatOptions, Fs, Kind, NodeId, WriteFlags};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

fn small() -> (Mount, Arc<FaultyDisk<RamDisk>>) {
    let disk = Arc::new(FaultyDisk::new(RamDisk::new()).unwrap());
    let create = CreateOptions {
        size: 4 << 20,
        journal_bytes: Some(64 << 10),
        ..CreateOptions::default()
    };
    Store::create(disk.clone(), &create).unwrap();
    let store = Store::open(disk.clone(), Options::default()).unwrap();
    Fs::format(&store, &FormatOptions::default()).unwrap();
    let clock = Arc::new(AtomicI64::new(1_000_000));
    let fs = crate::mount::open(&store, &clock);
    (Mount { fs, store, clock }, disk)
}

/// Fills the store to the last byte: with large files, then with empty ones.
fn fill(m: &Mount) -> Vec<NodeId> {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut files = Vec::new();
    for len in [100_000, 5_000, 0] {
        loop {
            let name = format!("{:06}", files.len());
            let created = m.create(&ME, TOP, name.as_bytes(), 0o644, libc::O_RDWR);
            let Ok((entry, handle)) = created else { break };
            let data: Vec<u8> = (0..len).map(|_| rng.u8(..)).collect();
            let written = m.write(entry.node, 0, &data, WriteFlags::default());
            m.release(entry.node, handle);
            files.push(entry.node);
            if written.is_err() {
                break;
            }
        }
    }
    files
}

/// Access times are the least of what a sync makes durable: that there is no room for them must not keep it from all else.
#[test]
fn a_full_store_is_synced_although_access_times_do_not_fit() {
    let (m, disk) = small();
    let files = fill(&m);
    assert!(files.len() > 40, "{} files", files.len());
    let again = m.create(&ME, TOP, b"more", 0o644, libc::O_RDWR);
    assert_eq!(kind(again), Kind::NoSpace);
    let read = m.tick();
    for node in &files {
        m.content(*node);
    }
    let content = m.content(files[0]);
    m.sync_all()
        .expect("all that was let in can be made durable");
    let store = Store::open(Arc::new(disk.crash(1)), Options::default()).unwrap();
    let left = crate::mount::open(&store, &m.clock);
    let node = left.lookup(&ME, TOP, b"000000").unwrap().node;
    assert_eq!(left.read(node, 0, 1 << 20).unwrap().to_vec(), content);
    // They are remembered, and written once there is room.
    assert_eq!(m.getattr(files[1]).unwrap().atime, read);
    for n in 2..files.len() {
        m.unlink(&ME, TOP, format!("{n:06}").as_bytes()).unwrap();
    }
    for _ in 0..4 {
        while m.store.tick().unwrap() {}
        m.store.checkpoint().unwrap();
    }
    m.sync_all().unwrap();
    let again = crate::mount::open(&m.store, &m.clock);
    let found = again.lookup(&ME, TOP, b"000001").unwrap();
    assert_eq!(found.attr.atime, read);
    m.well();
}
