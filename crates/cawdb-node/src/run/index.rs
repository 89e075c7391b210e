//! The index block of a run: its segments, delete-ranges and filter. Always read before anything else of the run.
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
//! those of the [`RunMeta`] by which it was found, and so is the id. Nothing of it keeps the block in memory: indexes of all that is
//! read at random have to fit into the cache, so they are as small as they can be searched.

use super::bloom::Bloom;
use super::chain::{KeyChain, write_key};
use super::key_list::KeyList;
use super::mem::{POINT_OVERHEAD, RANGE_BYTES};
use super::pages::FewPages;
use super::{RunId, RunMeta, pages};
use crate::{Compression, Error, Key, KeyRange, RangeSet, Result};
use cawdb_disk::Checksum;
use cawdb_disk::codec::{Reader, Writer};
use std::cmp::Ordering;
use std::ops::Range;

const MAGIC: &[u8; 8] = b"cawfsrun";
const VERSION: u16 = 1;
/// Stands for the compression of a segment that is not compressed, and whose pages have checksums; beside [`Compression::code`].
pub(super) const PAGED: u8 = 3;
/// Of a segment whose pages have none.
pub(super) const NO_PAGES: u32 = u32::MAX;

/// What the index says about a segment, beside its keys. No segment, and nothing counted of it, comes to 4 GiB.
pub(crate) struct SegmentInfo {
    /// Where it starts in the image.
    pub(crate) offset: u64,
    /// Of the stored bytes; with pages see there (`pages.rs`).
    pub(crate) checksum: Checksum,
    /// Its length in the image.
    pub(super) stored: u32,
    /// Its length uncompressed.
    pub(super) raw: u32,
    /// Its points.
    pub(super) entries: u32,
    /// Logical bytes of its points.
    pub(super) bytes: u32,
    /// Which of the index's sums is that of its first page.
    pub(super) pages: u32,
    pub(super) compression: Compression,
}

/// A stored point from this length on is a large one, in bytes. All whose values have pages are.
const LARGE: usize = pages::LEAST;

impl SegmentInfo {
    /// Its length in the image.
    pub(crate) fn stored_len(&self) -> usize {
        self.stored as usize
    }

    /// Its length uncompressed.
    pub(super) fn raw_len(&self) -> usize {
        self.raw as usize
    }

    /// How long the value of the only point is, if that is a put with a key of so many bytes.
    fn value_len(&self, key: usize) -> usize {
        (self.bytes as usize).saturating_sub(key + POINT_OVERHEAD as usize)
    }

    /// Whether it holds one large point: who read that has all there is.
    pub(super) fn is_large(&self) -> bool {
        self.entries == 1 && self.stored_len() >= LARGE
    }
}

/// A decoded index block.
pub(crate) struct RunIndex {
    pub(crate) segments: Vec<SegmentInfo>,
    /// Of each segment the first key and the last.
    keys: KeyList,
    /// Of the pages of large values, one value after the other.
    sums: Box<[u32]>,
    pub(super) deletes: RangeSet,
    pub(crate) bloom: Bloom,
}

impl RunIndex {
    /// Joins the parts of an index to be written; `keys` are of each segment the first and the last.
    pub(super) fn new(
        (segments, sums): (Vec<SegmentInfo>, Vec<u32>),
        keys: &[Key],
        deletes: RangeSet,
        bloom: Bloom,
    ) -> Self {
        Self {
            segments,
            keys: KeyList::new(keys.iter().map(|key| &key[..])),
            sums: sums.into(),
            deletes,
            bloom,
        }
    }

    /// Bytes in memory, about.
    pub(crate) fn memory(&self) -> usize {
        let ends = |range: &KeyRange| range.lo.len() + range.hi.as_ref().map_or(0, Key::len);
        // Ends of ranges are slices of unpacked buffers; each is counted as its slice, as it is not known to share.
        let deletes = self.deletes.iter().map(|r| ends(r) + size_of::<KeyRange>());
        size_of::<Self>()
            + self.bloom.as_bytes().len()
            + self.keys.memory()
            + self.segments.len() * size_of::<SegmentInfo>()
            + size_of_val(&*self.sums)
            + deletes.sum::<usize>()
    }

    /// The first key of a segment. O(length).
    pub(super) fn first(&self, segment: usize) -> Key {
        self.keys.get(2 * segment)
    }

    /// The last key of a segment. O(length).
    pub(super) fn last(&self, segment: usize) -> Key {
        self.keys.get(2 * segment + 1)
    }

    /// Where in a segment the value lies whose pages have checksums, and those; none if they have not.
    pub(crate) fn paged(&self, segment: usize) -> Option<(Range<usize>, &[u32])> {
        let info = &self.segments[segment];
        if info.pages == NO_PAGES {
            return None;
        }
        let key = self.keys.len_of(2 * segment);
        let value = pages::layout(key, info.value_len(key)).0;
        let first = info.pages as usize;
        let sums = self.sums.get(first..first + pages::count(value.len()));
        sums.map(|sums| (value, sums))
    }

    /// The pages that hold bytes `want` of the value of a segment; none if it has no pages, or all of it is hardly more.
    pub(super) fn few_pages(&self, segment: usize, want: &Range<usize>) -> Option<FewPages<'_>> {
        let (value, sums) = self.paged(segment)?;
        let pages = pages::covering(value.len(), want)?;
        let sums = sums.get(pages.clone())?;
        Some(FewPages { value, pages, sums })
    }

    /// Checks the stored bytes of a segment.
    ///
    /// # Errors
    /// If they are not what was written.
    pub(super) fn verify(&self, segment: usize, stored: &[u8]) -> Result<()> {
        let found = match self.paged(segment) {
            Some((value, sums)) if value.end <= stored.len() => {
                let mut found = Vec::with_capacity(sums.len());
                let checksum = pages::sum(stored, &value, &mut found);
                pages::compare(&found, 0, sums)?;
                checksum
            }
            _ => Checksum::of(stored),
        };
        let expected = self.segments[segment].checksum;
        Ok(expected.expect(found, "stored bytes")?)
    }

    /// How the first key of a segment compares with another.
    pub(super) fn compare_first(&self, segment: usize, key: &[u8]) -> Ordering {
        self.keys.compare(2 * segment, key)
    }

    /// How the last key of a segment compares with another.
    pub(super) fn compare_last(&self, segment: usize, key: &[u8]) -> Ordering {
        self.keys.compare(2 * segment + 1, key)
    }

    /// Whether the first key of a segment, and whether the last, lies in `range`.
    pub(super) fn ends_within(&self, segment: usize, range: &KeyRange) -> (bool, bool) {
        let within = |key| {
            let below = |hi: &Key| self.keys.compare(key, hi) == Ordering::Less;
            self.keys.compare(key, &range.lo) != Ordering::Less
                && range.hi.as_ref().is_none_or(below)
        };
        (within(2 * segment), within(2 * segment + 1))
    }

    /// The first segment that may hold a key at or above `key`; their number if none does.
    pub(crate) fn first_reaching(&self, key: &[u8]) -> usize {
        self.keys.below(1, key)
    }

    /// How many segments start below the end `hi`.
    pub(super) fn starting_below(&self, hi: Option<&Key>) -> usize {
        hi.map_or(self.segments.len(), |hi| self.keys.below(0, hi))
    }

    /// The segments that may hold keys of `range`.
    pub(crate) fn overlapping(&self, range: &KeyRange) -> Range<usize> {
        let lo = self.first_reaching(&range.lo);
        lo..self.starting_below(range.hi.as_ref()).max(lo)
    }

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
