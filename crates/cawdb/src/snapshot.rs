//! Snapshots: the state of one instant, to read for as long as one likes, and ordered scans over it.

use crate::error::{Error, Result};
use crate::memtable::{Lookup, Memtable};
use crate::store::Inner;
use crate::view::Pinned;
use bytes::Bytes;
use cawdb_node::{Key, KeyRange, Message, Part, WHOLE};
use cawdb_tree::{Direction, Layer, Points, ReadAhead, get};
use std::collections::VecDeque;
use std::ops::{Bound, Range};
use std::sync::Arc;

/// Points taken from a memtable at a time.
const BATCH: usize = 64;

/// A consistent view of one instant. It keeps what it shows readable, and its space taken, while it lives.
#[derive(Clone)]
pub struct Snapshot {
    pub(crate) inner: Arc<Inner>,
    pub(crate) pinned: Pinned,
}

/// Ordered walk over a snapshot.
pub struct Scan {
    scan: cawdb_tree::Scan,
    failed: bool,
}

impl Snapshot {
    /// The value of a key.
    ///
    /// # Errors
    /// If it cannot be read, or is damaged.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        self.inner.get_at(&self.pinned, key, &WHOLE)
    }

    /// The bytes `want` of the value of a key, fewer where it ends; of none of them whether there is a value. Of a large value that lies uncompressed in a
    /// segment of its own only the pages are read in which they lie, unless that is more than a quarter of them, or somebody read nearby just before.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub fn get_part(&self, key: &[u8], want: Range<usize>) -> Result<Option<Bytes>> {
        let want = want.start..want.end.max(want.start);
        self.inner.get_at(&self.pinned, key, &want)
    }

    /// The value of a key, if the newest changes, those that are no run yet, say it alone. To clone such a key makes runs of all of them; to put
    /// its value elsewhere costs no more than that. O(log n), and reads no tree.
    pub fn get_young(&self, key: &[u8]) -> Option<Bytes> {
        match self.pinned.view.mem.get(key, self.pinned.seq) {
            Lookup::Found(put @ Message::Put(_)) => put.resolve(),
            _ => None,
        }
    }

    /// Ascending walk over a range.
    pub fn scan(&self, range: KeyRange) -> Scan {
        self.walk(range, (Direction::Forward, ReadAhead::ADAPTIVE))
    }

    /// The same for who goes to the end of the range, over so many bytes, about: with the longest requests to the disk from the start.
    pub fn scan_whole(&self, range: KeyRange, bytes: u64) -> Scan {
        self.walk(range, (Direction::Forward, ReadAhead::Piece(bytes)))
    }

    /// Descending walk over a range.
    pub fn scan_reverse(&self, range: KeyRange) -> Scan {
        self.walk(range, (Direction::Backward, ReadAhead::ADAPTIVE))
    }

    fn walk(&self, range: KeyRange, way: (Direction, ReadAhead)) -> Scan {
        self.inner.courtesy.wait();
        let (mem, seq) = (self.pinned.view.mem.clone(), self.pinned.seq);
        let top = move |range: &KeyRange, direction| Ok(mem_layer(&mem, seq, range, direction));
        let (shelf, root) = (self.inner.shelf.clone(), self.pinned.view.root.clone());
        let scan = cawdb_tree::Scan::new(shelf, root, range, way, Some(Box::new(top)));
        Scan {
            scan,
            failed: false,
        }
    }
}

impl Inner {
    pub(crate) fn get_at(
        &self,
        pinned: &Pinned,
        key: &[u8],
        want: &Range<usize>,
    ) -> Result<Option<Bytes>> {
        let newer = match pinned.view.mem.get(key, pinned.seq) {
            Lookup::Covered => return Ok(None),
            Lookup::Found(Message::Patch(patch)) => Some(patch),
            Lookup::Found(message) => {
                return Ok(message.resolve().map(|all| Part::whole(all).within(want)));
            }
            Lookup::Nothing => None,
        };
        let root = &pinned.view.root;
        let read = || get(&self.shelf, root, key, want, newer);
        Ok(self.courtesy.reading(read)?)
    }
}

impl Iterator for Scan {
    type Item = Result<(Bytes, Bytes)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.scan.next().map_err(Error::from).transpose();
        self.failed = matches!(next, Some(Err(_)));
        next
    }
}

/// What a memtable says in one range.
fn mem_layer(mem: &Arc<Memtable>, seq: u64, range: &KeyRange, direction: Direction) -> Layer {
    let deletes = mem.delete_ranges(range, seq);
    let lo = Bound::Included(range.lo.clone());
    let hi = range.hi.clone().map_or(Bound::Unbounded, Bound::Excluded);
    let batch = VecDeque::new();
    let points = MemPoints {
        mem: mem.clone(),
        seq,
        lo,
        hi,
        direction,
        batch,
        done: false,
    };
    Layer {
        points: Box::new(points),
        deletes,
    }
}

/// The points of a memtable in a range, a batch at a time, so that no lock is held between steps.
struct MemPoints {
    mem: Arc<Memtable>,
    seq: u64,
    lo: Bound<Key>,
    hi: Bound<Key>,
    direction: Direction,
    batch: VecDeque<(Key, Message)>,
    done: bool,
}

impl MemPoints {
    fn fill(&mut self) {
        if self.done || !self.batch.is_empty() {
            return;
        }
        let reverse = self.direction == Direction::Backward;
        let (lo, hi) = (
            self.lo.as_ref().map(|k| &k[..]),
            self.hi.as_ref().map(|k| &k[..]),
        );
        self.batch = self.mem.next_batch(lo, hi, reverse, self.seq, BATCH).into();
        match self.batch.back() {
            None => self.done = true,
            Some((last, _)) if reverse => self.hi = Bound::Excluded(last.clone()),
            Some((last, _)) => self.lo = Bound::Excluded(last.clone()),
        }
    }
}

impl Points for MemPoints {
    fn peek(&mut self) -> cawdb_node::Result<Option<&(Key, Message)>> {
        self.fill();
        Ok(self.batch.front())
    }

    fn take(&mut self) -> cawdb_node::Result<Option<(Key, Message)>> {
        self.fill();
        Ok(self.batch.pop_front())
    }

    fn seek(&mut self, key: &[u8]) -> cawdb_node::Result<()> {
        let reverse = self.direction == Direction::Backward;
        let before = |k: &Key| if reverse { k[..] > *key } else { k[..] < *key };
        while self.batch.front().is_some_and(|(k, _)| before(k)) {
            self.batch.pop_front();
        }
        if !self.batch.is_empty() {
            return Ok(());
        }
        let key = Key::copy_from_slice(key);
        match (reverse, &self.lo, &self.hi) {
            (false, Bound::Included(lo) | Bound::Excluded(lo), _) if key > *lo => {
                self.lo = Bound::Included(key);
            }
            (true, _, Bound::Excluded(hi)) if key >= *hi => {}
            (true, ..) => self.hi = Bound::Included(key),
            _ => {}
        }
        Ok(())
    }
}
