//! A segment: some neighbouring points of a run, loaded and cached as one.
//!
//! ```text
//!  entry, entry, ...                                  every 16th is a restart: its key is whole
//!  restart 0: offset u32, bytes u32 | restart 1 ...   where it starts, and the logical bytes before it
//!  restarts n u32
//!
//!  entry:  shared | rest length | payload length * 4 + kind | rest of key | payload       (numbers are varints)
//! ```
//! `shared` counts the bytes that the key has in common with the one before; 0 at a restart. A *block* is a restart
//! and the entries up to the next.
//!
//! Invariants: the table of restarts is checked when a segment is opened; every entry is checked when it is read, so
//! that bytes of any content give an answer or an error. A look-up compares keys where they lie and allocates nothing.

use super::chain::KeyChain;
use super::mem::point_bytes;
use crate::key::common_prefix;
use crate::{Error, Key, Message, Result};
use bytes::Bytes;
use cawdb_disk::codec::Reader;
use std::cmp::Ordering;
use std::ops::Range;

/// Entries from one whole key to the next.
pub(super) const BLOCK_ENTRIES: usize = 16;
/// Bytes of a restart in the table.
pub(super) const RESTART_BYTES: usize = 8;
/// Bytes of the count that ends a segment.
pub(super) const TRAILER_BYTES: usize = 4;

/// A decoded segment.
pub(crate) struct Segment {
    raw: Bytes,
    /// Where entries end and the table of restarts starts.
    entries_end: usize,
    blocks: usize,
}

/// Where the parts of an entry lie.
struct Entry {
    shared: usize,
    rest: Range<usize>,
    kind: u8,
    payload: Range<usize>,
}

impl Segment {
    /// Opens decompressed bytes.
    pub(crate) fn open(raw: Bytes) -> Result<Self> {
        let broken = || {
            Error::Corrupt(format!(
                "table of restarts in a segment of {} bytes",
                raw.len()
            ))
        };
        let table_end = raw.len().checked_sub(TRAILER_BYTES).ok_or_else(broken)?;
        let blocks = Reader::at("segment", &raw, table_end).u32()? as usize;
        let table_len = blocks.checked_mul(RESTART_BYTES).ok_or_else(broken)?;
        let entries_end = table_end.checked_sub(table_len).ok_or_else(broken)?;
        let segment = Self {
            raw,
            entries_end,
            blocks,
        };
        let mut before = None;
        for block in 0..blocks {
            let (offset, bytes) = segment.restart(block)?;
            let ascends = before.is_none_or(|(o, b)| offset > o && bytes > b);
            if !ascends || offset >= entries_end || (block == 0 && (offset, bytes) != (0, 0)) {
                return Err(Error::mismatch(
                    "restart of a segment",
                    "ascending",
                    (offset, bytes),
                ));
            }
            before = Some((offset, bytes));
        }
        if blocks == 0 {
            return Err(Error::mismatch("restarts of a segment", "at least one", 0));
        }
        Ok(segment)
    }

    /// Bytes in memory, about.
    pub(crate) fn memory(&self) -> usize {
        self.raw.len() + size_of::<Self>()
    }

    /// Number of blocks, at least one.
    pub(crate) fn blocks(&self) -> usize {
        self.blocks
    }

    /// Offset of a block, and the logical bytes before it.
    fn restart(&self, block: usize) -> Result<(usize, u64)> {
        let mut r = Reader::at(
            "segment",
            &self.raw,
            self.entries_end + block * RESTART_BYTES,
        );
        Ok((r.u32()? as usize, u64::from(r.u32()?)))
    }

    fn block_span(&self, block: usize) -> Result<Range<usize>> {
        let end = if block + 1 < self.blocks {
            self.restart(block + 1)?.0
        } else {
            self.entries_end
        };
        Ok(self.restart(block)?.0..end)
    }

