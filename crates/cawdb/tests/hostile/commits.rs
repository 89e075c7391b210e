//! When changes become durable by themselves, and how many flushes it takes when many threads ask for it.
use crate::support::{assert_whole, create, faulty, put, tiny};
use cawdb::disk::{FaultyDisk, HookedDisk, OpKind, RamDisk};
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

/// Each of 16 threads changes something and syncs, 25 times: who waits for the journal is served by the next flush,
/// together with all others who wait, and each finds durable what it was told is durable.
#[test]
fn threads_that_sync_share_flushes() {
    const THREADS: u64 = 16;
    const TIMES: u64 = 25;
    let disk = Arc::new(FaultyDisk::new(RamDisk::new()).unwrap());
    let slow = Arc::new(HookedDisk::new(disk.clone(), |kind, _| {
        if kind == OpKind::Sync {
            std::thread::sleep(Duration::from_millis(4));
        }
    }));
    create(slow.clone(), 1 << 28);
    let store = Store::open(slow, Options::default()).unwrap();
    let before = disk.count(OpKind::Sync);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (store, disk) = (&store, &disk);
            scope.spawn(move || {
                for n in 0..TIMES {
                    let key = format!("{thread}/{n}");
                    put(store, key.clone(), vec![7; 50]).unwrap();
                    store.sync().unwrap();
                    if n == TIMES - 1 {
                        assert_eq!(images_with(disk, &key), 20, "{key} was acknowledged");
                    }
                }
            });
        }
    });
    let flushes = disk.count(OpKind::Sync) - before;
    println!("{} syncs, {flushes} flushes", THREADS * TIMES);
    assert!(flushes * 4 < THREADS * TIMES, "{flushes} flushes");
    // One that is alone has its own.
    let before = disk.count(OpKind::Sync);
    put(&store, "alone", vec![1]).unwrap();
    store.sync().unwrap();
    assert_eq!(disk.count(OpKind::Sync), before + 1);
}
