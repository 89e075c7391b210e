//! Runs: immutable sorted tables of messages, where all bulk lives.
//!
//! ```text
//!              Run (id, totals, body)
//!      body in memory │ body on disk
//!   MemRun: points,   │ image: segment | segment | ... | index block
//!   delete-ranges     │        └─ blocks of 16 points   └─ keys of segments, delete-ranges, filter
//! ```
//!
//! Invariants:
//! - inside a run points lie above delete-ranges; no patch and no delete lies in a delete-range of its run;
//! - content never changes; the body changes once, from memory to disk, and both bodies answer alike;
//! - an id names one content, for ever.

mod ahead;
pub(crate) mod bloom;
mod builder;
mod chain;
mod check;
mod cursor;
mod disk;
mod disk_cursor;
mod encode;
mod index;
mod index_wire;
mod key_list;
mod lead;
mod mem;
mod meta;
mod next;
mod pages;
mod placed;
mod point;
mod segment;
mod segment_writer;
mod shown;
#[cfg(test)]
mod tests;
mod turns;

pub use builder::MemRunBuilder;
pub use check::Damage;
pub use cursor::{Direction, ReadAhead, RunCursor};
pub use disk::RunSource;
pub use encode::EncodedRun;
pub(crate) use index::RunIndex;
pub(crate) use lead::Leads;
pub use mem::MemRun;
pub use meta::RunMeta;
pub use placed::PlacedImage;
pub(crate) use segment::Segment;

use crate::gauge::{Gauge, Unwritten};
use crate::{Cache, Compression, Found, Key, KeyRange, Message, Result, WHOLE};
use cawdb_disk::sync::RwLock;
use cawdb_disk::{Extent, Place, sync};
use disk::DiskRun;
use disk_cursor::DiskCursor;
use std::ops::Range;
use std::sync::Arc;

/// The name of a run's content; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(pub u64);

/// An immutable sorted table of messages, in memory or on disk.
pub struct Run {
    id: RunId,
    bytes: u64,
    points: u64,
    deletes: u64,
    has_delete_ranges: bool,
    body: RwLock<Body>,
}

#[derive(Clone)]
enum Body {
    Memory(Arc<MemRun>),
    Disk(Arc<DiskRun>),
}

impl Run {
    /// Bytes of memory that a run on disk takes, but for its place.
    pub(crate) const MEMORY: usize =
        size_of::<Self>() + size_of::<DiskRun>() + size_of::<PlacedImage>() + 48;

    /// A run that was just made.
    pub fn in_memory(id: RunId, content: MemRun) -> Arc<Self> {
        Arc::new(Self {
            id,
            bytes: content.bytes(),
            points: content.points().len() as u64,
            deletes: content.point_deletes(),
            has_delete_ranges: !content.ranges().is_empty(),
            body: RwLock::new(Body::Memory(Arc::new(content))),
        })
    }

    /// A run that was just made, whose memory is counted in `gauge` for as long as anybody holds it.
    pub(crate) fn counted(id: RunId, mut content: MemRun, gauge: &Arc<Gauge>) -> Arc<Self> {
        content.count_in(gauge);
        Self::in_memory(id, content)
    }

    /// Its share in what is unwritten, if it is.
    pub(crate) fn unwritten(&self, gauge: &Arc<Gauge>) -> Option<Unwritten> {
        let content = self.content()?;
        Some(Unwritten::new(gauge, content.bytes(), content.memory()))
    }

