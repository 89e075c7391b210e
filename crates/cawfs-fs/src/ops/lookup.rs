//! Names to nodes, and giving nodes back.

use crate::counters::add;
use crate::errno::{Kind, Result};
use crate::fs::{Fs, check_name};
use crate::locks::{lock, read};
use crate::protocol::parse_stage_name;
use crate::table::{Count, Place, pin_child};
use crate::types::{Attr, Caller, Entry, FileType, NodeId};
use bytes::Bytes;

impl Fs {
    /// Finds a name of a directory. The caller holds one more reference to the node. `.` and `..` work too.
    /// O(1) for a name that is held already, else one read of the store.
    pub fn lookup(&self, caller: &Caller, parent: NodeId, name: &[u8]) -> Result<Entry> {
        add(&self.counters.lookups, 1);
        let _names = self.shared();
        let dir = self.dir(parent)?;
        if name == b"." || name == b".." {
            return self.lookup_dots(parent, name);
        }
        let name = check_name(name)?;
        let _held = read(&dir.busy);
        let at = self.resolve(&dir)?.at;
        if let Some((token, index)) = parse_stage_name(&name)
            && let Some(entry) = self.lookup_staged(caller, token, index)?
        {
            return Ok(entry);
        }
        if let Some(pin) = pin_child(&self.table, parent, &name) {
            return Ok(self.entry(&pin));
        }
        match self.child(&dir, &at, &name)? {
            Some(pin) => Ok(self.entry(&pin)),
            None => Err(Kind::NotFound.because("no such name")),
        }
    }

    fn lookup_dots(&self, dir: NodeId, name: &[u8]) -> Result<Entry> {
        let place = lock(&self.table).place(dir);
        let target = match place {
            Some(Place::Child(parent, _)) if name == b".." => parent,
            _ => dir,
        };
        let pin = self.node(target)?;
        Ok(self.entry(&pin))
    }

    /// Gives back `count` references of lookup, create, mknod, mkdir, symlink, link, tmpfile and readdirplus.
    pub fn forget(&self, node: NodeId, count: u64) {
        if let Ok(pin) = self.node(node) {
            lock(&self.table).uncount(node, Count::Lookup, count);
            self.last_chance(&pin);
        }
        self.bury_quietly();
    }

    /// Attributes of a node.
    pub fn getattr(&self, node: NodeId) -> Result<Attr> {
        let _names = self.shared();
        Ok(self.attr(&*self.node(node)?))
    }

    /// Whether name and attributes of a node may be cached for ever (see [`Entry::cacheable`]).
    pub fn is_cacheable(&self, node: NodeId) -> bool {
        lock(&self.table).place(node) != Some(Place::Staged)
    }

    /// The names that lead from the root to a node; ENOENT if it was removed. O(depth).
    pub fn path(&self, node: NodeId) -> Result<Vec<Bytes>> {
        let _names = self.shared();
        lock(&self.table).names(node)
    }

    /// Target of a symbolic link.
    pub fn readlink(&self, node: NodeId) -> Result<Bytes> {
        let node = self.node(node)?;
        if node.kind != FileType::Symlink {
            return Err(Kind::Invalid.because("not a symbolic link"));
        }
        self.accessed(&node);
        let target = lock(&node.inode).target.clone();
        Ok(target)
    }

    /// Deletes dead orphans; what fails now is swept at the next mount.
    pub(crate) fn bury_quietly(&self) {
        if let Err(error) = self.bury() {
            tracing::warn!(%error, "an orphan stays until the next mount");
        }
    }
}
