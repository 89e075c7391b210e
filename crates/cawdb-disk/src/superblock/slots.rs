//! Which superblock holds: two slots that alternate, and two copies in each.
//!
//! ```text
//!   writing g:   copy X of slot g mod 2 ─ sync ─ copy Y of it ─ sync ─ acknowledged
//!
//!   slot g mod 2 when power is lost     X        Y            holds
//!     before, or while X is written     g-2, ?   g-2          g-1: g was never acknowledged
//!     while Y is written                g        g-2, ?       g
//!     afterwards                        g        g            g
//! ```
//!
//! Invariants: at most one copy of a slot is being written at any time, so that each slot has a valid
//! copy always, and one without any was damaged: the store does not open, rather than show an older state
//! in silence. Damage to one copy costs nothing. Y is a copy that was found valid just before, so that
//! damage to the other does not make a loss of power look like damage to both. A slot whose copies differ is
//! made whole (`heal`) before anything new is acknowledged.

use super::{MAGIC, Superblock};
use crate::layout::{SLOT_BYTES, SLOTS};
use crate::{Disk, Error, Extent, Result};

/// The superblock that holds, and what is wrong with its copies.
#[derive(Debug)]
pub struct Found {
    /// The newest.
    pub superblock: Superblock,
    /// Copies that are not as they should be; nothing is lost.
    pub faults: Vec<Fault>,
    /// What each slot should hold in both copies.
    best: [Superblock; 2],
}

/// A copy that is not as it should be.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Which slot.
    pub slot: usize,
    /// Which copy of it.
    pub copy: usize,
    /// Whether an interrupted checkpoint explains it.
    pub kind: FaultKind,
    /// What was found.
    pub what: String,
}

/// What a fault of a copy means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// A checkpoint was interrupted here, as by a loss of power, or the copy is not needed any more.
    Interrupted,
    /// The copy of the newest superblock is damaged.
    Damaged,
}

type Copies = [[Result<Superblock>; 2]; 2];

/// Makes a disk a store: erases all copies, makes the fixed regions real, writes `first` (and a twin of the generation
/// before it, so that no slot is ever without a valid copy). Durable when it returns. A crash on the way leaves the new
/// store, a disk that does not open, or, of a store that was there before, some older state.
///
/// # Errors
/// Those of the disk; [`Error::Invalid`] if the journal does not lie where it must, or the generation is 0.
pub fn format(disk: &dyn Disk, first: &Superblock) -> Result<()> {
    let layout = first.layout()?;
    let before = first.generation.checked_sub(1);
    let Some(before) = before.filter(|_| first.journal == layout.journal) else {
        return Err(Error::Invalid(format!(
            "a first generation {} with a journal at {}",
            first.generation, first.journal.offset
        )));
    };
    disk.reserve(Extent::new(0, layout.data))?;
    for copy in SLOTS.as_flattened() {
        disk.write_at(&[0; SLOT_BYTES as usize], copy.offset)?;
    }
    disk.sync()?;
    let twin = Superblock {
        generation: before,
        ..first.clone()
    };
    write(disk, &twin)?;
    write(disk, first)
}

/// Writes a superblock into both copies of its slot, one after the other, each with a sync. Everything it refers to
/// must be durable before.
///
/// # Errors
/// Those of the disk; [`Error::Invalid`] if the body is too long.
pub fn write(disk: &dyn Disk, superblock: &Superblock) -> Result<()> {
    let slot = (superblock.generation % 2) as usize;
    let image = superblock.encode()?;
    let valid = |copy| read_copy(disk, slot, copy).is_ok_and(|s| s.uuid == superblock.uuid);
    let first = usize::from(!valid(1) && valid(0));
    for copy in [first, 1 - first] {
        disk.write_at(&image, SLOTS[slot][copy].offset)?;
        disk.sync()?;
    }
    Ok(())
}

/// One copy of slot 0 or 1.
///
/// # Errors
/// [`Error::Corrupt`] if it is damaged or misplaced; [`Error::Invalid`] for a format unknown here
/// or a copy that does not exist; those of the disk.
pub fn read_copy(disk: &dyn Disk, slot: usize, copy: usize) -> Result<Superblock> {
    let extent = SLOTS.get(slot).and_then(|copies| copies.get(copy));
    let extent =
        extent.ok_or_else(|| Error::Invalid(format!("copy {copy} of superblock slot {slot}")))?;
    let what = format!(
        "superblock slot {slot}, copy {copy} at {extent} of {}",
        disk.name()
    );
    let mut bytes = vec![0; SLOT_BYTES as usize];
    disk.read_at(&mut bytes, extent.offset)?;
    let superblock = Superblock::decode(&what, &bytes)?;
    if superblock.generation % 2 != slot as u64 {
        let found = format!("generation {}", superblock.generation);
        let expected = format!("a generation of parity {slot}");
        return Err(Error::corrupt(what, expected, found));
    }
    Ok(superblock)
}

