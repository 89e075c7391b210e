//! A full store: writing is refused before it is too late, deleting always works, and space comes back.
use crate::support::{assert_whole, batch, content, create, settle};
use cawdb::disk::{FaultyDisk, RamDisk};
use cawdb::{Batch, Error, KeyRange, Options, Policy, Store};
use cawfs_sim::{KvModel, KvOp, Plan, Span, Versions, for_each_seed};
use std::sync::Arc;

fn small(size: u64) -> (Arc<RamDisk>, Options) {
    let disk = Arc::new(RamDisk::new());
    create(disk.clone(), size);
    let policy = Policy {
        run_bytes: 64 << 10,
        flush_bytes: 64 << 10,
        job_bytes: 256 << 10,
        ..Policy::default()
    };
    (
        disk,
        Options {
            memtable_bytes: 256 << 10,
            cache_bytes: 1 << 20,
            policy,
            ..Options::default()
        },
    )
}

fn noise(rng: &mut fastrand::Rng, len: usize) -> Vec<u8> {
    (0..len).map(|_| rng.u8(..)).collect()
}

/// Fills the store until it refuses; how many values it took.
fn fill(store: &Store, tag: u32, ticks: bool) -> u32 {
    let mut rng = fastrand::Rng::with_seed(u64::from(tag));
    for n in 0..100_000_u32 {
        let mut batch = Batch::new();
        batch.put(format!("{tag}/{n:06}"), noise(&mut rng, 4000));
        match store.commit(batch) {
            Ok(()) => {}
            Err(Error::Full(_)) => return n,
            Err(error) => panic!("{error:?}"),
        }
        if ticks && n % 8 == 0 {
            store.tick().unwrap();
        }
    }
    panic!("a store of some MiB took 400 MB");
}

#[test]
fn a_full_store_stays_usable() {
    for (round, ticks) in [(0, false), (1, true)] {
        let (disk, options) = small(8 << 20);
        let store = Store::open(disk.clone(), options.clone()).unwrap();
        let mut counts = Vec::new();
        for tag in 0..4 {
            let count = fill(&store, tag, ticks);
            counts.push(count);
            store.sync().expect("what was admitted can be made durable");
            store.checkpoint().expect("and be checkpointed");
            assert_eq!(content(&store).unwrap().len(), count as usize);
            assert!(store.space().available < 300 << 10, "{:?}", store.space());
            let mut batch = Batch::new();
            match tag {
                0 | 2 => batch.delete_range(KeyRange::prefix(format!("{tag}/"))),
                _ => (0..count).fold(&mut batch, |b, n| b.delete(format!("{tag}/{n:06}"))),
            };
            store.commit(batch).expect("deleting always works");
            for _ in 0..4 {
                settle(&store);
                store.checkpoint().unwrap();
            }
            assert_eq!(content(&store).unwrap(), []);
        }
        println!("round {round}: {counts:?} values of 4000 bytes in 8 MiB");
        assert!(counts.iter().all(|n| *n > 1000), "{counts:?}");
        assert!(
            counts[3] * 10 > counts[0] * 9,
            "space did not come back: {counts:?}"
        );
        assert_whole(&store);
        drop(store);
        assert_whole(&Store::open(disk, options).unwrap());
    }
}

/// To remove a file is to change its directory's record as well: that must work in a full store.
#[test]
fn removing_when_full() {
    let (disk, options) = small(4 << 20);
    let store = Store::open(disk, options).unwrap();
    let count = fill(&store, 0, true);
    for n in 0..count {
        let mut batch = Batch::new();
        batch.delete(format!("0/{n:06}"));
        batch.put("directory", n.to_le_bytes().repeat(60));
        store.commit(batch).expect("deleting always works");
        if n % 16 == 0 {
            store.tick().unwrap();
        }
    }
    settle(&store);
    store.checkpoint().unwrap();
    assert_eq!(content(&store).unwrap().len(), 1);
    let again = fill(&store, 1, true);
    assert!(again * 10 > count * 9, "{again} of {count}");
    assert_whole(&store);
}

/// To shorten a file of one block is to replace its value, and to delete nothing.
#[test]
fn shortening_when_full() {
    let (disk, options) = small(4 << 20);
    let store = Store::open(disk, options).unwrap();
    let count = fill(&store, 0, true);
    let shorter = |n: u32| {
        let mut batch = Batch::new();
        batch.put(format!("0/{n:06}"), vec![1; 10]);
        batch
    };
    assert!(matches!(store.commit(shorter(0)), Err(Error::Full(_))));
    for n in 0..count {
        store
            .commit(shorter(n).shrink().clone())
            .expect("shortening always works");
        if n % 16 == 0 {
            store.tick().unwrap();
        }
    }
    settle(&store);
    store.checkpoint().unwrap();
    assert_eq!(content(&store).unwrap().len(), count as usize);
    assert_whole(&store);
}

