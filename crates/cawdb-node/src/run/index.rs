//! The index block of a run: its segments, delete-ranges and filter. Always read before anything else of the run.
//!
//! ```text
//!  magic "cawfsrun" | version u16 | 0 u16 | body length u32 | run id u64                     24 bytes
//!  body: segments n | per segment: first key | last key | stored length | raw length | compression u8
//!                                  | checksum u64 | entries | logical bytes
//!        delete-ranges n | open u8 | per range: lo | hi (not of the last one if open = 1)
//!        filter: length, bits
//! ```
//! Numbers are varints if not said otherwise. Keys are packed: bytes shared with the key before in the same list,
//! length of the rest, rest. Segments lie one after the other from the image's start, so offsets are sums.
//!
//! Invariants: what was decoded has been checked: keys ascend, segments fill the image up to the index, totals are
//! those of the [`RunMeta`] by which it was found, and so is the id.

use super::bloom::Bloom;
use super::chain::{KeyChain, write_key};
use super::mem::RANGE_BYTES;
use super::{RunId, RunMeta};
use crate::{Compression, Error, Key, KeyRange, RangeSet, Result};
use bytes::Bytes;
use cawdb_disk::Checksum;
use cawdb_disk::codec::{Reader, Writer};

const MAGIC: &[u8; 8] = b"cawfsrun";
const VERSION: u16 = 1;

/// What the index says about a segment.
pub(crate) struct SegmentInfo {
    pub(super) first: Key,
    pub(super) last: Key,
    /// Where it starts in the image.
    pub(crate) offset: u64,
    /// Its length in the image.
    pub(crate) stored_len: usize,
    /// Its length uncompressed.
    pub(super) raw_len: usize,
    pub(super) compression: Compression,
    /// Of the stored bytes.
    pub(crate) checksum: Checksum,
    pub(super) entries: u64,
    /// Logical bytes of its points.
    pub(super) bytes: u64,
}

/// A stored point from this length on is a large one, in bytes.
const LARGE: usize = 16 << 10;

impl SegmentInfo {
    /// Whether it holds one large point: who read that has all there is.
    pub(super) fn is_large(&self) -> bool {
        self.entries == 1 && self.stored_len >= LARGE
    }
}

/// A decoded index block.
pub(crate) struct RunIndex {
    pub(crate) segments: Vec<SegmentInfo>,
    pub(super) deletes: RangeSet,
    pub(crate) bloom: Bloom,
    memory: usize,
}

impl RunIndex {
    /// Joins the parts of an index to be written.
    pub(super) fn new(segments: Vec<SegmentInfo>, deletes: RangeSet, bloom: Bloom) -> Self {
        Self {
            segments,
            deletes,
            bloom,
            memory: 0,
        }
    }

    /// Bytes in memory, about.
    pub(crate) fn memory(&self) -> usize {
        self.memory
    }

    /// The first segment that may hold a key at or above `key`; their number if none does.
    pub(crate) fn first_reaching(&self, key: &[u8]) -> usize {
        self.segments.partition_point(|s| s.last[..] < *key)
    }

    /// How many segments start below the end `hi`.
    pub(super) fn starting_below(&self, hi: Option<&Key>) -> usize {
        hi.map_or(self.segments.len(), |hi| {
            self.segments.partition_point(|s| s.first < *hi)
        })
    }

    /// The segments that may hold keys of `range`.
    pub(crate) fn overlapping(&self, range: &KeyRange) -> std::ops::Range<usize> {
        let lo = self.first_reaching(&range.lo);
        lo..self.starting_below(range.hi.as_ref()).max(lo)
    }

    /// The index block.
    pub(super) fn encode(&self, id: RunId) -> Vec<u8> {
        let mut body = Writer::new();
        body.varint(self.segments.len() as u64);
        let mut before: &[u8] = &[];
        for s in &self.segments {
            write_key(&mut body, before, &s.first);
            write_key(&mut body, &s.first, &s.last);
            before = &s.last;
            body.varint(s.stored_len as u64);
            body.varint(s.raw_len as u64);
            body.u8(s.compression.code());
            body.u64(s.checksum.0);
            body.varint(s.entries);
            body.varint(s.bytes);
        }
        let open = self.deletes.iter().any(|r| r.hi.is_none());
        body.varint(self.deletes.len() as u64);
        body.u8(u8::from(open));
        let mut before: &[u8] = &[];
        for range in self.deletes.iter() {
            for key in std::iter::once(&range.lo).chain(&range.hi) {
                write_key(&mut body, before, key);
                before = key;
            }
        }
        body.bytes(self.bloom.as_bytes());
        let mut w = Writer::with_capacity(body.len() + 24);
        w.raw(MAGIC);
        w.u16(VERSION);
        w.u16(0);
        w.u32(body.len() as u32);
        w.u64(id.0);
        w.raw(body.as_slice());
        w.into_vec()
    }

