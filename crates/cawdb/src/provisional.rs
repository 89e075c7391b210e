//! A stand-in with the engine's face, an ordered map in memory, until the tree carries the store.
use crate::{Batch, Op};
use bytes::Bytes;
use cawdb_node::KeyRange;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, RwLock};

/// What can go wrong in the engine.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No space left for the change.
    #[error("the store is full: {0}")]
    Full(String),
    /// The disk failed, or an earlier failure made the store read-only.
    #[error("input/output error: {0}")]
    Io(String),
    /// Bytes on disk are not what was written.
    #[error("damaged: {0}")]
    Corrupt(String),
    /// Key, value or range outside the documented limits.
    #[error("invalid: {0}")]
    Invalid(String),
}

type Map = BTreeMap<Bytes, Bytes>;

/// The engine: an ordered map of byte strings whose ranges clone. Cheap to clone (a handle).
#[derive(Clone, Default)]
pub struct Store(Arc<RwLock<Arc<Map>>>);

/// A consistent view of one instant.
#[derive(Clone)]
pub struct Snapshot(Arc<Map>);

/// Ordered walk over a snapshot.
pub struct Scan { map: Arc<Map>, range: KeyRange, reverse: bool, last: Option<Bytes> }

/// How much room there is, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Space { /// Limit of the store.
    pub total: u64, /// In use (allocated on disk, plus what waits to be written).
    pub used: u64, /// What a caller may still write.
    pub available: u64 }

impl Store {
    /// A store in memory.
    pub fn in_memory() -> Self { Self::default() }
    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> { self.snapshot().get(key) }
    /// Applies a batch atomically.
    pub fn commit(&self, batch: Batch) -> Result<(), Error> {
        let mut guard = self.0.write().expect("lock");
        let before = guard.clone();
        let map = Arc::make_mut(&mut guard);
        let mut cloned = Vec::new();
        for op in &batch.ops {
            if let Op::CloneRange { source, from, to } = op {
                let tr = |k: &[u8]| Bytes::from([to, &k[from.len()..]].concat());
                let items: Vec<_> = before.range::<[u8], _>(bounds(source)).map(|(k, v)| (tr(k), v.clone())).collect();
                let lo = tr(&source.lo);
                let hi = match &source.hi { Some(h) if h.starts_with(from) => Some(tr(h)), _ => cawdb_node::successor(to) };
                cloned.push((KeyRange { lo, hi }, items));
            }
        }
        for (range, items) in cloned { remove(map, &range); map.extend(items); }
        for op in batch.ops {
            match op {
                Op::Put { key, value } => { map.insert(key, value); }
                Op::Delete { key } => { map.remove(&key); }
                Op::Patch { key, offset, bytes } => {
                    let mut v = map.get(&key).map(|v| v.to_vec()).unwrap_or_default();
                    let end = offset as usize + bytes.len();
                    if v.len() < end { v.resize(end, 0); }
                    v[offset as usize..end].copy_from_slice(&bytes);
                    map.insert(key, v.into());
                }
                Op::DeleteRange { range } => remove(map, &range),
                Op::CloneRange { .. } => {}
            }
        }
        Ok(())
    }
    /// A consistent view of this instant.
    pub fn snapshot(&self) -> Snapshot { Snapshot(self.0.read().expect("lock").clone()) }
    /// Ordered walk over a fresh snapshot.
    pub fn scan(&self, range: KeyRange) -> Scan { self.snapshot().scan(range) }
    /// Makes everything committed before durable.
    pub fn sync(&self) -> Result<(), Error> { Ok(()) }
    /// Writes a checkpoint, so that space freed before it can be used again.
    pub fn checkpoint(&self) -> Result<(), Error> { Ok(()) }
    /// Does one bounded piece of background work; false if there was none.
    pub fn tick(&self) -> Result<bool, Error> { Ok(false) }
    /// How much room there is.
    pub fn space(&self) -> Space { Space { total: 1 << 40, used: 0, available: 1 << 40 } }
}

impl Snapshot {
    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> { Ok(self.0.get(key).cloned()) }
    /// Ascending walk over a range.
    pub fn scan(&self, range: KeyRange) -> Scan { Scan { map: self.0.clone(), range, reverse: false, last: None } }
    /// Descending walk over a range.
    pub fn scan_reverse(&self, range: KeyRange) -> Scan { Scan { map: self.0.clone(), range, reverse: true, last: None } }
}

impl Iterator for Scan {
    type Item = Result<(Bytes, Bytes), Error>;
    fn next(&mut self) -> Option<Self::Item> {
        let (mut lo, mut hi) = bounds(&self.range);
        if let Some(last) = &self.last { if self.reverse { hi = Bound::Excluded(last) } else { lo = Bound::Excluded(last) } }
        let mut it = self.map.range::<[u8], _>((lo, hi));
        let (k, v) = if self.reverse { it.next_back() } else { it.next() }?;
        let out = (k.clone(), v.clone());
        self.last = Some(out.0.clone());
        Some(Ok(out))
    }
}

fn bounds(r: &KeyRange) -> (Bound<&[u8]>, Bound<&[u8]>) {
    (Bound::Included(&r.lo), r.hi.as_ref().map_or(Bound::Unbounded, |h| Bound::Excluded(&h[..])))
}
fn remove(map: &mut Map, range: &KeyRange) {
    let keys: Vec<_> = map.range::<[u8], _>(bounds(range)).map(|(k, _)| k.clone()).collect();
    for k in keys { map.remove(&k); }
}