    fn entry(&self, at: usize) -> Result<Entry> {
        let mut r = Reader::at("segment", &self.raw[..self.entries_end], at);
        let shared = r.varint_usize()?;
        let rest_len = r.varint_usize()?;
        let payload = r.varint_usize()?;
        let rest = r.span(rest_len)?;
        Ok(Entry {
            shared,
            rest,
            kind: payload as u8 & 3,
            payload: r.span(payload >> 2)?,
        })
    }

    fn message(&self, entry: &Entry) -> Result<Message> {
        Message::from_payload(entry.kind, self.raw.slice(entry.payload.clone()))
    }

    /// The first key of a block.
    fn first_key(&self, block: usize) -> Result<&[u8]> {
        let entry = self.entry(self.restart(block)?.0)?;
        if entry.shared != 0 {
            return Err(Error::mismatch(
                "shared prefix at a restart",
                0,
                entry.shared,
            ));
        }
        Ok(&self.raw[entry.rest])
    }

    /// The last block that starts at or below `key`; the first if there is none. O(log blocks).
    pub(crate) fn block_of(&self, key: &[u8]) -> Result<usize> {
        let (mut lo, mut hi) = (0, self.blocks);
        while hi - lo > 1 {
            let middle = lo + (hi - lo) / 2;
            if *self.first_key(middle)? <= *key {
                lo = middle;
            } else {
                hi = middle;
            }
        }
        Ok(lo)
    }

    /// The message at `key`. O(log blocks + entries of a block).
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Message>> {
        let span = self.block_span(self.block_of(key)?)?;
        let mut at = span.start;
        // Bytes that `key` has in common with the entry before, which lies below it.
        let mut matched = 0;
        while at < span.end {
            let entry = self.entry(at)?;
            // An entry that shares more than `matched` differs from `key` where the one before did: it is below, too.
            match entry.shared.cmp(&matched) {
                Ordering::Less => return Ok(None),
                Ordering::Greater => {}
                Ordering::Equal => {
                    let (rest, wanted) = (&self.raw[entry.rest.clone()], &key[matched..]);
                    let same = common_prefix(rest, wanted);
                    match rest.get(same).cmp(&wanted.get(same)) {
                        Ordering::Equal => return self.message(&entry).map(Some),
                        Ordering::Greater => return Ok(None),
                        Ordering::Less => matched += same,
                    }
                }
            }
            at = entry.payload.end;
        }
        Ok(None)
    }

    /// All points of a block, ascending; values are slices of the segment, keys of one buffer.
    pub(crate) fn block(&self, block: usize) -> Result<Vec<(Key, Message)>> {
        let span = self.block_span(block)?;
        let mut keys = KeyChain::for_keys(BLOCK_ENTRIES);
        let mut points = Vec::with_capacity(BLOCK_ENTRIES);
        let mut at = span.start;
        while at < span.end {
            if points.len() == BLOCK_ENTRIES {
                return Err(Error::mismatch("entries of a block", BLOCK_ENTRIES, "more"));
            }
            let entry = self.entry(at)?;
            keys.push_above(entry.shared, &self.raw[entry.rest.clone()])?;
            points.push((Key::new(), self.message(&entry)?));
            at = entry.payload.end;
        }
        if at != span.end {
            return Err(Error::mismatch("end of a block", span.end, at));
        }
        for (point, key) in points.iter_mut().zip(keys.into_keys()) {
            point.0 = key;
        }
        Ok(points)
    }

    /// Logical bytes of the points below `key`. O(log blocks + entries of a block).
    pub(crate) fn bytes_below(&self, key: &[u8]) -> Result<u64> {
        let block = self.block_of(key)?;
        let below = self.block(block)?;
        let below = below.iter().take_while(|(k, _)| k[..] < *key);
        Ok(self.restart(block)?.1 + below.map(|(k, m)| point_bytes(k, m)).sum::<u64>())
    }

    /// The first keys of all blocks, with the logical bytes before each.
    pub(crate) fn cuts(&self) -> Result<Vec<(Key, u64)>> {
        (0..self.blocks)
            .map(|b| Ok((Key::copy_from_slice(self.first_key(b)?), self.restart(b)?.1)))
            .collect()
    }
}
