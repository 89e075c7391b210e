//! The words in which callers speak to [`Fs`](crate::Fs): node ids, callers, attributes, requests, replies.

use crate::maps::Ids;
use bytes::Bytes;

/// Longest name, in bytes.
pub const NAME_MAX: usize = 255;
/// Longest symbolic link target, in bytes.
pub const TARGET_MAX: usize = 4095;
/// Longest value of an extended attribute, in bytes.
pub const XATTR_VALUE_MAX: usize = 64 * 1024;
/// Unit in which file data is stored, in bytes.
pub const BLOCK_BYTES: u64 = 64 * 1024;
/// Largest file size, in bytes: what a signed offset reaches, in whole blocks.
pub const FILE_MAX: u64 = i64::MAX as u64 / BLOCK_BYTES * BLOCK_BYTES;

/// When reading renews the access time of what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AccessTimes {
    /// Never.
    Never,
    /// When the object was changed since, or a day has passed.
    #[default]
    Relative,
    /// Always.
    Always,
}

/// What chattr(1) sets, of files and directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileFlags {
    /// Nothing about it changes.
    pub immutable: bool,
    /// A file is only appended to, a directory only gets more names.
    pub append_only: bool,
    /// dump(8) is to leave it out.
    pub no_dump: bool,
    /// Reading does not renew the access time.
    pub no_atime: bool,
}

/// Names an object for as long as somebody holds it; given out in rising order, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u64);

impl NodeId {
    /// The root directory of the mounted volume.
    pub const ROOT: Self = Self(1);
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
    /// Supplementary groups, as far as they are known (the kernel rarely tells).
    pub groups: Vec<u32>,
    /// Process, for messages only.
    pub pid: u32,
    /// Bits that new objects do not get. Masking a mode twice does no harm.
    pub umask: u32,
}

impl Caller {
    /// The superuser, with an empty umask.
    pub const ROOT: Self = Self {
        uid: 0,
        gid: 0,
        groups: Vec::new(),
        pid: 0,
        umask: 0,
    };

    /// An ordinary user with the group of the same number.
    pub fn user(id: u32) -> Self {
        Self {
            uid: id,
            gid: id,
            ..Self::ROOT
        }
    }
    /// Whether this is the superuser.
    pub fn is_root(&self) -> bool {
        self.uid == 0
    }
    /// Whether the caller is known to be a member of the group.
    pub fn in_group(&self, gid: u32) -> bool {
        self.gid == gid || self.groups.contains(&gid)
    }
}

/// A point in time: seconds since 1970 (possibly negative) and nanoseconds below 10^9.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Time {
    /// Whole seconds since 1970-01-01 00:00 UTC, rounded down.
    pub secs: i64,
    /// Nanoseconds past `secs`, below 10^9.
    pub nanos: u32,
}

/// What kind of object a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileType {
    /// Regular file.
    Regular,
    /// Directory.
    Directory,
    /// Symbolic link.
    Symlink,
    /// Named pipe.
    Fifo,
    /// Socket.
    Socket,
    /// Character device.
    CharDevice,
    /// Block device.
    BlockDevice,
}

/// What stat(2) tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attr {
    /// Inode number, unique in the mount and stable across renames.
    pub ino: u64,
    /// Kind.
    pub kind: FileType,
    /// Permission bits with set-id and sticky, without the kind.
    pub perm: u16,
    /// Links: 0 for the removed, 2 + subdirectories for directories, else 1.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number as the kernel encodes it (devices only).
    pub rdev: u32,
    /// Size in bytes.
    pub size: u64,
    /// Allocated, in units of 512 bytes.
    pub blocks: u64,
    /// Last access.
    pub atime: Time,
    /// Last change of content.
    pub mtime: Time,
    /// Last change of content or record.
    pub ctime: Time,
    /// Birth.
    pub btime: Time,
    /// Preferred unit of input and output, in bytes.
    pub blksize: u32,
}

/// An object found or made by name. The caller holds one more reference to `node` and gives it back with `forget`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The object.
    pub node: NodeId,
    /// Its attributes.
    pub attr: Attr,
    /// Whether name and attributes may be cached for ever; false (do not cache at all) for staged clones.
    pub cacheable: bool,
}

/// One time in a change of attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetTime {
    /// The server's present.
    Now,
    /// This instant.
    At(Time),
}

/// A change of attributes; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SetAttr {
    /// New permission bits (a kind in higher bits is ignored).
    pub mode: Option<u32>,
    /// New owner.
    pub uid: Option<u32>,
    /// New group.
    pub gid: Option<u32>,
    /// New size: truncate or extend.
    pub size: Option<u64>,
    /// New access time.
    pub atime: Option<SetTime>,
    /// New modification time.
    pub mtime: Option<SetTime>,
    /// New change time (only a kernel that caches writes sends it; otherwise it is the present).
    pub ctime: Option<Time>,
    /// The kernel asks that set-id bits go (truncation by an unprivileged caller).
    pub kill_suidgid: bool,
}

