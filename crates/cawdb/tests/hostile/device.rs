//! A store on a device, which has all its room by itself: it is told what becomes free, and once.
use crate::support::{create, put, settle};
use cawdb::disk::{Disk, RamDisk};
use cawdb::{Batch, KeyRange, Options, Store};
use std::sync::Arc;

const SIZE: u64 = 32 << 20;

#[test]
fn what_is_free_is_given_back_once_and_not_with_each_opening() {
    let disk = Arc::new(RamDisk::with_limit(SIZE));
    create(disk.clone(), SIZE);
    let open = || Store::open(disk.clone(), Options::default()).unwrap();
    let store = open();
    let mut rng = fastrand::Rng::with_seed(1);
    for n in 0..200 {
        let value = (0..40_000).map(|_| rng.u8(..)).collect();
        put(&store, format!("{n:04}"), value).unwrap();
    }
    store.checkpoint().unwrap();
    settle(&store);
    let before = disk.stats().discards;
    let mut batch = Batch::new();
    batch.delete_range(KeyRange::all());
    store.commit(batch).unwrap();
    store.checkpoint().unwrap();
    settle(&store);
    store.checkpoint().unwrap();
    settle(&store);
    assert!(disk.stats().discards > before, "what became free");
    drop(store);
    let store = open();
    settle(&store);
    drop(store);
    let before = disk.stats().discards;
    let store = open();
    settle(&store);
    assert_eq!(disk.stats().discards, before, "what was free");
}
