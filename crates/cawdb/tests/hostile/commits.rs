//! When changes become durable by themselves, and how many flushes it takes when many threads ask for it.
use crate::support::{assert_whole, create, faulty, put, tiny};
use cawdb::disk::{Disk, Extent, FaultyDisk, IoStats, OpKind, RamDisk, Result};
use cawdb::{Background, Options, Store};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many of 20 things a loss of power could leave now show the key.
fn images_with(disk: &FaultyDisk<RamDisk>, key: &str) -> usize {
    let shows = |seed: u64| {
        let store = Store::open(Arc::new(disk.crash(seed)), tiny()).unwrap();
        store.get(key.as_bytes()).unwrap().is_some()
    };
    (0..20).filter(|seed| shows(*seed)).count()
}

/// Nobody asks for durability: after the time given for it a change is there whatever is lost, and not before somebody
/// looked after it.
#[test]
fn what_nobody_syncs_is_durable_in_bounded_time() {
    const COMMIT: Duration = Duration::from_millis(300);
    let disk = faulty();
    let store = Store::open(disk.clone(), tiny()).unwrap();
    put(&store, "alone", vec![1; 100]).unwrap();
    std::thread::sleep(2 * COMMIT);
    assert_eq!(images_with(&disk, "alone"), 0, "nobody wrote it");
    let background = Background::start(&store, COMMIT);
    for round in 0..5 {
        let (key, begun) = (format!("round {round}"), Instant::now());
        put(&store, key.clone(), vec![round; 100]).unwrap();
        let syncs = disk.count(OpKind::Sync);
        while images_with(&disk, &key) < 20 {
            // The same again, for a machine that is busy.
            assert!(
                begun.elapsed() < 2 * COMMIT + Duration::from_secs(2),
                "{round}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(disk.count(OpKind::Sync) > syncs);
    }
    drop(background);
    assert_whole(&store);
}

/// A disk in memory whose syncs take as long as those of a disk.
#[derive(Debug)]
struct SlowSync(FaultyDisk<RamDisk>);

impl Disk for SlowSync {
    fn len(&self) -> u64 {
        self.0.len()
    }
    fn limit(&self) -> Option<u64> {
        self.0.limit()
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.0.read_at(buf, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.0.write_at(bytes, offset)
    }
    fn sync(&self) -> Result<()> {
        std::thread::sleep(Duration::from_millis(4));
        self.0.sync()
    }
    fn reserve(&self, extent: Extent) -> Result<()> {
        self.0.reserve(extent)
    }
    fn discard(&self, extent: Extent) -> Result<()> {
        self.0.discard(extent)
    }
    fn occupied(&self) -> Option<u64> {
        self.0.occupied()
    }
    fn stats(&self) -> IoStats {
        self.0.stats()
    }
    fn name(&self) -> String {
        "slow to sync".into()
    }
}

/// Each of 16 threads changes something and syncs, 25 times: who waits for the journal is served by the next flush,
/// together with all others who wait, and each finds durable what it was told is durable.
#[test]
fn threads_that_sync_share_flushes() {
    const THREADS: u64 = 16;
    const TIMES: u64 = 25;
    let disk = Arc::new(SlowSync(FaultyDisk::new(RamDisk::new()).unwrap()));
    create(disk.clone(), 1 << 28);
    let store = Store::open(disk.clone(), Options::default()).unwrap();
    let before = disk.0.count(OpKind::Sync);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (store, disk) = (&store, &disk);
            scope.spawn(move || {
                for n in 0..TIMES {
                    let key = format!("{thread}/{n}");
                    put(store, key.clone(), vec![7; 50]).unwrap();
                    store.sync().unwrap();
                    if n == TIMES - 1 {
                        assert_eq!(images_with(&disk.0, &key), 20, "{key} was acknowledged");
                    }
                }
            });
        }
    });
    let flushes = disk.0.count(OpKind::Sync) - before;
    println!("{} syncs, {flushes} flushes", THREADS * TIMES);
    assert!(flushes * 4 < THREADS * TIMES, "{flushes} flushes");
    // One that is alone has its own.
    let before = disk.0.count(OpKind::Sync);
    put(&store, "alone", vec![1]).unwrap();
    store.sync().unwrap();
    assert_eq!(disk.0.count(OpKind::Sync), before + 1);
}
