//! Making a store, and opening one: the newest checkpoint, then the journal after it, batch by batch, through the
//! ordinary path. Free space is what no table entry names.

use crate::checkpoint::Anchors;
use crate::courtesy::Courtesy;
use crate::error::{Error, Result};
use crate::image::{Body, Entry, Twice, Written, read_table, write_table};
use crate::inspect::{Fault, Finding};
use crate::options::{CreateOptions, Options};
use crate::pending::Pending;
use crate::poison::Poison;
use crate::record;
use crate::room::{fitted, in_proportion};
use crate::stats::Recovery;
use crate::store::{Inner, StoreCounters, Writer};
use crate::sync::Turns;
use crate::throttle::{Limits, Throttle};
use crate::view::{Published, View};
use cawdb_disk::journal::Reader;
use cawdb_disk::space::Reserved;
use cawdb_disk::sync::Mutex;
use cawdb_disk::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use cawdb_disk::sync::lock;
use cawdb_disk::{
    Class, Disk, Extent, Journal, Layout, Place, SpaceMap, Superblock, UNIT, round_up, superblock,
};
use cawdb_node::{
    Cache, Compression, KeyRange, Node, NodeHandle, NodeId, PlacedImage, Run, RunId, Shelf,
    node_wire,
};
use cawdb_tree::{Known, Tree, Upkeep};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

/// Makes `disk` an empty store.
pub fn create(disk: Arc<dyn Disk>, options: &CreateOptions) -> Result<()> {
    let limit = disk.limit().unwrap_or(options.size).min(options.size);
    let journal = options
        .journal_bytes
        .unwrap_or_else(|| Layout::default_journal(limit));
    let layout = Layout::new(journal)?;
    if limit < layout.data + MIN_DATA {
        let least = layout.data + MIN_DATA;
        return Err(Error::Invalid(format!(
            "a store of {limit} bytes; {least} is the least"
        )));
    }
    let space = Arc::new(SpaceMap::new(layout.data, Some(limit))?);
    let root = Node::empty(0, KeyRange::all());
    let (image, checksum) = node_wire::encode(NodeId(0), &root, options.compression);
    let extent = space.allocate(round_up(image.len() as u64, UNIT), Class::Checkpoint)?;
    disk.reserve(Extent::new(0, layout.data))?;
    disk.reserve(extent)?;
    disk.write_at(&image, extent.offset)?;
    let Written { twice, .. } = write_table(disk.as_ref(), &space, FIRST, &[])?;
    disk.sync()?;
    let body = Body {
        seq: 0,
        journal: 0,
        next_ids: (1, 1),
        compression: options.compression.code(),
        root: (0, extent, checksum.0),
        base: twice,
        deltas: Vec::new(),
        upkeep: Upkeep::NONE,
    };
    let uuid = fastrand::u128(..).to_le_bytes();
    let first = Superblock {
        uuid,
        generation: FIRST,
        journal: layout.journal,
        limit,
        body: body.encode(),
    };
    superblock::format(disk.as_ref(), &first)?;
    Ok(())
}

/// Generation of the first superblock.
const FIRST: u64 = 1;
/// Room for data that a store must have at least.
const MIN_DATA: u64 = 1 << 20;

/// What is below may be full for a while only: no store is built as if it could have less than this, in bytes.
const LEAST_REACHABLE: u64 = 64 << 20;

/// Opens the store on `disk`.
pub fn open(disk: Arc<dyn Disk>, options: Options) -> Result<Inner> {
    let found = superblock::read(disk.as_ref())?;
    for fault in &found.faults {
        tracing::warn!(slot = fault.slot, copy = fault.copy, kind = ?fault.kind, found = fault.what, "superblock copy");
    }
    let mut mended_on_opening = Vec::new();
    if !options.read_only {
        // Before anything is acknowledged: see there.
        superblock::heal(disk.as_ref(), &found)?;
        let copies = found.faults.iter();
        let lost = copies.map(|f| Finding::new(Fault::SuperblockCopy, f.what.clone()));
        mended_on_opening.extend(lost);
    }
    open_at(disk, options, found.superblock, mended_on_opening, None)
}

/// Opens what is left of a damaged store, for reading: the newest checkpoint whose table and root can be read, and as
/// much of the journal behind it as can be applied. What could not be had, one sentence each.
pub fn open_rescue(disk: &Arc<dyn Disk>, options: &Options) -> Result<(Inner, Vec<String>)> {
    let options = Options {
        read_only: true,
        ..options.clone()
    };
    let mut notes = Vec::new();
    if let Err(e) = superblock::read(disk.as_ref()) {
        notes.push(e.to_string());
    }
    let mut last = None;
    for candidate in superblock::candidates(disk.as_ref())? {
        let generation = candidate.generation;
        let opened = open_at(
            disk.clone(),
            options.clone(),
            candidate,
            Vec::new(),
            Some(&mut notes),
        );
        match opened {
            Ok(inner) => return Ok((inner, notes)),
            Err(e) => {
                notes.push(format!("checkpoint {generation} cannot be opened: {e}"));
                last = Some(e);
            }
        }
    }
    let none = || Error::Corrupt("no superblock can be read".into());
    Err(last.unwrap_or_else(none))
}

