//! What is immutable or only appended to: what that forbids, and the steps that say so.

use super::tree::{Body, Id, Model};
use super::{ME, Outcome, World};
use cawfs_fs::FileFlags;

impl Model {
    /// EPERM for what is immutable.
    pub fn mutable(&self, id: Id) -> Result<(), i32> {
        match self.objects[&id].flags.immutable {
            true => Err(libc::EPERM),
            false => Ok(()),
        }
    }
    /// EPERM for what is guarded.
    pub fn unguarded(&self, id: Id) -> Result<(), i32> {
        match self.objects[&id].flags.append_only {
            true => Err(libc::EPERM),
            false => self.mutable(id),
        }
    }
    pub fn removable(&self, dir: Id, id: Id) -> Result<(), i32> {
        self.unguarded(dir)?;
        self.unguarded(id)
    }
    pub fn removable_tree(&self, dir: Id, id: Id) -> Result<(), i32> {
        self.unguarded(dir)?;
        let mut below = self.objects.keys().filter(|&&at| self.is_below(at, id));
        below.try_for_each(|&at| self.unguarded(at))
    }
}

impl World {
    pub fn guard(&mut self, at: u32, bits: u8) -> Outcome {
        let no_link = |m: &Model, id| !matches!(m.objects[&id].body, Body::Link(_));
        let id = self.pick(at, no_link).unwrap();
        let has = |bit| bits & bit != 0;
        self.set_flags(
            id,
            FileFlags {
                immutable: has(1),
                append_only: has(2),
                no_dump: has(4),
                no_atime: has(8),
            },
        )
    }

    pub fn unguard(&mut self, at: u32) -> Outcome {
        match self.pick(at, |m, id| m.unguarded(id).is_err()) {
            Some(id) => self.set_flags(id, FileFlags::default()),
            None => Ok(()),
        }
    }

    fn set_flags(&mut self, id: Id, flags: FileFlags) -> Outcome {
        self.say(format!("set {flags:?} of {}", self.text(id)));
        let node = self.node(id)?;
        let old = self.model.objects[&id].flags;
        let expected = match old.immutable && flags.immutable && old != flags {
            true => Err(libc::EPERM),
            false => self.model.changeable(id),
        };
        if expected.is_ok() {
            self.model.object(id).flags = flags;
            if self.model.unguarded(id).is_err() {
                self.count("guards_set");
            }
        }
        let real = self.fs().set_flags(&ME, node, flags);
        self.agree(real, expected).map(|_| ())
    }
}
