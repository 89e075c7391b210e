//! The operations and how their arguments lie in a request.

use super::cursor::Cursor;

/// The arguments of SETATTR. A field counts only if its bit is set in `valid`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SetAttr {
    /// Which fields count, see the constants of this type.
    pub valid: u32,
    /// Open file through which it is asked.
    pub fh: u64,
    /// New size in bytes.
    pub size: u64,
    /// New access time, seconds since 1970.
    pub atime: i64,
    /// New modification time, seconds since 1970.
    pub mtime: i64,
    /// New change time, seconds since 1970.
    pub ctime: i64,
    /// Nanoseconds of `atime`.
    pub atime_ns: u32,
    /// Nanoseconds of `mtime`.
    pub mtime_ns: u32,
    /// Nanoseconds of `ctime`.
    pub ctime_ns: u32,
    /// New type and permission bits.
    pub mode: u32,
    /// New owner.
    pub uid: u32,
    /// New group.
    pub gid: u32,
}

/// The bits of the fields of the same names.
impl SetAttr {
    pub const MODE: u32 = 1;
    pub const UID: u32 = 1 << 1;
    pub const GID: u32 = 1 << 2;
    pub const SIZE: u32 = 1 << 3;
    pub const ATIME: u32 = 1 << 4;
    pub const MTIME: u32 = 1 << 5;
    pub const ATIME_NOW: u32 = 1 << 7;
    pub const MTIME_NOW: u32 = 1 << 8;
    pub const CTIME: u32 = 1 << 10;
    pub const KILL_SUIDGID: u32 = 1 << 11;
}

/// An operation with its arguments, which are those of the system call of the same name. `fh` is the
/// number that OPEN, CREATE or OPENDIR answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Op<'a> {
    Lookup {
        name: &'a [u8],
    },
    Forget {
        count: u64,
    },
    BatchForget {
        list: Vec<(u64, u64)>,
    },
    GetAttr,
    SetAttr(SetAttr),
    ReadLink,
    Symlink {
        name: &'a [u8],
        target: &'a [u8],
    },
    MkNod {
        name: &'a [u8],
        mode: u32,
        rdev: u32,
        umask: u32,
    },
    MkDir {
        name: &'a [u8],
        mode: u32,
        umask: u32,
    },
    Unlink {
        name: &'a [u8],
    },
    RmDir {
        name: &'a [u8],
    },
    Rename {
        name: &'a [u8],
        new_parent: u64,
        new_name: &'a [u8],
        flags: u32,
    },
    Link {
        node: u64,
        new_name: &'a [u8],
    },
    Open {
        flags: u32,
    },
    Read {
        fh: u64,
        offset: u64,
        size: u32,
        flags: u32,
    },
    Write {
        fh: u64,
        offset: u64,
        data: &'a [u8],
        flags: u32,
        from_cache: bool,
        kill_suidgid: bool,
    },
    StatFs,
    Release {
        fh: u64,
    },
    Fsync {
        fh: u64,
        data_only: bool,
    },
    SetXattr {
        name: &'a [u8],
        value: &'a [u8],
        flags: u32,
        kill_sgid: bool,
    },
    GetXattr {
        name: &'a [u8],
        size: u32,
    },
    ListXattr {
        size: u32,
    },
    RemoveXattr {
        name: &'a [u8],
    },
    OpenDir {
        flags: u32,
    },
    ReadDir {
        fh: u64,
        offset: u64,
        size: u32,
        plus: bool,
    },
    ReleaseDir {
        fh: u64,
    },
    FsyncDir,
    Create {
        name: &'a [u8],
        flags: u32,
        mode: u32,
        umask: u32,
    },
    TmpFile {
        flags: u32,
        mode: u32,
        umask: u32,
    },
    Interrupt,
    Destroy,
    Ioctl {
        fh: u64,
        command: u32,
        argument: u64,
        data: &'a [u8],
        out_size: u32,
        directory: bool,
    },
    Fallocate {
        fh: u64,
        offset: u64,
        length: u64,
        mode: u32,
    },
    Lseek {
        fh: u64,
        offset: u64,
        whence: u32,
    },
    Copy {
        fh: u64,
        from: u64,
        to_node: u64,
        to_fh: u64,
        to: u64,
        length: u64,
        wide: bool,
    },
    SyncFs,
    Statx,
    /// Not known, or left to the kernel: answered with ENOSYS.
    Unknown,
}

