//! cawdb, in one file, with its threads in the background.

use crate::engine::{Change, Engine};
use anyhow::Result;
use cawdb::{Background, Batch, CreateOptions, KeyRange, Options, Store};
use std::path::Path;
use std::time::Duration;

/// The store.
pub struct Cawdb {
    store: Store,
    _threads: Background,
}

impl Cawdb {
    /// Opens it, and makes it first where there is none.
    pub fn open(dir: &Path, cache: u64) -> Result<Self> {
        let (path, wait) = (dir.join("store.cawdb"), Duration::from_secs(5));
        if !path.exists() {
            Store::create_path(&path, &CreateOptions::default(), wait)?;
        }
        let options = Options {
            cache_bytes: cache,
            memtable_bytes: cache / 4,
            ..Options::default()
        };
        let store = Store::open_path(&path, options, wait)?;
        // As often as the file system does it.
        let threads = Background::start(&store, Duration::from_secs(5));
        Ok(Self {
            store,
            _threads: threads,
        })
    }
}

impl Drop for Cawdb {
    fn drop(&mut self) {
        if let Err(error) = self.store.checkpoint() {
            eprintln!("bench-engine: closing: {error}");
        }
    }
}

impl Engine for Cawdb {
    fn commit(&self, changes: Vec<Change>, durable: bool) -> Result<()> {
        let mut batch = Batch::new();
        for change in changes {
            match change {
                Change::Put(key, value) => batch.put(key, value),
                Change::Patch(key, offset, bytes) => {
                    batch.patch(key, u32::try_from(offset)?, bytes.to_vec())
                }
                Change::DeleteRange(lo, hi) => batch.delete_range(KeyRange {
                    lo: lo.into(),
                    hi: Some(hi.into()),
                }),
            };
        }
        self.store.commit(batch)?;
        if durable {
            self.store.sync()?;
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(self.store.sync()?)
    }

    fn get(&self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let value = self.store.get(key)?;
        Ok(value.inspect(|value| see(value)).is_some())
    }

    fn scan(
        &self,
        lo: &[u8],
        hi: &[u8],
        limit: usize,
        see: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<()> {
        let range = KeyRange {
            lo: lo.to_vec().into(),
            hi: Some(hi.to_vec().into()),
        };
        for pair in self.store.scan(range).take(limit) {
            let (key, value) = pair?;
            see(&key, &value);
        }
        Ok(())
    }

    fn clone_prefix(&self, from: &[u8], to: &[u8]) -> Result<()> {
        let mut batch = Batch::new();
        batch.clone_prefix(from.to_vec(), to.to_vec());
        Ok(self.store.commit(batch)?)
    }
}
