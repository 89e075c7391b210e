//! Decoders of this floor for a fuzzer; see [`cawdb_disk::fuzz`].

use crate::run::{RunIndex, Segment};
use crate::{
    Cache, Compression, KeyRange, MemRunBuilder, Message, Node, NodeId, Run, RunId, RunMeta, Shelf,
    compress, node_wire,
};
use bytes::Bytes;
use cawdb_disk::codec::Reader;
use cawdb_disk::fuzz::Target;
use cawdb_disk::{Checksum, RamDisk, SpaceMap};
use std::sync::Arc;

/// The decoders of this floor.
pub const TARGETS: &[Target] = &[
    Target {
        name: "run_index",
        run: run_index,
        seeds: || vec![parts(sample_run()).0, parts(large_values()).0],
    },
    Target {
        name: "segment",
        run: segment,
        seeds: || vec![parts(sample_run()).1],
    },
    Target {
        name: "node",
        run: node,
        seeds: || vec![node_image(&shelf())],
    },
    Target {
        name: "compression",
        run: compression,
        seeds: || {
            vec![
                compress::compress_best(Compression::Lz4, &[7; 600])
                    .1
                    .into_owned(),
            ]
        },
    },
];

/// Where the segments of a run lie in its image, and their checksums; for who spoils them and makes the checksum right.
pub fn segments(run: &Run) -> Vec<(u64, usize, u64)> {
    let index = run.index_for_fuzzing();
    let segments = index.iter().flat_map(|index| &index.segments);
    segments
        .map(|s| (s.offset, s.stored_len(), s.checksum.0))
        .collect()
}

fn sample_run() -> crate::MemRun {
    let mut builder = MemRunBuilder::new();
    for n in 0..40u32 {
        let key = Bytes::from(format!("dir{}/file{n:04}", n / 10));
        let message = match n % 3 {
            0 => Message::Put(Bytes::from(vec![n as u8; n as usize])),
            1 => Message::Delete,
            _ => Message::patch(n, Bytes::from_static(b"piece")),
        };
        builder.push(key, message);
    }
    builder.delete_range(KeyRange::prefix("x"));
    builder.finish()
}

/// Values of which the last does not fit beside the others: it has a segment of its own, with checksums of its pages.
fn large_values() -> crate::MemRun {
    let mut builder = MemRunBuilder::new();
    for n in 0..4u8 {
        let key = Bytes::from(format!("dir{n}/large"));
        let len = usize::from(n) * 30_000;
        builder.push(key, Message::Put(Bytes::from(vec![n; len])));
    }
    builder.finish()
}

/// An index block with its meta before it, and a segment.
fn parts(run: crate::MemRun) -> (Vec<u8>, Vec<u8>) {
    let run = Run::in_memory(RunId(1), run);
    let encoded = run.encode(Compression::None);
    let at = encoded.meta.index_offset() as usize;
    let mut w = cawdb_disk::codec::Writer::new();
    encoded.meta.encode(&mut w);
    w.raw(&encoded.bytes[at..]);
    (w.into_vec(), encoded.bytes[..at].to_vec())
}

fn run_index(bytes: &[u8]) {
    let mut r = Reader::new("meta", bytes);
    let Ok(mut meta) = RunMeta::decode(&mut r) else {
        return;
    };
    let block = Bytes::copy_from_slice(bytes.get(r.position()..).unwrap_or_default());
    meta.index_len = block.len() as u32;
    meta.len = meta.len.max(u64::from(meta.index_len));
    if let Ok(index) = RunIndex::decode(RunId(1), &meta, &block) {
        for key in [&b""[..], b"dir1/file0012", b"\xff"] {
            let _ = index.first_reaching(key);
            let _ = index.bloom.may_hold(crate::run::bloom::hash(key));
        }
        let _ = index.overlapping(&KeyRange::prefix("dir2"));
        for i in 0..index.segments.len() {
            let _ = index.paged(i);
        }
    }
}

fn segment(bytes: &[u8]) {
    let Ok(segment) = Segment::open(Bytes::copy_from_slice(bytes)) else {
        return;
    };
    for block in 0..segment.blocks() {
        if let Ok(entries) = segment.block(block) {
            for (_, message) in entries {
                if let Message::Patch(patch) = &message
                    && patch.end() < 1 << 20
                {
                    let _ = message.resolve();
                }
            }
        }
    }
    for key in [&b""[..], b"dir1/file0012", b"\xff"] {
        let _ = (
            segment.get(key),
            segment.block_of(key),
            segment.bytes_below(key),
        );
    }
    let _ = segment.cuts();
}

fn shelf() -> Shelf {
    let space = SpaceMap::new(1 << 20, None);
    let space = Arc::new(space.unwrap_or_else(|e| unreachable!("a bound that fits: {e}")));
    let cache = Arc::new(Cache::new(0));
    Shelf::new(Arc::new(RamDisk::new()), space, cache, Compression::None)
}

/// A node of height 1 that names a run and a node, both in the table of `shelf`.
fn sample_node(shelf: &Shelf) -> Node {
    let run = shelf.new_run(sample_run());
    let below = shelf.new_node(Node::empty(0, KeyRange::all()));
    shelf.table().load_run(run.clone(), 1, 100);
    shelf.table().load_node(below.clone(), 1);
    let mut node = Node::empty(1, KeyRange::all());
    let range = KeyRange::all();
    if let Ok(layer) = crate::RunRef::showing(&run, &crate::Translation::identity(), &range) {
        node.slots[0].layers = layer.into_iter().collect();
    }
    node.slots[0].below = Some(crate::Edge {
        node: below,
        tr: crate::Translation::identity(),
    });
    node
}

fn node_image(shelf: &Shelf) -> Vec<u8> {
    let node = sample_node(shelf);
    node_wire::encode(NodeId(9), &node, Compression::None).0
}

fn node(bytes: &[u8]) {
    let shelf = shelf();
    let _ = sample_node(&shelf);
    let mut covered = bytes.to_vec();
    if let Some(packed) = bytes.get(4..8).and_then(|b| b.try_into().ok()) {
        let end = 16usize.saturating_add(u32::from_le_bytes(packed) as usize);
        covered.truncate(end);
    }
    let sum = Checksum::of_parts(&[&9u64.to_le_bytes(), &covered]);
    let _ = node_wire::verify(NodeId(9), bytes, sum);
    if let Ok(node) = node_wire::decode(NodeId(9), bytes, sum, &shelf) {
        for range in [KeyRange::all(), KeyRange::prefix("dir1")] {
            let shown = range.intersect(&node.range);
            if !shown.is_empty() {
                let _ = node.restrict(&shown);
            }
        }
    }
}

fn compression(bytes: &[u8]) {
    let Some((len, packed)) = bytes.split_first_chunk() else {
        return;
    };
    let raw_len = u16::from_le_bytes(*len) as usize;
    for kind in [Compression::None, Compression::Lz4, Compression::Zstd] {
        let _ = compress::decompress(kind, packed, raw_len);
        let _ = compress::decompress(kind, bytes, 600);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_has_pages() {
        let run = Run::in_memory(RunId(1), large_values());
        let encoded = run.encode(Compression::None);
        let block = &encoded.bytes[encoded.meta.index_offset() as usize..];
        let index = RunIndex::decode(RunId(1), &encoded.meta, block);
        let index = index.unwrap_or_else(|e| unreachable!("it was just encoded: {e}"));
        assert!((0..index.segments.len()).any(|i| index.paged(i).is_some()));
    }
}
