//! A whole small store whose bytes are changed and whose checksums are then made right, so that what lies behind them is
//! reached: open, read, check, and, if the check finds nothing, write on.
//!
//! ```text
//!   superblock ◄─ table ◄─┬─ node                 a changed part gets a new checksum, which is put in the place of
//!       ▲                 └─ index ◄─ segment     the old one in the part that holds it, and so on upwards
//!       └── root
//! ```
//! An input is a row of changes of five bytes: part (one byte), place in it (two), how (one), with what (one).

use crate::image::{Body, Entry, encode_entries, read_table};
use crate::{Batch, Compression, CreateOptions, KeyRange, Options, Store};
use cawdb_disk::layout::SLOTS;
use cawdb_disk::{Checksum, Disk, Extent, RamDisk, superblock};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Stores that were opened, in which a check found something, and found nothing.
pub(super) static MET: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];
/// Keys read of a changed store, at most.
const MOST: usize = 4096;

/// A piece of the store that has a checksum.
#[derive(Clone)]
struct Part {
    from: usize,
    len: usize,
    kind: Kind,
    /// The part that holds its checksum; none of a superblock.
    parent: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Superblock,
    /// A frame, which has its checksum in itself.
    Table,
    /// Covered together with this id.
    Node(u64),
    /// Of a run: index or segment.
    Plain,
}

/// The store before it is changed.
struct Base {
    image: Vec<u8>,
    parts: Vec<Part>,
    body: Vec<u8>,
    table: Vec<Entry>,
}

fn base() -> &'static Base {
    static BASE: OnceLock<Base> = OnceLock::new();
    BASE.get_or_init(|| make().unwrap_or_else(|e| unreachable!("memory holds a small store: {e}")))
}

fn options() -> Options {
    Options {
        cache_bytes: 0,
        ..Options::tiny(4)
    }
}

/// A store with clones, several levels, patches and delete-ranges, uncompressed.
fn make() -> crate::Result<Base> {
    let disk = Arc::new(RamDisk::new());
    let create = CreateOptions {
        size: 16 << 20,
        compression: Compression::None,
        journal_bytes: Some(16 << 10),
    };
    Store::create(disk.clone(), &create)?;
    let store = Store::open(disk.clone(), options())?;
    for n in 0..120u32 {
        let mut batch = Batch::new();
        batch.put(format!("a{n:04}"), vec![n as u8; 60]);
        if n % 30 == 29 {
            batch.clone_prefix("a", format!("b{n}"));
            batch.delete_range(KeyRange::prefix(format!("b{n}00")));
        }
        store.commit(batch)?;
        let mut batch = Batch::new();
        batch.patch(format!("a{:04}", n / 2), 3, "patch");
        store.commit(batch)?;
    }
    for _ in 0..1000 {
        if !store.tick()? {
            break;
        }
    }
    store.checkpoint()?;
    // So that the journal holds something too.
    let mut batch = Batch::new();
    batch.put("z", "last");
    store.commit(batch)?;
    store.sync()?;
    let mut image = vec![0; disk.len() as usize];
    disk.read_at(&mut image, 0)?;
    let runs = store.0.shelf.table();
    let segments: Vec<_> = runs
        .runs()
        .filter_map(|e| Some((e.run.place()?.extent(), cawdb_node::fuzz::segments(&e.run))))
        .collect();
    drop(runs);
    let superblock = superblock::read(disk.as_ref())?.superblock;
    let body = Body::decode(&superblock.body)?;
    let mut table = Vec::new();
    for twice in std::iter::once(&body.base).chain(&body.deltas) {
        table.extend(read_table(disk.as_ref(), twice)?.0);
    }
    let parts = parts(&body, &table, &segments, superblock.generation);
    std::mem::forget(store);
    Ok(Base {
        image,
        parts,
        body: superblock.body,
        table,
    })
}

type Segments = [(Extent, Vec<(u64, usize, u64)>)];