/// Opens the store as this superblock says. With `lost`, what is damaged in the journal only ends the replay, and is
/// told there.
fn open_at(
    disk: Arc<dyn Disk>,
    options: Options,
    superblock: Superblock,
    mut mended_on_opening: Vec<Finding>,
    lost_batches: Option<&mut Vec<String>>,
) -> Result<Inner> {
    let begun = Instant::now();
    let body = Body::decode(&superblock.body)?;
    let layout = superblock.layout()?;
    let (limit, space, shelf) = empty_shelf(&disk, &options, &superblock, &body)?;
    let (lost, merged) = load_table(&shelf, &body)?;
    let worn = !lost.is_empty();
    let lost = lost.into_iter();
    mended_on_opening.extend(lost.map(|what| Finding::new(Fault::TableCopy, what)));
    shelf.set_next_ids(body.next_ids.0, body.next_ids.1);
    let anchors = anchors(&space, &superblock, &body, worn)?;
    let root = NodeHandle::on_disk(NodeId(0), body.root.0, anchors.root.clone());
    let root = shelf.load(&root)?;
    may_occupy(disk.as_ref(), &space);
    let data = reachable(disk.as_ref(), &space, limit, layout.data);
    let (options, background_bytes) = sized(options, &space, data);
    let number = |n| AtomicU64::new(n);
    let mut inner = Inner {
        tree: Tree::new(shelf.clone(), options.policy.clone()),
        published: Published::new(
            View {
                root,
                mem: Arc::default(),
            },
            body.seq,
        ),
        anchors: Mutex::new(anchors),
        journal: Mutex::new(Journal::new(
            disk.clone(),
            superblock.journal,
            superblock.uuid,
        )?),
        turns: Turns::default(),
        writer: Mutex::new(Writer {
            seq: body.seq,
            pending: Pending::default(),
        }),
        poison: Poison::default(),
        durable: number(body.seq),
        checkpointed: number(body.seq),
        cloned_bytes: number(0),
        courtesy: Courtesy::default(),
        throttle: Throttle::default(),
        sealed: Mutex::default(),
        charged: number(0),
        limits: Limits::of(options.memtable_bytes),
        checkpoint_failed: AtomicBool::new(false),
        counters: StoreCounters::default(),
        mended_on_opening,
        recovery: Recovery::default(),
        data_start: layout.data,
        background_bytes,
        disk,
        space,
        shelf,
        options,
    };
    match (replay(&inner, &superblock, &body, merged), lost_batches) {
        (Err(e), Some(notes)) => notes.push(format!("the journal's end is lost: {e}")),
        (replayed, _) => inner.recovery = replayed?,
    }
    inner.recovery.elapsed = begun.elapsed();
    Ok(inner)
}

/// The limit, the space and the shelf of a store, of which nothing is loaded yet.
fn empty_shelf(
    disk: &Arc<dyn Disk>,
    options: &Options,
    superblock: &Superblock,
    body: &Body,
) -> Result<(u64, Arc<SpaceMap>, Arc<Shelf>)> {
    let limit = disk.limit();
    let limit = limit.map_or(superblock.limit, |l| l.min(superblock.limit));
    let space = Arc::new(SpaceMap::new(superblock.layout()?.data, Some(limit))?);
    if options.premature_reuse {
        space.break_limbo();
    }
    let cache = Arc::new(Cache::new(options.cache_bytes));
    let compression = Compression::from_code(body.compression)?;
    let shelf = Shelf::new(disk.clone(), space.clone(), cache, compression);
    Ok((limit, space, Arc::new(shelf)))
}

/// Takes over the space of a checkpoint's root and table.
fn anchors(
    space: &Arc<SpaceMap>,
    superblock: &Superblock,
    body: &Body,
    worn: bool,
) -> Result<Anchors> {
    let deltas = body.deltas.iter().map(|d| owned_twice(space, d));
    Ok(Anchors {
        root: Arc::new(owned(space, body.root.1, body.root.2)?),
        base: owned_twice(space, &body.base)?,
        deltas: deltas.collect::<Result<_>>()?,
        superblock: superblock.clone(),
        body: body.clone(),
        worn,
    })
}

/// How large the data area from `start` on can become: a store that may grow beyond what it lies on is built as one of the
/// size that it can have.
fn reachable(disk: &dyn Disk, space: &SpaceMap, limit: u64, start: u64) -> u64 {
    let occupied = start + space.allocated_blocks();
    let below = disk.room().map_or(limit, |room| occupied + room);
    (limit - start).min(below.max(LEAST_REACHABLE))
}

/// Options for a data area of so many bytes, and what is set aside in it for background work.
fn sized(options: Options, space: &SpaceMap, data: u64) -> (Options, u64) {
    let policy = fitted(&options, data);
    let options = Options { policy, ..options };
    let background_bytes = set_aside(space, data, &options);
    (options, background_bytes)
}

