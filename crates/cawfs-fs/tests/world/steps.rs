//! Steps on names, files and attributes.

use super::tree::{Body, Id};
use super::{ME, World};
use cawfs_fs::{NodeId, RenameMode, SetAttr, Whence, WriteFlags, XattrMode};
use std::collections::BTreeMap;

impl World {
    pub fn make(&mut self) {
        let (dir, name, kind) = (self.dir(), self.name(), self.rng.u8(..3));
        let parent = self.node(dir);
        let body = match kind {
            0 => Body::File(Vec::new()),
            1 => Body::Dir(BTreeMap::new()),
            _ => Body::Link(b"some/where".to_vec()),
        };
        let mode = if kind == 2 { 0o777 } else { 0o4751 };
        let made = self.model.make(dir, &name, body, mode);
        let real = match kind {
            0 => self
                .fs()
                .create(&ME, parent, &name, mode, libc::O_RDWR)
                .map(|(entry, handle)| {
                    self.fs().release(entry.node, handle);
                    entry
                }),
            1 => self.fs().mkdir(&ME, parent, &name, mode),
            _ => self.fs().symlink(&ME, parent, &name, b"some/where"),
        };
        if let Ok(entry) = &real {
            self.held.push(entry.node);
        }
        self.agree(real, made.map(|_| ()));
    }
    /// A file: named, or open without a name.
    pub fn file(&mut self) -> Option<(Id, NodeId)> {
        if !self.opened.is_empty() && self.rng.u8(..3) == 0 {
            let (id, node, _) = self.opened[self.rng.usize(..self.opened.len())];
            return Some((id, node));
        }
        let id = self.pick(|m, id| m.is_file(id))?;
        Some((id, self.node(id)))
    }
    pub fn write(&mut self) {
        let Some((id, node)) = self.file() else {
            return;
        };
        let (offset, data, append) = (self.offset(), self.fill(), self.rng.u8(..5) == 0);
        let bytes = self.model.bytes(id);
        let start = if append { bytes.len() } else { offset as usize };
        bytes.resize(bytes.len().max(start + data.len()), 0);
        bytes[start..start + data.len()].copy_from_slice(&data);
        let flags = WriteFlags {
            append,
            kill_suidgid: false,
        };
        assert_eq!(
            self.fs().write(node, offset, &data, flags).unwrap() as usize,
            data.len()
        );
    }
    pub fn truncate(&mut self) {
        let Some((id, node)) = self.file() else {
            return;
        };
        let size = self.offset();
        self.model.bytes(id).resize(size as usize, 0);
        let change = SetAttr {
            size: Some(size),
            ..SetAttr::default()
        };
        assert_eq!(self.fs().setattr(&ME, node, &change).unwrap().size, size);
    }
    pub fn punch(&mut self) {
        let Some((id, node)) = self.file() else {
            return;
        };
        let (offset, len) = (self.offset(), self.offset() + 1);
        let keep = self.rng.bool();
        let mode = match (self.rng.u8(..3), keep) {
            (0, true) => libc::FALLOC_FL_KEEP_SIZE,
            (0, false) => 0,
            (1, true) => libc::FALLOC_FL_ZERO_RANGE | libc::FALLOC_FL_KEEP_SIZE,
            (1, false) => libc::FALLOC_FL_ZERO_RANGE,
            _ => libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE,
        };
        let bytes = self.model.bytes(id);
        if mode & libc::FALLOC_FL_KEEP_SIZE == 0 {
            bytes.resize(bytes.len().max((offset + len) as usize), 0);
        }
        if mode & (libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_ZERO_RANGE) != 0 {
            let (start, end) = (offset as usize, ((offset + len) as usize).min(bytes.len()));
            if start < end {
                bytes[start..end].fill(0);
            }
        }
        self.fs().fallocate(node, mode, offset, len, false).unwrap();
    }
    pub fn copy_range(&mut self) {
        let (Some(from), Some(to)) = (self.file(), self.file()) else {
            return;
        };
        let source = self.offset();
        let target = if self.rng.u8(..3) > 0 {
            source
        } else {
            self.offset()
        };
        let len = if self.rng.bool() {
            1 << 40
        } else {
            self.offset()
        };
        let bytes = self.model.bytes(from.0).clone();
        let len = len.min((bytes.len() as u64).saturating_sub(source));
        let overlap = from.0 == to.0 && source < target + len && target < source + len;
        let real = self
            .fs()
            .copy_file_range(from.1, source, to.1, target, len, false);
        if overlap {
            return self.agree(real, Err(libc::EINVAL));
        }
        assert_eq!(real.unwrap(), len);
        if len > 0 {
            let out = self.model.bytes(to.0);
            out.resize(out.len().max((target + len) as usize), 0);
            out[target as usize..][..len as usize]
                .copy_from_slice(&bytes[source as usize..][..len as usize]);
        }
    }
    pub fn seek(&mut self) {
        let Some((id, node)) = self.file() else {
            return;
        };
        let offset = self.offset();
        let data = self
            .fs()
            .lseek(node, offset, Whence::Data)
            .map_err(|e| e.errno());
        let hole = self
            .fs()
            .lseek(node, offset, Whence::Hole)
            .map_err(|e| e.errno());
        let bytes = self.model.bytes(id);
        if offset >= bytes.len() as u64 {
            assert_eq!((data, hole), (Err(libc::ENXIO), Err(libc::ENXIO)));
            return;
        }
        let end = data.unwrap_or(bytes.len() as u64);
        assert!(
            bytes[offset as usize..end as usize].iter().all(|&b| b == 0),
            "a hole of data"
        );
        let hole = hole.unwrap();
        assert!(hole <= bytes.len() as u64 && (data == Ok(offset)) == (hole > offset));
    }
    pub fn unlink(&mut self) {
        let dir = self.dir();
        let (name, parent, kind) = (self.entry(dir), self.node(dir), self.rng.u8(..6));
        match kind {
            0..3 => self.agree(
                self.fs().unlink(&ME, parent, &name),
                self.model.clone().unlink(dir, &name),
            ),
            3..5 => self.agree(
                self.fs().rmdir(&ME, parent, &name),
                self.model.clone().rmdir(dir, &name),
            ),
            _ => {
                self.agree(
                    self.fs().remove_tree(&ME, parent, &name),
                    self.model.clone().remove_tree(dir, &name),
                );
            }
        }
        let _ = match kind {
            0..3 => self.model.unlink(dir, &name),
            3..5 => self.model.rmdir(dir, &name),
            _ => self.model.remove_tree(dir, &name),
        };
    }
    pub fn rename(&mut self) {
        let (from, to) = (self.dir(), self.dir());
        let (name, mode) = (self.entry(from), self.rng.u8(..3));
        let new = if self.rng.bool() {
            self.entry(to)
        } else {
            self.name()
        };
        let (a, b) = (self.node(from), self.node(to));
        let real = [
            RenameMode::Replace,
            RenameMode::NoReplace,
            RenameMode::Exchange,
        ][mode as usize];
        let expected = self.model.rename(from, &name, to, &new, mode);
        self.agree(self.fs().rename(&ME, a, &name, b, &new, real), expected);
    }
    pub fn xattr(&mut self) {
        let Some(id) = self.pick(|_, _| true) else {
            return;
        };
        let node = self.node(id);
        let name = self
            .rng
            .choice([&b"user.a"[..], b"user.ab", b"trusted.x"])
            .unwrap();
        let xattrs = &mut self.model.objects.get_mut(&id).unwrap().xattrs;
        if self.rng.u8(..3) == 0 {
            let expected = xattrs.remove(name).map(|_| ()).ok_or(libc::ENODATA);
            self.agree(self.fs().removexattr(&ME, node, name), expected);
            return;
        }
        let value = vec![self.rng.u8(..); self.rng.usize(..20_000)];
        let mode = self
            .rng
            .choice([XattrMode::Any, XattrMode::Create, XattrMode::Replace])
            .unwrap();
        let expected = match (mode, xattrs.contains_key(name)) {
            (XattrMode::Create, true) => Err(libc::EEXIST),
            (XattrMode::Replace, false) => Err(libc::ENODATA),
            _ => Ok(()),
        };
        if expected.is_ok() {
            xattrs.insert(name.to_vec(), value.clone());
        }
        self.agree(self.fs().setxattr(&ME, node, name, &value, mode), expected);
    }
    pub fn chmod(&mut self) {
        let Some(id) = self.pick(|m, id| !matches!(m.objects[&id].body, Body::Link(_))) else {
            return;
        };
        let (node, mode) = (self.node(id), self.rng.u32(..0o10000));
        self.model.objects.get_mut(&id).unwrap().mode = mode;
        let change = SetAttr {
            mode: Some(mode),
            ..SetAttr::default()
        };
        self.fs().setattr(&ME, node, &change).unwrap();
    }
}
