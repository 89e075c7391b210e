//! The operations, as the front ends call them (bodies move into `ops/`).
#![allow(unused_variables)]
use crate::*;
use bytes::Bytes;
use cawdb::Store;

/// How a new volume begins.
#[derive(Debug, Clone)]
pub struct FormatOptions {
    /// Owner of the root directory.
    pub uid: u32,
    /// Group of the root directory.
    pub gid: u32,
    /// Permission bits of the root directory.
    pub mode: u32,
}

/// How a volume is mounted.
pub struct MountOptions {
    /// Refuse every change.
    pub read_only: bool,
    /// Keep access times (relative: at most one step behind a change, or a day).
    pub atime: bool,
    /// The present.
    pub clock: Box<dyn Fn() -> Time + Send + Sync>,
    /// Seed of what is chosen by chance: inode shifts, staging tokens.
    pub seed: u64,
}

/// A mounted volume. Operations may be called from many threads at once.
pub struct Fs {}

impl Fs {
    /// Makes an empty file system in an empty store. EEXIST if there is one.
    pub fn format(store: &Store, options: &FormatOptions) -> Result<()> {
        unimplemented!()
    }
    /// Opens the file system of a store and sweeps orphans and staged clones of an earlier life.
    pub fn mount(store: Store, options: MountOptions) -> Result<Self> {
        unimplemented!()
    }

    // --- names
    /// Finds a name; one more reference to the node.
    pub fn lookup(&self, caller: &Caller, parent: NodeId, name: &[u8]) -> Result<Entry> {
        unimplemented!()
    }
    /// Gives back `count` references of lookup, create, mknod, mkdir, symlink, link, tmpfile and readdirplus.
    pub fn forget(&self, node: NodeId, count: u64) {
        unimplemented!()
    }
    /// Makes a regular file, pipe, socket or device. `mode` carries the kind (S_IFMT).
    pub fn mknod(
        &self,
        caller: &Caller,
        parent: NodeId,
        name: &[u8],
        mode: u32,
        rdev: u32,
    ) -> Result<Entry> {
        unimplemented!()
    }
    /// Makes a directory.
    pub fn mkdir(&self, caller: &Caller, parent: NodeId, name: &[u8], mode: u32) -> Result<Entry> {
        unimplemented!()
    }
    /// Makes a symbolic link.
    pub fn symlink(
        &self,
        caller: &Caller,
        parent: NodeId,
        name: &[u8],
        target: &[u8],
    ) -> Result<Entry> {
        unimplemented!()
    }
    /// Makes and opens a regular file (flags of open(2); EEXIST if the name is taken).
    pub fn create(
        &self,
        caller: &Caller,
        parent: NodeId,
        name: &[u8],
        mode: u32,
        flags: i32,
    ) -> Result<(Entry, FileHandle)> {
        unimplemented!()
    }
    /// Makes and opens a regular file without a name.
    pub fn tmpfile(
        &self,
        caller: &Caller,
        parent: NodeId,
        mode: u32,
        flags: i32,
    ) -> Result<(Entry, FileHandle)> {
        unimplemented!()
    }
    /// Names a file made by [`Fs::tmpfile`]; EPERM for others: there are no hard links yet.
    pub fn link(
        &self,
        caller: &Caller,
        node: NodeId,
        parent: NodeId,
        name: &[u8],
    ) -> Result<Entry> {
        unimplemented!()
    }
    /// Removes a name that is not a directory; the object lives on while it is open.
    pub fn unlink(&self, caller: &Caller, parent: NodeId, name: &[u8]) -> Result<()> {
        unimplemented!()
    }
    /// Removes an empty directory.
    pub fn rmdir(&self, caller: &Caller, parent: NodeId, name: &[u8]) -> Result<()> {
        unimplemented!()
    }
    /// Renames; O(height) for trees. Also completes staged clones (see [`protocol`]).
    pub fn rename(
        &self,
        caller: &Caller,
        parent: NodeId,
        name: &[u8],
        new_parent: NodeId,
        new_name: &[u8],
        mode: RenameMode,
    ) -> Result<()> {
        unimplemented!()
    }

    // --- attributes
    /// Attributes of a node.
    pub fn getattr(&self, node: NodeId) -> Result<Attr> {
        unimplemented!()
    }
    /// Changes attributes; returns the new ones.
    pub fn setattr(&self, caller: &Caller, node: NodeId, change: &SetAttr) -> Result<Attr> {
        unimplemented!()
    }
    /// Target of a symbolic link.
    pub fn readlink(&self, node: NodeId) -> Result<Bytes> {
        unimplemented!()
    }
    /// Sets an extended attribute.
    pub fn setxattr(
        &self,
        caller: &Caller,
        node: NodeId,
        name: &[u8],
        value: &[u8],
        mode: XattrMode,
    ) -> Result<()> {
        unimplemented!()
    }
    /// Value of an extended attribute (ENODATA if there is none).
    pub fn getxattr(&self, node: NodeId, name: &[u8]) -> Result<Bytes> {
        unimplemented!()
    }
    /// Names of all extended attributes, each followed by a NUL.
    pub fn listxattr(&self, node: NodeId) -> Result<Vec<u8>> {
        unimplemented!()
    }
    /// Removes an extended attribute.
    pub fn removexattr(&self, caller: &Caller, node: NodeId, name: &[u8]) -> Result<()> {
        unimplemented!()
    }

