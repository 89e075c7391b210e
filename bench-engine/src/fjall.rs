//! fjall: a log-structured tree in Rust. It has no patches, which read first, and no range deletes, which walk.

use crate::engine::{Change, Engine, patched};
use anyhow::Result;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use std::path::Path;

/// The database.
pub struct Fjall {
    database: Database,
    pairs: Keyspace,
}

impl Fjall {
    /// Opens it, and makes it first where there is none.
    pub fn open(dir: &Path, cache: u64) -> Result<Self> {
        let database = Database::builder(dir.join("fjall"))
            .cache_size(cache)
            .worker_threads(2)
            .open()?;
        let pairs = database.keyspace("pairs", || {
            KeyspaceCreateOptions::default().max_memtable_size(cache / 8)
        })?;
        Ok(Self { database, pairs })
    }
}

impl Engine for Fjall {
    fn commit(&self, changes: Vec<Change>, durable: bool) -> Result<()> {
        let mut batch = self
            .database
            .batch()
            .durability(durable.then_some(PersistMode::SyncAll));
        for change in changes {
            match change {
                Change::Put(key, value) => batch.insert(&self.pairs, key, value),
                Change::Patch(key, offset, bytes) => {
                    if let Some(value) = self.pairs.get(&key)? {
                        batch.insert(&self.pairs, key, patched(&value, offset, bytes));
                    }
                }
                Change::DeleteRange(lo, hi) => {
                    for pair in self.pairs.range(lo..hi) {
                        batch.remove(&self.pairs, pair.key()?);
                    }
                }
            }
        }
        Ok(batch.commit()?)
    }

    fn sync(&self) -> Result<()> {
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }

    fn get(&self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let value = self.pairs.get(key)?;
        Ok(value.inspect(|value| see(value)).is_some())
    }

    fn scan(
        &self,
        lo: &[u8],
        hi: &[u8],
        limit: usize,
        see: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<()> {
        for pair in self.pairs.range(lo..hi).take(limit) {
            let (key, value) = pair.into_inner()?;
            see(&key, &value);
        }
        Ok(())
    }
}
