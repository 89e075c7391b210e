//! Nodes as bytes: what is written is read back, and no damaged byte is ever taken for a node.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use cawdb_disk::{Class, Place, RamDisk, SpaceMap, UNIT, round_up};
use cawdb_node::{
    Cache, Compression, Edge, Error, Key, KeyRange, MemRunBuilder, Message, Node, NodeHandle,
    NodeId, RunRef, Shelf, Slot, Translation, node_wire,
};
use fastrand::Rng;
use std::sync::Arc;

const DATA: u64 = 1 << 20;

fn shelf(compression: Compression) -> Arc<Shelf> {
    let disk = Arc::new(RamDisk::new());
    let space = Arc::new(SpaceMap::new(DATA, None).unwrap());
    let cache = Arc::new(Cache::new(1 << 20));
    Arc::new(Shelf::new(disk, space, cache, compression))
}

/// Some bytes after a prefix, so that translations have something to replace.
fn key(prefix: &str, rng: &mut Rng) -> Key {
    let mut key = prefix.as_bytes().to_vec();
    key.extend((0..rng.usize(1..6)).map(|_| rng.u8(..)));
    key.into()
}

fn layer(shelf: &Shelf, rng: &mut Rng, tr: &Translation) -> RunRef {
    let mut builder = MemRunBuilder::new();
    builder.push(key("down/", rng), Message::Put(Key::from_static(b"value")));
    RunRef {
        run: shelf.new_run(builder.finish()),
        tr: tr.clone(),
        shown: rng.u64(..1 << 50),
        measured: rng.bool(),
    }
}

/// A node of height 1 over `up/`, whose slots share runs, children and translations; all it names is in the table.
fn random_node(shelf: &Shelf, rng: &mut Rng) -> Node {
    let range = KeyRange::prefix("up/");
    let tr = Translation::new("up/", "down/");
    let layers: Vec<_> = (0..4).map(|_| layer(shelf, rng, &tr)).collect();
    let child = shelf.new_node(Node::empty(0, KeyRange::prefix("down/")));
    let mut starts: Vec<_> = (0..rng.usize(0..20)).map(|_| key("up/", rng)).collect();
    starts.push(range.lo.clone());
    starts.sort();
    starts.dedup();
    let slot = |lo: Key| {
        let chosen = layers.iter().filter(|_| rng.bool()).cloned();
        let node = child.clone();
        let tr = tr.clone();
        Slot {
            lo,
            layers: chosen.collect(),
            below: rng.bool().then_some(Edge { node, tr }),
        }
    };
    let node = Node {
        height: 1,
        slots: starts.into_iter().map(slot).collect(),
        range,
    };
    shelf.table().retain(&node.slots);
    node
}

/// A handle of the node `id` whose place holds `image`.
fn stored(shelf: &Shelf, id: NodeId, image: &[u8], checksum: u64) -> Arc<NodeHandle> {
    let len = round_up(image.len() as u64, UNIT);
    let extent = shelf.space.allocate(len, Class::User).unwrap();
    shelf.disk.reserve(extent).unwrap();
    shelf
        .disk
        .write_at(&vec![0xee; len as usize], extent.offset)
        .unwrap();
    shelf.disk.write_at(image, extent.offset).unwrap();
    let place = Arc::new(Place::new(extent, checksum, shelf.space.clone()));
    NodeHandle::on_disk(id, 1, place)
}

fn assert_same(a: &Node, b: &Node, what: &str) {
    assert_eq!((a.height, &a.range), (b.height, &b.range), "{what}");
    assert_eq!(a.slots.len(), b.slots.len(), "{what}");
    for (x, y) in a.slots.iter().zip(&b.slots) {
        let shown = |s: &Slot| s.layers.iter().map(|l| l.shown).collect::<Vec<_>>();
        assert!(
            x.lo == y.lo && x.same_content(y) && shown(x) == shown(y),
            "{what}"
        );
    }
}

const COMPRESSIONS: [Compression; 3] = [Compression::None, Compression::Lz4, Compression::Zstd];

#[test]
fn random_nodes_come_back() {
    for seed in 0..200 {
        let mut rng = Rng::with_seed(seed);
        let compression = COMPRESSIONS[seed as usize % 3];
        let shelf = shelf(compression);
        let node = random_node(&shelf, &mut rng);
        let (image, checksum) = node_wire::encode(NodeId(77), &node, compression);
        let handle = stored(&shelf, NodeId(77), &image, checksum.0);
        let back = shelf.load(&handle).unwrap();
        assert_same(&node, &back, &format!("seed {seed}"));
    }
}

#[test]
fn no_damaged_byte_is_believed() {
    for compression in COMPRESSIONS {
        let mut rng = Rng::with_seed(5);
        let shelf = shelf(compression);
        let node = random_node(&shelf, &mut rng);
        let (image, checksum) = node_wire::encode(NodeId(77), &node, compression);
        for at in 0..image.len() {
            let mut bad = image.clone();
            bad[at] ^= 1 << rng.u8(..8);
            let found = shelf.load(&stored(&shelf, NodeId(77), &bad, checksum.0));
            let Err(Error::Corrupt(what)) = found else {
                panic!("{compression:?}, byte {at}: {:?}", found.is_ok());
            };
            assert!(what.starts_with("node 77 at "), "{what}");
        }
        // The image of another node, and one of another height.
        let other = stored(&shelf, NodeId(78), &image, checksum.0);
        assert!(matches!(shelf.load(&other), Err(Error::Corrupt(_))));
    }
}

#[test]
fn hostile_payloads_are_errors() {
    let shelf = shelf(Compression::None);
    let mut rng = Rng::with_seed(9);
    let node = random_node(&shelf, &mut rng);
    let (image, checksum) = node_wire::encode(NodeId(77), &node, Compression::None);
    assert!(
        shelf
            .load(&stored(&shelf, NodeId(77), &image, checksum.0))
            .is_ok()
    );
    for round in 0..3000 {
        // A forger's image: any payload, under a checksum that fits.
        let mut bad = image.clone();
        for _ in 0..rng.usize(1..4) {
            let at = rng.usize(16..bad.len());
            bad[at] = rng.u8(..);
        }
        let id = 77_u64.to_le_bytes();
        let forged = cawdb_disk::Checksum::of_parts(&[&id, &bad]);
        // Any answer will do but a panic; a node that is taken has the shape of one.
        if let Ok(node) = shelf.load(&stored(&shelf, NodeId(77), &bad, forged.0)) {
            node_wire::check_shape(&node).unwrap_or_else(|e| panic!("round {round}: {e}"));
        }
    }
}
