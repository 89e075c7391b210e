//! A run on disk: its index and segments, loaded when wanted, through the cache.
//!
//! Invariants: whatever is read is verified against the checksum that its referrer holds (the table entry for the
//! index block, the index block for segments) before a byte of it is believed; errors name run and place. What is cached of
//! a run goes with it: ids are never used again, and nothing else would ask for it.

use super::ahead::Reader;
use super::index::{RunIndex, SegmentInfo};
use super::segment::Segment;
use super::{RunId, RunMeta};
use crate::cache::{Cached, INDEX};
use crate::{Cache, Error, Result, compress};
use bytes::Bytes;
use cawdb_disk::{Extent, Place};
use std::sync::Arc;

/// An image up to this long is read as a whole when the run is opened.
const SMALL_IMAGE: u64 = 64 << 10;
/// Segments of a small image are all decoded if they are together at most this long, uncompressed.
const SMALL_RAW: usize = 256 << 10;

/// Where the image of one run is read from.
pub trait RunSource: Send + Sync {
    /// `len` bytes from `offset` on, counted from the start of the run's image.
    ///
    /// # Errors
    /// If not exactly so many can be read.
    fn read_at(&self, offset: u64, len: usize) -> Result<Bytes>;

    /// The same for what is not to stay in the machine's memory (see [`cawdb_disk::Disk::read_bulk`]).
    ///
    /// # Errors
    /// As for [`RunSource::read_at`].
    fn read_bulk(&self, offset: u64, len: usize) -> Result<Bytes> {
        self.read_at(offset, len)
    }

    /// Begins to read an extent of the disk on which it lies, if it does (see [`cawdb_disk::Disk::begin_read`]).
    fn begin_read(&self, _extent: Extent) -> bool {
        false
    }

    /// Where the image lies on a disk, if it lies on one.
    fn place(&self) -> Option<&Arc<Place>> {
        None
    }
}

/// The body of a run that was written.
pub(super) struct DiskRun {
    pub(super) id: RunId,
    pub(super) meta: RunMeta,
    pub(super) source: Arc<dyn RunSource>,
    pub(super) cache: Arc<Cache>,
}

impl Drop for DiskRun {
    fn drop(&mut self) {
        self.cache.remove_run(self.id);
    }
}

impl DiskRun {
    pub(super) fn named<T>(&self, part: impl std::fmt::Display, result: Result<T>) -> Result<T> {
        result.map_err(|e| e.within(format_args!("run {}, {part}", self.id.0)))
    }

    pub(super) fn read(&self, offset: u64, len: usize) -> Result<Bytes> {
        self.whole(self.source.read_at(offset, len)?, len)
    }

    /// The same for what does not go into a cache here, and needs none below.
    pub(super) fn read_bulk(&self, offset: u64, len: usize) -> Result<Bytes> {
        self.whole(self.source.read_bulk(offset, len)?, len)
    }

    fn whole(&self, bytes: Bytes, len: usize) -> Result<Bytes> {
        if bytes.len() != len {
            return Err(Error::mismatch(
                format!("bytes read of run {}", self.id.0),
                len,
                bytes.len(),
            ));
        }
        Ok(bytes)
    }

    /// Where a part of the image lies, if it lies on a disk.
    pub(super) fn extent_of(&self, offset: u64, len: usize) -> Option<Extent> {
        let place = self.source.place()?;
        let start = place.extent().offset.saturating_add(offset);
        Some(Extent::new(start, len as u64))
    }

    /// The same for a message.
    fn whereabouts(&self, offset: u64, len: usize) -> String {
        let extent = self.extent_of(offset, len);
        extent.map_or(String::new(), |extent| format!(" at {extent}"))
    }

    /// Whether the image is read as a whole.
    fn is_small(&self) -> bool {
        self.meta.len <= SMALL_IMAGE
    }

    /// The index; from disk it takes one request.
    pub(super) fn index(&self) -> Result<Arc<RunIndex>> {
        self.index_telling(&mut || ())
    }

    /// The same; `before_reading` is called if it is not cached.
    pub(super) fn index_telling(&self, before_reading: &mut dyn FnMut()) -> Result<Arc<RunIndex>> {
        if let Some(Cached::Index(index)) = self.cache.get(self.id, INDEX) {
            return Ok(index);
        }
        before_reading();
        if self.is_small() {
            let image = self.read(0, self.meta.len as usize)?;
            return self.keep_small(&image);
        }
        let block = self.read(self.meta.index_offset(), self.meta.index_len as usize)?;
        self.keep_index(&block)
    }

    /// See [`crate::Run::missing_index`].
    pub(super) fn missing_index(&self) -> Option<Extent> {
        if self.cache.holds(self.id, INDEX) {
            return None;
        }
        match self.is_small() {
            true => self.extent_of(0, self.meta.len as usize),
            false => self.extent_of(self.meta.index_offset(), self.meta.index_len as usize),
        }
    }

