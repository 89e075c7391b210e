//! The index block of a run: its index as bytes.
//!
//! ```text
//!  magic "cawfsrun" | version u16 | 0 u16 | body length u32 | run id u64                     24 bytes
//!  body: segments n | per segment: first key | last key | stored length | raw length | compression u8
//!                                  | checksum u64 | entries | logical bytes | if compression is 3: u32 of each page
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
use super::index::{NO_PAGES, RunIndex, SegmentInfo};
use super::key_list::KeyList;
use super::mem::RANGE_BYTES;
use super::{RunId, RunMeta, pages};
use crate::{Compression, Error, Key, KeyRange, RangeSet, Result};
use cawdb_disk::Checksum;
use cawdb_disk::codec::{Reader, Writer};

const MAGIC: &[u8; 8] = b"cawfsrun";
const VERSION: u16 = 1;
/// Stands for the compression of a segment that is not compressed, and whose pages have checksums; beside [`Compression::code`].
pub(super) const PAGED: u8 = 3;

impl RunIndex {
    /// Writes a key packed after the one before.
    fn write_key(&self, w: &mut Writer, number: usize) {
        let (shared, rest) = self.keys.beyond_the_one_before(number);
        w.varint(shared as u64);
        w.bytes(rest);
    }

    /// The index block.
    pub(super) fn encode(&self, id: RunId) -> Vec<u8> {
        let mut body = Writer::new();
        body.varint(self.segments.len() as u64);
        for (i, s) in self.segments.iter().enumerate() {
            match i {
                0 => write_key(&mut body, &[], &self.first(0)),
                _ => self.write_key(&mut body, 2 * i),
            }
            self.write_key(&mut body, 2 * i + 1);
            body.varint(s.stored.into());
            body.varint(s.raw.into());
            let paged = self.paged(i);
            body.u8(paged.as_ref().map_or(s.compression.code(), |_| PAGED));
            body.u64(s.checksum.0);
            body.varint(s.entries.into());
            body.varint(s.bytes.into());
            for sum in paged.map_or(&[][..], |(_, sums)| sums) {
                body.u32(*sum);
            }
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
    pub(crate) fn decode(id: RunId, meta: &RunMeta, block: &[u8]) -> Result<Self> {
        let mut r = Reader::new("index block", block);
        check_header(&mut r, id)?;
        let (segments, keys, sums) = read_segments(&mut r)?;
        let deletes = read_deletes(&mut r)?;
        let bloom = Bloom::from_bytes(r.bytes()?);
        r.finish()?;
        let index = Self {
            segments,
            keys,
            sums,
            deletes,
            bloom,
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
            sum(|s| s.stored.into()),
        )?;
        expect("points of a run", meta.points, sum(|s| s.entries.into()))?;
        expect(
            "bytes of a run",
            meta.bytes,
            sum(|s| s.bytes.into()).saturating_add(ranges),
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

/// A length or a count of a segment.
fn read_u32(r: &mut Reader<'_>) -> Result<u32> {
    let found = r.varint()?;
    let too_much = |_| Error::mismatch("length or count of a segment", "below 4 GiB", found);
    u32::try_from(found).map_err(too_much)
}

/// What the index says about a segment from `offset` on, whose keys were read; the sums of its pages are added to those of others.
fn read_segment(
    r: &mut Reader<'_>,
    (offset, first, last): (u64, &[u8], &[u8]),
    sums: &mut Vec<u32>,
) -> Result<SegmentInfo> {
    let (stored, raw) = (read_u32(r)?, read_u32(r)?);
    let code = r.u8()?;
    let compression = match code {
        PAGED => Compression::None,
        code => Compression::from_code(code)?,
    };
    let mut info = SegmentInfo {
        offset,
        stored,
        raw,
        compression,
        checksum: Checksum(r.u64()?),
        entries: read_u32(r)?,
        bytes: read_u32(r)?,
        pages: NO_PAGES,
    };
    if info.entries == 0 {
        return Err(Error::Corrupt("a segment without points".into()));
    }
    if code == PAGED {
        let value = info.value_len(first.len());
        let (_, len) = pages::layout(first.len(), value);
        let fits = (info.entries, first) == (1, last) && value >= pages::LEAST;
        if !fits || (info.stored_len(), info.raw_len()) != (len, len) {
            let what = "segment with pages: points, bytes of the value, stored and raw";
            let expected = (1, "16 KiB and more", len, len);
            let found = (info.entries, value, stored, raw);
            return Err(Error::mismatch(what, expected, found));
        }
        info.pages = sums.len() as u32;
        for _ in 0..pages::count(value) {
            sums.push(r.u32()?);
        }
    }
    Ok(info)
}

fn read_segments(r: &mut Reader<'_>) -> Result<(Vec<SegmentInfo>, KeyList, Box<[u32]>)> {
    let count = r.varint_usize()?;
    let (mut keys, mut segments, mut sums) = (KeyChain::default(), Vec::new(), Vec::new());
    let mut offset = 0_u64;
    for _ in 0..count {
        keys.read(r)?;
        keys.read(r)?;
        let (first, last) = keys.last_two();
        let info = read_segment(r, (offset, first, last), &mut sums)?;
        offset = offset.saturating_add(info.stored.into());
        segments.push(info);
    }
    segments.shrink_to_fit();
    // The first and the last key of one segment may be equal.
    let pairs = keys.keys().zip(keys.keys().skip(1)).enumerate();
    for (i, (key, next)) in pairs {
        if key > next || key == next && i % 2 == 1 {
            return Err(Error::mismatch(
                "keys of segments",
                "ascending",
                (Key::copy_from_slice(key), Key::copy_from_slice(next)),
            ));
        }
    }
    Ok((segments, KeyList::new(keys.keys()), sums.into()))
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
