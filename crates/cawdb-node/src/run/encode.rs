//! A run as bytes: its segments one after the other, then its index block.

use super::bloom::{Bloom, hash};
use super::index::{RunIndex, SegmentInfo};
use super::segment_writer::SegmentWriter;
use super::{RunId, RunMeta};
use crate::{Compression, MemRun, compress};
use cawdb_disk::Checksum;

/// The image of a run, to be written in one piece.
pub struct EncodedRun {
    /// The image.
    pub bytes: Vec<u8>,
    /// What must be known to open it.
    pub meta: RunMeta,
}

/// The image so far.
struct Image {
    bytes: Vec<u8>,
    segments: Vec<SegmentInfo>,
    compression: Compression,
}

impl Image {
    fn append(&mut self, writer: SegmentWriter) {
        if writer.is_empty() {
            return;
        }
        let segment = writer.finish();
        let (compression, stored) = compress::compress_best(self.compression, &segment.raw);
        self.segments.push(SegmentInfo {
            first: segment.first,
            last: segment.last,
            offset: self.bytes.len() as u64,
            stored_len: stored.len(),
            raw_len: segment.raw.len(),
            compression,
            checksum: Checksum::of(&stored),
            entries: segment.entries.into(),
            bytes: segment.bytes,
        });
        self.bytes.extend_from_slice(&stored);
    }
}

/// The image of `run` under the name `id`. O(bytes).
pub(super) fn encode(id: RunId, run: &MemRun, compression: Compression) -> EncodedRun {
    let mut image = Image {
        bytes: Vec::new(),
        segments: Vec::new(),
        compression,
    };
    let mut writer = SegmentWriter::default();
    let mut hashes = Vec::with_capacity(run.points().len());
    for (key, message) in run.points() {
        if writer.is_full_for(key, message) {
            image.append(std::mem::take(&mut writer));
        }
        writer.push(key, message);
        hashes.push(hash(key));
    }
    image.append(writer);
    let index = RunIndex::new(image.segments, run.ranges().clone(), Bloom::build(&hashes));
    let block = index.encode(id);
    let mut bytes = image.bytes;
    bytes.extend_from_slice(&block);
    let meta = RunMeta {
        len: bytes.len() as u64,
        index_len: block.len() as u32,
        index_checksum: Checksum::of(&block),
        bytes: run.bytes(),
        points: run.points().len() as u64,
        deletes: run.point_deletes(),
        has_delete_ranges: !run.ranges().is_empty(),
    };
    EncodedRun { bytes, meta }
}
