//! The n-th request fails, for every n: what is answered is right or an error, and what was acknowledged stays.
use crate::support::{
    Act, assert_of_the_disk, assert_whole, batch, content, faulty, tiny, workload,
};
use cawdb::Store;
use cawdb::disk::{FaultyDisk, OpKind, RamDisk};
use cawfs_sim::{KvModel, Pair, Span, Versions};
use std::sync::Arc;

const STEPS: usize = 160;

/// Both sides of a trial.
struct Trial {
    disk: Arc<FaultyDisk<RamDisk>>,
    store: Store,
    model: KvModel,
    versions: Versions,
    errors: usize,
}

impl Trial {
    fn new() -> Self {
        let disk = faulty();
        let store = Store::open(disk.clone(), tiny()).unwrap();
        Self {
            disk,
            store,
            model: KvModel::default(),
            versions: Versions::default(),
            errors: 0,
        }
    }

    /// Does one act; an error must be one of the disk, and must change nothing.
    fn act(&mut self, act: &Act) {
        let result = match act {
            Act::Commit(ops) => self.store.commit(batch(ops)).inspect(|()| {
                self.model.apply(ops);
                self.versions.committed(ops);
            }),
            Act::Read => content(&self.store).map(|found| assert_eq!(found, all(&self.model))),
            Act::Tick(n) => (0..*n).try_for_each(|_| self.store.tick().map(|_| ())),
            Act::Sync => self
                .store
                .sync()
                .inspect(|()| self.versions.synced(&self.model)),
            Act::Checkpoint => self
                .store
                .checkpoint()
                .inspect(|()| self.versions.synced(&self.model)),
        };
        if let Err(error) = result {
            assert_of_the_disk(&error);
            self.errors += 1;
        }
    }

    /// Reads everything from the running store and from what a crash leaves.
    fn finish(mut self, seed: u64) {
        self.disk.heal();
        assert_eq!(
            content(&self.store).unwrap(),
            all(&self.model),
            "in the running store"
        );
        let report = self.store.check(true).unwrap();
        assert!(report.findings.is_empty(), "{:?}", report.findings);
        let image = self.disk.crash(seed);
        let store = Store::open(Arc::new(image), tiny()).unwrap();
        self.versions
            .clone()
            .recovered(&content(&store).unwrap())
            .unwrap();
        assert_whole(&store);
        drop(store);
        drop(self.store);
        let store = Store::open(self.disk.clone(), tiny()).unwrap();
        self.versions.recovered(&content(&store).unwrap()).unwrap();
        assert_whole(&store);
    }
}

fn all(model: &KvModel) -> Vec<Pair> {
    model.scan(&Span::all())
}

/// Every `stride`-th request in a short run, every single one in a long run.
fn every_nth(kind: OpKind, forever: bool, stride: u64) {
    let stride = std::env::var_os("CAWFS_SECONDS").map_or(stride, |_| 1);
    let (mut faults, mut refused) = (0, 0);
    for workload_seed in 0..2 {
        let acts = workload(workload_seed, STEPS);
        let mut n = 0;
        loop {
            let mut trial = Trial::new();
            let before = trial.disk.count(kind);
            if forever {
                trial.disk.fail_from(kind, n);
            } else {
                trial.disk.fail_nth(kind, n);
            }
            acts.iter().for_each(|act| trial.act(act));
            let (done, errors) = (trial.disk.count(kind) - before, trial.errors);
            let hit = done > n;
            assert!(hit || errors == 0);
            trial.finish(n);
            faults += u64::from(hit);
            refused += errors;
            if !hit {
                assert!(
                    done > 4,
                    "the workload makes {done} requests of kind {kind:?}"
                );
                break;
            }
            n += stride;
        }
    }
    println!(
        "{kind:?}, all later ones {forever}: {faults} faults, {refused} acts answered an error"
    );
}

#[test]
fn every_write_fails_once() {
    every_nth(OpKind::Write, false, 3);
}

#[test]
fn every_sync_fails_once() {
    every_nth(OpKind::Sync, false, 1);
}

#[test]
fn every_sync_and_all_later_ones_fail() {
    every_nth(OpKind::Sync, true, 1);
}

#[test]
fn every_read_fails_once() {
    every_nth(OpKind::Read, false, 59);
}

#[test]
fn every_read_and_all_later_ones_fail() {
    every_nth(OpKind::Read, true, 97);
}

#[test]
fn every_reservation_fails_once() {
    every_nth(OpKind::Reserve, false, 3);
}

/// Opening reads everything that it needs: it fails, or what it opens is right.
#[test]
fn every_read_of_opening_fails_once() {
    let mut trial = Trial::new();
    workload(3, STEPS).iter().for_each(|act| trial.act(act));
    let disk = trial.disk.clone();
    let image = disk.crash(1);
    let found =
        content(&Store::open(Arc::new(RamDisk::from_image(image.image())), tiny()).unwrap())
            .unwrap();
    for n in 0..200 {
        let disk = Arc::new(FaultyDisk::new(RamDisk::from_image(image.image())).unwrap());
        disk.fail_nth(OpKind::Read, n);
        match Store::open(disk.clone(), tiny()) {
            Ok(store) => {
                disk.heal();
                assert_eq!(content(&store).unwrap(), found);
                return;
            }
            Err(error) => assert_of_the_disk(&error),
        }
        assert_eq!(
            content(&Store::open(disk, tiny()).unwrap()).unwrap(),
            found,
            "opened again after {n}"
        );
    }
    panic!("opening makes too many requests");
}
