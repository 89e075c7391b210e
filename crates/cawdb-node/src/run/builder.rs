//! Makes runs in memory.
//!
//! Invariants: what it makes is as [`MemRun`] demands, whatever order delete-ranges came in; keys and small values are
//! copied together, so that a few bytes never keep a whole block, segment or request in memory.

use crate::compress::MAX_POINT;
use crate::run::mem::{RANGE_BYTES, point_bytes};
use crate::{Key, KeyRange, MemRun, Message, Patch, RangeSet};
use bytes::{Bytes, BytesMut};

/// Keys and values below this many bytes are copied out of whatever buffer they are slices of.
const COPY_BELOW: usize = 4 << 10;
/// They lie together in buffers of this many bytes.
const ARENA_BYTES: usize = 64 << 10;

/// A run being made.
#[derive(Default)]
pub struct MemRunBuilder {
    points: Vec<(Key, Message)>,
    deletes: Vec<KeyRange>,
    bytes: u64,
    arena: BytesMut,
}

impl MemRunBuilder {
    /// Nothing pushed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a point, above all delete-ranges of the run.
    ///
    /// # Panics
    /// If `key` is not above the one pushed before, or the point is longer than a segment may be
    /// ([`crate::compress::MAX_POINT`]).
    pub fn push(&mut self, key: Key, message: Message) {
        let ascends = self.points.last().is_none_or(|(last, _)| *last < key);
        assert!(ascends, "points of a run must ascend: {key:?}");
        let len = key.len() + message.payload_len();
        assert!(
            len <= MAX_POINT,
            "a point of {len} bytes could not be read back"
        );
        self.bytes += point_bytes(&key, &message);
        let message = match message {
            Message::Put(value) => Message::Put(self.compact(value)),
            Message::Delete => Message::Delete,
            Message::Patch(patch) => Message::Patch(self.compact_patch(&patch)),
        };
        let key = self.compact(key);
        self.points.push((key, message));
    }

    /// Adds a delete-range, below all points of the run; they may come in any order and overlap.
    pub fn delete_range(&mut self, range: KeyRange) {
        if !range.is_empty() {
            self.bytes += RANGE_BYTES;
            self.deletes.push(range);
        }
    }

    /// Logical bytes pushed so far; delete-ranges not yet joined.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether nothing was pushed.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty() && self.deletes.is_empty()
    }

    /// The run.
    pub fn finish(self) -> MemRun {
        let deletes: RangeSet = self.deletes.into_iter().collect();
        let mut points = self.points;
        if !deletes.is_empty() {
            points.retain_mut(|(key, message)| {
                if matches!(message, Message::Put(_)) || !deletes.covers_key(key) {
                    return true;
                }
                let newer = std::mem::replace(message, Message::Delete);
                *message = newer.over(Message::Delete);
                // A delete within a delete-range says nothing new.
                !matches!(message, Message::Delete)
            });
        }
        points.shrink_to_fit();
        MemRun::from_parts(points, deletes)
    }

    fn compact(&mut self, bytes: Bytes) -> Bytes {
        if bytes.len() >= COPY_BELOW || bytes.is_empty() {
            return bytes;
        }
        if self.arena.capacity() < bytes.len() {
            self.arena = BytesMut::with_capacity(ARENA_BYTES);
        }
        self.arena.extend_from_slice(&bytes);
        self.arena.split().freeze()
    }

    fn compact_patch(&mut self, patch: &Patch) -> Patch {
        let copied = patch
            .pieces()
            .iter()
            .map(|(at, b)| (*at, self.compact(b.clone())))
            .collect();
        Patch::from_pieces(copied).expect("the pieces of a patch stay as they were")
    }
}