impl SetAttr {
    /// Whether set-id bits go as with a chown(2). The kernel sends a change of nothing for one that keeps both owners, and when
    /// somebody copies into a file.
    pub(crate) fn is_chown(&self) -> bool {
        self.uid.is_some() || self.gid.is_some() || *self == Self::default()
    }
}

/// How a tree or file is cloned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CloneOptions {
    /// It goes over whatever is there; otherwise EEXIST.
    pub replace: bool,
    /// Nothing in it ever changes (trees only).
    pub read_only: bool,
    /// As what the ids that the source shows are shown in it.
    pub ids: Ids,
}

/// How rename treats an existing target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RenameMode {
    /// Replace it.
    #[default]
    Replace,
    /// Refuse with EEXIST.
    NoReplace,
    /// Swap the two.
    Exchange,
}

/// An open file as the caller gets it back with each request: which accesses it was opened for.
/// It has no other state, so handles of two opens may be equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileHandle(pub u64);

impl FileHandle {
    /// Bit: open for reading.
    pub const READ: u64 = 1;
    /// Bit: open for writing.
    pub const WRITE: u64 = 2;
    /// Whether it may read.
    pub fn readable(self) -> bool {
        self.0 & Self::READ != 0
    }
    /// Whether it may write.
    pub fn writable(self) -> bool {
        self.0 & Self::WRITE != 0
    }
    /// The handle for the access mode and flags of open(2).
    pub fn from_flags(flags: i32) -> Self {
        Self(match flags & libc::O_ACCMODE {
            libc::O_RDONLY => Self::READ,
            libc::O_WRONLY => Self::WRITE,
            _ => Self::READ | Self::WRITE,
        })
    }
}

/// Names an open directory. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DirHandle(pub u64);

/// How a write behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WriteFlags {
    /// Write at the end of the file, wherever that is; the offset is ignored.
    pub append: bool,
    /// The kernel asks that set-id bits go (an unprivileged writer).
    pub kill_suidgid: bool,
}

/// One name of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// The name.
    pub name: Bytes,
    /// Inode number.
    pub ino: u64,
    /// Kind.
    pub kind: FileType,
    /// Where to go on after this entry.
    pub next: u64,
    /// Filled by `readdirplus` for objects that still live: node and attributes. The caller holds one more
    /// reference to the node if it accepts the entry. None for `.`, `..`, names removed meanwhile, and what was not
    /// asked for.
    pub entry: Option<Entry>,
}

/// Which names of a listing come with node and attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum With {
    /// All.
    All,
    /// Those of directories.
    Directories,
}

/// What a seek looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whence {
    /// The next data.
    Data,
    /// The next hole (the end of the file is one).
    Hole,
}

/// Room in the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StatFs {
    /// Unit of the next three, in bytes.
    pub block_bytes: u32,
    /// Units in all.
    pub blocks: u64,
    /// Units free.
    pub free: u64,
    /// Units an unprivileged caller may still use.
    pub available: u64,
    /// Objects that may exist (no limit of our own: as many as the free room holds).
    pub files: u64,
    /// Objects that may still be made.
    pub files_free: u64,
    /// Longest name, in bytes.
    pub name_max: u32,
}

/// Something the kernel remembers and that is no longer so. The front end tells the kernel, from a thread that
/// serves no request, and after the operation has returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invalidation {
    /// A name of a directory means something else (or nothing) now.
    Entry {
        /// The directory.
        parent: NodeId,
        /// The name.
        name: Bytes,
    },
    /// A name is gone, and with it all that was below: many names may be known there.
    Removed {
        /// The directory.
        parent: NodeId,
        /// The name.
        name: Bytes,
        /// What it named.
        node: NodeId,
    },
    /// A name in a removed tree, of a directory that somebody may hold and go on from: it is to be asked for again, and goes with the tree.
    Expired {
        /// The directory.
        parent: NodeId,
        /// The name.
        name: Bytes,
    },
    /// Attributes of a node changed; its pages did not.
    Attributes(NodeId),
    /// Attributes and content of a node changed.
    Inode(NodeId),
}

/// Answer to an ioctl.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IoctlReply {
    /// Bytes for the caller.
    pub data: Vec<u8>,
    /// What the front end must tell the kernel.
    pub invalidations: Vec<Invalidation>,
}

/// How xattrs are set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum XattrMode {
    /// Create or replace.
    #[default]
    Any,
    /// Fail if it exists.
    Create,
    /// Fail if it does not exist.
    Replace,
    /// Both were asked for: fail in either case, as other file systems do.
    Neither,
}
