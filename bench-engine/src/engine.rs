//! What an engine must be able to do to be compared.

use anyhow::{Result, bail};

/// One change of a batch.
pub enum Change {
    /// Sets the value of a key.
    Put(Vec<u8>, Vec<u8>),
    /// Overwrites a few bytes of the value of a key that exists, from an offset on.
    Patch(Vec<u8>, usize, [u8; 4]),
    /// Removes the keys from the first to before the second.
    DeleteRange(Vec<u8>, Vec<u8>),
}

/// An ordered map in a folder. Dropping it closes it.
pub trait Engine {
    /// Applies changes, all or none. If they need not be `durable`, a crash of the machine may lose them.
    fn commit(&self, changes: Vec<Change>, durable: bool) -> Result<()>;
    /// Makes all that was committed durable.
    fn sync(&self) -> Result<()>;
    /// Shows the value of a key to `see`; whether there is one.
    fn get(&self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool>;
    /// Shows at most `limit` pairs from `lo` to before `hi`, in their order.
    fn scan(
        &self,
        lo: &[u8],
        hi: &[u8],
        limit: usize,
        see: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<()>;
    /// Makes all keys with one prefix appear also with another, without copying them.
    fn clone_prefix(&self, _from: &[u8], _to: &[u8]) -> Result<()> {
        bail!("this engine cannot clone")
    }
}

/// Overwrites a few bytes of a value: what engines without patches read it for.
#[cfg(any(feature = "peers", feature = "rocksdb"))]
pub fn patched(value: &[u8], offset: usize, bytes: [u8; 4]) -> Vec<u8> {
    let mut value = value.to_vec();
    if let Some(place) = value.get_mut(offset..offset + bytes.len()) {
        place.copy_from_slice(&bytes);
    }
    value
}