/// All parts; those that hold checksums of others come before them.
fn parts(body: &Body, table: &[Entry], segments: &Segments, generation: u64) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut add = |from: u64, len: u64, kind, parent| {
        let (from, len) = (from as usize, len as usize);
        parts.push(Part {
            from,
            len,
            kind,
            parent,
        });
        parts.len() - 1
    };
    let slot = SLOTS[(generation % 2) as usize];
    let top = add(slot[0].offset, slot[0].len, Kind::Superblock, None);
    let (height, root, _) = body.root;
    let _ = height;
    add(root.offset, root.len, Kind::Node(0), Some(top));
    let mut tables = Vec::new();
    for twice in std::iter::once(&body.base).chain(&body.deltas) {
        tables.push(add(twice.copies[0].offset, twice.len, Kind::Table, None));
    }
    for entry in table {
        match entry {
            Entry::Node(id, node) => {
                add(
                    node.extent.offset,
                    node.extent.len,
                    Kind::Node(*id),
                    Some(tables[0]),
                );
            }
            Entry::Run(_, run) => {
                let start = run.extent.offset + run.meta.index_offset();
                let len = u64::from(run.meta.index_len);
                let index = add(start, len, Kind::Plain, Some(tables[0]));
                let own = segments.iter().filter(|(extent, _)| *extent == run.extent);
                for (offset, len, _) in own.flat_map(|(_, list)| list) {
                    let from = run.extent.offset + offset;
                    add(from, *len as u64, Kind::Plain, Some(index));
                }
            }
            Entry::NodeGone(_) | Entry::RunGone(_) | Entry::Merged(_) => {}
        }
    }
    parts
}

/// The payload of the node table, as a seed for its decoder.
pub(super) fn table_payload() -> Vec<u8> {
    encode_entries(&base().table)
}

/// The body of the superblock, as a seed for its decoder.
pub(super) fn body() -> Vec<u8> {
    base().body.clone()
}

/// Changes the store as the input says, and does everything with it.
pub(super) fn run(input: &[u8]) {
    let base = base();
    let mut image = base.image.clone();
    let whole = base.parts.iter().map(|part| sum(&base.image, part));
    let mut sums: Vec<_> = whole.map(|sum| sum.map(|(sum, _)| sum)).collect();
    for change in input.chunks_exact(5).take(16) {
        let which = usize::from(change[0]) % base.parts.len();
        let at = usize::from(u16::from_le_bytes([change[1], change[2]]));
        spoil(&mut image, &base.parts[which], at, change[3], change[4]);
        repair_sums(&mut image, &base.parts, &mut sums, which);
    }
    mirror(&mut image, base);
    let disk = Arc::new(RamDisk::new());
    if disk.write_at(&image, 0).is_ok() {
        judge(&disk);
    }
}

fn spoil(image: &mut [u8], part: &Part, at: usize, how: u8, with: u8) {
    // What a frame or a superblock says of itself is left, so that its content is reached.
    let head = match part.kind {
        Kind::Superblock => 64,
        Kind::Table => 32,
        Kind::Node(_) => 16,
        Kind::Plain => 0,
    };
    let tail = if part.kind == Kind::Superblock { 8 } else { 0 };
    let room = part.len.saturating_sub(head + tail).max(1);
    let place = part.from + (head + at % room).min(part.len - 1);
    let end = (part.from + part.len - tail).min(image.len());
    match how % 4 {
        0 => image[place] = with,
        1 => image[place] ^= 1 << (with % 8),
        2 => image[place] = image[place].wrapping_add(if with & 1 == 0 { 1 } else { 255 }),
        _ => {
            let len = usize::from(with % 16);
            if place + 2 * len < end {
                image.copy_within(place + len..place + 2 * len, place);
            }
        }
    }
}

