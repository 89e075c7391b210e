//! Operations on one node: attributes, content, extended attributes.

use super::{Reply, Server, convert, errno};
use crate::connection::Answer;
use crate::init::Agreed;
use crate::wire::{Op, reply};
use bytes::Bytes;
use cawfs_fs::{AccessTimes, Caller, FileHandle, NodeId, SetAttr, Whence, WriteFlags, XattrMode};

/// Answers of OPEN.
mod fopen {
    pub const DIRECT_IO: u32 = 1;
    pub const KEEP_CACHE: u32 = 1 << 1;
    pub const PARALLEL_DIRECT_WRITES: u32 = 1 << 6;
}

/// Most bytes copied by one old-style COPY_FILE_RANGE, whose reply has 32 bits.
const COPY_MAX: u64 = 1 << 30;

/// Files opened only for writing bypass the page cache: large writes are several times faster
/// and no page is read for a small one. So do all where every reading is to renew the access time, as what the
/// cache answers is not told. If the kernel then forbids to map such a file shared, they do not.
pub fn open_flags(agreed: Agreed, access: AccessTimes, flags: u32) -> u32 {
    let write_only = flags as i32 & libc::O_ACCMODE == libc::O_WRONLY;
    if (write_only || access == AccessTimes::Always) && agreed.direct_mmap() {
        fopen::KEEP_CACHE | fopen::DIRECT_IO | fopen::PARALLEL_DIRECT_WRITES
    } else {
        fopen::KEEP_CACHE
    }
}

impl Server {
    pub(super) fn file(&self, caller: Caller, node: NodeId, op: &Op<'_>) -> Reply {
        let fs = &self.fs;
        match *op {
            Op::GetAttr => {
                let attr = fs.getattr(node).map_err(errno)?;
                Ok(Answer::Reply(reply::attr(
                    self.valid(node),
                    &convert::attr(&attr),
                )))
            }
            Op::Statx => {
                let attr = fs.getattr(node).map_err(errno)?;
                Ok(Answer::Reply(reply::statx(
                    self.valid(node),
                    &convert::attr(&attr),
                )))
            }
            Op::SetAttr(ref change) => {
                let attr = fs
                    .setattr(&caller, node, &convert::change(change))
                    .map_err(errno)?;
                Ok(Answer::Reply(reply::attr(
                    reply::FOREVER,
                    &convert::attr(&attr),
                )))
            }
            Op::Open { flags } => {
                let handle = fs.open(node, flags as i32).map_err(errno)?;
                Ok(Answer::Reply(reply::open(
                    handle.0,
                    open_flags(self.fixed.agreed, self.fs.access_times(), flags),
                )))
            }
            Op::Create {
                name,
                flags,
                mode,
                umask,
            } => {
                let caller = Caller { umask, ..caller };
                let made = fs
                    .create(&caller, node, name, mode, flags as i32)
                    .map_err(errno)?;
                Ok(self.created(made, flags))
            }
            Op::TmpFile { flags, mode, umask } => {
                let caller = Caller { umask, ..caller };
                let made = fs
                    .tmpfile(&caller, node, mode, flags as i32)
                    .map_err(errno)?;
                Ok(self.created(made, flags))
            }
            Op::Release { fh } => {
                fs.release(node, FileHandle(fh));
                Ok(Answer::DONE)
            }
            Op::SetXattr { .. } | Op::GetXattr { .. } | Op::ListXattr { .. } => {
                self.xattr(&caller, node, op)
            }
            Op::RemoveXattr { name } => fs
                .removexattr(&caller, node, name)
                .map(|()| Answer::DONE)
                .map_err(errno),
            _ => self.content(&caller, node, op),
        }
    }

    /// How long the kernel may believe attributes, in seconds. Those of a staged clone change with the
    /// rename that gives it its place.
    fn valid(&self, node: NodeId) -> u64 {
        if self.fs.is_cacheable(node) {
            reply::FOREVER
        } else {
            0
        }
    }

    fn created(&self, made: (cawfs_fs::Entry, FileHandle), flags: u32) -> Answer {
        let (entry, handle) = made;
        let attr = convert::attr(&entry.attr);
        Answer::Reply(reply::create(
            entry.node.0,
            &attr,
            handle.0,
            open_flags(self.fixed.agreed, self.fs.access_times(), flags),
        ))
    }