/// FUSE_IOCTL_DIR: the descriptor of the ioctl is a directory.
const IOCTL_DIR: u32 = 1 << 4;
const SETXATTR_KILL_SGID: u32 = 1;
const WRITE_CACHE: u32 = 1;
const KILL_SUIDGID: u32 = 1 << 2;

impl<'a> Op<'a> {
    /// Decodes the part of a request behind its header. `None` if it is cut short.
    pub fn parse(opcode: u32, body: &'a [u8]) -> Option<Self> {
        let c = &mut Cursor::new(body);
        Some(match opcode {
            1 => Self::Lookup { name: c.name()? },
            2 => Self::Forget { count: c.u64()? },
            3 => Self::GetAttr,
            4 => Self::SetAttr(set_attr(c)?),
            5 => Self::ReadLink,
            6 => Self::Symlink {
                name: c.name()?,
                target: c.name()?,
            },
            8..=13 | 45 => return names(opcode, c),
            17 => Self::StatFs,
            20 => Self::Fsync {
                fh: c.u64()?,
                data_only: c.u32()? & 1 != 0,
            },
            21..=23 => return xattrs(opcode, c),
            24 => Self::RemoveXattr { name: c.name()? },
            27 => Self::OpenDir { flags: c.u32()? },
            29 => Self::ReleaseDir { fh: c.u64()? },
            30 => Self::FsyncDir,
            36 => Self::Interrupt,
            38 => Self::Destroy,
            42 => Self::BatchForget { list: forgets(c)? },
            50 => Self::SyncFs,
            52 => Self::Statx,
            _ => return data(opcode, c),
        })
    }
}

fn set_attr(c: &mut Cursor<'_>) -> Option<SetAttr> {
    let valid = c.u32()?;
    c.u32()?;
    let (fh, size) = (c.u64()?, c.u64()?);
    c.u64()?;
    let (atime, mtime, ctime) = (c.u64()? as i64, c.u64()? as i64, c.u64()? as i64);
    let (atime_ns, mtime_ns, ctime_ns) = (c.u32()?, c.u32()?, c.u32()?);
    let mode = c.u32()?;
    c.u32()?;
    let (uid, gid) = (c.u32()?, c.u32()?);
    Some(SetAttr {
        valid,
        fh,
        size,
        atime,
        mtime,
        ctime,
        atime_ns,
        mtime_ns,
        ctime_ns,
        mode,
        uid,
        gid,
    })
}

fn names<'a>(opcode: u32, c: &mut Cursor<'a>) -> Option<Op<'a>> {
    Some(match opcode {
        8 => {
            let (mode, rdev, umask, _) = (c.u32()?, c.u32()?, c.u32()?, c.u32()?);
            Op::MkNod {
                name: c.name()?,
                mode,
                rdev,
                umask,
            }
        }
        9 => {
            let (mode, umask) = (c.u32()?, c.u32()?);
            Op::MkDir {
                name: c.name()?,
                mode,
                umask,
            }
        }
        10 => Op::Unlink { name: c.name()? },
        11 => Op::RmDir { name: c.name()? },
        13 => Op::Link {
            node: c.u64()?,
            new_name: c.name()?,
        },
        _ => {
            let new_parent = c.u64()?;
            let flags = if opcode == 45 {
                (c.u32()?, c.u32()?).0
            } else {
                0
            };
            Op::Rename {
                name: c.name()?,
                new_parent,
                new_name: c.name()?,
                flags,
            }
        }
    })
}

