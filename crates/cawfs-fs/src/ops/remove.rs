//! Removing names, and whole trees.

use crate::acl::{ACCESS, Acl};
#[cfg(feature = "interleave")]
use crate::broken;
use crate::change::Change;
use crate::content;
use crate::counters::add;
use crate::errno::{Kind, Result};
use crate::fs::{Fs, check_name};
use crate::guards::check_removal;
use crate::inode::{HAS_ACL, HAS_CAPS, HAS_DEFAULT_ACL, HAS_XATTRS};
use crate::locks::{lock, rises, write};
use crate::maps::Ids;
use crate::schema::Location;
use crate::table::{Node, Pin, Place, Resolved};
use crate::types::{Caller, Invalidation, NodeId};
use bytes::Bytes;
use cawdb::Snapshot;
use std::sync::Arc;

/// Rights to write and to search.
const CHANGE: u16 = 3;

/// Where nodes go once the change that removes their names is committed.
pub(crate) type Moves = Vec<(NodeId, Place)>;

impl Fs {
    /// Removes a name that is not a directory; the object lives on while it is open.
    pub fn unlink(&self, _caller: &Caller, parent: NodeId, name: &[u8]) -> Result<()> {
        let name = check_name(name)?;
        let _names = self.shared();
        self.check_writable()?;
        let dir = self.dir(parent)?;
        let _held = write(&dir.busy);
        let at = self.resolve_writable(&dir)?.at;
        let file = self.existing(&dir, &at, &name)?;
        check_removal(&dir.inode(), &file.inode())?;
        if file.is_dir() {
            return Err(Kind::IsDirectory.because("a directory"));
        }
        let _held_file = write(&file.busy);
        #[cfg(feature = "interleave")]
        let _held_file = broken::without(broken::Fault::FileNotHeld, _held_file);
        let (mut change, view) = (self.change(), self.store.snapshot());
        let home = at.child(name);
        let mut moves = self.displace(&mut change, &view, &file, &home)?;
        let kept = self.kept(&file);
        content::erase(&mut change.batch, &home, &kept);
        if let Some(linked) = self.linked(&file)? {
            let (file, dir) = ((&*file, &linked), (&**dir, &home));
            self.unmake_body(&mut change, &view, file, dir, &mut moves)?;
        }
        change.touch(&dir, &at, 0)?;
        change.commit()?;
        add(&self.counters.removes, 1);
        self.settle(moves);
        Ok(())
    }

    /// Removes an empty directory.
    pub fn rmdir(&self, _caller: &Caller, parent: NodeId, name: &[u8]) -> Result<()> {
        let name = check_name(name)?;
        let _names = self.shared();
        self.check_writable()?;
        let dir = self.dir(parent)?;
        let at = self.resolve_writable(&dir)?.at;
        // Two directories are locked by rising node id, so the child must be known before it is sure.
        let child = {
            let _held = write(&dir.busy);
            self.existing(&dir, &at, &name)?
        };
        check_removal(&dir.inode(), &child.inode())?;
        if !child.is_dir() {
            return Err(Kind::NotDirectory.because("not a directory"));
        }
        let (low, high) = if rises(dir.id, child.id) {
            (&dir, &child)
        } else {
            (&child, &dir)
        };
        let _held = (write(&low.busy), write(&high.busy));
        if lock(&self.table).place(child.id) != Some(Place::Child(parent, name.clone())) {
            return Err(Kind::NotFound.because("the name went meanwhile"));
        }
        let (view, home) = (self.store.snapshot(), at.child(name));
        if !content::is_empty(&view, &home)? {
            return Err(Kind::NotEmpty.because("the directory has entries"));
        }
        let mut change = self.change();
        // Nothing is below it.
        let place = self.displace_one(&mut change, &view, &child, &home)?;
        let moves = vec![(child.id, place)];
        content::erase_alone(&mut change.batch, &home, &child.inode());
        change.touch(&dir, &at, -1)?;
        change.commit()?;
        add(&self.counters.removes, 1);
        self.settle(moves);
        Ok(())
    }

    /// Removes a name and everything below it, in O(height). Allowed to root, and to the owner of the tree's root who may
    /// remove it from its parent; EPERM if something in it is guarded (see [`crate::FileFlags`]). Files open below live on.
    pub fn remove_tree(
        &self,
        caller: &Caller,
        parent: NodeId,
        name: &[u8],
    ) -> Result<Vec<Invalidation>> {
        let name = check_name(name)?;
        let names = self.exclusive();
        #[cfg(feature = "interleave")]
        let names = broken::without(broken::Fault::NamespaceNotHeld, names);
        self.check_writable()?;
        let dir = self.dir(parent)?;
        let Resolved { at, zone, .. } = self.resolve_writable(&dir)?;
        let top = self.existing(&dir, &at, &name)?;
        self.may_remove(caller, (&dir, &at, &zone.ids), &top)?;
        let (mut change, view) = (self.change(), self.store.snapshot());
        let home = at.child(name.clone());
        check_removal(&dir.inode(), &top.inode())?;
        self.check_tree_unguarded(&view, &top, &home)?;
        // Who holds a directory below goes on from there, past the name that is removed.
        let held = self.held_below(&view, &top, &home)?;
        let moves = self.displace(&mut change, &view, &top, &home)?;
        content::erase(&mut change.batch, &home, &self.kept(&top));
        change.touch(&dir, &at, -i64::from(top.is_dir()))?;
        // The kernel removed nothing itself, so it must hear which objects have fewer links.
        let node = top.id;
        let mut stale = vec![Invalidation::Removed { parent, name, node }];
        stale.extend(change.nodes().map(Invalidation::Attributes));
        change.commit()?;
        add(&self.counters.trees_removed, 1);
        self.settle(moves);
        drop((top, dir, names));
        stale.extend(held.expire(&view));
        Ok(stale)
    }

