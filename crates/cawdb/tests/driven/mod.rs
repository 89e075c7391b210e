//! The store as the test kit drives it: the one place where tests open, reopen and check an engine.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use cawdb::disk::{FaultyDisk, RamDisk};
use cawdb::{Batch, Compression, CreateOptions, Error, KeyRange, Options, Snapshot, Store};
use cawfs_sim::{Engine, KvOp, Pair, Span, parts_are_of};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// A store as the harness drives it: on a disk that can lose what was not synced, everything tiny.
pub struct Driven {
    disk: Arc<FaultyDisk<RamDisk>>,
    store: Option<Store>,
    options: Options,
    reopened: u64,
}

/// More pieces of background work than any test leaves to be done.
const MANY_TICKS: usize = 20_000;

impl Driven {
    /// A fresh store with everything tiny; its sizes depend on the seed.
    pub fn open(seed: u64) -> Self {
        Self::with(seed, Options::tiny([4, 8, 16][seed as usize / 3 % 3]))
    }

    /// A fresh store with these options; how it compresses depends on the seed.
    pub fn with(seed: u64, options: Options) -> Self {
        let disk = Arc::new(FaultyDisk::new(RamDisk::new()).unwrap());
        let compression =
            [Compression::Lz4, Compression::None, Compression::Zstd][seed as usize % 3];
        let create = CreateOptions {
            size: 1 << 30,
            compression,
            journal_bytes: Some(64 << 10),
        };
        Store::create(disk.clone(), &create).unwrap();
        let store = Some(Store::open(disk.clone(), options.clone()).unwrap());
        Self {
            disk,
            store,
            options,
            reopened: 0,
        }
    }

    /// Background work until there is none left.
    fn settle(&self) -> Result<(), String> {
        for _ in 0..MANY_TICKS {
            if !self.store().tick().map_err(text)? {
                return Ok(());
            }
        }
        let counters = self.store().stats().counters;
        let dump = self.store().dump_text().map_err(text)?;
        Err(format!("background work never ends: {counters:?}\n{dump}"))
    }

    /// The store.
    pub fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn start(&mut self) -> Result<(), String> {
        self.store = Some(Store::open(self.disk.clone(), self.options.clone()).map_err(text)?);
        Ok(())
    }
}

/// What all stores of a test did.
static COUNTED: Mutex<BTreeMap<&'static str, u64>> = Mutex::new(BTreeMap::new());

impl Drop for Driven {
    fn drop(&mut self) {
        // After a panic the engine's locks may be closed for good.
        if !std::thread::panicking() {
            self.count();
        }
    }
}

impl Driven {
    fn count(&self) {
        let Some(store) = &self.store else { return };
        let stats = store.stats();
        stats
            .counters
            .into_iter()
            .for_each(|(name, n)| count(name, n));
    }
}

fn count(name: &'static str, n: u64) {
    *COUNTED.lock().unwrap().entry(name).or_default() += n;
}

/// Asserts that the stores of this test program that ended so far did each of `names` at least once: a test that
/// never meets a path says nothing about it.
pub fn assert_met(names: &[&str]) {
    let counted = COUNTED.lock().unwrap().clone();
    println!("{counted:?}");
    for name in names {
        assert!(counted[name] > 0, "{name} never happened: {counted:?}");
    }
}

fn range(span: &Span) -> KeyRange {
    KeyRange {
        lo: span.lo.clone().into(),
        hi: span.hi.clone().map(Into::into),
    }
}

fn text(error: Error) -> String {
    error.to_string()
}

/// Puts where nothing was say so.
fn batch(store: &Store, ops: &[KvOp]) -> Batch {
    let mut batch = Batch::new();
    for op in ops.iter().cloned() {
        match op {
            KvOp::Put(key, value) if matches!(store.get(&key), Ok(None)) => {
                count("inserts", 1);
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

impl Engine for Driven {
    type Snapshot = Snapshot;

    fn commit(&mut self, ops: &[KvOp]) -> Result<(), String> {
        for op in ops {
            match op {
                KvOp::DeleteRange(span) if !span.is_empty() => count("range_deletes", 1),
                KvOp::CloneRange { from, to, .. } if to.starts_with(from) && to != from => {
                    count("clones_into_own_subtree", 1);
                }
                _ => {}
            }
        }
        self.store().commit(batch(self.store(), ops)).map_err(text)
    }
    fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let now = self.store().snapshot();
        let value = self.get_at(&now, key)?;
        let here = self.store().get(key).map_err(text)?;
        match here.as_deref() == value.as_deref() {
            true => Ok(value),
            false => Err(format!(
                "{key:?} is another in a snapshot of the same instant"
            )),
        }
    }
    fn snapshot(&mut self) -> Result<Snapshot, String> {
        Ok(self.store().snapshot())
    }
    fn get_at(&mut self, at: &Snapshot, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let value = at.get(key).map_err(text)?;
        let part = |want: &std::ops::Range<usize>| {
            let bytes = at.get_part(key, want.clone()).map_err(text)?;
            Ok(bytes.map(|bytes| bytes.to_vec()))
        };
        match parts_are_of(value.as_deref(), part)? {
            true => Ok(value.map(|value| value.to_vec())),
            false => Err(format!("parts of {key:?} are not those of its value")),
        }
    }
    fn scan_at(&mut self, at: &Snapshot, span: &Span, down: bool) -> Result<Vec<Pair>, String> {
        let scan = if down {
            at.scan_reverse(range(span))
        } else {
            at.scan(range(span))
        };
        scan.map(|pair| pair.map(|(k, v)| (k.to_vec(), v.to_vec())).map_err(text))
            .collect()
    }
    fn tick(&mut self) -> Result<bool, String> {
        let ticks = self.store().stats().counters;
        let ticks = ticks.iter().find(|(name, _)| *name == "ticks");
        // As after opening, now and then.
        self.store()
            .spare_reads(ticks.is_some_and(|(_, n)| n / 16 % 2 == 1));
        self.store().tick().map_err(text)
    }
    fn sync(&mut self) -> Result<(), String> {
        self.store().sync().map_err(text)
    }
    fn checkpoint(&mut self) -> Result<(), String> {
        self.store().checkpoint().map_err(text)
    }
    fn reopen(&mut self) -> Result<(), String> {
        self.reopened += 1;
        if self.reopened.is_multiple_of(2) {
            self.settle()?;
        }
        self.count();
        self.store = None;
        self.start()
    }
    fn crash(&mut self, seed: u64) -> Result<bool, String> {
        self.count();
        let image = self.disk.crash(seed);
        self.store = None;
        self.disk = Arc::new(FaultyDisk::new(image).map_err(|e| e.to_string())?);
        self.start()?;
        Ok(true)
    }
    fn check(&mut self) -> Result<(), String> {
        let report = self.store().check(false).map_err(text)?;
        match report.findings.is_empty() {
            true => Ok(()),
            false => Err(format!("{:?}", report.findings)),
        }
    }
}
