//! Power is lost at every write and every sync of a short workload with clones and checkpoints.
//!
//! From the n-th request on everything fails; what a crash may then leave, by several seeds, must be one of the
//! versions since the last sync, whole, and must go on as a store.
use crate::support::{Act, assert_whole, batch, content, faulty, tiny, workload};
use cawdb::Store;
use cawdb::disk::{FaultyDisk, OpKind, RamDisk};
use cawfs_sim::{KvModel, Plan, Span, Versions, for_each_seed};
use std::sync::Arc;

const COMMAND: &str = "cargo test -p cawdb --test hostile crash";
const STEPS: usize = 70;
const FATES: u64 = 3;

/// Does `acts` until one fails; what the store may be after a crash then.
fn until_failure(store: &Store, acts: &[Act]) -> (Versions, KvModel) {
    let (mut model, mut versions) = (KvModel::default(), Versions::default());
    for act in acts {
        let result = match act {
            Act::Commit(ops) => store.commit(batch(ops)).inspect(|()| {
                model.apply(ops);
                versions.committed(ops);
            }),
            Act::Read => Ok(()),
            Act::Tick(n) => (0..*n).try_for_each(|_| store.tick().map(|_| ())),
            Act::Sync => store.sync().inspect(|()| versions.synced(&model)),
            Act::Checkpoint => store.checkpoint().inspect(|()| versions.synced(&model)),
        };
        if result.is_err() {
            break;
        }
    }
    (versions, model)
}

fn survives(disk: &FaultyDisk<RamDisk>, fate: u64, versions: &Versions) {
    let image = Arc::new(FaultyDisk::new(disk.crash(fate)).unwrap());
    let store = Store::open(image.clone(), tiny()).unwrap();
    let found = content(&store).unwrap();
    let mut versions = versions.clone();
    let mut model = versions.recovered(&found).unwrap();
    assert_whole(&store);
    // It goes on, and survives the next crash too.
    let more = [cawfs_sim::KvOp::Put(b"more".to_vec(), vec![7; 100])];
    store.commit(batch(&more)).unwrap();
    model.apply(&more);
    versions.committed(&more);
    if fate.is_multiple_of(2) {
        store.sync().unwrap();
        versions.synced(&model);
    }
    let second = Store::open(Arc::new(image.crash(fate.wrapping_add(1))), tiny()).unwrap();
    versions.recovered(&content(&second).unwrap()).unwrap();
    assert_whole(&second);
}

fn at_every(kind: OpKind) {
    let plan = Plan::from_env(2, STEPS);
    for_each_seed(&plan, COMMAND, |seed, steps| {
        let acts = workload(seed, steps);
        for n in 0.. {
            let disk = faulty();
            let store = Store::open(disk.clone(), tiny()).unwrap();
            let before = disk.count(kind);
            disk.fail_from(kind, n);
            let (versions, model) = until_failure(&store, &acts);
            for fate in 0..FATES {
                survives(&disk, seed.wrapping_add(31 * n + fate), &versions);
            }
            if disk.count(kind) - before <= n {
                assert_eq!(content(&store).unwrap(), model.scan(&Span::all()));
                assert!(n > 4, "the workload makes only {n} requests");
                break;
            }
        }
    });
}

#[test]
fn crash_at_every_write() {
    at_every(OpKind::Write);
}

#[test]
fn crash_at_every_sync() {
    at_every(OpKind::Sync);
}

/// Power is lost between acts, with nothing failing before.
#[test]
fn crash_after_every_act() {
    let plan = Plan::from_env(3, STEPS);
    for_each_seed(&plan, COMMAND, |seed, steps| {
        let acts = workload(seed, steps);
        for end in (0..acts.len()).step_by(2) {
            let disk = faulty();
            let store = Store::open(disk.clone(), tiny()).unwrap();
            let (versions, _) = until_failure(&store, &acts[..end]);
            survives(&disk, seed.wrapping_add(end as u64), &versions);
        }
    });
}
