//! The store as the test kit drives it: the one place where tests open, reopen and check an engine.
use cawdb::{Batch, Error, KeyRange, Snapshot, Store};
use cawfs_sim::{Engine, KvOp, Pair, Span};

/// A store as the harness drives it.
pub struct Driven {
    store: Store,
}

impl Driven {
    /// A fresh store.
    pub fn open() -> Self {
        Self {
            store: Store::in_memory(),
        }
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

fn batch(ops: &[KvOp]) -> Batch {
    let mut batch = Batch::new();
    for op in ops.iter().cloned() {
        match op {
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
        self.store.commit(batch(ops)).map_err(text)
    }
    fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        Ok(self
            .store
            .get(key)
            .map_err(text)?
            .map(|value| value.to_vec()))
    }
    fn snapshot(&mut self) -> Result<Snapshot, String> {
        Ok(self.store.snapshot())
    }
    fn get_at(&mut self, at: &Snapshot, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        Ok(at.get(key).map_err(text)?.map(|value| value.to_vec()))
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
        self.store.tick().map_err(text)
    }
    fn sync(&mut self) -> Result<(), String> {
        self.store.sync().map_err(text)
    }
    fn checkpoint(&mut self) -> Result<(), String> {
        self.store.checkpoint().map_err(text)
    }
    fn reopen(&mut self) -> Result<(), String> {
        Ok(())
    }
    fn crash(&mut self, _seed: u64) -> Result<bool, String> {
        Ok(false)
    }
    fn check(&mut self) -> Result<(), String> {
        Ok(())
    }
}