    /// Writes what came with a request.
    pub(super) fn write(&self, node: NodeId, op: &Op<'_>, data: Bytes) -> Reply {
        let Op::Write {
            offset,
            flags,
            from_cache,
            kill_suidgid,
            ..
        } = *op
        else {
            return Err(libc::ENOSYS);
        };
        // What comes from the page cache has its place already.
        let append = !from_cache && flags as i32 & libc::O_APPEND != 0;
        let flags = WriteFlags {
            append,
            kill_suidgid,
        };
        let written = self.fs.write_bytes(node, offset, data, flags);
        Ok(Answer::Reply(reply::count(written.map_err(errno)?)))
    }

    fn content(&self, caller: &Caller, node: NodeId, op: &Op<'_>) -> Reply {
        let fs = &self.fs;
        match *op {
            Op::Read {
                offset,
                size,
                flags,
                ..
            } => {
                let pieces = match flags as i32 & libc::O_NOATIME {
                    0 => fs.read_pieces(node, offset, size),
                    _ => fs.peek_pieces(node, offset, size),
                };
                Ok(Answer::Pieces(pieces.map_err(errno)?))
            }
            Op::Fsync { .. } => self.sync(|fs| fs.fsync(node)),
            Op::SyncFs => self.sync(cawfs_fs::Fs::sync_all),
            Op::Fallocate {
                offset,
                length,
                mode,
                ..
            } => {
                fs.fallocate(node, mode as i32, offset, length, !caller.is_root())
                    .map_err(errno)?;
                Ok(Answer::DONE)
            }
            Op::Lseek { offset, whence, .. } => {
                let whence = match whence as i32 {
                    libc::SEEK_DATA => Whence::Data,
                    libc::SEEK_HOLE => Whence::Hole,
                    _ => return Err(libc::EINVAL),
                };
                Ok(Answer::Reply(reply::wide(
                    fs.lseek(node, offset, whence).map_err(errno)?,
                )))
            }
            Op::Copy {
                from,
                to_node,
                to,
                length,
                wide,
                ..
            } => {
                let length = if wide { length } else { length.min(COPY_MAX) };
                let target = NodeId(to_node);
                let n = fs
                    .copy_file_range(node, from, target, to, length, !caller.is_root())
                    .map_err(errno)?;
                let narrow = || reply::count(u32::try_from(n).unwrap_or(u32::MAX));
                Ok(Answer::Reply(if wide { reply::wide(n) } else { narrow() }))
            }
            _ => Err(libc::ENOSYS),
        }
    }

    /// A new access list takes the set-group-id bit from a file of a group that is not the caller's.
    fn kill_sgid(&self, node: NodeId) -> Result<(), i32> {
        let mode = u32::from(self.fs.getattr(node).map_err(errno)?.perm);
        if mode & libc::S_ISGID == 0 {
            return Ok(());
        }
        let change = SetAttr {
            mode: Some(mode & !libc::S_ISGID),
            ..SetAttr::default()
        };
        self.fs
            .setattr(&Caller::ROOT, node, &change)
            .map(drop)
            .map_err(errno)
    }

    fn xattr(&self, caller: &Caller, node: NodeId, op: &Op<'_>) -> Reply {
        let (bytes, size) = match *op {
            Op::SetXattr {
                name,
                value,
                flags,
                kill_sgid,
            } => {
                let mode = match flags as i32 {
                    0 => XattrMode::Any,
                    libc::XATTR_CREATE => XattrMode::Create,
                    libc::XATTR_REPLACE => XattrMode::Replace,
                    f if f == libc::XATTR_CREATE | libc::XATTR_REPLACE => XattrMode::Neither,
                    _ => return Err(libc::EINVAL),
                };
                self.fs
                    .setxattr(caller, node, name, value, mode)
                    .map_err(errno)?;
                // The kernel says so with every list; only an access list changes the mode.
                if kill_sgid && name == b"system.posix_acl_access" {
                    self.kill_sgid(node)?;
                }
                return Ok(Answer::DONE);
            }
            Op::GetXattr { name, size } => (self.fs.getxattr(node, name).map_err(errno)?, size),
            Op::ListXattr { size } => {
                (self.fs.listxattr(caller, node).map_err(errno)?.into(), size)
            }
            _ => return Err(libc::ENOSYS),
        };
        match size as usize {
            0 => Ok(Answer::Reply(reply::count(bytes.len() as u32))),
            room if room < bytes.len() => Err(libc::ERANGE),
            _ => Ok(Answer::Data(bytes)),
        }
    }
}
