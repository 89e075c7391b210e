//! A store at work on a recording disk, with its history beside it.
use crate::history::{Content, History};
use cawdb::disk::{FaultyDisk, OpKind, RamDisk, RamImage, Recording};
use cawdb::{Batch, Compression, CreateOptions, Error, KeyRange, Options, Snapshot, Store};
use cawfs_sim::{KvModel, KvOp, Span};
use fastrand::Rng;
use std::collections::BTreeMap;
use std::sync::Arc;

/// More pieces of background work than any workload leaves to be done.
const MANY_TICKS: usize = 20_000;

/// A store, the model beside it, and chance.
pub struct Session {
    /// The disk that records.
    pub disk: Arc<FaultyDisk<RamDisk>>,
    /// Chance: a function of the seed.
    pub rng: Rng,
    store: Option<Store>,
    options: Options,
    model: KvModel,
    history: History,
    snapshots: Vec<Snapshot>,
    counters: BTreeMap<&'static str, u64>,
}

/// A workload that has run: what it asked of the disk, and what it may have left.
pub struct Trial {
    /// Requests to the disk.
    pub recording: Recording,
    /// The versions.
    pub history: History,
    /// How the store was opened, and is to be opened again.
    pub options: Options,
    /// What the store did, as its counters call it.
    pub counters: BTreeMap<&'static str, u64>,
}

/// A range of the model as one of the engine.
fn range(span: &Span) -> KeyRange {
    KeyRange {
        lo: span.lo.clone().into(),
        hi: span.hi.clone().map(Into::into),
    }
}

/// Operations of the model as a batch of the engine; puts where nothing was say so.
pub fn batch(store: &Store, ops: &[KvOp]) -> Batch {
    let mut batch = Batch::new();
    for op in ops.iter().cloned() {
        match op {
            KvOp::Put(key, value) if matches!(store.get(&key), Ok(None)) => {
                batch.insert(key, value)
            }
            KvOp::Put(key, value) => batch.put(key, value),
            KvOp::Delete(key) => batch.delete(key),
            KvOp::Patch(key, offset, bytes) => batch.patch(key, offset, bytes),
            KvOp::DeleteRange(span) => batch.delete_range(range(&span)),
            KvOp::CloneRange { source, from, to } => batch.clone_range(range(&source), from, to),
        };
    }
    batch
}

/// Everything that a store shows.
pub fn content(store: &Store) -> Result<Content, Error> {
    store.scan(KeyRange::all()).collect()
}

/// An empty store of this size, with the shortest journal; the seed chooses how it compresses.
pub fn fresh(seed: u64, size: u64) -> RamImage {
    let disk = Arc::new(RamDisk::new());
    let compression = [Compression::Lz4, Compression::None, Compression::Zstd][seed as usize % 3];
    let create = CreateOptions {
        size,
        compression,
        journal_bytes: Some(16 << 10),
    };
    Store::create(disk.clone(), &create).unwrap();
    disk.image()
}

/// Everything tiny; the seed chooses whether there is a cache.
pub fn tiny(seed: u64) -> Options {
    Options {
        cache_bytes: [0, 64 << 10][seed as usize % 2],
        ..Options::tiny([4, 8][seed as usize / 2 % 2])
    }
}

impl Session {
    /// Opens the store on `image`, which shows `first`, and records from before that on.
    ///
    /// # Errors
    /// Those of opening.
    pub fn open(
        image: RamImage,
        first: Content,
        options: Options,
        seed: u64,
    ) -> Result<Self, Error> {
        let disk = Arc::new(FaultyDisk::of_image(image));
        disk.record();
        let store = Store::open(disk.clone(), options.clone())?;
        let mut model = KvModel::default();
        let pairs = first.iter().map(|(k, v)| (k.to_vec(), v.to_vec()));
        model.apply(&pairs.map(|(k, v)| KvOp::Put(k, v)).collect::<Vec<_>>());
        Ok(Self {
            disk,
            rng: Rng::with_seed(seed),
            store: Some(store),
            options,
            model,
            history: History::new(first),
            snapshots: Vec::new(),
            counters: BTreeMap::new(),
        })
    }

    /// The store.
    pub fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    /// What the store must show.
    pub fn model(&self) -> &KvModel {
        &self.model
    }

    /// Commits a batch that there is room for.
    pub fn commit(&mut self, ops: &[KvOp]) {
        assert!(self.try_commit(ops), "the store is full");
    }

    /// Commits a batch; false if it was refused for want of room.
    pub fn try_commit(&mut self, ops: &[KvOp]) -> bool {
        let position = self.disk.position();
        match self.store().commit(batch(self.store(), ops)) {
            Ok(()) => {
                self.model.apply(ops);
                self.history.committed(position, &self.model);
                true
            }
            Err(Error::Full(_)) => false,
            Err(error) => panic!("{error}"),
        }
    }

    /// Puts one value of some bytes that do not compress.
    pub fn put(&mut self, key: impl Into<Vec<u8>>, len: usize) {
        let value = self.noise(len);
        self.commit(&[KvOp::Put(key.into(), value)]);
    }

    /// Bytes that do not compress.
    pub fn noise(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.rng.u8(..)).collect()
    }

    /// Makes everything durable by the journal or a checkpoint.
    pub fn sync(&mut self) {
        self.store().sync().unwrap();
        self.history.acknowledge(self.disk.position());
    }

    /// Makes everything durable by a checkpoint.
    pub fn checkpoint(&mut self) {
        self.store().checkpoint().unwrap();
        self.history.acknowledge(self.disk.position());
    }

    /// Does so many pieces of background work, if there are as many.
    pub fn ticks(&mut self, count: usize) {
        let _work_left = (0..count).all(|_| self.store().tick().unwrap());
    }

    /// Background work until none is left.
    pub fn settle(&mut self) {
        let done = (0..MANY_TICKS).any(|_| !self.store().tick().unwrap());
        assert!(done, "background work never ends");
    }

    /// Holds what is shown now.
    pub fn hold(&mut self) {
        self.snapshots.push(self.store().snapshot());
    }

    /// Lets the oldest held snapshot go.
    pub fn let_go(&mut self) {
        if !self.snapshots.is_empty() {
            self.snapshots.remove(0);
        }
    }

    /// Closes the store, which makes everything durable.
    fn close(&mut self) {
        self.snapshots.clear();
        let stats = self.store().stats();
        for (name, n) in stats.counters {
            *self.counters.entry(name).or_default() += n;
        }
        self.counters
            .insert("discards", self.disk.count(OpKind::Discard));
        self.store = None;
        self.history.acknowledge(self.disk.position());
    }

    /// Closes and opens again.
    pub fn reopen(&mut self) {
        self.close();
        self.store = Some(Store::open(self.disk.clone(), self.options.clone()).unwrap());
        self.history.acknowledge(self.disk.position());
    }

    /// Ends; the store must show what the model does.
    pub fn finish(mut self) -> Trial {
        let found = content(self.store()).unwrap();
        let newest = self.history.newest();
        assert!(
            found == *self.history.version(newest),
            "the running store is wrong"
        );
        self.close();
        Trial {
            recording: self.disk.recording(),
            history: self.history,
            options: self.options,
            counters: self.counters,
        }
    }
}
