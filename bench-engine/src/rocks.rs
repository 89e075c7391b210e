//! RocksDB, with a merge operator for patches, Bloom filters, and LZ4.

use crate::engine::{Change, Engine, patched};
use anyhow::Result;
use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, IteratorMode, MergeOperands, Options,
    ReadOptions, WriteBatch, WriteOptions,
};
use std::path::Path;

/// The database.
pub struct Rocks {
    database: DB,
}

impl Rocks {
    /// Opens it, and makes it first where there is none.
    pub fn open(dir: &Path, cache: u64) -> Result<Self> {
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&Cache::new_lru_cache(usize::try_from(cache)?));
        blocks.set_bloom_filter(10.0, false);
        blocks.set_cache_index_and_filter_blocks(true);
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_block_based_table_factory(&blocks);
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_write_buffer_size(usize::try_from(cache / 8)?);
        options.set_max_write_buffer_number(2);
        options.increase_parallelism(2);
        options.set_merge_operator("patch", full_merge, no_partial_merge);
        let database = DB::open(&options, dir.join("rocksdb"))?;
        Ok(Self { database })
    }
}

/// An operand: the offset as eight bytes, and the bytes.
fn operand(offset: usize, bytes: [u8; 4]) -> Vec<u8> {
    [&(offset as u64).to_le_bytes()[..], &bytes].concat()
}

fn full_merge(_key: &[u8], old: Option<&[u8]>, operands: &MergeOperands) -> Option<Vec<u8>> {
    let mut value = old.unwrap_or_default().to_vec();
    for operand in operands {
        let (offset, bytes) = operand.split_first_chunk::<8>()?;
        let offset = usize::try_from(u64::from_le_bytes(*offset)).ok()?;
        value = patched(&value, offset, bytes.try_into().ok()?);
    }
    Some(value)
}

/// Operands are kept apart until there is a value.
fn no_partial_merge(_: &[u8], _: Option<&[u8]>, _: &MergeOperands) -> Option<Vec<u8>> {
    None
}

impl Engine for Rocks {
    fn commit(&self, changes: Vec<Change>, durable: bool) -> Result<()> {
        let mut batch = WriteBatch::default();
        for change in changes {
            match change {
                Change::Put(key, value) => batch.put(key, value),
                Change::Patch(key, offset, bytes) => batch.merge(key, operand(offset, bytes)),
                Change::DeleteRange(lo, hi) => batch.delete_range(lo, hi),
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(durable);
        Ok(self.database.write_opt(batch, &options)?)
    }

    fn sync(&self) -> Result<()> {
        Ok(self.database.flush_wal(true)?)
    }

    fn get(&self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let value = self.database.get_pinned(key)?;
        Ok(value.inspect(|value| see(value)).is_some())
    }

    fn scan(
        &self,
        lo: &[u8],
        hi: &[u8],
        limit: usize,
        see: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<()> {
        let mut options = ReadOptions::default();
        options.set_iterate_range(lo.to_vec()..hi.to_vec());
        for pair in self
            .database
            .iterator_opt(IteratorMode::Start, options)
            .take(limit)
        {
            let (key, value) = pair?;
            see(&key, &value);
        }
        Ok(())
    }
}
