//! A run as bytes: its segments one after the other, then its index block.

use super::bloom::{Bloom, hash};
use super::index::{NO_PAGES, RunIndex, SegmentInfo};
use super::pages;
use super::segment_writer::SegmentWriter;
use super::{RunId, RunMeta};
use crate::compress::Packer;
use crate::{Compression, Key, MemRun};
use cawdb_disk::Checksum;

/// The image of a run, to be written in one piece.
pub struct EncodedRun {
    /// The image.
    pub bytes: Vec<u8>,
    /// What must be known to open it.
    pub meta: RunMeta,
}

/// What is known of the segments so far, which end the image.
struct Segments {
    infos: Vec<SegmentInfo>,
    /// Of each the first and the last.
    keys: Vec<Key>,
    /// Of the pages of those that have such.
    sums: Vec<u32>,
    packer: Packer,
}

impl Segments {
    /// Ends a segment, and compresses it where it lies; gives the image back.
    fn end(&mut self, writer: SegmentWriter) -> Vec<u8> {
        let segment = writer.finish();
        let (mut image, start) = (segment.image, segment.start);
        let raw_len = image.len() - start;
        let mut compression = Compression::None;
        if let Some((how, packed)) = self.packer.pack(&image[start..]) {
            compression = how;
            image.truncate(start);
            image.extend_from_slice(packed);
        }
        let stored = &image[start..];
        let large = segment.value.filter(|value| value.len() >= pages::LEAST);
        let (checksum, pages) = match (compression, large) {
            (Compression::None, Some(value)) => {
                let first = self.sums.len() as u32;
                (pages::sum(stored, &value, &mut self.sums), first)
            }
            _ => (Checksum::of(stored), NO_PAGES),
        };
        self.keys.extend([segment.first, segment.last]);
        self.infos.push(SegmentInfo {
            offset: start as u64,
            checksum,
            pages,
            stored: stored.len() as u32,
            raw: raw_len as u32,
            entries: segment.entries,
            bytes: segment.bytes as u32,
            compression,
        });
        image
    }
}

/// The image of `run` under the name `id`. O(bytes).
pub(super) fn encode(id: RunId, run: &MemRun, compression: Compression) -> EncodedRun {
    let mut segments = Segments {
        infos: Vec::new(),
        keys: Vec::new(),
        sums: Vec::new(),
        packer: Packer::new(compression),
    };
    let mut writer = SegmentWriter::behind(Vec::with_capacity(run.bytes() as usize));
    let mut hashes = Vec::with_capacity(run.points().len());
    for (key, message) in run.points() {
        if writer.is_full_for(key, message) {
            writer = SegmentWriter::behind(segments.end(writer));
        }
        writer.push(key, message);
        hashes.push(hash(key));
    }
    let mut bytes = match writer.is_empty() {
        true => Vec::new(),
        false => segments.end(writer),
    };
    let (infos, sums) = (segments.infos, segments.sums);
    let deletes = run.ranges().clone();
    let index = RunIndex::new(
        (infos, sums),
        &segments.keys,
        deletes,
        Bloom::build(&hashes),
    );
    let block = index.encode(id);
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
