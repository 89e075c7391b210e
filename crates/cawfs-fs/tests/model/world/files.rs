//! Steps on the content of files.

use super::step::{Allocate, Fill, PickFile};
use super::tree::Id;
use super::{ME, Outcome, World};
use cawfs_fs::{NodeId, SetAttr, Whence, WriteFlags};

impl World {
    /// The file that is meant, if there is any.
    pub fn file(&mut self, file: PickFile) -> Outcome<Option<(Id, NodeId)>> {
        let at = match file {
            PickFile::Open(at) if !self.opened.is_empty() => {
                let (id, node, _) = self.opened[at as usize % self.opened.len()];
                return Ok(Some((id, node)));
            }
            PickFile::Named(at) | PickFile::Open(at) => at,
        };
        let id = self.pick(at, |m, id| m.is_file(id));
        id.map(|id| self.node(id).map(|node| (id, node)))
            .transpose()
    }

    pub fn write(&mut self, file: PickFile, offset: u64, fill: Fill, append: bool) -> Outcome {
        let Some((id, node)) = self.file(file)? else {
            return Ok(());
        };
        let end = self.model.bytes(id).len();
        let start = if append { end } else { offset as usize };
        let (data, name) = (fill.bytes(), self.text(id));
        let Fill { tag, len } = fill;
        self.say(format!("write {len} bytes ({tag}) at {start} of {name}"));
        let expected = self.model.changeable(id).and_then(|()| match append {
            true => self.model.mutable(id),
            false => self.model.unguarded(id),
        });
        let flags = WriteFlags {
            append,
            kill_suidgid: false,
        };
        if expected.is_err() {
            let real = self.fs().write(node, offset, &data, flags);
            return self.agree(real, expected).map(|_| ());
        }
        let bytes = self.model.bytes_mut(id);
        bytes.resize(end.max(start + data.len()), 0);
        bytes[start..start + data.len()].copy_from_slice(&data);
        if !self.model.parents.contains_key(&id) {
            self.count("writes_without_a_name");
        }
        let real = self.fs().write(node, offset, &data, flags);
        let written = self.agree(real, expected)?;
        assert!(written.is_none_or(|written| written == len), "written");
        Ok(())
    }

    pub fn truncate(&mut self, file: PickFile, size: u64) -> Outcome {
        let Some((id, node)) = self.file(file)? else {
            return Ok(());
        };
        self.say(format!("truncate {} to {size}", self.text(id)));
        let expected = self.model.changeable(id).and(self.model.unguarded(id));
        if expected.is_ok() {
            self.model.bytes_mut(id).resize(size as usize, 0);
        }
        let change = SetAttr {
            size: Some(size),
            ..SetAttr::default()
        };
        let real = self.fs().setattr(&ME, node, &change);
        let attr = self.agree(real, expected)?;
        assert!(attr.is_none_or(|attr| attr.size == size), "truncated");
        Ok(())
    }

    pub fn allocate(
        &mut self,
        file: PickFile,
        (what, keep): (Allocate, bool),
        (offset, len): (u64, u64),
    ) -> Outcome {
        let Some((id, node)) = self.file(file)? else {
            return Ok(());
        };
        let name = self.text(id);
        let size = if keep { ", size stays" } else { "" };
        self.say(format!("{what:?} {len} bytes at {offset} of {name}{size}"));
        let kept = if keep { libc::FALLOC_FL_KEEP_SIZE } else { 0 };
        let mode = match what {
            Allocate::Reserve => kept,
            Allocate::Zero => libc::FALLOC_FL_ZERO_RANGE | kept,
            Allocate::Punch => libc::FALLOC_FL_PUNCH_HOLE | kept,
        };
        let expected = self.model.changeable(id).and_then(|()| match what {
            Allocate::Reserve => self.model.mutable(id),
            _ => self.model.unguarded(id),
        });
        if expected.is_err() {
            let real = self.fs().fallocate(node, mode, offset, len, false);
            return self.agree(real, expected).map(|_| ());
        }
        let bytes = self.model.bytes_mut(id);
        if !keep {
            bytes.resize(bytes.len().max((offset + len) as usize), 0);
        }
        let (start, end) = (offset as usize, ((offset + len) as usize).min(bytes.len()));
        if what != Allocate::Reserve && start < end {
            bytes[start..end].fill(0);
        }
        let real = self.fs().fallocate(node, mode, offset, len, false);
        self.agree(real, expected).map(|_| ())
    }

    pub fn copy_range(
        &mut self,
        (from, source): (PickFile, u64),
        (to, target): (PickFile, u64),
        len: u64,
    ) -> Outcome {
        let (Some(from), Some(to)) = (self.file(from)?, self.file(to)?) else {
            return Ok(());
        };
        let (a, b) = (self.text(from.0), self.text(to.0));
        let bytes = self.model.bytes(from.0).clone();
        let len = len.min((bytes.len() as u64).saturating_sub(source));
        self.say(format!(
            "copy {len} bytes at {source} of {a} to {target} of {b}"
        ));
        let overlap = from.0 == to.0 && source < target + len && target < source + len;
        let apart = if overlap { Err(libc::EINVAL) } else { Ok(()) };
        let guarded = self.model.unguarded(to.0).and(apart);
        let expected = self.model.changeable(to.0).and(guarded);
        if expected.is_ok() && len > 0 {
            let out = self.model.bytes_mut(to.0);
            out.resize(out.len().max((target + len) as usize), 0);
            out[target as usize..][..len as usize]
                .copy_from_slice(&bytes[source as usize..][..len as usize]);
        }
        let fs = self.fs();
        let real = fs.copy_file_range(from.1, source, to.1, target, len, false);
        let copied = self.agree(real, expected)?;
        assert!(
            copied.is_none_or(|copied| copied == len),
            "{copied:?} copied"
        );
        Ok(())
    }

    pub fn seek(&mut self, file: PickFile, offset: u64) -> Outcome {
        let Some((id, node)) = self.file(file)? else {
            return Ok(());
        };
        self.say(format!("seek at {offset} of {}", self.text(id)));
        let bytes = self.model.bytes(id).clone();
        let seek = |whence| match self.fs().lseek(node, offset, whence) {
            Err(error) if error.errno() == libc::ENXIO => Ok(None),
            other => self.must(other).map(Some),
        };
        let (data, hole) = (seek(Whence::Data)?, seek(Whence::Hole)?);
        if offset >= bytes.len() as u64 {
            assert_eq!((data, hole), (None, None), "beyond the end");
            return Ok(());
        }
        let end = data.unwrap_or(bytes.len() as u64);
        let skipped = &bytes[offset as usize..end as usize];
        assert!(skipped.iter().all(|&b| b == 0), "a hole of data");
        let hole = hole.expect("every file ends with a hole");
        assert!(hole <= bytes.len() as u64 && (data == Some(offset)) == (hole > offset));
        Ok(())
    }
}
