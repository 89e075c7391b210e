//! LMDB: a copy-on-write B-tree mapped into memory, through `heed`. Each batch is a transaction; patches read first.
//!
//! It has no cache of its own but the kernel's, which is why whoever measures limits the memory of the whole process.

use crate::engine::{Change, Engine, patched};
use anyhow::{Context, Result};
use heed::types::Bytes;
use heed::{Database, Env, EnvFlags, EnvOpenOptions};
use std::ops::Bound;
use std::path::Path;

/// How far it may grow: an address range, not memory.
const MAP_BYTES: usize = 256 << 30;

/// The database.
pub struct Lmdb {
    environment: Env,
    pairs: Database<Bytes, Bytes>,
}

impl Lmdb {
    /// Opens it, and makes it first where there is none.
    #[expect(
        unsafe_code,
        reason = "a mapped file may be changed behind one's back; this one is in a folder of its own"
    )]
    pub fn open(dir: &Path) -> Result<Self> {
        let dir = dir.join("lmdb");
        std::fs::create_dir_all(&dir)?;
        let mut options = EnvOpenOptions::new();
        options.map_size(MAP_BYTES);
        // SAFETY: nobody but this process opens the files, and it opens them once. NO_SYNC can lose data in a crash, not memory safety;
        // durable batches are synced by `force_sync`.
        let environment = unsafe {
            options.flags(EnvFlags::NO_SYNC | EnvFlags::NO_READ_AHEAD);
            options.open(&dir)
        };
        let environment = environment.context("cannot open LMDB")?;
        let mut first = environment.write_txn()?;
        let pairs = environment.create_database(&mut first, None)?;
        first.commit()?;
        Ok(Self { environment, pairs })
    }
}

/// From the first to before the second.
fn between<'a>(lo: &'a [u8], hi: &'a [u8]) -> (Bound<&'a [u8]>, Bound<&'a [u8]>) {
    (Bound::Included(lo), Bound::Excluded(hi))
}

impl Engine for Lmdb {
    fn commit(&self, changes: Vec<Change>, durable: bool) -> Result<()> {
        let mut transaction = self.environment.write_txn()?;
        for change in changes {
            match change {
                Change::Put(key, value) => self.pairs.put(&mut transaction, &key, &value)?,
                Change::Patch(key, offset, bytes) => {
                    let old = self.pairs.get(&transaction, &key)?;
                    if let Some(new) = old.map(|old| patched(old, offset, bytes)) {
                        self.pairs.put(&mut transaction, &key, &new)?;
                    }
                }
                Change::DeleteRange(lo, hi) => {
                    let range = between(&lo, &hi);
                    self.pairs.delete_range(&mut transaction, &range)?;
                }
            }
        }
        transaction.commit()?;
        if durable {
            self.sync()?;
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(self.environment.force_sync()?)
    }

    fn get(&self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let transaction = self.environment.read_txn()?;
        let value = self.pairs.get(&transaction, key)?;
        Ok(value.inspect(|value| see(value)).is_some())
    }

    fn scan(
        &self,
        lo: &[u8],
        hi: &[u8],
        limit: usize,
        see: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<()> {
        let transaction = self.environment.read_txn()?;
        for pair in self
            .pairs
            .range(&transaction, &between(lo, hi))?
            .take(limit)
        {
            let (key, value) = pair?;
            see(key, value);
        }
        Ok(())
    }
}
