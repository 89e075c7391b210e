//! Open files: opening, reading, writing, closing.

use crate::counters::add;
use crate::data;
use crate::errno::{Kind, Result, outdated};
use crate::fs::Fs;
use crate::guards::{check_mutable, check_unguarded};
use crate::inode::Inode;
use crate::locks::{lock, read, write};
use crate::ops::attributes::kill_caps;
use crate::table::Count;
use crate::types::{FILE_MAX, FileHandle, NodeId, WriteFlags};
use bytes::Bytes;

/// EPERM if a guard forbids to write. What is only appended to is written at its end, whenever it was opened.
fn check_writes(inode: &Inode, append: bool) -> Result<()> {
    match append {
        true => check_mutable(inode),
        false => check_unguarded(inode),
    }
}

impl Fs {
    /// Opens a file (flags of open(2)); EPERM if a guard forbids it, ESTALE if it was removed since it was looked up: whoever
    /// opened it by its name looks that up again, and finds what took its place. O_TRUNC is a change of attributes of its own, and left to it.
    pub fn open(&self, node: NodeId, flags: i32) -> Result<FileHandle> {
        add(&self.counters.opens, 1);
        let handle = FileHandle::from_flags(flags);
        let _names = self.shared();
        let file = self.file(node)?;
        if handle.writable() {
            self.check_writable()?;
        }
        let _held = write(&file.busy);
        let found = self.resolve(&file).map_err(outdated)?;
        if handle.writable() {
            found.zone.check_writable()?;
            check_writes(&file.inode(), flags & libc::O_APPEND != 0)?;
        }
        lock(&self.table).count(node, Count::Open(handle.writable()));
        Ok(handle)
    }

    /// Closes what `open`, `create` or `tmpfile` opened.
    pub fn release(&self, node: NodeId, handle: FileHandle) {
        self.close(node, handle.writable());
        self.bury_quietly();
    }

    /// Gives back what [`Count::Open`] counted. The object is held, so that nobody is just about to open it again, to name it or to clone it.
    pub(crate) fn close(&self, node: NodeId, writable: bool) {
        if let Ok(pin) = self.node(node) {
            let held = write(&pin.busy);
            lock(&self.table).uncount(node, Count::Open(writable), 1);
            drop(held);
            self.last_chance(&pin);
        }
    }

    /// Reads at most `len` bytes from `offset` on; fewer only at the end of the file.
    pub fn read(&self, node: NodeId, offset: u64, len: u32) -> Result<Bytes> {
        Ok(data::joined(self.read_pieces(node, offset, len)?))
    }

    /// The same without a copy: pieces that follow each other, as they lie in memory.
    pub fn read_pieces(&self, node: NodeId, offset: u64, len: u32) -> Result<Vec<Bytes>> {
        self.pieces(node, offset, len, true)
    }

    /// The same, but the access time stays as it is (O_NOATIME).
    pub fn peek_pieces(&self, node: NodeId, offset: u64, len: u32) -> Result<Vec<Bytes>> {
        self.pieces(node, offset, len, false)
    }

    fn pieces(&self, node: NodeId, offset: u64, len: u32, noted: bool) -> Result<Vec<Bytes>> {
        let _names = self.shared();
        let file = self.file(node)?;
        let (at, view, inode) = {
            let _held = read(&file.busy);
            (self.resolve(&file)?.at, self.store.snapshot(), file.inode())
        };
        let pieces = data::read(&view, &at, &inode, offset, u64::from(len))?;
        add(&self.counters.reads, 1);
        let bytes: usize = pieces.iter().map(Bytes::len).sum();
        add(&self.counters.read_bytes, bytes as u64);
        if noted {
            self.accessed(&file);
        }
        Ok(pieces)
    }

    /// Writes all of `data`; returns its length. One batch: nobody sees half of it.
    pub fn write(&self, node: NodeId, offset: u64, data: &[u8], flags: WriteFlags) -> Result<u32> {
        self.write_bytes(node, offset, Bytes::copy_from_slice(data), flags)
    }

    /// The same without a copy: what `data` is a part of stays in memory until it is on disk.
    pub fn write_bytes(
        &self,
        node: NodeId,
        offset: u64,
        data: Bytes,
        flags: WriteFlags,
    ) -> Result<u32> {
        let Ok(len) = u32::try_from(data.len()) else {
            return Err(Kind::Invalid.because("a write of more than 4 GiB"));
        };
        if data.is_empty() {
            return Ok(0);
        }
        let _names = self.shared();
        let file = self.file(node)?;
        let _held = write(&file.busy);
        let (at, mut inode) = (self.resolve_writable(&file)?.at, file.inode());
        check_writes(&inode, flags.append)?;
        let offset = if flags.append { inode.size } else { offset };
        if offset
            .checked_add(u64::from(len))
            .is_none_or(|end| end > FILE_MAX)
        {
            return Err(Kind::FileTooBig.because("beyond the largest file"));
        }
        let (mut change, view) = (self.change(), self.store.snapshot());
        data::write(&view, &mut change.batch, &at, &mut inode, offset, &data)?;
        kill_caps(&mut change, &at, &mut inode);
        if flags.kill_suidgid {
            inode.kill_set_id();
        }
        (inode.mtime, inode.ctime) = (change.now, change.now);
        change.record(&file, &at, inode);
        change.commit()?;
        add(&self.counters.writes, 1);
        add(&self.counters.written_bytes, u64::from(len));
        Ok(len)
    }

    /// Makes a file or directory, and what is needed to find it, durable; and so all that was done before.
    pub fn fsync(&self, node: NodeId) -> Result<()> {
        self.node(node)?;
        add(&self.counters.syncs, 1);
        Ok(self.store.sync()?)
    }
}
