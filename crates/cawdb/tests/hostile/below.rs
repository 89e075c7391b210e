//! What is full is not the store, but what it lies on: growing is refused in time, all that was admitted is made durable,
//! deletes find room, and sizes are told as they are.
use crate::support::{assert_whole, content, create, put, settle};
use cawdb::disk::{Disk, Extent, IoStats, RamDisk};
use cawdb::{Batch, Error, KeyRange, Options, Policy, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const MIB: u64 = 1 << 20;
/// What others leave of the disk below.
const CAPACITY: u64 = 16 * MIB;
/// How far the store may grow: much further.
const SIZE: u64 = 1 << 30;

/// A sparse disk on something that has so many bytes, of which others may take some.
#[derive(Debug)]
struct Below {
    disk: RamDisk,
    capacity: AtomicU64,
}

impl Below {
    fn left(&self) -> u64 {
        let occupied = self.disk.occupied().unwrap();
        self.capacity
            .load(Ordering::Relaxed)
            .saturating_sub(occupied)
    }
}

impl Disk for Below {
    fn len(&self) -> u64 {
        self.disk.len()
    }
    fn limit(&self) -> Option<u64> {
        None
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> cawdb::disk::Result<()> {
        self.disk.read_at(buf, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> cawdb::disk::Result<()> {
        self.disk.write_at(bytes, offset)
    }
    fn sync(&self) -> cawdb::disk::Result<()> {
        self.disk.sync()
    }
    fn reserve(&self, extent: Extent) -> cawdb::disk::Result<()> {
        let (wanted, free) = (extent.len, self.left());
        if wanted > free {
            return Err(cawdb::disk::Error::Full { wanted, free });
        }
        self.disk.reserve(extent)
    }
    fn discard(&self, extent: Extent) -> cawdb::disk::Result<()> {
        self.disk.discard(extent)
    }
    fn room(&self) -> Option<u64> {
        Some(self.left())
    }
    fn occupied(&self) -> Option<u64> {
        self.disk.occupied()
    }
    fn stats(&self) -> IoStats {
        self.disk.stats()
    }
    fn name(&self) -> String {
        "a file on a full disk".into()
    }
}

fn options() -> Options {
    let policy = Policy {
        run_bytes: 64 << 10,
        flush_bytes: 64 << 10,
        job_bytes: 256 << 10,
        ..Policy::default()
    };
    Options {
        memtable_bytes: 256 << 10,
        cache_bytes: MIB,
        policy,
        ..Options::default()
    }
}

fn open() -> (Arc<Below>, Store) {
    let disk = Arc::new(Below {
        disk: RamDisk::new(),
        capacity: AtomicU64::new(1 << 40),
    });
    create(disk.clone(), SIZE);
    disk.capacity.store(CAPACITY, Ordering::Relaxed);
    let store = Store::open(disk.clone(), options()).unwrap();
    (disk, store)
}

/// Fills until it is refused; how many values it took.
fn fill(store: &Store, tag: u32) -> u32 {
    let mut rng = fastrand::Rng::with_seed(u64::from(tag));
    for n in 0..100_000 {
        let value = (0..4000).map(|_| rng.u8(..)).collect();
        match put(store, format!("{tag}/{n:06}"), value) {
            Ok(()) => {}
            Err(Error::Full(_)) => return n,
            Err(error) => panic!("{error:?}"),
        }
        if n % 8 == 0 {
            store.tick().unwrap();
        }
    }
    panic!("16 MiB took 400 MB");
}

/// Writes all of the journal once, whose place counts as in use from the beginning, but is only then occupied here.
fn write_the_journal(store: &Store) {
    for n in 0..20 {
        put(store, "journal", vec![n; 4000]).unwrap();
        store.sync().unwrap();
    }
    let mut batch = Batch::new();
    batch.delete("journal");
    store.commit(batch).unwrap();
}

/// What is said to be in use is so, within a hundredth, and what is said to be there is no more than there is.
fn assert_honest(disk: &Below, store: &Store) {
    let (space, occupied) = (store.space(), disk.occupied().unwrap());
    assert!(space.total <= CAPACITY + CAPACITY / 100, "{space:?}");
    assert!(
        space.used.abs_diff(occupied) <= CAPACITY / 100,
        "{occupied} occupied: {space:?}"
    );
    assert!(space.available <= disk.left(), "{space:?}");
}

#[test]
fn a_full_disk_below_is_as_a_full_store() {
    let (disk, store) = open();
    write_the_journal(&store);
    let mut counts = Vec::new();
    for tag in 0..4 {
        let count = fill(&store, tag);
        counts.push(count);
        store.sync().expect("what was admitted can be made durable");
        store.checkpoint().expect("and be checkpointed");
        assert_eq!(content(&store).unwrap().len(), count as usize);
        assert!(store.space().available < MIB, "{:?}", store.space());
        settle(&store);
        store.checkpoint().expect("of what was merged");
        assert_honest(&disk, &store);
        let mut batch = Batch::new();
        match tag % 2 {
            0 => drop(batch.delete_range(KeyRange::prefix(format!("{tag}/")))),
            _ => (0..count).for_each(|n| drop(batch.delete(format!("{tag}/{n:06}")).clone())),
        };
        store.commit(batch).expect("deleting always works");
        store.sync().expect("and can be made durable");
        for _ in 0..4 {
            settle(&store);
            store.checkpoint().unwrap();
        }
        assert_eq!(content(&store).unwrap(), []);
        assert_honest(&disk, &store);
    }
    println!("{counts:?} values of 4000 bytes in 16 MiB");
    assert!(counts[3] * 10 > counts[0] * 9, "{counts:?}");
    assert!(u64::from(counts[0]) * 4000 > CAPACITY / 2, "{counts:?}");
    assert_whole(&store);
    drop(store);
    assert_whole(&Store::open(disk, options()).unwrap());
}

/// Others take all that is left: nothing grows, nothing breaks, and when they give it back all goes on.
#[test]
fn others_fill_the_disk_below() {
    let (disk, store) = open();
    for n in 0..500_u32 {
        put(&store, format!("{n:06}"), vec![n as u8; 4000]).unwrap();
    }
    store.checkpoint().unwrap();
    settle(&store);
    let occupied = disk.occupied().unwrap();
    disk.capacity.store(occupied, Ordering::Relaxed);
    assert_eq!(store.space().available, 0);
    for _ in 0..3 {
        let refused = put(&store, "more", vec![1; 4000]);
        assert!(matches!(refused, Err(Error::Full(_))), "{refused:?}");
    }
    let mut batch = Batch::new();
    batch.delete("000000");
    store.commit(batch).expect("deleting always works");
    assert_eq!(store.failure(), None);
    assert_eq!(content(&store).unwrap().len(), 499);
    disk.capacity.store(CAPACITY, Ordering::Relaxed);
    put(&store, "more", vec![1; 4000]).unwrap();
    store.sync().unwrap();
    store.checkpoint().unwrap();
    assert_whole(&store);
    drop(store);
    let store = Store::open(disk, options()).unwrap();
    assert_eq!(content(&store).unwrap().len(), 500);
    assert_whole(&store);
}
