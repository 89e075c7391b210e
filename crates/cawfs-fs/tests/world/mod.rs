//! The file system and its specification side by side, and random steps that both take.
#![allow(clippy::unwrap_used)] // A failed step is a failed test.

mod clones;
mod compare;
mod steps;
pub mod tree;

use cawdb::disk::RamDisk;
use cawdb::{CreateOptions, Options, Store};
use cawfs_fs::{Caller, FileHandle, FormatOptions, Fs, MountOptions, NodeId, Time};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tree::{Id, Model};

pub const BLOCK: u64 = 65536;
pub const ME: Caller = Caller::ROOT;

/// A file system, its specification, and whoever uses both.
pub struct World {
    pub rng: fastrand::Rng,
    pub seed: u64,
    pub disk: Arc<RamDisk>,
    pub store: Store,
    pub fs: Option<Fs>,
    pub clock: Arc<AtomicI64>,
    pub model: Model,
    /// Inode number of each object, once seen.
    pub numbers: BTreeMap<Id, u64>,
    /// References held beyond an operation.
    pub held: Vec<NodeId>,
    /// Open files.
    pub opened: Vec<(Id, NodeId, FileHandle)>,
    pub step: usize,
}

/// The engine on a disk: for odd seeds with everything tiny, so that its tree is deep and much reshaped.
pub fn engine(disk: &Arc<RamDisk>, seed: u64) -> Store {
    let options = if seed % 2 == 1 {
        Options::tiny(4)
    } else {
        Options::default()
    };
    Store::open(disk.clone(), options).unwrap()
}

pub fn options(clock: &Arc<AtomicI64>, seed: u64) -> MountOptions {
    let clock = clock.clone();
    MountOptions {
        clock: Box::new(move || Time {
            secs: clock.fetch_add(1, Ordering::Relaxed),
            nanos: 7,
        }),
        seed,
        ..MountOptions::default()
    }
}

impl World {
    pub fn new(seed: u64) -> Self {
        let (disk, clock) = (Arc::new(RamDisk::new()), Arc::new(AtomicI64::new(1)));
        let create = CreateOptions {
            journal_bytes: Some(4 << 20),
            ..CreateOptions::default()
        };
        Store::create(disk.clone(), &create).unwrap();
        let store = engine(&disk, seed);
        Fs::format(&store, &FormatOptions::default()).unwrap();
        let fs = Some(Fs::mount(store.clone(), options(&clock, seed)).unwrap());
        let rng = fastrand::Rng::with_seed(seed);
        let (model, numbers) = (Model::new(), BTreeMap::new());
        let (held, opened) = (Vec::new(), Vec::new());
        Self {
            seed,
            disk,
            rng,
            store,
            fs,
            clock,
            model,
            numbers,
            held,
            opened,
            step: 0,
        }
    }
    pub fn fs(&self) -> &Fs {
        self.fs.as_ref().unwrap()
    }
    pub fn pick(&mut self, filter: impl Fn(&Model, Id) -> bool) -> Option<Id> {
        let all = self.model.named(|id| filter(&self.model, id));
        self.rng.choice(all)
    }
    pub fn dir(&mut self) -> Id {
        self.pick(|m, id| m.is_dir(id)).unwrap()
    }
    pub fn name(&mut self) -> Vec<u8> {
        let long = self.rng.u8(..40) == 0;
        let name = self
            .rng
            .choice(["a", "b", "ab", "c", "E", "S\u{1}", "\u{ff}x"])
            .unwrap();
        if long {
            name.repeat(80).into_bytes()
        } else {
            name.into()
        }
    }
    /// A name of a directory, mostly one that exists.
    pub fn entry(&mut self, dir: Id) -> Vec<u8> {
        let names: Vec<Vec<u8>> = self.model.entries(dir).keys().cloned().collect();
        let known = self.rng.u8(..4) > 0;
        self.rng
            .choice(names)
            .filter(|_| known)
            .unwrap_or_else(|| self.name())
    }
    /// The node of an object, by walking to it; the references of the walk are given back at once, or later.
    pub fn node(&mut self, id: Id) -> NodeId {
        let (mut at, mut walked) = (NodeId::ROOT, Vec::new());
        for name in self.model.path(id) {
            at = self.fs().lookup(&ME, at, &name).unwrap().node;
            walked.push(at);
        }
        self.held.extend(walked);
        at
    }
    pub fn forget_some(&mut self) {
        let keep = if self.rng.bool() {
            self.held.len() / 2
        } else {
            0
        };
        while self.held.len() > keep {
            let node = self.held.swap_remove(self.rng.usize(..self.held.len()));
            self.fs().forget(node, 1);
        }
    }
    pub fn offset(&mut self) -> u64 {
        let base = self.rng.u64(..5) * BLOCK;
        match self.rng.u8(..4) {
            0 => base,
            1 => base + self.rng.u64(..BLOCK),
            2 => base.saturating_sub(self.rng.u64(..3)),
            _ => base + self.rng.u64(..3),
        }
    }
    pub fn fill(&mut self) -> Vec<u8> {
        let len = self.offset() / 2 + 1;
        let (byte, stride) = (self.rng.u8(1..), self.rng.u8(..7));
        (0..len)
            .map(|i| byte.wrapping_add(((i % 251) as u8).wrapping_mul(stride)) | 1)
            .collect()
    }
    pub fn agree<T: std::fmt::Debug>(
        &self,
        real: Result<T, cawfs_fs::Error>,
        model: Result<(), i32>,
    ) {
        let real = real.map(|_| ()).map_err(|error| error.errno());
        assert_eq!(real, model, "step {}", self.step);
    }

    pub fn step(&mut self) {
        match self.rng.u8(..100) {
            0..18 => self.make(),
            18..34 => self.write(),
            34..38 => self.truncate(),
            38..42 => self.punch(),
            42..50 => self.copy_range(),
            50..53 => self.seek(),
            53..61 => self.unlink(),
            61..74 => self.rename(),
            74..79 => self.xattr(),
            79..82 => self.chmod(),
            82..88 => self.clone(),
            88..91 => self.staged(),
            91..95 => self.open(),
            95..97 => self.tmpfile(),
            97..98 => self.remount(),
            _ => self.forget_some(),
        }
        for _ in 0..self.rng.u8(..3) {
            self.store.tick().unwrap();
        }
        // A check reads all; in the tiny engine that is much work, so it comes less often there.
        if self.seed % 2 == 1 && !self.step.is_multiple_of(4) {
            return;
        }
        let report = cawfs_fs::check(&self.store.snapshot(), true).unwrap();
        assert_eq!(report.findings, [], "step {}", self.step);
    }
}
