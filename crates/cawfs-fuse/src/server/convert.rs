//! The file system's words and the protocol's, one into the other.

use crate::wire::{self, reply};
use cawfs_fs::{Attr, FileType, SetAttr, SetTime, StatFs, Time};

/// The type bits of a mode.
pub fn kind(kind: FileType) -> u32 {
    match kind {
        FileType::Regular => libc::S_IFREG,
        FileType::Directory => libc::S_IFDIR,
        FileType::Symlink => libc::S_IFLNK,
        FileType::Fifo => libc::S_IFIFO,
        FileType::Socket => libc::S_IFSOCK,
        FileType::CharDevice => libc::S_IFCHR,
        FileType::BlockDevice => libc::S_IFBLK,
    }
}

fn time(t: Time) -> reply::Time {
    reply::Time {
        seconds: t.secs,
        nanos: t.nanos,
    }
}

/// Attributes for a reply.
pub fn attr(a: &Attr) -> reply::Attr {
    reply::Attr {
        ino: a.ino,
        size: a.size,
        blocks: a.blocks,
        atime: time(a.atime),
        mtime: time(a.mtime),
        ctime: time(a.ctime),
        btime: time(a.btime),
        mode: kind(a.kind) | u32::from(a.perm),
        nlink: a.nlink,
        uid: a.uid,
        gid: a.gid,
        rdev: a.rdev,
        blksize: a.blksize,
    }
}

/// Sizes for a reply.
pub fn statfs(s: StatFs) -> reply::StatFs {
    reply::StatFs {
        blocks: s.blocks,
        free: s.free,
        available: s.available,
        files: s.files,
        files_free: s.files_free,
        block: s.block_bytes,
        name_max: s.name_max,
    }
}

/// A change of attributes from a request.
pub fn change(s: &wire::SetAttr) -> SetAttr {
    use wire::SetAttr as Bit;
    let has = |bit| s.valid & bit != 0;
    let time = |bit, now, secs, nanos| match (has(now), has(bit)) {
        (true, _) => Some(SetTime::Now),
        (_, true) => Some(SetTime::At(Time { secs, nanos })),
        _ => None,
    };
    SetAttr {
        mode: has(Bit::MODE).then_some(s.mode),
        uid: has(Bit::UID).then_some(s.uid),
        gid: has(Bit::GID).then_some(s.gid),
        size: has(Bit::SIZE).then_some(s.size),
        atime: time(Bit::ATIME, Bit::ATIME_NOW, s.atime, s.atime_ns),
        mtime: time(Bit::MTIME, Bit::MTIME_NOW, s.mtime, s.mtime_ns),
        ctime: has(Bit::CTIME).then_some(Time {
            secs: s.ctime,
            nanos: s.ctime_ns,
        }),
        kill_suidgid: has(Bit::KILL_SUIDGID),
    }
}
