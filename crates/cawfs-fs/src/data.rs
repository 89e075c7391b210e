//! Blocks of a file: reading, and planning changes as operations of a batch.
//!
//! ```text
//! size = 150 000      block 0 (65536)   block 1 missing: a hole   block 2 (18928 bytes, or fewer: zeros follow)
//! ```
//!
//! * No block holds bytes beyond the file's size; what a value does not reach reads as zeros.
//! * Overwriting part of a block is a patch, blind; nothing is read, except that for a file with holes a look tells whether
//!   the block exists, because `blocks` counts them.

use crate::content::{erase_blocks_from, head};
use crate::errno::Result;
use crate::inode::{Inode, blocks_of};
use crate::schema::{Location, block_number};
use crate::types::BLOCK_BYTES;
use bytes::{Bytes, BytesMut};
use cawdb::{Batch, Snapshot};

/// The part of a block that a byte range covers.
struct Piece {
    block: u64,
    /// Start and end within the block.
    from: usize,
    to: usize,
}

/// The blocks that bytes `offset..end` touch.
fn pieces(offset: u64, end: u64) -> impl Iterator<Item = Piece> {
    (offset / BLOCK_BYTES..blocks_of(end).max(offset / BLOCK_BYTES)).map(move |block| {
        let start = block * BLOCK_BYTES;
        let from = offset.saturating_sub(start) as usize;
        let to = (end - start).min(BLOCK_BYTES) as usize;
        Piece { block, from, to }
    })
}

/// Bytes of a file from `offset` on, at most `len`, fewer at its end.
pub(crate) fn read(
    view: &Snapshot,
    at: &Location,
    inode: &Inode,
    offset: u64,
    len: u64,
) -> Result<Bytes> {
    let end = offset.saturating_add(len).min(inode.size);
    if offset >= end {
        return Ok(Bytes::new());
    }
    let first = offset / BLOCK_BYTES;
    if blocks_of(end) == first + 1 {
        let value = view.get(&at.block(first))?.unwrap_or_default();
        let (from, to) = (
            (offset % BLOCK_BYTES) as usize,
            (end - first * BLOCK_BYTES) as usize,
        );
        if to <= value.len() {
            return Ok(value.slice(from..to));
        }
        let mut out = value.get(from..).unwrap_or_default().to_vec();
        out.resize(to - from, 0);
        return Ok(out.into());
    }
    let mut out = BytesMut::zeroed((end - offset) as usize);
    for item in view.scan(at.block_range(first, Some(blocks_of(end)))) {
        let (key, value) = item?;
        let Some(block) = block_number(&key) else {
            continue;
        };
        let start = block.saturating_mul(BLOCK_BYTES);
        let skip = offset.saturating_sub(start) as usize;
        let limit = end.saturating_sub(start).min(BLOCK_BYTES) as usize;
        let source = head(&value, limit);
        let source = source.get(skip..).unwrap_or_default();
        let target = start.saturating_sub(offset) as usize;
        if let Some(room) = out.get_mut(target..target + source.len()) {
            room.copy_from_slice(source);
        }
    }
    Ok(out.freeze())
}

/// Plans to write `data` at `offset`; size and block count of the inode follow.
pub(crate) fn write(
    view: &Snapshot,
    batch: &mut Batch,
    at: &Location,
    inode: &mut Inode,
    offset: u64,
    data: &Bytes,
) -> Result<()> {
    let (old_blocks, dense, mut used) = (blocks_of(inode.size), inode.is_dense(), 0);
    for piece in pieces(offset, offset + data.len() as u64) {
        let part = data.slice(used..used + (piece.to - piece.from));
        used += part.len();
        let held = inode
            .size
            .saturating_sub(piece.block * BLOCK_BYTES)
            .min(BLOCK_BYTES) as usize;
        let key = at.block(piece.block);
        let exists = piece.block < old_blocks && (dense || view.get(&key)?.is_some());
        inode.blocks += u64::from(!exists);
        if piece.from == 0 && piece.to >= held {
            batch.put(key, part);
        } else {
            batch.patch(key, piece.from as u32, part);
        }
    }
    inode.size = inode.size.max(offset + data.len() as u64);
    Ok(())
}

