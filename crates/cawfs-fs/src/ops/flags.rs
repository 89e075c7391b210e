//! Reading and setting the flags of chattr(1), and finding what is guarded in a tree; see [`crate::guards`].
//!
//! A tree goes at once, but not past a guard: whoever removes or replaces one at once gets what removing it piece by piece
//! would have come to. Where no directory is marked, that costs nothing; else a look at the entries of the marked ones.

use crate::change::Change;
use crate::errno::{Kind, Result};
use crate::fs::Fs;
use crate::guards::{GUARDS, check_unguarded};
use crate::links::Record;
use crate::locks::lock;
use crate::schema::{Location, META};
use crate::table::{Node, Place};
use crate::types::{Caller, FileFlags, FileType, NodeId};
use cawdb::{KeyRange, Snapshot};
use std::sync::Arc;

impl Fs {
    /// The flags of chattr(1). ENOTTY for all but files and directories.
    pub fn flags(&self, node: NodeId) -> Result<FileFlags> {
        let _names = self.shared();
        Ok(lock(&self.flagged(node)?.inode).file_flags())
    }

    /// Sets them all. Allowed to the owner and to root; guards come and go by root only, and what is immutable takes no other
    /// change of flags before. All names of a file share them. O(depth).
    pub fn set_flags(&self, caller: &Caller, node: NodeId, flags: FileFlags) -> Result<()> {
        let _names = self.exclusive();
        self.check_writable()?;
        let node = self.flagged(node)?;
        let _kept = self.keep_content(&node);
        let mut inode = node.inode();
        let old = inode.file_flags();
        let guards = |f: FileFlags| (f.immutable, f.append_only);
        let root_only = guards(old) != guards(flags);
        let at = self.resolve_writable(&node)?.at;
        if !caller.is_root() && (root_only || caller.uid != self.shown(&node).uid) {
            return Err(Kind::NotPermitted.because("no right to set these flags"));
        }
        if old.immutable && flags.immutable && old != flags {
            return Err(Kind::NotPermitted.because("it is immutable"));
        }
        let mut change = self.change();
        inode.set_file_flags(flags, node.ino);
        inode.ctime = change.now;
        let guarded = inode.is_guarded();
        change.record(&node, &at, inode);
        let place = lock(&self.table).place(node.id);
        if let (true, Some(Place::Child(parent, _))) = (guarded, place) {
            self.mark_guarded(&mut change, &*self.node(parent)?)?;
        }
        change.commit()
    }

    /// Marks a directory and those above it: something below them may be guarded. O(depth).
    pub(crate) fn mark_guarded(&self, change: &mut Change<'_>, dir: &Arc<Node>) -> Result<()> {
        let above = lock(&self.table).above(dir.id);
        let above = above.into_iter().map(|(dir, _)| dir);
        for dir in std::iter::once(dir.clone()).chain(above) {
            let mut inode = change.inode(&dir);
            if !inode.has(GUARDS) {
                inode.flags |= GUARDS;
                let at = self.resolve(&dir)?.at;
                change.record(&dir, &at, inode);
            }
        }
        Ok(())
    }

    fn flagged(&self, node: NodeId) -> Result<crate::table::Pin<'_>> {
        let node = self.node(node)?;
        match node.kind {
            FileType::Regular | FileType::Directory => Ok(node),
            _ => Err(Kind::UnknownIoctl.because("only files and directories have flags")),
        }
    }

    /// EPERM if something below a directory, kept at `at`, is guarded, or a file above it of which it holds a name. The
    /// namespace must be held exclusively.
    pub(crate) fn check_tree_unguarded(
        &self,
        view: &Snapshot,
        top: &Node,
        at: &Location,
    ) -> Result<()> {
        if !top.is_dir() {
            return Ok(());
        }
        self.check_crossings_unguarded(view, top, at)?;
        let mut dirs = Vec::new();
        if lock(&top.inode).has(GUARDS) {
            dirs.push((at.clone(), top.shifts));
        }
        while let Some((dir, shifts)) = dirs.pop() {
            for prefix in [dir.entries(), dir.bodies(META)] {
                let of_entry = prefix == dir.entries();
                for item in view.scan(KeyRange::prefix(prefix.clone())) {
                    let (key, value) = item?;
                    let name = key.slice(prefix.len()..);
                    // Extended attributes follow their record.
                    if name.contains(&0) && of_entry || name.len() != 16 && !of_entry {
                        continue;
                    }
                    let Record::Own(inode) = Record::decode(&value)? else {
                        continue;
                    };
                    if inode.is_guarded_as(inode.shown(shifts)) {
                        check_unguarded(&inode)?;
                    }
                    if inode.is_dir() && inode.has(GUARDS) {
                        dirs.push((dir.child(name), shifts.wrapping_add(inode.shift)));
                    }
                }
            }
        }
        Ok(())
    }
}
