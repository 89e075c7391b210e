//! redb: a copy-on-write B-tree in Rust. Each batch is a transaction; patches read first.

use crate::engine::{Change, Engine, patched};
use anyhow::Result;
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use std::path::Path;

const PAIRS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("pairs");

/// The database.
pub struct Redb {
    database: Database,
}

impl Redb {
    /// Opens it, and makes it first where there is none.
    pub fn open(dir: &Path, cache: u64) -> Result<Self> {
        let database = Database::builder()
            .set_cache_size(usize::try_from(cache)?)
            .create(dir.join("redb"))?;
        let first = database.begin_write()?;
        first.open_table(PAIRS)?;
        first.commit()?;
        Ok(Self { database })
    }
}

impl Engine for Redb {
    fn commit(&self, changes: Vec<Change>, durable: bool) -> Result<()> {
        let mut transaction = self.database.begin_write()?;
        if !durable {
            transaction.set_durability(Durability::None)?;
        }
        let mut table = transaction.open_table(PAIRS)?;
        for change in changes {
            match change {
                Change::Put(key, value) => drop(table.insert(&key[..], &value[..])?),
                Change::Patch(key, offset, bytes) => {
                    let old = table.get(&key[..])?.map(|value| value.value().to_vec());
                    if let Some(old) = old {
                        table.insert(&key[..], &patched(&old, offset, bytes)[..])?;
                    }
                }
                Change::DeleteRange(lo, hi) => {
                    table.retain_in(&lo[..]..&hi[..], |_, _| false)?;
                }
            }
        }
        drop(table);
        Ok(transaction.commit()?)
    }

    fn sync(&self) -> Result<()> {
        Ok(self.database.begin_write()?.commit()?)
    }

    fn get(&self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let table = self.database.begin_read()?.open_table(PAIRS)?;
        let value = table.get(key)?;
        Ok(value.inspect(|value| see(value.value())).is_some())
    }

    fn scan(
        &self,
        lo: &[u8],
        hi: &[u8],
        limit: usize,
        see: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<()> {
        let table = self.database.begin_read()?.open_table(PAIRS)?;
        for pair in table.range(lo..hi)?.take(limit) {
            let (key, value) = pair?;
            see(key.value(), value.value());
        }
        Ok(())
    }
}
