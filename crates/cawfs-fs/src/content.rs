//! What hangs on an object, as a whole: copying it to another location, and erasing it.
//!
//! Content is the extended attributes, the blocks of a file, and all that lies below a directory. Where it is small it
//! goes by value, as reading a block is cheaper than cutting the root of the engine's tree; else by reference, whatever the size. What moves
//! goes by value up to a larger size while it is young, as then it is nowhere else yet: its bytes are shared in memory, and written once.
//!
//! In a batch clones come first and read the state before it. So what occupied the target is deleted here only where no
//! clone replaces it.

use crate::errno::Result;
use crate::inode::{HAS_XATTRS, Inode, blocks_of};
use crate::schema::{DATA, Location, META};
use bytes::Bytes;
use cawdb::{Batch, KeyRange, Snapshot};

/// Links of a directory in which there are no others: its name, and that to itself.
const NO_DIRECTORIES: u32 = 2;
/// Files of up to this many blocks are copied by value.
const SMALL_BLOCKS: u64 = 1;
/// Files of up to this many blocks are moved by value while the engine holds them among its newest changes: cloned they would each make it
/// seal these, and leave runs of less than it cares to make.
const YOUNG_BLOCKS: u64 = 4;
/// Extended attributes up to this number and size are copied by value.
const SMALL_XATTRS: usize = 16;
const SMALL_XATTR_BYTES: usize = 16 * 1024;
/// Dense files of up to this many blocks are deleted block by block.
const POINT_DELETES: u64 = 16;

/// Copies the content of `inode`, kept at `from`, to `to`, in place of that of `occupant`. The record is the caller's.
pub(crate) fn copy(
    view: &Snapshot,
    batch: &mut Batch,
    source: (&Location, &Inode),
    target: (&Location, Option<&Inode>),
) -> Result<()> {
    copy_all(view, batch, source, target, None)
}

/// The same for who erases it at `from` in the same batch.
pub(crate) fn carry(
    view: &Snapshot,
    batch: &mut Batch,
    (from, inode): (&Location, &Inode),
    target: (&Location, Option<&Inode>),
) -> Result<()> {
    let young = young_blocks(view, from, inode);
    copy_all(view, batch, (from, inode), target, young)
}

/// The blocks of a file, from the first on, if they are few and all young.
fn young_blocks(view: &Snapshot, at: &Location, inode: &Inode) -> Option<Vec<Bytes>> {
    if inode.blocks > YOUNG_BLOCKS || !inode.is_dense() {
        return None;
    }
    let block = |number| view.get_young(&at.block(number));
    (0..inode.blocks).map(block).collect()
}

fn copy_all(
    view: &Snapshot,
    batch: &mut Batch,
    (from, inode): (&Location, &Inode),
    (to, occupant): (&Location, Option<&Inode>),
    young: Option<Vec<Bytes>>,
) -> Result<()> {
    if inode.has(HAS_XATTRS) {
        copy_xattrs(view, batch, from, to, occupant)?;
    } else if let Some(old) = occupant {
        erase_xattrs(batch, to, old);
    }
    if inode.blocks > 0 {
        copy_blocks(view, batch, (from, inode), (to, occupant), young)?;
    } else if let Some(old) = occupant {
        erase_blocks(batch, to, old);
    }
    if inode.is_dir() {
        // Where there are directories nothing need be read to know that it is not empty.
        let empty = inode.links <= NO_DIRECTORIES && is_empty(view, from)?;
        for which in [META, DATA] {
            let (prefix, range) = from.subtree(which);
            let (target, whole) = to.subtree(which);
            if !empty {
                batch.clone_range(range, prefix, target);
            } else if occupant.is_some_and(Inode::is_dir) {
                batch.delete_range(whole);
            }
        }
    } else if occupant.is_some_and(Inode::is_dir) {
        erase_subtree(batch, to);
    }
    Ok(())
}

/// Copies the content of a file to where nothing is, blocks by reference however small.
pub(crate) fn share(
    view: &Snapshot,
    batch: &mut Batch,
    (from, inode): (&Location, &Inode),
    to: &Location,
) -> Result<()> {
    if inode.has(HAS_XATTRS) {
        copy_xattrs(view, batch, from, to, None)?;
    }
    if inode.blocks > 0 {
        batch.clone_prefix(from.blocks(), to.blocks());
    }
    Ok(())
}