fn xattrs<'a>(opcode: u32, c: &mut Cursor<'a>) -> Option<Op<'a>> {
    let (size, flags) = (c.u32()?, c.u32()?);
    Some(match opcode {
        21 => {
            let (bits, _) = (c.u32()?, c.u32()?);
            let (name, kill_sgid) = (c.name()?, bits & SETXATTR_KILL_SGID != 0);
            let value = c.take(size as usize)?;
            Op::SetXattr {
                name,
                value,
                flags,
                kill_sgid,
            }
        }
        22 => Op::GetXattr {
            name: c.name()?,
            size,
        },
        _ => Op::ListXattr { size },
    })
}

fn forgets(c: &mut Cursor<'_>) -> Option<Vec<(u64, u64)>> {
    let (count, _) = (c.u32()?, c.u32()?);
    (0..count).map(|_| Some((c.u64()?, c.u64()?))).collect()
}

fn data<'a>(opcode: u32, c: &mut Cursor<'a>) -> Option<Op<'a>> {
    Some(match opcode {
        14 => Op::Open { flags: c.u32()? },
        15 | 28 | 44 => {
            let (fh, offset, size) = (c.u64()?, c.u64()?, c.u32()?);
            match opcode {
                15 => {
                    let (_bits, _owner, flags) = (c.u32()?, c.u64()?, c.u32()?);
                    Op::Read {
                        fh,
                        offset,
                        size,
                        flags,
                    }
                }
                _ => Op::ReadDir {
                    fh,
                    offset,
                    size,
                    plus: opcode == 44,
                },
            }
        }
        16 => {
            let (fh, offset, size, bits) = (c.u64()?, c.u64()?, c.u32()?, c.u32()?);
            let (_owner, flags, _) = (c.u64()?, c.u32()?, c.u32()?);
            let (from_cache, kill_suidgid) = (bits & WRITE_CACHE != 0, bits & KILL_SUIDGID != 0);
            Op::Write {
                fh,
                offset,
                data: c.take(size as usize)?,
                flags,
                from_cache,
                kill_suidgid,
            }
        }
        18 => Op::Release { fh: c.u64()? },
        35 | 51 => {
            let (flags, mode, umask, _) = (c.u32()?, c.u32()?, c.u32()?, c.u32()?);
            match opcode {
                35 => Op::Create {
                    name: c.name()?,
                    flags,
                    mode,
                    umask,
                },
                _ => Op::TmpFile { flags, mode, umask },
            }
        }
        _ => return ranges(opcode, c),
    })
}

fn ranges<'a>(opcode: u32, c: &mut Cursor<'a>) -> Option<Op<'a>> {
    Some(match opcode {
        39 => {
            let (fh, flags, command, argument) = (c.u64()?, c.u32()?, c.u32()?, c.u64()?);
            let (in_size, out_size) = (c.u32()?, c.u32()?);
            let (data, directory) = (c.take(in_size as usize)?, flags & IOCTL_DIR != 0);
            Op::Ioctl {
                fh,
                command,
                argument,
                data,
                out_size,
                directory,
            }
        }
        43 => {
            let (fh, offset, length) = (c.u64()?, c.u64()?, c.u64()?);
            Op::Fallocate {
                fh,
                offset,
                length,
                mode: c.u32()?,
            }
        }
        46 => Op::Lseek {
            fh: c.u64()?,
            offset: c.u64()?,
            whence: c.u32()?,
        },
        47 | 53 => {
            let (fh, from, to_node) = (c.u64()?, c.u64()?, c.u64()?);
            let (to_fh, to, length) = (c.u64()?, c.u64()?, c.u64()?);
            Op::Copy {
                fh,
                from,
                to_node,
                to_fh,
                to,
                length,
                wide: opcode == 53,
            }
        }
        _ => Op::Unknown,
    })
}