    /// A run that was written before. Reads nothing yet.
    pub fn on_disk(
        id: RunId,
        source: Arc<dyn RunSource>,
        meta: RunMeta,
        cache: Arc<Cache>,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            bytes: meta.bytes,
            points: meta.points,
            deletes: meta.deletes,
            has_delete_ranges: meta.has_delete_ranges,
            body: RwLock::new(Body::Disk(Arc::new(DiskRun {
                id,
                meta,
                source,
                cache,
            }))),
        })
    }

    /// Its name.
    pub fn id(&self) -> RunId {
        self.id
    }

    /// Logical bytes: of keys and payload, 16 more a point, 40 a delete-range.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Number of points.
    pub fn points(&self) -> u64 {
        self.points
    }

    /// How many of the points are deletes.
    pub fn deletes(&self) -> u64 {
        self.deletes
    }

    /// Whether it has delete-ranges.
    pub fn has_delete_ranges(&self) -> bool {
        self.has_delete_ranges
    }

    /// Whether it waits to be written, and is long and of large values or pages in them, as what a stream of data leaves.
    pub fn is_dirty_bulk(&self) -> bool {
        self.content().is_some_and(|content| content.is_bulk())
    }

    /// The index, for a fuzzer.
    pub(crate) fn index_for_fuzzing(&self) -> Option<Arc<RunIndex>> {
        match self.body() {
            Body::Memory(_) => None,
            Body::Disk(disk) => disk.index().ok(),
        }
    }

    fn body(&self) -> Body {
        sync::read(&self.body).clone()
    }

    /// Whether it is in memory only, and must be written by the next checkpoint that names it.
    pub fn is_dirty(&self) -> bool {
        matches!(*sync::read(&self.body), Body::Memory(_))
    }

    /// The content, if it is in memory.
    pub fn content(&self) -> Option<Arc<MemRun>> {
        match self.body() {
            Body::Memory(content) => Some(content),
            Body::Disk(_) => None,
        }
    }

    /// Where the run lies on disk, if it was written to one.
    pub fn place(&self) -> Option<Arc<Place>> {
        match self.body() {
            Body::Memory(_) => None,
            Body::Disk(disk) => disk.source.place().cloned(),
        }
    }

    /// What would have to be read of the disk for the index, if it is not in memory.
    pub fn missing_index(&self) -> Option<Extent> {
        match self.body() {
            Body::Memory(_) => None,
            Body::Disk(disk) => disk.missing_index(),
        }
    }

    /// Reads the index into the cache, if it is not there.
    ///
    /// # Errors
    /// If it cannot be read, or is damaged.
    pub fn load_index(&self) -> Result<()> {
        match self.body() {
            Body::Memory(_) => Ok(()),
            Body::Disk(disk) => disk.index().map(drop),
        }
    }

    /// What must be kept to open the run again, if it was written.
    pub fn meta(&self) -> Option<RunMeta> {
        match self.body() {
            Body::Memory(_) => None,
            Body::Disk(disk) => Some(disk.meta),
        }
    }

    /// The image of a run in memory. O(bytes).
    ///
    /// # Panics
    /// If the run is on disk: it has an image, and is never written again.
    pub fn encode(&self, compression: Compression) -> EncodedRun {
        match self.body() {
            Body::Memory(content) => encode::encode(self.id, &content, compression),
            Body::Disk(_) => panic!("run {} is on disk already", self.id.0),
        }
    }

    /// Says that the image `encoded`, made from this run, can now be read from `source`; the content leaves memory.
    /// Index and small images stay in the cache. If the run is on disk already, nothing changes.
    pub fn settle(&self, source: Arc<dyn RunSource>, encoded: &EncodedRun, cache: Arc<Cache>) {
        let disk = DiskRun {
            id: self.id,
            meta: encoded.meta,
            source,
            cache,
        };
        disk.keep_written(&encoded.bytes);
        let settled = Body::Disk(Arc::new(disk));
        let mut body = sync::write(&self.body);
        let was_dirty = matches!(*body, Body::Memory(_));
        let before = was_dirty.then(|| std::mem::replace(&mut *body, settled));
        drop(body);
        // Freed outside of the lock: it may be the last owner of the content.
        drop(before);
    }

    /// What the run says about `key`: its point, or a delete if a delete-range covers it, or nothing.
    /// On disk and nothing cached: the index and at most one segment are read.
    ///
    /// # Errors
    /// As for all below: if the index or a segment cannot be read, or is damaged.
    pub fn get(&self, key: &[u8]) -> Result<Option<Message>> {
        let found = self.get_part(key, &WHOLE, &mut || ())?;
        Ok(found.map(Found::into_message))
    }

    /// The same for who wants the bytes `want` of a value: of a large one no more than the pages are read that hold them, where nobody reads more of
    /// it. `before_reading` is called if the index has to be read, before it is: who looks through several runs tells the disk of the others.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub fn get_part(
        &self,
        key: &[u8],
        want: &Range<usize>,
        before_reading: &mut dyn FnMut(),
    ) -> Result<Option<Found>> {
        match self.body() {
            Body::Memory(content) => Ok(content.get(key).map(Found::Message)),
            Body::Disk(disk) => disk.get(key, want, before_reading),
        }
    }

    /// Whether any point lies in `range`, or any delete-range overlaps it. Exact; may read one segment.
    ///
    /// # Errors
    /// If the index or a segment cannot be read, or is damaged.
    pub fn holds(&self, range: &KeyRange) -> Result<bool> {
        match self.body() {
            Body::Memory(content) => Ok(content.holds(range)),
            Body::Disk(disk) => disk.holds(range),
        }
    }

    /// Logical bytes in `range`; 0 only if nothing is there. Exact in memory and for runs of one segment (which is then
    /// read); otherwise the index alone says: segments wholly in the range, half of those partly in it.
    /// A narrower range never shows more. Delete-ranges count whole.
    ///
    /// # Errors
    /// If the index (or the only segment) cannot be read, or is damaged.
    pub fn estimate(&self, range: &KeyRange) -> Result<u64> {
        match self.body() {
            Body::Memory(content) => Ok(content.estimate(range)),
            Body::Disk(disk) => disk.estimate(range),
        }
    }

    /// How many of the points in `range` are deletes. Exact in memory and for runs of one segment (which is then read); otherwise as many of them as of all points,
    /// as the index tells, half of those of a segment at an end. A share of the bytes would not do: a delete takes some twenty, and among values of a file all of them
    /// come to less than one. O(points in the range) in memory.
    ///
    /// # Errors
    /// If the index (or the only segment) cannot be read, or is damaged.
    pub fn deletes_within(&self, range: &KeyRange) -> Result<u64> {
        if self.deletes == 0 {
            return Ok(0);
        }
        match self.body() {
            Body::Memory(content) => Ok(content.deletes_within(range)),
            Body::Disk(disk) => disk.deletes_within(range, (self.deletes, self.points)),
        }
    }

    /// Logical bytes in `range`, exactly; delete-ranges count whole. May read the two segments at its ends.
    ///
    /// # Errors
    /// If the index or a segment cannot be read, or is damaged.
    pub fn measure(&self, range: &KeyRange) -> Result<u64> {
        match self.body() {
            Body::Memory(content) => Ok(content.estimate(range)),
            Body::Disk(disk) => disk.measure(range),
        }
    }

    /// The delete-ranges, clipped to `range`.
    ///
    /// # Errors
    /// If the index cannot be read, or is damaged.
    pub fn delete_ranges(&self, range: &KeyRange) -> Result<Vec<KeyRange>> {
        if !self.has_delete_ranges {
            return Ok(Vec::new());
        }
        match self.body() {
            Body::Memory(content) => Ok(content.ranges().clip(range)),
            Body::Disk(disk) => Ok(disk.index()?.deletes.clip(range)),
        }
    }

    /// A range within `range` that holds all the run has in it, delete-ranges included: from the first key to just
    /// above the last. The smallest, in memory and for runs of one segment; else as the keys of segments tell.
    ///
    /// # Errors
    /// If the index (or the only segment) cannot be read, or is damaged.
    pub fn span(&self, range: &KeyRange) -> Result<Option<KeyRange>> {
        match self.body() {
            Body::Memory(content) => Ok(content.span(range)),
            Body::Disk(disk) => disk.span(range),
        }
    }

    /// Keys strictly inside `range` that cut its points in even pieces of about `target_bytes` logical bytes, as well
    /// as the places where it can be cut cheaply allow: points in memory, blocks of a run of one segment, else segments.
    ///
    /// # Errors
    /// If the index (or the only segment) cannot be read, or is damaged.
    pub fn split_keys(&self, range: &KeyRange, target_bytes: u64) -> Result<Vec<Key>> {
        match self.body() {
            Body::Memory(content) => Ok(content.split_keys(range, target_bytes)),
            Body::Disk(disk) => disk.split_keys(range, target_bytes),
        }
    }

    /// A cursor over the points in `range`. On disk the index is read now, segments when they are reached.
    ///
    /// # Errors
    /// If the index cannot be read, or is damaged.
    pub fn cursor(
        self: &Arc<Self>,
        range: &KeyRange,
        direction: Direction,
        ahead: ReadAhead,
    ) -> Result<RunCursor> {
        Ok(match self.body() {
            Body::Memory(content) => RunCursor::memory(content, range, direction),
            Body::Disk(disk) => RunCursor::disk(DiskCursor::new(disk, range, direction, ahead)?),
        })
    }
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "run {} ({} points, {} bytes)",
            self.id.0, self.points, self.bytes
        )
    }
}
