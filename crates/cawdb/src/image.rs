//! The node table on disk: a base and the changes since, each written twice, and the superblock's body that names them.
//!
//! ```text
//!   superblock body ─► root │ base ×2 │ delta 1 ×2 │ delta 2 ×2 │ ...
//!
//!   base, delta: frame( entry, entry, ... )          entry: tag u8, then
//!     1 node       id, count, height u8, extent, checksum u64
//!     2 run        id, count, shown, extent, meta (45 bytes)
//!     3 node gone  id
//!     4 run gone   id                                 extent: offset / 512, length / 512
//!     5 merged     what a merge came to (merged.rs)
//! ```
//! Numbers without a width are varints. A base holds no tags 3 and 4. Later entries override earlier ones.

mod merged;
#[cfg(test)]
mod tests;

use crate::error::{Error, Result};
use crate::room::reserve;
use cawdb_disk::codec::{Reader, Writer};
use cawdb_disk::{Class, Disk, Extent, Place, SpaceMap, UNIT, frame, round_up};
use cawdb_node::RunMeta;
use cawdb_tree::{Known, Position, Upkeep};
use std::sync::Arc;

/// Frame kind of a base or delta.
pub const TABLE_KIND: u8 = 16;
/// Deltas that the superblock has room for.
pub const MAX_DELTAS: usize = 48;
const BODY_VERSION: u8 = 3;
/// The body that says nothing of background work.
const BODY_WITHOUT_UPKEEP: u8 = 1;
/// The body that knows of nodes as a whole only.
const BODY_WITHOUT_SLOT: u8 = 2;

/// One entry of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A node lives, or waits to be released.
    Node(u64, NodeRecord),
    /// A run lives.
    Run(u64, RunRecord),
    /// A node of this id is no more.
    NodeGone(u64),
    /// A run of this id is no more.
    RunGone(u64),
    /// What a merge came to.
    Merged(Known),
}

/// What the table says about a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRecord {
    /// References from slots.
    pub count: u32,
    /// Levels below it.
    pub height: u8,
    /// Where its image lies.
    pub extent: Extent,
    /// Checksum of id and image.
    pub checksum: u64,
}

/// What the table says about a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRecord {
    /// References from slots.
    pub count: u32,
    /// Bytes that they show, summed.
    pub shown: u64,
    /// Where its image lies.
    pub extent: Extent,
    /// What is needed to open it.
    pub meta: RunMeta,
}

/// Where a base or delta lies: twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Twice {
    /// The two copies.
    pub copies: [Extent; 2],
    /// Bytes of the frame.
    pub len: u64,
    /// Generation of the checkpoint that wrote it: the frame's id.
    pub generation: u64,
}

/// What the superblock says beside the fixed fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// The last batch that the checkpoint holds.
    pub seq: u64,
    /// Where the journal goes on after it.
    pub journal: u64,
    /// Next ids of nodes and runs.
    pub next_ids: (u64, u64),
    /// How runs are compressed.
    pub compression: u8,
    /// Height, extent and checksum of the root.
    pub root: (u8, Extent, u64),
    /// The table.
    pub base: Twice,
    /// Its changes, oldest first.
    pub deltas: Vec<Twice>,
    /// What background work had left to do.
    pub upkeep: Upkeep,
}

fn put_extent(w: &mut Writer, extent: Extent) {
    w.varint(extent.offset / UNIT);
    w.varint(extent.len / UNIT);
}

fn get_extent(r: &mut Reader<'_>) -> cawdb_disk::Result<Extent> {
    let (offset, len) = (r.varint()?, r.varint()?);
    match (offset.checked_mul(UNIT), len.checked_mul(UNIT)) {
        (Some(offset), Some(len)) => Extent::checked(offset, len),
        _ => Err(r.corrupt("an extent", format!("{offset}+{len} units"))),
    }
}

