//! copy_file_range: what plain `cp` does.
//!
//! ```text
//! equal offsets:   | edge |   whole blocks: a clone of their keys   | edge |     edges and all else by value
//! ```

use crate::counters::add;
use crate::data;
use crate::errno::{Kind, Result};
use crate::fs::Fs;
use crate::guards::check_unguarded;
use crate::inode::{Inode, blocks_of};
use crate::locks::{read, write};
use crate::ops::attributes::kill_caps;
use crate::schema::Location;
use crate::types::{BLOCK_BYTES, FILE_MAX, NodeId};
use cawdb::{Batch, Snapshot};

/// Most bytes copied by value in one call; the caller asks again for the rest.
const BY_VALUE: u64 = 8 << 20;

impl Fs {
    /// Copies `len` bytes from one file to another, or within one; returns how many were copied (possibly fewer, 0 at the
    /// end of the source). Whole blocks at equal offsets are shared, in O(height), not copied. `kill_suidgid`: the caller is
    /// one whose writes clear set-id bits.
    pub fn copy_file_range(
        &self,
        source: NodeId,
        source_offset: u64,
        target: NodeId,
        target_offset: u64,
        len: u64,
        kill_suidgid: bool,
    ) -> Result<u64> {
        let _names = self.shared();
        let (from, to) = (self.file(source)?, self.file(target)?);
        // By rising node id, as everywhere; one lock if both are the same.
        let _low = (source < target).then(|| read(&from.busy));
        let _held = write(&to.busy);
        let _high = (source > target).then(|| read(&from.busy));
        let (from_at, to_at) = (self.resolve(&from)?.at, self.resolve_writable(&to)?.at);
        let (origin, mut inode) = (from.inode(), to.inode());
        check_unguarded(&inode)?;
        let len = len.min(origin.size.saturating_sub(source_offset));
        let end = end_of(target_offset, len)?;
        if source == target && source_offset < end && target_offset < source_offset + len {
            return Err(Kind::Invalid.because("the two ranges overlap"));
        }
        if len == 0 {
            return Ok(0);
        }
        let (mut change, view) = (self.change(), self.store.snapshot());
        let job = Job {
            view: &view,
            from: &from_at,
            origin: &origin,
            to: &to_at,
        };
        let share =
            (source_offset == target_offset).then(|| job.whole_blocks(&inode, target_offset, end));
        let copied = match share {
            // However small: crumbs by value between clones would keep neighbours from becoming one again.
            Some((first, last)) if last > first => {
                add(&self.counters.shared_bytes, (last - first) * BLOCK_BYTES);
                job.share(
                    &mut change.batch,
                    &mut inode,
                    (first, last),
                    (target_offset, end),
                )?;
                len
            }
            _ => {
                let len = len.min(BY_VALUE);
                add(&self.counters.copied_bytes, len);
                let (batch, inode) = (&mut change.batch, &mut inode);
                job.by_value(batch, inode, source_offset, target_offset, len)?;
                len
            }
        };
        kill_caps(&mut change, &to_at, &mut inode);
        if kill_suidgid {
            inode.kill_set_id();
        }
        (inode.mtime, inode.ctime) = (change.now, change.now);
        change.record(&to, &to_at, inode);
        change.commit()?;
        self.accessed(&from);
        Ok(copied)
    }
}

/// Where a range ends, if a file may reach so far.
fn end_of(offset: u64, len: u64) -> Result<u64> {
    let end = offset.checked_add(len).filter(|&end| end <= FILE_MAX);
    end.ok_or_else(|| Kind::FileTooBig.because("beyond the largest file"))
}

struct Job<'a> {
    view: &'a Snapshot,
    from: &'a Location,
    origin: &'a Inode,
    to: &'a Location,
}

impl Job<'_> {
    /// The blocks that lie wholly in `offset..end`. The last, short one of the source counts as whole if the target holds
    /// nothing behind it.
    fn whole_blocks(&self, target: &Inode, offset: u64, end: u64) -> (u64, u64) {
        let tail = end == self.origin.size && target.size <= end;
        (
            blocks_of(offset),
            if tail {
                blocks_of(end)
            } else {
                end / BLOCK_BYTES
            },
        )
    }

    fn share(
        &self,
        batch: &mut Batch,
        inode: &mut Inode,
        (first, last): (u64, u64),
        (offset, end): (u64, u64),
    ) -> Result<()> {
        let held = self.held(self.to, inode, first, last)?;
        let given = self.held(self.from, self.origin, first, last)?;
        let (source, target) = (self.from.blocks(), self.to.blocks());
        batch.clone_range(self.from.block_range(first, Some(last)), source, target);
        // The edges by value, written as if the middle were there already, so that sizes and counts come out right.
        let old_size = inode.size;
        if offset < first * BLOCK_BYTES {
            self.by_value(batch, inode, offset, offset, first * BLOCK_BYTES - offset)?;
        }
        let tail = last * BLOCK_BYTES;
        let mut counted = Inode {
            size: old_size.max(inode.size),
            ..inode.clone()
        };
        if tail < end {
            self.by_value(batch, &mut counted, tail, tail, end - tail)?;
        }
        inode.blocks = (counted.blocks + given).saturating_sub(held);
        inode.size = counted.size.max(end);
        Ok(())
    }

    /// Blocks that a file has among `first..last`.
    fn held(&self, at: &Location, inode: &Inode, first: u64, last: u64) -> Result<u64> {
        let last = last.min(blocks_of(inode.size));
        if first >= last || inode.blocks == 0 {
            return Ok(0);
        }
        if inode.is_dense() {
            return Ok(last - first);
        }
        data::count(self.view, at, first, Some(last))
    }

    fn by_value(
        &self,
        batch: &mut Batch,
        inode: &mut Inode,
        from: u64,
        to: u64,
        len: u64,
    ) -> Result<()> {
        let pieces = data::read(self.view, self.from, self.origin, from, len)?;
        data::write(self.view, batch, self.to, inode, to, &data::joined(pieces))
    }
}