/// Plans to change the size of a file.
pub(crate) fn resize(
    view: &Snapshot,
    batch: &mut Batch,
    at: &Location,
    inode: &mut Inode,
    size: u64,
) -> Result<()> {
    if size < inode.size && inode.blocks > 0 {
        batch.shrink();
        let kept = blocks_of(size);
        inode.blocks = match (inode.is_dense(), kept) {
            (_, 0) => 0,
            (true, _) => kept,
            (false, _) => inode.blocks - count(view, at, kept, None)?.min(inode.blocks),
        };
        erase_blocks_from(batch, at, inode, kept);
        let tail = (size % BLOCK_BYTES) as usize;
        if tail != 0
            && let Some(value) = view.get(&at.block(kept - 1))?
            && value.len() > tail
        {
            batch.put(at.block(kept - 1), head(&value, tail));
        }
    }
    inode.size = size;
    Ok(())
}

/// Plans to make bytes `offset..end` a hole; the size stays.
pub(crate) fn punch(
    view: &Snapshot,
    batch: &mut Batch,
    at: &Location,
    inode: &mut Inode,
    (offset, end): (u64, u64),
) -> Result<()> {
    let end = end.min(inode.size);
    if offset >= end || inode.blocks == 0 {
        return Ok(());
    }
    // To the end of the file is to the end of its last block.
    let whole_end = if end == inode.size {
        blocks_of(end)
    } else {
        end / BLOCK_BYTES
    };
    let whole_start = blocks_of(offset);
    for piece in pieces(offset, end) {
        if (whole_start..whole_end).contains(&piece.block) {
            continue;
        }
        let Some(value) = view.get(&at.block(piece.block))? else {
            continue;
        };
        if piece.to >= value.len() {
            batch.put(at.block(piece.block), head(&value, piece.from));
        } else {
            let mut zeroed = value.to_vec();
            zeroed
                .get_mut(piece.from..piece.to)
                .unwrap_or_default()
                .fill(0);
            batch.put(at.block(piece.block), zeroed);
        }
    }
    if whole_start < whole_end {
        let gone = if inode.is_dense() {
            whole_end - whole_start
        } else {
            count(view, at, whole_start, Some(whole_end))?
        };
        inode.blocks -= gone.min(inode.blocks);
        if whole_end - whole_start <= 16 {
            for block in whole_start..whole_end {
                batch.delete(at.block(block));
            }
        } else {
            batch.delete_range(at.block_range(whole_start, Some(whole_end)));
        }
    }
    Ok(())
}

/// Blocks stored among `from..to`. Reads them: for files with holes only.
pub(crate) fn count(view: &Snapshot, at: &Location, from: u64, to: Option<u64>) -> Result<u64> {
    let mut blocks = 0;
    for item in view.scan(at.block_range(from, to)) {
        item?;
        blocks += 1;
    }
    Ok(blocks)
}

/// The first byte at or after `offset` that is data (or a hole), for a file; `None` if there is none before the end.
pub(crate) fn seek(
    view: &Snapshot,
    at: &Location,
    inode: &Inode,
    offset: u64,
    data: bool,
) -> Result<Option<u64>> {
    if inode.is_dense() {
        return Ok(data.then_some(offset));
    }
    let (first, end) = (offset / BLOCK_BYTES, blocks_of(inode.size));
    let mut expected = first;
    for item in view.scan(at.block_range(first, Some(end))) {
        let (key, _) = item?;
        let Some(block) = block_number(&key) else {
            continue;
        };
        if data {
            return Ok(Some(offset.max(block * BLOCK_BYTES)));
        }
        if block != expected {
            break;
        }
        expected += 1;
    }
    let hole = offset.max(expected * BLOCK_BYTES);
    Ok((!data && hole < inode.size).then_some(hole))
}