/// Entries as the payload of a frame.
pub fn encode_entries(entries: &[Entry]) -> Vec<u8> {
    let mut w = Writer::with_capacity(entries.len() * 32);
    for entry in entries {
        let (tag, id) = match entry {
            Entry::Node(id, _) => (1, Some(id)),
            Entry::Run(id, _) => (2, Some(id)),
            Entry::NodeGone(id) => (3, Some(id)),
            Entry::RunGone(id) => (4, Some(id)),
            Entry::Merged(_) => (5, None),
        };
        w.u8(tag);
        id.into_iter().for_each(|id| w.varint(*id));
        match entry {
            Entry::Node(_, node) => {
                w.varint(u64::from(node.count));
                w.u8(node.height);
                put_extent(&mut w, node.extent);
                w.u64(node.checksum);
            }
            Entry::Run(_, run) => {
                w.varint(u64::from(run.count));
                w.varint(run.shown);
                put_extent(&mut w, run.extent);
                run.meta.encode(&mut w);
            }
            Entry::NodeGone(_) | Entry::RunGone(_) => {}
            Entry::Merged(known) => merged::put(&mut w, known),
        }
    }
    w.into_vec()
}

/// Entries from the payload of a frame.
///
/// # Errors
/// If they are not what [`encode_entries`] writes.
pub fn decode_entries(payload: &[u8]) -> Result<Vec<Entry>> {
    let mut r = Reader::new("node table", payload);
    let mut entries = Vec::new();
    while r.remaining() > 0 {
        let tag = r.u8()?;
        if tag == 5 {
            entries.extend(merged::get(&mut r)?.map(Entry::Merged));
            continue;
        }
        let id = r.varint()?;
        entries.push(match tag {
            1 => Entry::Node(
                id,
                NodeRecord {
                    count: count(&mut r)?,
                    height: r.u8()?,
                    extent: get_extent(&mut r)?,
                    checksum: r.u64()?,
                },
            ),
            2 => Entry::Run(
                id,
                RunRecord {
                    count: count(&mut r)?,
                    shown: r.varint()?,
                    extent: get_extent(&mut r)?,
                    meta: RunMeta::decode(&mut r)?,
                },
            ),
            3 => Entry::NodeGone(id),
            4 => Entry::RunGone(id),
            _ => return Err(r.corrupt("a tag from 1 to 5", format!("{tag}")).into()),
        });
    }
    Ok(entries)
}

fn count(r: &mut Reader<'_>) -> Result<u32> {
    let count = r.varint()?;
    u32::try_from(count).map_err(|_| r.corrupt("a count", format!("{count}")).into())
}

fn put_twice(w: &mut Writer, twice: &Twice) {
    twice.copies.iter().for_each(|e| put_extent(w, *e));
    w.varint(twice.len);
    w.varint(twice.generation);
}

fn get_twice(r: &mut Reader<'_>) -> Result<Twice> {
    let copies = [get_extent(r)?, get_extent(r)?];
    let (len, generation) = (r.varint()?, r.varint()?);
    if copies.iter().any(|c| c.len < len) {
        return Err(r
            .corrupt("a table that fits its extents", format!("{len} bytes"))
            .into());
    }
    Ok(Twice {
        copies,
        len,
        generation,
    })
}

impl Body {
    /// As the body of a superblock.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u8(BODY_VERSION);
        w.varint(self.seq);
        w.varint(self.journal);
        w.varint(self.next_ids.0);
        w.varint(self.next_ids.1);
        w.u8(self.compression);
        w.u8(self.root.0);
        put_extent(&mut w, self.root.1);
        w.u64(self.root.2);
        put_twice(&mut w, &self.base);
        w.varint(self.deltas.len() as u64);
        self.deltas.iter().for_each(|d| put_twice(&mut w, d));
        put_upkeep(&mut w, &self.upkeep);
        w.into_vec()
    }

    /// From the body of a superblock.
    ///
    /// # Errors
    /// If it is not what [`Self::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut r = Reader::new("superblock body", bytes);
        let version = r.u8()?;
        if !(BODY_WITHOUT_UPKEEP..=BODY_VERSION).contains(&version) {
            let known = format!("version {BODY_WITHOUT_UPKEEP} to {BODY_VERSION}");
            return Err(r.corrupt(known, format!("{version}")).into());
        }
        let (seq, journal) = (r.varint()?, r.varint()?);
        let next_ids = (r.varint()?, r.varint()?);
        let compression = r.u8()?;
        let root = (r.u8()?, get_extent(&mut r)?, r.u64()?);
        let base = get_twice(&mut r)?;
        let n = r.varint()?;
        if n > MAX_DELTAS as u64 {
            return Err(r
                .corrupt(format!("at most {MAX_DELTAS} deltas"), format!("{n}"))
                .into());
        }
        let deltas = (0..n).map(|_| get_twice(&mut r)).collect::<Result<_>>()?;
        let upkeep = match version {
            BODY_WITHOUT_UPKEEP => Upkeep::ALL,
            _ => get_upkeep(&mut r, version)?,
        };
        r.finish()?;
        Ok(Self {
            seq,
            journal,
            next_ids,
            compression,
            root,
            base,
            deltas,
            upkeep,
        })
    }
}

