//! Bytes on the disk change: what is read is right or an error, never wrong, and never a panic.
//!
//! One place cannot tell damage from a loss of power, which may leave it half written: the last records of the journal.
//! Damage there may show an older version, but a whole one.
use crate::support::{Act, batch, content, faulty, tiny, workload};
use cawdb::disk::{Disk, RamDisk};
use cawdb::{KeyRange, Store};
use cawfs_sim::{KvModel, Plan, Span, Versions, catch, for_each_seed};
use std::sync::Arc;

const COMMAND: &str = "cargo test -p cawdb --test hostile damage";
/// Images that are damaged for each seed.
const IMAGES: usize = 120;

/// A store with all that a workload leaves, also in its journal.
pub fn sound(seed: u64) -> (RamDisk, KvModel, Versions) {
    let disk = faulty();
    let store = Store::open(disk.clone(), tiny()).unwrap();
    let (mut model, mut versions) = (KvModel::default(), Versions::default());
    let acts = workload(seed, 150);
    for act in &acts {
        match act {
            Act::Commit(ops) => {
                store.commit(batch(ops)).unwrap();
                model.apply(ops);
                versions.committed(ops);
            }
            Act::Checkpoint => store.checkpoint().unwrap(),
            Act::Tick(_) => drop(store.tick().unwrap()),
            Act::Read | Act::Sync => store.sync().unwrap(),
        }
    }
    store.sync().unwrap();
    (disk.crash(0), model, versions)
}

/// Where something else than zeros lies.
fn written(disk: &RamDisk) -> Vec<u64> {
    let mut places = Vec::new();
    let mut bytes = vec![0; disk.len() as usize];
    disk.read_at(&mut bytes, 0).unwrap();
    for (at, unit) in bytes.chunks(64).enumerate() {
        if unit.iter().any(|byte| *byte != 0) {
            places.push(at as u64 * 64);
        }
    }
    places
}

/// End of superblocks and journal.
const DATA: u64 = (128 + 64) << 10;

/// Some version as a whole, or an error.
fn judge_version(disk: Arc<RamDisk>, versions: &Versions) -> &'static str {
    match Store::open(disk, tiny()).and_then(|store| content(&store)) {
        Ok(found) => {
            versions.clone().recovered(&found).unwrap();
            "a version"
        }
        Err(_) => "refused",
    }
}

/// Every pair that is read is right, and so is every key that is looked up.
fn judge(disk: Arc<RamDisk>, model: &KvModel) -> &'static str {
    let Ok(store) = Store::open(disk, tiny()) else {
        return "refused";
    };
    let mut clean = true;
    let mut pairs = Vec::new();
    for pair in store.scan(KeyRange::all()) {
        match pair {
            Ok((key, value)) => pairs.push((key.to_vec(), value.to_vec())),
            Err(_) => clean = false,
        }
    }
    let all = model.scan(&Span::all());
    assert!(
        pairs.len() <= all.len() && pairs[..] == all[..pairs.len()],
        "wrong data"
    );
    assert!(
        !clean || pairs.len() == all.len(),
        "data lost without a word"
    );
    for (key, value) in &all {
        match store.get(key) {
            Ok(found) => assert_eq!(found.as_deref(), Some(&value[..])),
            Err(_) => clean = false,
        }
    }
    for _ in 0..20 {
        clean &= store.tick().is_ok();
    }
    clean &= store
        .check(true)
        .is_ok_and(|report| report.findings.is_empty());
    match (clean, content(&store)) {
        (true, Ok(now)) => {
            assert_eq!(now, all);
            "unharmed"
        }
        _ => "told",
    }
}

#[test]
fn damage_is_told_and_never_read() {
    for_each_seed(&Plan::from_env(4, IMAGES), COMMAND, |seed, images| {
        let (disk, model, versions) = sound(seed);
        assert_eq!(
            judge(Arc::new(RamDisk::from_image(disk.image())), &model),
            "unharmed"
        );
        let (places, mut rng) = (written(&disk), fastrand::Rng::with_seed(seed));
        let mut told = std::collections::BTreeMap::<_, u32>::new();
        for image in 0..images {
            let damaged = Arc::new(RamDisk::from_image(disk.image()));
            let at = places[rng.usize(..places.len())] + rng.u64(..64);
            let mut bytes = vec![0; [1, 1, 64, 700][image % 4]];
            let at = at.min(damaged.len() - bytes.len() as u64);
            damaged.read_at(&mut bytes, at).unwrap();
            for byte in &mut bytes {
                *byte ^= if image % 2 == 0 {
                    1 << rng.u8(..8)
                } else {
                    rng.u8(1..)
                };
            }
            damaged.write_at(&bytes, at).unwrap();
            let verdict = catch(|| match at + bytes.len() as u64 > DATA {
                true => judge(damaged, &model),
                false => judge_version(damaged, &versions),
            });
            let verdict =
                verdict.unwrap_or_else(|panic| panic!("byte {at} of image {image}: {panic}"));
            *told.entry(verdict).or_default() += 1;
        }
        println!("seed {seed}: {told:?}");
        assert!(told.len() > 1, "{told:?}");
    });
}