    // --- files
    /// Opens a file (flags of open(2), O_TRUNC truncates here; `kill_suidgid` as the kernel asks with O_TRUNC).
    pub fn open(
        &self,
        caller: &Caller,
        node: NodeId,
        flags: i32,
        kill_suidgid: bool,
    ) -> Result<FileHandle> {
        unimplemented!()
    }
    /// Closes what `open`, `create` or `tmpfile` opened.
    pub fn release(&self, node: NodeId, handle: FileHandle) {
        unimplemented!()
    }
    /// Reads at most `len` bytes; fewer only at the end of the file.
    pub fn read(&self, node: NodeId, offset: u64, len: u32) -> Result<Bytes> {
        unimplemented!()
    }
    /// Writes all of `data`; returns its length.
    pub fn write(&self, node: NodeId, offset: u64, data: &[u8], flags: WriteFlags) -> Result<u32> {
        unimplemented!()
    }
    /// fallocate(2) with its mode bits.
    pub fn fallocate(
        &self,
        node: NodeId,
        mode: i32,
        offset: u64,
        len: u64,
        kill_suidgid: bool,
    ) -> Result<()> {
        unimplemented!()
    }
    /// Next data or hole at or after `offset`.
    pub fn lseek(&self, node: NodeId, offset: u64, whence: Whence) -> Result<u64> {
        unimplemented!()
    }
    /// Copies within the file system; returns how much (short answers are allowed).
    pub fn copy_file_range(
        &self,
        source: NodeId,
        source_offset: u64,
        target: NodeId,
        target_offset: u64,
        len: u64,
    ) -> Result<u64> {
        unimplemented!()
    }
    /// Makes the file and what is needed to find it durable.
    pub fn fsync(&self, node: NodeId) -> Result<()> {
        unimplemented!()
    }
    /// Makes everything durable, access times included.
    pub fn sync_all(&self) -> Result<()> {
        unimplemented!()
    }

    // --- directories
    /// Opens a directory and remembers its present content.
    pub fn opendir(&self, node: NodeId) -> Result<DirHandle> {
        unimplemented!()
    }
    /// Lists from the cookie `from` (0: from the start, renewed) until `accept` says false; an entry not accepted is listed again.
    pub fn readdir(
        &self,
        handle: DirHandle,
        from: u64,
        accept: &mut dyn FnMut(DirEntry) -> bool,
    ) -> Result<()> {
        unimplemented!()
    }
    /// Like `readdir`, with node and attributes ([`DirEntry::entry`]).
    pub fn readdirplus(
        &self,
        handle: DirHandle,
        from: u64,
        accept: &mut dyn FnMut(DirEntry) -> bool,
    ) -> Result<()> {
        unimplemented!()
    }
    /// Closes a directory.
    pub fn releasedir(&self, handle: DirHandle) {
        unimplemented!()
    }

    // --- clones and trees
    /// Clones a file or tree to a name, atomically. Library face of the protocol in [`protocol`].
    pub fn clone_tree(
        &self,
        caller: &Caller,
        source: NodeId,
        parent: NodeId,
        name: &[u8],
        replace: bool,
    ) -> Result<Vec<Invalidation>> {
        unimplemented!()
    }
    /// Removes a name and everything below it, in O(height).
    pub fn remove_tree(
        &self,
        caller: &Caller,
        parent: NodeId,
        name: &[u8],
    ) -> Result<Vec<Invalidation>> {
        unimplemented!()
    }
    /// The nodes at or below `source` that are open for writing: the kernel may hold dirty pages of them, to be laundered (INVAL_INODE) before a clone.
    pub fn writable_handles_below(&self, source: NodeId) -> Vec<NodeId> {
        unimplemented!()
    }
    /// All ioctls of [`protocol`] (decode, do, encode); ENOTTY for others. `handle` is that of the open file, none for a directory.
    pub fn ioctl(
        &self,
        caller: &Caller,
        node: NodeId,
        handle: Option<FileHandle>,
        command: u32,
        input: &[u8],
    ) -> Result<IoctlReply> {
        unimplemented!()
    }

    // --- the whole
    /// Room.
    pub fn statfs(&self) -> StatFs {
        unimplemented!()
    }
    /// The store below.
    pub fn store(&self) -> &Store {
        unimplemented!()
    }
}
