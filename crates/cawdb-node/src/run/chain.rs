//! Chains of prefix-compressed keys, unpacked into one buffer.
//!
//! ```text
//!   packed:    (0, "a/one") (2, "two")       shared with the key before, then the rest
//!   buffer:    a/onea/two                    one allocation; each key is a slice of it
//! ```

use crate::key::common_prefix;
use crate::{Error, Key, Result};
use bytes::Bytes;
use cawdb_disk::codec::{Reader, Writer};
use std::ops::Range;

/// Keys of one chain are together at most this long; else sharing would let few bytes unpack to very many.
const MAX_CHAIN: usize = 256 << 20;

/// Room made for a key in advance, in bytes.
const COMMON_KEY: usize = 32;

/// Keys being unpacked.
#[derive(Default)]
pub(super) struct KeyChain {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl KeyChain {
    /// A chain with room for so many keys of common length.
    pub(super) fn for_keys(number: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(number * COMMON_KEY),
            ends: Vec::with_capacity(number),
        }
    }

    /// Appends a key that shares its first `shared` bytes with the one before.
    ///
    /// # Errors
    /// If the one before is shorter than that.
    pub(super) fn push(&mut self, shared: usize, rest: &[u8]) -> Result<()> {
        let before = self.last();
        let (start, length) = (before.start, before.len());
        if shared > length {
            return Err(Error::mismatch(
                "shared prefix of a key",
                format!("at most {length}"),
                shared,
            ));
        }
        if before.end.saturating_add(shared + rest.len()) > MAX_CHAIN {
            return Err(Error::mismatch(
                "keys of a chain",
                format!("at most {MAX_CHAIN} bytes"),
                "more",
            ));
        }
        self.bytes.extend_from_within(start..start + shared);
        self.bytes.extend_from_slice(rest);
        self.ends.push(self.bytes.len());
        Ok(())
    }

    /// The same, of a key that has to be above the one before.
    ///
    /// # Errors
    /// Also if it is not.
    pub(super) fn push_above(&mut self, shared: usize, rest: &[u8]) -> Result<()> {
        let before = &self.bytes[self.last()];
        let ascends = before.get(shared..).is_none_or(|before| before < rest);
        if !ascends && !self.ends.is_empty() {
            let before = Bytes::copy_from_slice(before);
            return Err(Error::mismatch("keys of a chain", "ascending", before));
        }
        self.push(shared, rest)
    }

    /// Where the last key lies; nothing if there is none.
    fn last(&self) -> Range<usize> {
        let end = self.bytes.len();
        match self.ends.len() {
            0 => 0..0,
            1 => 0..end,
            n => self.ends[n - 2]..end,
        }
    }

    /// The last two keys; empty if there are none.
    pub(super) fn last_two(&self) -> (&[u8], &[u8]) {
        let last = self.last();
        let before = match self.ends.len() {
            0..=2 => 0,
            n => self.ends[n - 3],
        };
        (&self.bytes[before..last.start], &self.bytes[last])
    }

    /// Reads one packed key from `r`.
    pub(super) fn read(&mut self, r: &mut Reader<'_>) -> Result<()> {
        let shared = r.varint_usize()?;
        let rest = r.bytes()?;
        self.push(shared, rest)
    }

    /// The keys, where they lie.
    pub(super) fn keys(&self) -> impl Iterator<Item = &[u8]> + Clone {
        let starts = std::iter::once(&0).chain(&self.ends);
        (starts.zip(&self.ends)).map(|(start, end)| &self.bytes[*start..*end])
    }

    /// The keys, as slices of one buffer.
    pub(super) fn into_keys(self) -> impl Iterator<Item = Key> {
        let bytes = Bytes::from(self.bytes);
        let mut start = 0;
        self.ends
            .into_iter()
            .map(move |end| bytes.slice(std::mem::replace(&mut start, end)..end))
    }
}

/// Writes `key` packed after `before`.
pub(super) fn write_key(w: &mut Writer, before: &[u8], key: &[u8]) {
    let shared = common_prefix(before, key);
    w.varint(shared as u64);
    w.bytes(&key[shared..]);
}