fn copy_xattrs(
    view: &Snapshot,
    batch: &mut Batch,
    from: &Location,
    to: &Location,
    occupant: Option<&Inode>,
) -> Result<()> {
    let (source, target) = (from.attributes(), to.attributes());
    let (mut small, mut bytes) = (Vec::new(), 0);
    for item in view.scan(KeyRange::prefix(source.clone())) {
        let (key, value) = item?;
        bytes += value.len();
        if small.len() == SMALL_XATTRS || bytes > SMALL_XATTR_BYTES {
            batch.clone_prefix(source, target);
            return Ok(());
        }
        let name = key.get(source.len()..).unwrap_or_default();
        small.push((to.xattr(name), value));
    }
    if let Some(old) = occupant {
        erase_xattrs(batch, to, old);
    }
    for (key, value) in small {
        batch.put(key, value);
    }
    Ok(())
}

fn copy_blocks(
    view: &Snapshot,
    batch: &mut Batch,
    (from, inode): (&Location, &Inode),
    (to, occupant): (&Location, Option<&Inode>),
    young: Option<Vec<Bytes>>,
) -> Result<()> {
    if inode.blocks > SMALL_BLOCKS && young.is_none() {
        batch.clone_prefix(from.blocks(), to.blocks());
        return Ok(());
    }
    if let Some(old) = occupant {
        erase_blocks(batch, to, old);
    }
    let replaces = occupant.is_some_and(|old| old.blocks > 0);
    let mut copy = |key: Vec<u8>, value: Bytes| {
        match replaces {
            true => batch.put(key, value),
            false => batch.insert(key, value),
        };
    };
    if let Some(blocks) = young {
        (0..)
            .zip(blocks)
            .for_each(|(n, value)| copy(to.block(n), value));
        return Ok(());
    }
    if blocks_of(inode.size) == 1 {
        // As most files are; looking a key up costs less than setting up a walk.
        if let Some(value) = view.get(&from.block(0))? {
            copy(to.block(0), value);
        }
        return Ok(());
    }
    let source = from.blocks();
    for item in view.scan(KeyRange::prefix(source.clone())) {
        let (key, value) = item?;
        let number = key.get(source.len()..).unwrap_or_default();
        copy([&to.blocks(), number].concat(), value);
    }
    Ok(())
}

/// Deletes a record and all content.
pub(crate) fn erase(batch: &mut Batch, at: &Location, inode: &Inode) {
    erase_alone(batch, at, inode);
    if inode.is_dir() {
        erase_subtree(batch, at);
    }
}

/// Deletes a record and all content, except what a directory holds.
pub(crate) fn erase_alone(batch: &mut Batch, at: &Location, inode: &Inode) {
    batch.delete(at.record());
    erase_xattrs(batch, at, inode);
    erase_blocks(batch, at, inode);
}

fn erase_xattrs(batch: &mut Batch, at: &Location, inode: &Inode) {
    if inode.has(HAS_XATTRS) {
        batch.delete_range(KeyRange::prefix(at.attributes()));
    }
}

fn erase_blocks(batch: &mut Batch, at: &Location, inode: &Inode) {
    if inode.blocks > 0 {
        erase_blocks_from(batch, at, inode, 0);
    }
}

/// Deletes the blocks from `first` on.
pub(crate) fn erase_blocks_from(batch: &mut Batch, at: &Location, inode: &Inode, first: u64) {
    let end = blocks_of(inode.size);
    if end.saturating_sub(first) <= POINT_DELETES {
        for number in first..end {
            batch.delete(at.block(number));
        }
    } else {
        batch.delete_range(at.block_range(first, None));
    }
}

fn erase_subtree(batch: &mut Batch, at: &Location) {
    for which in [META, DATA] {
        batch.delete_range(at.subtree(which).1);
    }
}

/// Whether a directory has no entries.
pub(crate) fn is_empty(view: &Snapshot, dir: &Location) -> Result<bool> {
    Ok(view.scan(dir.subtree(META).1).next().transpose()?.is_none())
}

/// A value of the store, sliced without copying; shorter if the value is.
pub(crate) fn head(value: &Bytes, len: usize) -> Bytes {
    value.slice(..len.min(value.len()))
}
