//! Nodes as bytes.
//!
//! ```text
//!  raw length u32 | packed length u32 | compression u8 | 7 zeros | payload, compressed        16 bytes, then packed length
//!
//!  payload:
//!   height u8 | range: lo, has-end u8, hi (empty if none)
//!   runs n, run ids | nodes n, node ids | translations n, (from, to) ...
//!   slots n, per slot: lo | layers n, (run index, translation index, 2 x shown + measured) ... | edge: 0, or node index + 1, translation index
//! ```
//! Numbers without a width are varints, keys length-prefixed. Runs, nodes and translations are named once each, in
//! tables, since neighbouring slots mostly share them. The checksum of id (u64) and image, padding left out, is kept by
//! whoever refers to the node, and is verified before anything of the payload is believed.

use crate::{
    Compression, Edge, Error, Key, KeyRange, Node, NodeHandle, NodeId, Result, Run, RunId,
};
use crate::{RunRef, Shelf, Slot, Translation, compress};
use cawdb_disk::Checksum;
use cawdb_disk::codec::{Reader, Writer};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

/// Bytes before the compressed payload.
const HEADER_BYTES: usize = 16;

/// A list without repetition, and where each item stands in it.
struct Names<T> {
    list: Vec<T>,
    index: HashMap<T, u64>,
}

impl<T: Clone + Eq + Hash> Names<T> {
    fn new() -> Self {
        Self {
            list: Vec::new(),
            index: HashMap::new(),
        }
    }
    fn of(&mut self, item: &T) -> u64 {
        if let Some(&i) = self.index.get(item) {
            return i;
        }
        let i = self.list.len() as u64;
        self.list.push(item.clone());
        self.index.insert(item.clone(), i);
        i
    }
}

/// The image of a node. Its checksum is kept by whoever refers to it, and covers the node's id.
pub fn encode(id: NodeId, node: &Node, compression: Compression) -> (Vec<u8>, Checksum) {
    let mut payload = Writer::new();
    write_payload(&mut payload, node);
    let raw = payload.into_vec();
    let (code, packed) = compress::compress_best(compression, &raw);
    let mut out = Writer::new();
    out.u32(raw.len() as u32);
    out.u32(packed.len() as u32);
    out.u8(code.code());
    out.raw(&[0; HEADER_BYTES - 9]);
    out.raw(&packed);
    let image = out.into_vec();
    let checksum = checksum(id, &image);
    (image, checksum)
}

fn checksum(id: NodeId, image: &[u8]) -> Checksum {
    Checksum::of_parts(&[&id.0.to_le_bytes(), image])
}

fn write_payload(w: &mut Writer, node: &Node) {
    let (mut runs, mut nodes, mut trs) = (Names::new(), Names::new(), Names::new());
    let mut body = Writer::new();
    for slot in &node.slots {
        body.bytes(&slot.lo);
        body.varint(slot.layers.len() as u64);
        for layer in slot.layers.iter() {
            body.varint(runs.of(&layer.run.id().0));
            body.varint(trs.of(&layer.tr));
            body.varint(layer.shown << 1 | u64::from(layer.measured));
        }
        match &slot.below {
            None => body.varint(0),
            Some(edge) => {
                body.varint(nodes.of(&edge.node.id().0) + 1);
                body.varint(trs.of(&edge.tr));
            }
        }
    }
    w.u8(node.height);
    w.bytes(&node.range.lo);
    w.u8(u8::from(node.range.hi.is_some()));
    w.bytes(node.range.hi.as_deref().unwrap_or_default());
    for names in [&runs, &nodes] {
        w.varint(names.list.len() as u64);
        names.list.iter().for_each(|id| w.varint(*id));
    }
    w.varint(trs.list.len() as u64);
    for tr in &trs.list {
        w.bytes(tr.from());
        w.bytes(tr.to());
    }
    w.varint(node.slots.len() as u64);
    w.raw(body.as_slice());
}

/// A node from its image, its names looked up in the table of `shelf`.
pub(crate) fn decode(id: NodeId, image: &[u8], expected: Checksum, shelf: &Shelf) -> Result<Node> {
    let mut r = Reader::new("node image", image);
    let (raw, packed) = (r.u32()? as usize, r.u32()? as usize);
    let (code, _zeros) = (r.u8()?, r.array::<{ HEADER_BYTES - 9 }>()?);
    let packed = r.take(packed)?;
    expected.expect(checksum(id, &image[..r.position()]), "image")?;
    let payload = compress::decompress(Compression::from_code(code)?, packed, raw)?;
    let mut r = Reader::new("payload", &payload);
    let node = read_payload(&mut r, shelf)?;
    r.finish()?;
    check_shape(&node)?;
    Ok(node)
}