/// What the checksum of a part is, and where it is kept if that is in itself.
fn sum(image: &[u8], part: &Part) -> Option<(Checksum, Option<usize>)> {
    let bytes = image.get(part.from..part.from + part.len)?;
    Some(match part.kind {
        Kind::Plain => (Checksum::of(bytes), None),
        Kind::Superblock => (Checksum::of(bytes.get(..4088)?), Some(part.from + 4088)),
        Kind::Table => {
            let sum = Checksum::of_parts(&[bytes.get(..24)?, bytes.get(32..)?]);
            (sum, Some(part.from + 24))
        }
        Kind::Node(id) => {
            let packed = u32::from_le_bytes(*bytes.get(4..)?.first_chunk()?) as usize;
            let covered = bytes.get(..packed.checked_add(16)?)?;
            (Checksum::of_parts(&[&id.to_le_bytes(), covered]), None)
        }
    })
}

/// Makes the checksum of a part right, and of those above it. `sums` are those that stand in the image.
fn repair_sums(image: &mut [u8], parts: &[Part], sums: &mut [Option<Checksum>], which: usize) {
    let part = &parts[which];
    let Some((new, place)) = sum(image, part) else {
        return;
    };
    if let Some(place) = place {
        image[place..place + 8].copy_from_slice(&new.0.to_le_bytes());
        return;
    }
    let (Some(parent), Some(old)) = (part.parent, sums[which].replace(new)) else {
        return;
    };
    let holder = &parts[parent];
    let bytes = &mut image[holder.from..holder.from + holder.len];
    let found = bytes.windows(8).position(|w| *w == old.0.to_le_bytes());
    if let Some(at) = found {
        bytes[at..at + 8].copy_from_slice(&new.0.to_le_bytes());
    }
    repair_sums(image, parts, sums, parent);
}

/// Makes the second copies of superblock and table what the first ones are now.
fn mirror(image: &mut [u8], base: &Base) {
    let slot = base.parts.iter().find(|part| part.kind == Kind::Superblock);
    if let Some(part) = slot {
        let second = SLOTS
            .iter()
            .find(|copies| copies[0].offset == part.from as u64);
        let to = second.map_or(part.from, |copies| copies[1].offset as usize);
        image.copy_within(part.from..part.from + part.len, to);
    }
    if let Ok(body) = Body::decode(&base.body) {
        for twice in std::iter::once(&body.base).chain(&body.deltas) {
            let [first, second] = twice.copies;
            image.copy_within(
                first.offset as usize..(first.offset + twice.len) as usize,
                second.offset as usize,
            );
        }
    }
}

/// Nothing of this may panic. Only a store in which a check finds nothing is written to.
fn judge(disk: &Arc<RamDisk>) {
    let read_only = Options {
        read_only: true,
        ..options()
    };
    let image = || Arc::new(RamDisk::from_image(disk.image()));
    let shared: Arc<dyn Disk> = image();
    if let Ok((store, _)) = Store::open_rescue(&shared, &read_only) {
        read(&store);
    }
    let Ok(store) = Store::open(image(), read_only) else {
        return;
    };
    MET[0].fetch_add(1, Ordering::Relaxed);
    read(&store);
    let clean = store
        .check(true)
        .is_ok_and(|report| report.findings.is_empty());
    let _ = (store.dump_text(), store.dump_dot());
    drop(store);
    MET[1 + usize::from(clean)].fetch_add(1, Ordering::Relaxed);
    if !clean {
        return;
    }
    let disk = image();
    if let Ok(store) = Store::open(disk.clone(), options()) {
        for n in 0..8u8 {
            let mut batch = Batch::new();
            batch.put(format!("c{n}"), vec![n; 900]);
            batch.clone_prefix("a", format!("d{n}"));
            let _ = store.commit(batch);
            for _ in 0..20 {
                let _ = store.tick();
            }
        }
        let _ = store.repair();
        read(&store);
    }
    let _ = Store::open(disk, options());
}

fn read(store: &Store) {
    let _ = store.scan(KeyRange::all()).take(MOST).count();
    let _ = store
        .snapshot()
        .scan_reverse(KeyRange::all())
        .take(MOST)
        .count();
    for key in ["a0003", "b290050", "b59", "z", ""] {
        let _ = store.get(key.as_bytes());
    }
}