/// Overwriting a full store again and again must not need more room than there is.
#[test]
fn overwriting_when_nearly_full() {
    let (disk, options) = small(8 << 20);
    let store = Store::open(disk.clone(), options.clone()).unwrap();
    let mut rng = fastrand::Rng::with_seed(1);
    let mut newest = std::collections::BTreeMap::new();
    let (mut refused, mut taken) = (0, 0);
    for _ in 0..6000 {
        let (n, value) = (rng.u32(..1200), noise(&mut rng, 4000));
        let mut batch = Batch::new();
        batch.put(format!("{n:06}"), value.clone());
        match store.commit(batch) {
            Ok(()) => {
                newest.insert(format!("{n:06}").into_bytes(), value);
                taken += 1;
            }
            Err(Error::Full(_)) => refused += 1,
            Err(error) => panic!("{error:?}"),
        }
        store.tick().unwrap();
    }
    println!("{taken} taken, {refused} refused: {:?}", store.space());
    store.sync().unwrap();
    assert!(taken > 3000, "{refused} refused");
    assert_eq!(
        content(&store).unwrap(),
        newest.clone().into_iter().collect::<Vec<_>>()
    );
    assert_whole(&store);
    drop(store);
    let store = Store::open(disk, options).unwrap();
    assert_eq!(
        content(&store).unwrap(),
        newest.into_iter().collect::<Vec<_>>()
    );
}

/// Random changes on stores so small that many are refused: what is refused changes nothing, the rest is there.
#[test]
fn full_at_random() {
    for_each_seed(
        &Plan::from_env(6, 800),
        "cargo test -p cawdb --test hostile full_at_random",
        |seed, steps| {
            let (disk, options) = small(2 << 20);
            let disk = Arc::new(FaultyDisk::new(RamDisk::from_image(disk.image())).unwrap());
            let store = Store::open(disk.clone(), options.clone()).unwrap();
            let (mut model, mut versions) = (KvModel::default(), Versions::default());
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut refused = 0;
            for _ in 0..steps {
                let place = |rng: &mut fastrand::Rng| format!("{}/", rng.u8(..9)).into_bytes();
                let op = match rng.u8(..20) {
                    0 => KvOp::DeleteRange(Span::prefix(&place(&mut rng))),
                    1..4 => {
                        let from = place(&mut rng);
                        KvOp::CloneRange {
                            source: Span::prefix(&from),
                            from,
                            to: place(&mut rng),
                        }
                    }
                    4..6 => KvOp::Delete(format!("{}/{}", rng.u8(..9), rng.u8(..40)).into_bytes()),
                    6..9 => {
                        let key = format!("{}/{}", rng.u8(..9), rng.u8(..40)).into_bytes();
                        KvOp::Patch(key, rng.u32(..5000), noise(&mut rng, 500))
                    }
                    _ => {
                        let key = format!("{}/{}", rng.u8(..9), rng.u8(..40)).into_bytes();
                        KvOp::Put(key, noise(&mut rng, 20_000))
                    }
                };
                let deletes = matches!(op, KvOp::Delete(_) | KvOp::DeleteRange(_));
                match store.commit(batch(std::slice::from_ref(&op))) {
                    Ok(()) => {
                        model.apply(std::slice::from_ref(&op));
                        versions.committed(std::slice::from_ref(&op));
                    }
                    Err(Error::Full(_)) if !deletes => refused += 1,
                    Err(error) => panic!("{error:?}"),
                }
                match rng.u8(..12) {
                    0 => {
                        store.sync().expect("what was admitted can be made durable");
                        versions.synced(&model);
                    }
                    1 => {
                        store
                            .checkpoint()
                            .expect("what was admitted can be checkpointed");
                        versions.synced(&model);
                    }
                    2..8 => drop(store.tick().unwrap()),
                    _ => {}
                }
            }
            println!("seed {seed}: {refused} of {steps} refused");
            assert_eq!(content(&store).unwrap(), model.scan(&Span::all()));
            let image = Arc::new(disk.crash(seed));
            let store = Store::open(image, options).unwrap();
            versions.recovered(&content(&store).unwrap()).unwrap();
            assert_whole(&store);
        },
    );
}
