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
use bytes::Bytes;
use cawdb::{Batch, Snapshot};
use std::ops::Range;

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

/// Bytes of a file from `offset` on, at most `len`, fewer at its end: in pieces, as they lie in memory.
pub(crate) fn read(
    view: &Snapshot,
    at: &Location,
    inode: &Inode,
    offset: u64,
    len: u64,
) -> Result<Vec<Bytes>> {
    let end = offset.saturating_add(len).min(inode.size);
    let mut out = Assembly {
        pieces: Vec::new(),
        position: offset,
    };
    if offset >= end {
        return Ok(out.pieces);
    }
    let first = offset / BLOCK_BYTES;
    if blocks_of(end) == first + 1 {
        let within = |position: u64| (position - first * BLOCK_BYTES) as usize;
        let want = within(offset)..within(end);
        let bytes = view.get_part(&at.block(first), want)?.unwrap_or_default();
        out.push(bytes);
    } else {
        let blocks = at.block_range(first, Some(blocks_of(end)));
        for item in view.scan_whole(blocks, end - offset) {
            let (key, value) = item?;
            if let Some(block) = block_number(&key) {
                out.block(block, &value, end);
            }
        }
    }
    out.zeros_to(end);
    Ok(out.pieces)
}

/// Pieces that follow each other, as one; copied if they are several.
pub(crate) fn joined(mut pieces: Vec<Bytes>) -> Bytes {
    match pieces.len() {
        1 => pieces.swap_remove(0),
        _ => pieces.concat().into(),
    }
}

/// What holes are made of.
static ZEROS: [u8; BLOCK_BYTES as usize] = [0; BLOCK_BYTES as usize];

/// Consecutive bytes of a file.
struct Assembly {
    pieces: Vec<Bytes>,
    /// Where in the file the next piece goes.
    position: u64,
}

impl Assembly {
    /// Appends what the value of a block says of the bytes up to `end`.
    fn block(&mut self, block: u64, value: &Bytes, end: u64) {
        let start = block.saturating_mul(BLOCK_BYTES);
        self.zeros_to(start.min(end));
        let within = |position: u64| position.saturating_sub(start).min(BLOCK_BYTES) as usize;
        let (from, to) = (within(self.position), within(end).min(value.len()));
        if from < to {
            self.push(value.slice(from..to));
        }
    }

    /// Appends what comes next.
    fn push(&mut self, bytes: Bytes) {
        self.position += bytes.len() as u64;
        if !bytes.is_empty() {
            self.pieces.push(bytes);
        }
    }

    fn zeros_to(&mut self, end: u64) {
        while self.position < end {
            let len = (end - self.position).min(BLOCK_BYTES);
            self.pieces.push(Bytes::from_static(&ZEROS[..len as usize]));
            self.position += len;
        }
    }
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
        let exists = piece.block < old_blocks && (dense || view.get_part(&key, 0..0)?.is_some());
        inode.blocks += u64::from(!exists);
        if !exists && piece.from == 0 {
            batch.insert(key, part);
        } else if piece.from == 0 && piece.to >= held {
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
            && let Some(value) = view.get_part(&at.block(kept - 1), 0..tail + 1)?
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
        erase(view, batch, at.block(piece.block), piece.from..piece.to)?;
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

/// Plans to make some bytes of a block zeros; what there is of it ends before them, if it does not go on behind them.
fn erase(view: &Snapshot, batch: &mut Batch, key: Vec<u8>, bytes: Range<usize>) -> Result<()> {
    let len = bytes.len();
    let Some(there) = view.get_part(&key, bytes.start..bytes.end + 1)? else {
        return Ok(());
    };
    if there.len() > len {
        let zeros = ZEROS.get(..len).unwrap_or_default();
        batch.patch(key, bytes.start as u32, Bytes::from_static(zeros));
    } else if !there.is_empty() {
        let before = view.get_part(&key, 0..bytes.start)?.unwrap_or_default();
        batch.put(key, before);
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