    /// Decodes an index block whose checksum was verified.
    pub(crate) fn decode(id: RunId, meta: &RunMeta, block: &Bytes) -> Result<Self> {
        let mut r = Reader::new("index block", block);
        check_header(&mut r, id)?;
        let segments = read_segments(&mut r)?;
        let deletes = read_deletes(&mut r)?;
        let len = r.varint_usize()?;
        let bloom = Bloom::from_bytes(block.slice(r.span(len)?));
        r.finish()?;
        // Keys are slices of unpacked buffers; a key is counted as its slice, as it is not known to share.
        let keys: usize = segments.iter().map(|s| s.first.len() + s.last.len()).sum();
        let ranges: usize = deletes
            .iter()
            .map(|d| d.lo.len() + d.hi.as_ref().map_or(0, Key::len))
            .sum();
        let memory = block.len()
            + keys
            + ranges
            + segments.len() * size_of::<SegmentInfo>()
            + deletes.len() * size_of::<KeyRange>();
        let index = Self {
            segments,
            deletes,
            bloom,
            memory,
        };
        index.check_totals(meta)?;
        Ok(index)
    }

    fn check_totals(&self, meta: &RunMeta) -> Result<()> {
        let expect = |what, expected: u64, found: u64| match expected == found {
            true => Ok(()),
            false => Err(Error::mismatch(what, expected, found)),
        };
        let sum = |f: fn(&SegmentInfo) -> u64| {
            self.segments
                .iter()
                .fold(0_u64, |sum, s| sum.saturating_add(f(s)))
        };
        let ranges = self.deletes.len() as u64 * RANGE_BYTES;
        expect(
            "bytes of a run's segments",
            meta.index_offset(),
            sum(|s| s.stored_len as u64),
        )?;
        expect("points of a run", meta.points, sum(|s| s.entries))?;
        expect(
            "bytes of a run",
            meta.bytes,
            sum(|s| s.bytes).saturating_add(ranges),
        )?;
        expect(
            "delete-ranges of a run",
            meta.has_delete_ranges.into(),
            (ranges > 0).into(),
        )
    }
}

fn check_header(r: &mut Reader<'_>, id: RunId) -> Result<()> {
    let magic = r.take(MAGIC.len())?;
    if magic != MAGIC {
        return Err(Error::mismatch("magic of a run's index", MAGIC, magic));
    }
    let (version, zero, len, found) = (r.u16()?, r.u16()?, r.u32()?, r.u64()?);
    if (version, zero) != (VERSION, 0) {
        return Err(Error::mismatch(
            "version of a run's index",
            VERSION,
            (version, zero),
        ));
    }
    if found != id.0 {
        return Err(Error::mismatch("id of a run", id.0, found));
    }
    if len as usize != r.remaining() {
        return Err(Error::mismatch(
            "length of a run's index",
            len,
            r.remaining(),
        ));
    }
    Ok(())
}

fn read_segments(r: &mut Reader<'_>) -> Result<Vec<SegmentInfo>> {
    let count = r.varint_usize()?;
    let (mut keys, mut segments) = (KeyChain::default(), Vec::new());
    let mut offset = 0_u64;
    for _ in 0..count {
        keys.read(r)?;
        keys.read(r)?;
        let info = SegmentInfo {
            first: Key::new(),
            last: Key::new(),
            offset,
            stored_len: r.varint_usize()?,
            raw_len: r.varint_usize()?,
            compression: Compression::from_code(r.u8()?)?,
            checksum: Checksum(r.u64()?),
            entries: r.varint()?,
            bytes: r.varint()?,
        };
        offset = offset.saturating_add(info.stored_len as u64);
        if info.entries == 0 {
            return Err(Error::Corrupt("a segment without points".into()));
        }
        segments.push(info);
    }
    let mut keys = keys.into_keys();
    let mut before: Option<Key> = None;
    for info in &mut segments {
        info.first = keys.next().unwrap_or_default();
        info.last = keys.next().unwrap_or_default();
        if info.first > info.last || before.is_some_and(|b| b >= info.first) {
            return Err(Error::mismatch(
                "keys of segments",
                "ascending",
                (&info.first, &info.last),
            ));
        }
        before = Some(info.last.clone());
    }
    Ok(segments)
}

fn read_deletes(r: &mut Reader<'_>) -> Result<RangeSet> {
    let count = r.varint_usize()?;
    let open = match r.u8()? {
        0 => 0,
        1 if count > 0 => 1,
        other => {
            return Err(Error::mismatch(
                "open end of delete-ranges",
                "0 or 1",
                other,
            ));
        }
    };
    let mut keys = KeyChain::default();
    for i in 0..count {
        keys.read(r)?;
        if i + 1 < count || open == 0 {
            keys.read(r)?;
        }
    }
    let mut keys = keys.into_keys();
    let mut ranges = Vec::new();
    while let Some(lo) = keys.next() {
        ranges.push(KeyRange {
            lo,
            hi: keys.next(),
        });
    }
    RangeSet::from_sorted(ranges).ok_or_else(|| Error::Corrupt("delete-ranges out of order".into()))
}
