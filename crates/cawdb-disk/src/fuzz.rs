//! What a fuzzer feeds with bytes that nobody wrote; each floor has such a room, the floors above collect them.
//!
//! A target must return, whatever it is given: no panic, no endless loop, no memory beyond a bound. Where a checksum would
//! turn everything away, the target makes it right first, so that what lies behind it is reached.

use crate::codec::Reader;
use crate::layout::{JOURNAL_OFFSET, SLOTS};
use crate::{Checksum, Disk, Extent, Layout, RamDisk, Superblock, frame, journal, superblock};
use std::sync::Arc;

/// One decoder with its bytes.
#[derive(Clone, Copy)]
pub struct Target {
    /// What it is called.
    pub name: &'static str,
    /// Feeds it.
    pub run: fn(&[u8]),
    /// Valid inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// The decoders of this floor.
pub const TARGETS: &[Target] = &[
    Target {
        name: "superblock",
        run: superblock_target,
        seeds: || vec![sample_superblock()],
    },
    Target {
        name: "frame",
        run: frame_target,
        seeds: || vec![frame::seal(16, 1, b"payload").unwrap_or_default()],
    },
    Target {
        name: "journal",
        run: journal_target,
        seeds: || vec![sample_journal()],
    },
];

const UUID: [u8; 16] = [7; 16];
/// Bytes of the ring.
const RING: u64 = 16 << 10;

fn disk_with(bytes: &[u8], offset: u64) -> Arc<RamDisk> {
    let disk = Arc::new(RamDisk::new());
    // Memory takes what it is given.
    let _ = disk.write_at(&vec![0; (JOURNAL_OFFSET + RING) as usize], 0);
    let _ = disk.write_at(bytes, offset);
    disk
}

fn sample_superblock() -> Vec<u8> {
    let disk = RamDisk::new();
    let Ok(layout) = Layout::new(RING) else {
        return Vec::new();
    };
    let first = Superblock {
        uuid: UUID,
        generation: 1,
        journal: layout.journal,
        limit: 1 << 30,
        body: b"body".to_vec(),
    };
    let mut bytes = vec![0; 4096];
    let written = superblock::format(&disk, &first);
    let read = written.and_then(|()| disk.read_at(&mut bytes, SLOTS[1][0].offset));
    read.map_or(Vec::new(), |()| bytes)
}

fn superblock_target(bytes: &[u8]) {
    let mut image = bytes.to_vec();
    image.resize(4096, 0);
    let sum = Checksum::of(&image[..4088]).0.to_le_bytes();
    image[4088..].copy_from_slice(&sum);
    for copy in SLOTS.as_flattened() {
        let disk = disk_with(&image, copy.offset);
        let _ = superblock::read(disk.as_ref()).map(|found| found.superblock.layout());
        let _ = superblock::candidates(disk.as_ref());
    }
}

fn frame_target(bytes: &[u8]) {
    let _ = frame::open(16, 1, bytes);
    let mut image = bytes.to_vec();
    if let Some(length) = image.get(8..12).and_then(|b| b.try_into().ok()) {
        let end = 32usize.saturating_add(u32::from_le_bytes(length) as usize);
        if let (Some(head), Some(payload)) = (image.get(..24), image.get(32..end)) {
            let sum = Checksum::of_parts(&[head, payload]).0.to_le_bytes();
            image[24..32].copy_from_slice(&sum);
        }
    }
    let _ = frame::open(16, 1, &image);
}

fn sample_journal() -> Vec<u8> {
    let disk = disk_with(&[], 0);
    let extent = Extent::new(JOURNAL_OFFSET, RING);
    let Ok(mut journal) = crate::Journal::new(disk.clone(), extent, UUID) else {
        return Vec::new();
    };
    for seq in 1..5 {
        let payload = vec![seq as u8; 100 * seq as usize];
        let record = journal::Record {
            seq,
            payload: &payload,
        };
        if let Ok(end) = journal.write_group(&[record]) {
            journal.mark_durable(end);
        }
    }
    let mut bytes = vec![0; 2048];
    let _ = disk.read_at(&mut bytes, JOURNAL_OFFSET);
    bytes
}

/// Makes the checksums of all records right that begin in these bytes.
fn fix_records(ring: &mut [u8]) {
    let mut at = 0;
    while let Some(head) = ring.get(at..at + journal::HEADER_BYTES) {
        let mut r = Reader::new("record", head);
        let (magic, length) = (r.u32(), r.u32());
        let end = length.map_or(0, |l| at + journal::HEADER_BYTES + l as usize);
        if magic.is_ok_and(|m| m.to_le_bytes() == *b"cawj")
            && let Some(payload) = ring.get(at + journal::HEADER_BYTES..end)
        {
            let sum = Checksum::of_parts(&[&ring[at..at + 40], payload]);
            ring[at + 40..at + 48].copy_from_slice(&sum.0.to_le_bytes());
        }
        at += 8;
    }
}

fn journal_target(bytes: &[u8]) {
    let mut ring = bytes.to_vec();
    ring.resize(RING as usize, 0);
    fix_records(&mut ring);
    let disk = disk_with(&ring, JOURNAL_OFFSET);
    let extent = Extent::new(JOURNAL_OFFSET, RING);
    for from in [0, 8, RING - 8, RING * 3] {
        let Ok(mut reader) = journal::Reader::new(disk.clone(), extent, UUID, from, 0) else {
            continue;
        };
        let whole = reader.by_ref().all(|entry| entry.is_ok());
        if whole {
            let _ = crate::Journal::resume(reader);
        }
    }
}