/// Sets aside what background work, checkpoints and deletes need to find room always; says how much the first gets.
fn set_aside(space: &SpaceMap, data: u64, options: &Options) -> u64 {
    let most = Reserved {
        background: 4 * options.policy.job_bytes,
        checkpoint: options.memtable_bytes / 2,
    };
    let reserved = in_proportion(most, data);
    space.set_reserved(reserved);
    reserved.background
}

fn owned(space: &Arc<SpaceMap>, extent: Extent, checksum: u64) -> Result<Place> {
    space.mark_used(extent)?;
    let place = Place::new(extent, checksum, space.clone());
    place.mark_persistent();
    Ok(place)
}

fn owned_twice(space: &Arc<SpaceMap>, twice: &Twice) -> Result<[Place; 2]> {
    Ok([
        owned(space, twice.copies[0], 0)?,
        owned(space, twice.copies[1], 0)?,
    ])
}

/// Reads the table; which copies of it were lost, and the merges that it keeps.
fn load_table(shelf: &Shelf, body: &Body) -> Result<(Vec<String>, Vec<Known>)> {
    let (mut worn, mut merged) = (Vec::new(), Vec::new());
    let (mut nodes, mut runs) = (HashMap::new(), HashMap::new());
    for twice in std::iter::once(&body.base).chain(&body.deltas) {
        let (entries, lost) = read_table(shelf.disk.as_ref(), twice)?;
        if let Some(lost) = lost {
            tracing::warn!(lost, "the other copy is good");
            worn.push(lost);
        }
        for entry in entries {
            match entry {
                Entry::Node(id, node) => drop(nodes.insert(id, node)),
                Entry::Run(id, run) => drop(runs.insert(id, run)),
                Entry::NodeGone(id) => drop(nodes.remove(&id)),
                Entry::RunGone(id) => drop(runs.remove(&id)),
                Entry::Merged(known) => merged.push(known),
            }
        }
    }
    for (id, run) in runs {
        let place = Arc::new(owned(&shelf.space, run.extent, 0)?);
        let source = Arc::new(PlacedImage::new(shelf.disk.clone(), place));
        let opened = Run::on_disk(RunId(id), source, run.meta, shelf.cache.clone());
        shelf.table().load_run(opened, run.count, run.shown);
    }
    for (id, node) in nodes {
        let place = Arc::new(owned(&shelf.space, node.extent, node.checksum)?);
        let handle = NodeHandle::on_disk(NodeId(id), node.height, place);
        shelf.table().load_node(handle, node.count);
    }
    Ok((worn, merged))
}

/// Says that what is free may occupy room below. A device has all its room by itself: what was free before was given back before, and telling
/// it again, all of it, with each opening, would be work for nothing.
fn may_occupy(disk: &dyn Disk, space: &SpaceMap) {
    if disk.limit().is_none() {
        space.mark_unpunched(disk.len());
    }
}

/// Goes on from the checkpoint: with its background work, for which it knows what merges came to, and with what the journal holds after it, each batch
/// exactly once.
fn replay(
    inner: &Inner,
    superblock: &Superblock,
    body: &Body,
    merged: Vec<Known>,
) -> Result<Recovery> {
    if !inner.options.read_only {
        inner.tree.recall_merges(merged);
    }
    let root = inner.published.pin().view.root;
    inner.tree.resume(&root, &body.upkeep);
    let (extent, uuid) = (superblock.journal, superblock.uuid);
    let mut reader = Reader::new(inner.disk.clone(), extent, uuid, body.journal, 0)?;
    for entry in reader.by_ref() {
        let entry = entry?;
        let mut writer = lock(&inner.writer);
        if entry.seq <= writer.seq {
            continue;
        }
        if entry.seq != writer.seq + 1 {
            let (expected, found) = (writer.seq + 1, entry.seq);
            return Err(Error::Corrupt(format!(
                "journal: batch {expected} expected, {found} found"
            )));
        }
        inner.apply(&mut writer, &record::decode(&entry.payload.into())?)?;
        drop(writer);
        if let Err(error) = inner.after_commit() {
            tracing::warn!(%error, "tidying up after a batch of the journal");
        }
        inner.counters.replayed.fetch_add(1, Ordering::Relaxed);
    }
    let seq = lock(&inner.writer).seq;
    inner.durable.store(seq, Ordering::Release);
    let (ring, end) = (extent.len, reader.position());
    let recovery = Recovery {
        generation: superblock.generation,
        batches: inner.counters.replayed.load(Ordering::Relaxed),
        journal_bytes: end - body.journal,
        ring_bytes: ring,
        wrapped: end > body.journal && body.journal / ring != (end - 1) / ring,
        torn: reader.is_torn(),
        ..Recovery::default()
    };
    if !inner.options.read_only {
        *lock(&inner.journal) = Journal::resume(reader)?;
    }
    Ok(recovery)
}