/// The superblock that holds.
///
/// # Errors
/// [`Error::Invalid`] if the disk is not a store at all, or one of another format version; [`Error::Corrupt`], naming
/// all reasons, if both copies of a slot are damaged, because the newest state may have been there; [`Error::Io`] if
/// both could not be read.
pub fn read(disk: &dyn Disk) -> Result<Found> {
    let copies = read_all(disk)?;
    let best = [best(disk, &copies, 0)?, best(disk, &copies, 1)?];
    let newest = usize::from(best[1].generation > best[0].generation);
    if best[0].generation.abs_diff(best[1].generation) != 1 {
        return Err(Error::corrupt(
            format!("superblock of {}", disk.name()),
            "two generations that follow each other",
            format!("{} and {}", best[0].generation, best[1].generation),
        ));
    }
    let mut faults = Vec::new();
    for (slot, pair) in copies.iter().enumerate() {
        for (copy, found) in pair.iter().enumerate() {
            let (kind, what) = match found {
                Ok(found) if *found == best[slot] => continue,
                Ok(found) => (
                    FaultKind::Interrupted,
                    format!("generation {} is still there", found.generation),
                ),
                Err(e) if slot == newest => (FaultKind::Damaged, e.to_string()),
                Err(e) => (FaultKind::Interrupted, e.to_string()),
            };
            faults.push(Fault {
                slot,
                copy,
                kind,
                what,
            });
        }
    }
    let superblock = best[newest].clone();
    Ok(Found {
        superblock,
        faults,
        best,
    })
}

/// Makes both copies of each slot what they should be. Durable when it returns. O(1), no request if nothing is wrong.
///
/// # Errors
/// Those of the disk.
pub fn heal(disk: &dyn Disk, found: &Found) -> Result<()> {
    for fault in &found.faults {
        let image = found.best[fault.slot].encode()?;
        disk.write_at(&image, SLOTS[fault.slot][fault.copy].offset)?;
        disk.sync()?;
    }
    Ok(())
}

/// All superblocks that can be read, newest first, whatever is wrong with the others: for who saves what is left of a
/// damaged store.
///
/// # Errors
/// Those of [`read`] if there is none.
pub fn candidates(disk: &dyn Disk) -> Result<Vec<Superblock>> {
    let mut all: Vec<_> = read_all(disk)?.into_iter().flatten().flatten().collect();
    all.sort_by_key(|s| std::cmp::Reverse(s.generation));
    all.dedup();
    Ok(all)
}

/// All copies; those of another store count as damaged.
fn read_all(disk: &dyn Disk) -> Result<Copies> {
    if !has_magic(disk)? {
        let name = disk.name();
        return Err(Error::Invalid(format!("{name} is not a cawfs store")));
    }
    let pair = |slot| [read_copy(disk, slot, 0), read_copy(disk, slot, 1)];
    let mut copies = [pair(0), pair(1)];
    let valid = || copies.as_flattened().iter().flatten();
    let votes = |uuid| valid().filter(|s| s.uuid == uuid).count();
    let Some(uuid) = valid().map(|s| s.uuid).max_by_key(|uuid| votes(*uuid)) else {
        return Err(nothing_valid(disk, &copies));
    };
    if 2 * votes(uuid) <= valid().count() {
        return Err(Error::corrupt(
            format!("superblock of {}", disk.name()),
            "one store in both slots",
            "two with different uuids",
        ));
    }
    for copy in copies.as_flattened_mut() {
        if copy.as_ref().is_ok_and(|s| s.uuid != uuid) {
            let what = format!("superblock copy of {}", disk.name());
            *copy = Err(Error::corrupt(what, "this store", "another store's"));
        }
    }
    Ok(copies)
}

/// Why no copy at all is good: a format of another version says more than damage.
fn nothing_valid(disk: &dyn Disk, copies: &Copies) -> Error {
    let mut errors: Vec<_> = copies
        .as_flattened()
        .iter()
        .filter_map(|c| c.as_ref().err())
        .collect();
    errors.sort_by_key(|e| match e {
        Error::Invalid(_) => 0,
        Error::Io { .. } => 1,
        _ => 2,
    });
    match errors.first() {
        Some(e @ (Error::Invalid(_) | Error::Io { .. })) => (*e).clone(),
        _ => none_of(format!("superblock of {}", disk.name()), &errors),
    }
}

fn none_of(what: String, errors: &[&Error]) -> Error {
    let reasons: Vec<_> = errors.iter().map(ToString::to_string).collect();
    Error::corrupt(
        what,
        "a valid copy",
        format!("none: {}", reasons.join("; ")),
    )
}

/// The newest of a slot's copies.
fn best(disk: &dyn Disk, copies: &Copies, slot: usize) -> Result<Superblock> {
    let newest = copies[slot].iter().flatten().max_by_key(|s| s.generation);
    newest.cloned().ok_or_else(|| {
        let errors: Vec<_> = copies[slot]
            .iter()
            .filter_map(|c| c.as_ref().err())
            .collect();
        match errors.iter().find(|e| matches!(e, Error::Io { .. })) {
            Some(io) => (**io).clone(),
            None => none_of(
                format!(
                    "superblock slot {slot} of {}, which may have held the newest state,",
                    disk.name()
                ),
                &errors,
            ),
        }
    })
}

/// Whether any copy begins like a superblock.
///
/// # Errors
/// Those of the disk, if none does.
pub fn has_magic(disk: &dyn Disk) -> Result<bool> {
    let mut failed = None;
    for copy in SLOTS.as_flattened() {
        let mut magic = [0; MAGIC.len()];
        if copy.end() <= disk.len()
            && let Err(e) = disk.read_at(&mut magic, copy.offset)
        {
            failed.get_or_insert(e);
        }
        if magic == MAGIC {
            return Ok(true);
        }
    }
    failed.map_or(Ok(false), Err)
}