    /// The object of a name that must exist.
    pub(crate) fn existing(&self, dir: &Node, at: &Location, name: &Bytes) -> Result<Pin<'_>> {
        self.child(dir, at, name)?
            .ok_or_else(|| Kind::NotFound.because("no such name"))
    }

    /// Takes an object, kept at `home`, out of the namespace: open files (it, or below it) move to the orphan area, unless they
    /// have names elsewhere. Record and content at `home` are the caller's to erase or replace; the moves take effect by [`Fs::settle`].
    pub(crate) fn displace(
        &self,
        change: &mut Change<'_>,
        view: &Snapshot,
        top: &Arc<Node>,
        home: &Location,
    ) -> Result<Moves> {
        let mut moves = Vec::new();
        let open = match top.is_dir() {
            true => lock(&self.table).open_below(top.id),
            false => Vec::new(),
        };
        for id in open.into_iter().filter(|&id| id != top.id) {
            // Closing waits for nobody: it may be closed and forgotten by now, and goes with the tree then.
            let Ok(node) = self.node(id) else { continue };
            let at = self.resolve(&node)?.at;
            moves.push((id, self.displace_one(change, view, &node, &at)?));
        }
        if top.is_dir() {
            moves.extend(self.take_names_below(change, view, top, home)?);
        }
        let place = match self.linked(top)? {
            Some(linked) => self.take_name(change, view, top, &linked, home)?,
            None => Some(self.displace_one(change, view, top, home)?),
        };
        moves.extend(place.map(|place| (top.id, place)));
        Ok(moves)
    }

    pub(crate) fn displace_one(
        &self,
        change: &mut Change<'_>,
        view: &Snapshot,
        node: &Arc<Node>,
        at: &Location,
    ) -> Result<Place> {
        let mut inode = node.inode();
        let open = !node.is_dir() && lock(&self.table).opens(node.id) > 0;
        if open {
            let orphanage = Location::orphan(self.volume, node.id.0);
            content::carry(view, &mut change.batch, (at, &inode), (&orphanage, None))?;
            self.leave_zone(change, view, node, (at, &mut inode), &orphanage)?;
            (inode.links, inode.ctime, inode.number) = (0, change.now, node.ino);
            change.record(node, &orphanage, inode);
            return Ok(Place::Orphan);
        }
        // Attributes go with their keys.
        inode.flags &= !(HAS_XATTRS | HAS_CAPS | HAS_ACL | HAS_DEFAULT_ACL);
        (inode.links, inode.ctime) = (0, change.now);
        if !node.is_dir() {
            let ids = lock(&self.table).ids(node.id);
            (inode.uid, inode.gid) = (ids.user(inode.uid), ids.group(inode.gid));
        }
        change.remember(node, inode);
        Ok(Place::Gone)
    }

    /// Carries out the moves of a committed change.
    pub(crate) fn settle(&self, moves: Moves) {
        let mut table = lock(&self.table);
        for (id, place) in moves {
            table.put(id, place);
        }
        drop(table);
        // What was closed since it was planned to live on, below a removed tree, has nobody else to bury it.
        self.bury_quietly();
    }

    /// The rights that the kernel would check for each step, checked for the whole.
    fn may_remove(
        &self,
        caller: &Caller,
        (dir, at, ids): (&Node, &Location, &Ids),
        top: &Node,
    ) -> Result<()> {
        if caller.is_root() {
            return Ok(());
        }
        let (dir, top) = (self.shown(dir), self.shown(top));
        let list = match dir.has(HAS_ACL) && caller.uid != dir.uid {
            true => self.store.get(&at.xattr(ACCESS))?,
            false => None,
        };
        let allowed = match list {
            Some(list) => {
                let list = Acl::decode(&list)?.recode(ids, &Ids::default())?;
                list.allows(caller, dir.gid, CHANGE)
            }
            None if caller.uid == dir.uid => (dir.perm >> 6) & CHANGE == CHANGE,
            None if caller.in_group(dir.gid) => (dir.perm >> 3) & CHANGE == CHANGE,
            None => dir.perm & CHANGE == CHANGE,
        };
        if !allowed {
            return Err(Kind::AccessDenied.because("no right to change the parent directory"));
        }
        if caller.uid != top.uid {
            return Err(Kind::NotPermitted.because("only its owner may remove a tree at once"));
        }
        Ok(())
    }
}
