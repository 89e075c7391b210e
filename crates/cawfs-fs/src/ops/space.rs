//! Holes, and room.

use crate::data;
use crate::errno::{Kind, Result};
use crate::fs::Fs;
use crate::guards::{check_mutable, check_unguarded};
use crate::inode::blocks_of;
use crate::locks::{read, write};
use crate::ops::attributes::kill_caps;
use crate::types::{BLOCK_BYTES, FILE_MAX, NAME_MAX, NodeId, StatFs, Whence};

/// Unit in which room is told, in bytes.
const UNIT: u64 = 4096;
/// Room an object takes at least, in bytes: how the number of possible objects is estimated.
const LEAST_OBJECT: u64 = 256;

impl Fs {
    /// fallocate(2): 0, KEEP_SIZE, PUNCH_HOLE | KEEP_SIZE, ZERO_RANGE; other modes are EOPNOTSUPP. A zeroed range is a hole.
    /// As changes never go in place, nothing can be allocated ahead: mode 0 makes sure there is room now, and extends.
    pub fn fallocate(
        &self,
        node: NodeId,
        mode: i32,
        offset: u64,
        len: u64,
        kill_suidgid: bool,
    ) -> Result<()> {
        let end = offset.checked_add(len).filter(|&end| end <= FILE_MAX);
        let end = end.ok_or_else(|| Kind::FileTooBig.because("beyond the largest file"))?;
        let (keep, punch) = (libc::FALLOC_FL_KEEP_SIZE, libc::FALLOC_FL_PUNCH_HOLE);
        let zero = libc::FALLOC_FL_ZERO_RANGE;
        let known = [0, keep, punch | keep, zero, zero | keep].contains(&mode);
        if len == 0 {
            return Err(Kind::Invalid.because("an empty range"));
        }
        if !known {
            return Err(Kind::NotSupported.because("a mode of fallocate that is not supported"));
        }
        let _names = self.shared();
        let file = self.file(node)?;
        let _held = write(&file.busy);
        let (at, mut inode) = (self.resolve_writable(&file)?.at, file.inode());
        match mode & !keep {
            0 => check_mutable(&inode)?,
            _ => check_unguarded(&inode)?,
        }
        let (mut change, view) = (self.change(), self.store.snapshot());
        if mode & (punch | zero) != 0 {
            data::punch(&view, &mut change.batch, &at, &mut inode, (offset, end))?;
        } else {
            let missing = blocks_of(end).saturating_sub(inode.blocks);
            let missing = missing.min(blocks_of(len) + 1).saturating_mul(BLOCK_BYTES);
            if missing > self.store.space().available {
                return Err(Kind::NoSpace.because("no room for so many bytes"));
            }
        }
        if mode & keep == 0 && end > inode.size {
            data::resize(&view, &mut change.batch, &at, &mut inode, end)?;
        }
        kill_caps(&mut change, &at, &mut inode);
        if kill_suidgid {
            inode.kill_set_id();
        }
        (inode.mtime, inode.ctime) = (change.now, change.now);
        change.record(&file, &at, inode);
        change.commit()
    }

    /// The first data, or hole, at or after `offset`; the end of the file is a hole. ENXIO if there is none.
    pub fn lseek(&self, node: NodeId, offset: u64, whence: Whence) -> Result<u64> {
        let _names = self.shared();
        let file = self.file(node)?;
        let _held = read(&file.busy);
        let (at, inode) = (self.resolve(&file)?.at, file.inode());
        if offset >= inode.size {
            return Err(Kind::NoData.because("beyond the end of the file"));
        }
        let view = self.store.snapshot();
        let found = data::seek(&view, &at, &inode, offset, whence == Whence::Data)?;
        match (found, whence) {
            (Some(found), _) => Ok(found.min(inode.size)),
            (None, Whence::Hole) => Ok(inode.size),
            (None, Whence::Data) => Err(Kind::NoData.because("only a hole follows")),
        }
    }

    /// Room in the file system.
    pub fn statfs(&self) -> StatFs {
        let space = self.store.space();
        let free = space.total.saturating_sub(space.used);
        StatFs {
            block_bytes: UNIT as u32,
            blocks: space.total / UNIT,
            free: free / UNIT,
            available: space.available.min(free) / UNIT,
            files: space.total / LEAST_OBJECT,
            files_free: free / LEAST_OBJECT,
            name_max: NAME_MAX as u32,
        }
    }
}