/// Checks that `image` is that of node `id`, without decoding it.
///
/// # Errors
/// If it is not: what was expected and what was found.
pub fn verify(id: NodeId, image: &[u8], expected: Checksum) -> Result<()> {
    let mut r = Reader::new("node image", image);
    let (_raw, packed) = (r.u32()?, r.u32()? as usize);
    r.array::<{ HEADER_BYTES - 8 }>()?;
    r.take(packed)?;
    Ok(expected.expect(checksum(id, &image[..r.position()]), "image")?)
}

fn key(r: &mut Reader<'_>) -> Result<Key> {
    Ok(Key::copy_from_slice(r.bytes()?))
}

fn named<T: Clone>(list: &[T], index: u64, what: &str) -> Result<T> {
    let item = usize::try_from(index).ok().and_then(|i| list.get(i));
    item.cloned()
        .ok_or_else(|| Error::Corrupt(format!("no {what} {index}")))
}

fn read_payload(r: &mut Reader<'_>, shelf: &Shelf) -> Result<Node> {
    let height = r.u8()?;
    let lo = key(r)?;
    let (bounded, hi) = (r.u8()?, key(r)?);
    let hi = match bounded {
        0 if hi.is_empty() => None,
        1 => Some(hi),
        flag => return Err(Error::mismatch("end of a node's range", "0 or 1", flag)),
    };
    let (run_ids, node_ids) = (ids(r)?, ids(r)?);
    let (runs, nodes) = resolve(shelf, &run_ids, &node_ids)?;
    let mut trs = Vec::new();
    for _ in 0..r.varint()? {
        trs.push(Translation::new(key(r)?, key(r)?));
    }
    let mut slots = Vec::new();
    for _ in 0..r.varint()? {
        let lo = key(r)?;
        let mut layers = Vec::new();
        for _ in 0..r.varint()? {
            let run = named(&runs, r.varint()?, "run")?;
            let tr = named(&trs, r.varint()?, "translation")?;
            let shown = r.varint()?;
            layers.push(RunRef {
                run,
                tr,
                shown: shown >> 1,
                measured: shown & 1 == 1,
            });
        }
        let below = match r.varint()?.checked_sub(1) {
            None => None,
            Some(i) => {
                let node = named(&nodes, i, "node")?;
                Some(Edge {
                    node,
                    tr: named(&trs, r.varint()?, "translation")?,
                })
            }
        };
        slots.push(Slot {
            lo,
            layers: layers.into(),
            below,
        });
    }
    Ok(Node {
        height,
        range: KeyRange { lo, hi },
        slots,
    })
}

fn ids(r: &mut Reader<'_>) -> Result<Vec<u64>> {
    let mut list = Vec::new();
    for _ in 0..r.varint()? {
        list.push(r.varint()?);
    }
    Ok(list)
}

type Resolved = (Vec<Arc<Run>>, Vec<Arc<NodeHandle>>);

fn resolve(shelf: &Shelf, runs: &[u64], nodes: &[u64]) -> Result<Resolved> {
    let table = shelf.table();
    let run = |&id: &u64| match table.run(RunId(id)) {
        Some(entry) => Ok(entry.run.clone()),
        None => Err(Error::Corrupt(format!(
            "names run {id}, which is not in the table"
        ))),
    };
    let node = |&id: &u64| match table.node(NodeId(id)) {
        Some(entry) => Ok(entry.handle.clone()),
        None => Err(Error::Corrupt(format!(
            "names node {id}, which is not in the table"
        ))),
    };
    Ok((
        runs.iter().map(run).collect::<Result<_>>()?,
        nodes.iter().map(node).collect::<Result<_>>()?,
    ))
}

/// What every node must be, whoever wrote it: see the invariants of `node.rs` and `slot.rs`.
pub fn check_shape(node: &Node) -> Result<()> {
    let bad = |what: String| Err(Error::Corrupt(what));
    if node.slots.first().is_none_or(|s| s.lo != node.range.lo) {
        return bad("the first slot does not start where the node does".into());
    }
    for (range, slot) in node.ranged_slots() {
        if range.is_empty() {
            return bad(format!("slot at {:?} is empty or out of order", slot.lo));
        }
        let edge = slot.below.iter().map(|e| &e.tr);
        if let Some(tr) = slot
            .layers
            .iter()
            .map(|l| &l.tr)
            .chain(edge)
            .find(|t| !t.applies_to(&range))
        {
            return bad(format!("translation {tr:?} does not apply to {range:?}"));
        }
        if slot
            .below
            .as_ref()
            .is_some_and(|e| e.node.height().checked_add(1) != Some(node.height))
        {
            return bad(format!("slot at {:?} leads to a wrong height", slot.lo));
        }
    }
    Ok(())
}