fn put_upkeep(w: &mut Writer, upkeep: &Upkeep) {
    w.varint(upkeep.fresh_from);
    w.u8(upkeep.sweep.map_or(0, |at| 1 + u8::from(at.again)));
    if let Some(at) = upkeep.sweep {
        w.u8(at.height);
        w.varint(at.id);
        w.varint(u64::from(at.slot));
    }
}

fn get_upkeep(r: &mut Reader<'_>, version: u8) -> Result<Upkeep> {
    let fresh_from = r.varint()?;
    let sweep = match r.u8()? {
        0 => None,
        flag @ (1 | 2) => Some(Position {
            height: r.u8()?,
            id: r.varint()?,
            slot: match version {
                BODY_WITHOUT_SLOT => 0,
                _ => count(r)?,
            },
            again: flag == 2,
        }),
        flag => return Err(r.corrupt("0, 1 or 2", format!("{flag}")).into()),
    };
    Ok(Upkeep { fresh_from, sweep })
}

/// A base or delta that was written, and its space.
pub struct Written {
    /// Where it lies.
    pub twice: Twice,
    /// Owners of the two extents.
    pub places: [Place; 2],
}

/// Writes entries twice. Durable only after a sync.
///
/// # Errors
/// If there is no space, or a write fails.
pub fn write_table(
    disk: &dyn Disk,
    space: &Arc<SpaceMap>,
    generation: u64,
    entries: &[Entry],
) -> Result<Written> {
    let image = frame::seal(TABLE_KIND, generation, &encode_entries(entries))?;
    let len = image.len() as u64;
    let copy = || -> Result<Place> {
        let extent = space.allocate(round_up(len, UNIT), Class::Checkpoint)?;
        let place = Place::new(extent, 0, space.clone());
        reserve(disk, space, extent)?;
        disk.write_at(&image, extent.offset)?;
        Ok(place)
    };
    let places = [copy()?, copy()?];
    let copies = [places[0].extent(), places[1].extent()];
    Ok(Written {
        twice: Twice {
            copies,
            len,
            generation,
        },
        places,
    })
}

/// Reads what [`write_table`] wrote; one good copy is enough. Second: what is wrong with the copy that is not.
///
/// # Errors
/// If neither copy is good: both reasons.
pub fn read_table(disk: &dyn Disk, twice: &Twice) -> Result<(Vec<Entry>, Option<String>)> {
    match read_table_copy(disk, twice, 0) {
        Ok(entries) => Ok((entries, None)),
        Err(first) => match read_table_copy(disk, twice, 1) {
            Ok(entries) => Ok((entries, Some(first.to_string()))),
            Err(second) => {
                let both = format!("both copies of the node table: {first}; {second}");
                let io = [&first, &second].iter().any(|e| matches!(e, Error::Io(_)));
                Err(if io {
                    Error::Io(both)
                } else {
                    Error::Corrupt(both)
                })
            }
        },
    }
}

/// Reads one copy of a base or delta.
///
/// # Errors
/// If it is not good.
pub fn read_table_copy(disk: &dyn Disk, twice: &Twice, copy: usize) -> Result<Vec<Entry>> {
    let extent = twice.copies[copy];
    let name = format!("copy {copy} of the node table at {extent}");
    let within = |error: Error| match error {
        Error::Corrupt(what) => Error::Corrupt(format!("{name}: {what}")),
        other => other,
    };
    if extent.offset.saturating_add(twice.len) > disk.len() {
        return Err(Error::Corrupt(format!("{name}: it lies beyond the end")));
    }
    let mut image = vec![0; twice.len as usize];
    disk.read_at(&mut image, extent.offset)?;
    let payload = frame::open(TABLE_KIND, twice.generation, &image);
    payload
        .map_err(Error::from)
        .and_then(decode_entries)
        .map_err(within)
}