    /// Decodes an index block and puts it in the cache.
    pub(super) fn keep_index(&self, block: &[u8]) -> Result<Arc<RunIndex>> {
        let index = Arc::new(self.decode_index(block)?);
        self.cache
            .insert(self.id, INDEX, Cached::Index(index.clone()));
        Ok(index)
    }

    fn decode_index(&self, block: &[u8]) -> Result<RunIndex> {
        let verified = self.meta.index_checksum.verify(block, "stored bytes");
        let decoded = verified
            .map_err(Error::from)
            .and_then(|()| RunIndex::decode(self.id, &self.meta, block));
        let place = self.whereabouts(self.meta.index_offset(), self.meta.index_len as usize);
        self.named(format_args!("index block{place}"), decoded)
    }

    /// The index as it lies on the disk, whatever is cached.
    pub(super) fn index_on_disk(&self) -> Result<RunIndex> {
        self.decode_index(&self.read(self.meta.index_offset(), self.meta.index_len as usize)?)
    }

    /// Decodes a small image as a whole and puts its parts in the cache. A damaged segment is left to whoever wants it.
    pub(super) fn keep_small(&self, image: &Bytes) -> Result<Arc<RunIndex>> {
        let index = self.keep_index(&image[self.meta.index_offset() as usize..])?;
        if index
            .segments
            .iter()
            .map(SegmentInfo::raw_len)
            .fold(0, usize::saturating_add)
            <= SMALL_RAW
        {
            for (i, info) in index.segments.iter().enumerate() {
                let start = info.offset as usize;
                let stored = image.slice(start..start + info.stored_len());
                let _ = self.keep_segment(&index, i, stored);
            }
        }
        Ok(index)
    }

    /// Puts into the cache what of an image just written will be wanted first.
    pub(super) fn keep_written(&self, image: &[u8]) {
        let kept = if self.is_small() {
            self.keep_small(&Bytes::copy_from_slice(image))
        } else {
            self.keep_index(&image[self.meta.index_offset() as usize..])
        };
        // It was encoded a moment ago in this memory; if it cannot be decoded, memory lies.
        assert!(
            kept.is_ok(),
            "an image just made cannot be read: {:?}",
            kept.err()
        );
    }

    pub(super) fn decode_segment(
        &self,
        index: &RunIndex,
        i: usize,
        stored: Bytes,
    ) -> Result<Arc<Segment>> {
        let info = &index.segments[i];
        let raw = if let Err(damage) = index.verify(i, &stored) {
            Err(damage)
        } else if info.compression == crate::Compression::None && info.raw_len() == stored.len() {
            Ok(stored)
        } else {
            compress::decompress(info.compression, &stored, info.raw_len()).map(Bytes::from)
        };
        let segment = raw.and_then(Segment::open);
        segment.map_err(|e| self.damaged(index, i, e)).map(Arc::new)
    }

    /// Says of which segment something is wrong.
    pub(super) fn damaged(&self, index: &RunIndex, i: usize, error: Error) -> Error {
        let info = &index.segments[i];
        let place = self.whereabouts(info.offset, info.stored_len());
        let (first, last) = (index.first(i), index.last(i));
        let keys = format_args!("{first:?} to {last:?}");
        error.within(format_args!(
            "run {}, segment {i}{place}, keys {keys}",
            self.id.0
        ))
    }

    /// Whether a segment is cached.
    pub(super) fn has(&self, i: usize) -> bool {
        self.cache.holds(self.id, i as u32)
    }

    /// A segment, if it is cached.
    pub(super) fn cached(&self, i: usize) -> Option<Arc<Segment>> {
        match self.cache.get(self.id, i as u32) {
            Some(Cached::Segment(segment)) => Some(segment),
            _ => None,
        }
    }

    /// Verifies and decodes a segment as it was stored, and puts it in the cache.
    pub(super) fn keep_segment(
        &self,
        index: &RunIndex,
        i: usize,
        stored: Bytes,
    ) -> Result<Arc<Segment>> {
        let segment = self.decode_segment(index, i, stored)?;
        self.cache
            .insert(self.id, i as u32, Cached::Segment(segment.clone()));
        Ok(segment)
    }

    /// A segment; from disk it takes one request, or none if reads before it led there.
    pub(super) fn segment(&self, index: &RunIndex, i: usize) -> Result<Arc<Segment>> {
        self.segment_for(index, i, &Reader::of_point(i))
    }

    /// The same for who may want more than that one.
    pub(super) fn segment_for(
        &self,
        index: &RunIndex,
        i: usize,
        reader: &Reader,
    ) -> Result<Arc<Segment>> {
        if let Some(segment) = self.cached(i) {
            return Ok(segment);
        }
        let mut lead = self.cache.leads.take(self.id, index, i);
        let segment = lead.segment(self, index, i, reader)?;
        self.cache.leads.put(lead);
        Ok(segment)
    }
}
