//! Lays out segments; see `segment.rs` for the picture.

use super::mem::point_bytes;
use super::segment::{BLOCK_ENTRIES, RESTART_BYTES, TRAILER_BYTES};
use crate::key::common_prefix;
use crate::{Key, Message};
use cawdb_disk::codec::Writer;
use std::ops::Range;

/// A segment is full when one more point would make it longer than this, uncompressed. Just too short for two full
/// blocks of a file, so that each is read alone.
const TARGET_BYTES: usize = 128 << 10;
/// With so many points it is full at [`SMALL_BYTES`] already: who wants one of many small pairs reads and unpacks no more than that,
/// while contents of small files, which are wanted one after the other, are compressed together.
const MANY_POINTS: u32 = 32;
/// See [`MANY_POINTS`].
const SMALL_BYTES: usize = 16 << 10;

/// A segment being laid out, at the end of an image.
#[derive(Default)]
pub(super) struct SegmentWriter {
    image: Writer,
    /// Where it starts in the image.
    start: usize,
    restarts: Vec<(u32, u32)>,
    first: Key,
    last: Key,
    entries: u32,
    bytes: u64,
    /// Where the last value lies in it.
    value: Option<Range<usize>>,
}

/// A segment laid out: where it lies, and what the index says about it.
pub(super) struct RawSegment {
    /// The image, up to its end.
    pub(super) image: Vec<u8>,
    /// Where it starts there.
    pub(super) start: usize,
    pub(super) first: Key,
    pub(super) last: Key,
    pub(super) entries: u32,
    pub(super) bytes: u64,
    /// Where the value lies in it, if it holds nothing else.
    pub(super) value: Option<Range<usize>>,
}

impl SegmentWriter {
    /// An empty segment behind what there is of an image.
    pub(super) fn behind(image: Vec<u8>) -> Self {
        Self {
            start: image.len(),
            image: Writer::onto(image),
            ..Self::default()
        }
    }

    /// Its bytes so far.
    fn len(&self) -> usize {
        self.image.len() - self.start
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Whether the segment should be finished before this point.
    pub(super) fn is_full_for(&self, key: &[u8], message: &Message) -> bool {
        let table = (self.restarts.len() + 1) * RESTART_BYTES + TRAILER_BYTES;
        // Three numbers of at most five bytes stand before a key.
        let entry = 15 + key.len() + message.payload_len();
        let room = match self.entries < MANY_POINTS {
            true => TARGET_BYTES,
            false => SMALL_BYTES,
        };
        !self.is_empty() && self.len() + table + entry > room
    }

    /// Appends a point above the one before.
    pub(super) fn push(&mut self, key: &Key, message: &Message) {
        let mut shared = common_prefix(&self.last, key);
        if (self.entries as usize).is_multiple_of(BLOCK_ENTRIES) {
            shared = 0;
            self.restarts.push((self.len() as u32, self.bytes as u32));
        }
        if self.is_empty() {
            self.first = key.clone();
        }
        let payload = message.payload_len() as u64;
        self.image.varint(shared as u64);
        self.image.varint((key.len() - shared) as u64);
        self.image.varint(payload << 2 | u64::from(message.kind()));
        self.image.raw(&key[shared..]);
        message.write_payload(&mut self.image);
        self.value = match message {
            Message::Put(value) => Some(self.len() - value.len()..self.len()),
            _ => None,
        };
        self.last = key.clone();
        self.entries += 1;
        self.bytes += point_bytes(key, message);
    }

    /// The segment; it must have a point.
    pub(super) fn finish(self) -> RawSegment {
        let Self {
            mut image,
            start,
            restarts,
            first,
            last,
            entries,
            bytes,
            value,
        } = self;
        for (offset, before) in &restarts {
            image.u32(*offset);
            image.u32(*before);
        }
        image.u32(restarts.len() as u32);
        RawSegment {
            image: image.into_vec(),
            start,
            first,
            last,
            entries,
            bytes,
            value: value.filter(|_| entries == 1),
        }
    }
}
