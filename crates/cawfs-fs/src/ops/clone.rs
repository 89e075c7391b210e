//! Clones. How the kernel's side asks for them is in `stage`.
//!
//! A clone is one batch: the ranges of the source, a new record at the destination, the parent's record, and what becomes of an
//! object that was there. The destination may lie inside the source: the batch clones the state before it.

use crate::change::Change;
use crate::content;
use crate::counters::add;
use crate::depth::Reach;
use crate::errno::{Kind, Result};
use crate::fs::{Fs, check_name};
use crate::guards::{GUARDS, check_mutable, check_removal};
use crate::inherited::Inherited;
use crate::inode::{HAS_XATTRS, Inode, NoSetId, SET_GID};
use crate::locks::lock;
use crate::maps::Ids;
use crate::ops::zones::{drop_hidden, recode};
use crate::schema::Location;
use crate::table::{Node, Pin, Place};
use crate::types::{Caller, CloneOptions, FileType, Invalidation, NodeId};
use bytes::Bytes;
use cawdb::{KeyRange, Snapshot};
use std::sync::Arc;

/// Names of attributes that go along when a user clones another's file.
const USER_SPACE: &[u8] = b"user.";

/// What is cloned.
pub(crate) struct Origin {
    pub(crate) at: Location,
    pub(crate) inode: Inode,
    pub(crate) no_set_id: NoSetId,
    /// What ids are shown as in it.
    pub(crate) ids: Ids,
    /// How far the keys below it reach.
    pub(crate) reach: Reach,
    /// Its node; none for what is staged.
    pub(crate) node: Option<Arc<Node>>,
}

/// Where to, and what of it is decided already.
pub(crate) struct Destination<'a> {
    pub(crate) dir: &'a Pin<'a>,
    pub(crate) name: &'a Bytes,
    /// Number that the clone shows.
    pub(crate) ino: u64,
    /// Whether a directory there goes with all it holds.
    pub(crate) replace: bool,
    /// Whether nothing may be there.
    pub(crate) fresh: bool,
    /// What the clone makes of what is shown at the source.
    pub(crate) inherited: &'a Inherited,
}

impl Fs {
    /// Clones a file or tree to a name, atomically: the library's face of [`crate::protocol`]. `replace` lets it go over
    /// whatever is there; otherwise EEXIST.
    pub fn clone_tree(
        &self,
        caller: &Caller,
        source: NodeId,
        parent: NodeId,
        name: &[u8],
        replace: bool,
    ) -> Result<Vec<Invalidation>> {
        let options = CloneOptions {
            replace,
            ..CloneOptions::default()
        };
        self.clone_tree_with(caller, source, (parent, name), &options)
    }

    /// The same with maps of ids, for root only (EPERM), or as a tree that never changes.
    pub fn clone_tree_with(
        &self,
        caller: &Caller,
        source: NodeId,
        (parent, name): (NodeId, &[u8]),
        options: &CloneOptions,
    ) -> Result<Vec<Invalidation>> {
        let name = check_name(name)?;
        self.check_writable()?;
        let _names = self.exclusive();
        let (node, dir) = (self.node(source)?, self.dir(parent)?);
        let _kept = self.keep_content(&node);
        let origin = self.origin(caller, &node)?;
        let inherited = inherited(caller, &origin, options)?;
        let replace = options.replace;
        let ino = self.clone_number(&origin.inode)?;
        let to = Destination {
            dir: &dir,
            name: &name,
            ino,
            replace,
            fresh: !replace,
            inherited: &inherited,
        };
        self.clone_into(caller, &origin, &to, None)?;
        Ok(vec![
            Invalidation::Entry { parent, name },
            Invalidation::Attributes(parent),
        ])
    }

    /// A fresh number for the root of a clone. A random one for a directory moves the numbers of all below it far from
    /// all others.
    pub(crate) fn clone_number(&self, inode: &Inode) -> Result<u64> {
        if inode.is_dir() {
            Ok((self.random() >> 1) | (1 << 40))
        } else {
            self.new_number()
        }
    }

    /// What a node has to clone, if the caller may.
    pub(crate) fn origin(&self, caller: &Caller, node: &Arc<Node>) -> Result<Origin> {
        let inode = node.inode();
        if inode.is_dir() && !caller.is_root() && self.shown(node).uid != caller.uid {
            return Err(Kind::NotPermitted.because("only its owner may clone a tree"));
        }
        let found = self.resolve(node)?;
        Ok(Origin {
            reach: self.reach(node, &found.at, &inode),
            at: found.at,
            inode,
            no_set_id: found.no_set_id,
            ids: found.zone.ids,
            node: Some(node.clone()),
        })
    }

    /// The clone itself. The namespace must be held exclusively. `staged` becomes the node of the destination.
    pub(crate) fn clone_into(
        &self,
        caller: &Caller,
        origin: &Origin,
        to: &Destination<'_>,
        staged: Option<&Arc<Node>>,
    ) -> Result<()> {
        let at = self.resolve_writable(to.dir)?.at;
        let view = self.store.snapshot();
        let occupant = self.child(to.dir, &at, to.name)?;
        let home = at.child(to.name.clone());
        if let Some(occupant) = &occupant {
            check_occupant(&view, origin, to, occupant, &home)?;
            self.may_replace(caller, &view, to.dir, (occupant, &home))?;
        }
        check_mutable(&to.dir.inode())?;
        let mut change = self.change();
        let moves = match &occupant {
            Some(occupant) => self.displace(&mut change, &view, occupant, &home)?,
            None => Vec::new(),
        };
        let old = occupant.as_ref().map(|occupant| self.kept(occupant));
        let mut inode = self.clone_inode(caller, origin, to, &mut change)?;
        let reach = self.clone_reach(&mut change, &view, origin, &home)?;
        self.admit(&mut change, (&mut inode, reach), (to.dir, &home))?;
        let private = inode.kind != FileType::Directory && !caller.is_root();
        copy_content(
            &view,
            &mut change,
            (origin, private),
            (&home, old.as_ref()),
            &mut inode,
        )?;
        if !inode.is_dir() {
            drop_hidden(&mut change, &mut inode, origin.no_set_id, &home);
            self.clone_owner(
                caller,
                (&view, &mut change),
                origin,
                to,
                (&home, &mut inode),
            )?;
        }
        if let Some(node) = origin.node.as_ref().filter(|node| node.is_dir()) {
            let source = (&**node, &origin.at);
            self.clone_bodies(&mut change, &view, source, (&home, &mut inode))?;
        }
        let links = |dir: bool| i64::from(dir);
        match staged {
            Some(node) => change.record(node, &home, inode.clone()),
            None => {
                change.batch.put(home.record(), inode.encode());
            }
        }
        let gone = occupant.as_ref().is_some_and(|occupant| occupant.is_dir());
        change.touch(to.dir, &at, links(inode.is_dir()) - links(gone))?;
        change.commit()?;
        add(&self.counters.clones, 1);
        self.settle(moves);
        if let Some(node) = staged {
            let mut table = lock(&self.table);
            table.set_no_set_id(node.id, inode.no_set_id);
            table.put(node.id, Place::Child(to.dir.id, to.name.clone()));
        }
        Ok(())
    }

    /// The rights to replace what is there, as those to remove it.
    fn may_replace(
        &self,
        caller: &Caller,
        view: &Snapshot,
        dir: &Node,
        (occupant, home): (&Node, &Location),
    ) -> Result<()> {
        let his = !occupant.is_dir() || caller.is_root() || self.shown(occupant).uid == caller.uid;
        if !his && !content::is_empty(view, home)? {
            return Err(Kind::NotPermitted.because("only its owner may replace a tree"));
        }
        check_removal(&dir.inode(), &occupant.inode())?;
        self.check_tree_unguarded(view, occupant, home)
    }

    fn clone_inode(
        &self,
        caller: &Caller,
        origin: &Origin,
        to: &Destination<'_>,
        change: &mut Change<'_>,
    ) -> Result<Inode> {
        let mut inode = origin.inode.clone();
        (inode.ctime, inode.btime) = (change.now, change.now);
        inode.unguard();
        inode.flags &= !GUARDS;
        if inode.is_dir() {
            inode.shift = to
                .ino
                .wrapping_sub(inode.number)
                .wrapping_sub(to.dir.shifts);
            inode.no_set_id = clone_no_set_id(caller, origin.no_set_id, &origin.ids, inode.kind);
            inode.inherited = Inherited {
                ids: origin
                    .ids
                    .then(&to.inherited.ids)
                    .within(&to.dir.zone.ids)?,
                read_only: to.inherited.read_only,
            };
            return Ok(inode);
        }
        inode.links = 1;
        inode.number = to.ino.wrapping_sub(to.dir.shifts);
        if !caller.is_root() {
            inode.perm &= 0o777 & !(caller.umask as u16);
        }
        Ok(inode)
    }

    /// How far the clone reaches. If that had to be looked for, its source says so from then on.
    fn clone_reach(
        &self,
        change: &mut Change<'_>,
        view: &Snapshot,
        origin: &Origin,
        home: &Location,
    ) -> Result<Reach> {
        let found = self.look(view, (&origin.at, origin.reach), home)?;
        if let Some((found, source)) = found.zip(origin.node.as_ref()) {
            self.found(change, source, found)?;
        }
        Ok(found.unwrap_or(origin.reach))
    }

    /// Gives the clone of a file its owner, at `home`.
    fn clone_owner(
        &self,
        caller: &Caller,
        (view, change): (&Snapshot, &mut Change<'_>),
        origin: &Origin,
        to: &Destination<'_>,
        (home, inode): (&Location, &mut Inode),
    ) -> Result<()> {
        let ids = &to.dir.zone.ids;
        if caller.is_root() {
            let shown = origin.ids.then(&to.inherited.ids);
            return recode(view, change, (&origin.at, inode), home, (&shown, ids));
        }
        let dir = lock(&to.dir.inode);
        inode.uid = ids.stored_user(caller.uid)?;
        inode.gid = match dir.perm & SET_GID != 0 {
            true => dir.gid,
            false => ids.stored_group(caller.gid)?,
        };
        Ok(())
    }
}

/// What a clone is to add to what it inherits, if the caller may ask for it.
pub(crate) fn inherited(
    caller: &Caller,
    origin: &Origin,
    options: &CloneOptions,
) -> Result<Inherited> {
    if !options.ids.is_plain() && !caller.is_root() {
        return Err(Kind::NotPermitted.because("only root may map ids, as with chown"));
    }
    if options.read_only && !origin.inode.is_dir() {
        return Err(Kind::NotDirectory.because("only a tree is cloned read-only"));
    }
    // What a directory shows never changes, so this is the only place where a sum becomes a new one.
    origin.ids.then(&options.ids).check_size()?;
    Ok(Inherited {
        ids: options.ids.clone(),
        read_only: options.read_only,
    })
}

/// What set-id bits are hidden in a clone of a source whose ids are kept by `ids`.
pub(crate) fn clone_no_set_id(
    caller: &Caller,
    source: NoSetId,
    ids: &Ids,
    kind: FileType,
) -> NoSetId {
    match (kind, caller.is_root()) {
        (FileType::Directory, true) => source,
        (FileType::Directory, false) => {
            source.and(NoSetId::Except(caller.uid).recode(&Ids::default(), ids))
        }
        _ => NoSetId::None,
    }
}

fn check_occupant(
    view: &Snapshot,
    origin: &Origin,
    to: &Destination<'_>,
    occupant: &Node,
    home: &Location,
) -> Result<()> {
    if to.fresh {
        return Err(Kind::Exists.because("the destination exists"));
    }
    match (origin.inode.is_dir(), occupant.is_dir()) {
        (true, false) => Err(Kind::NotDirectory.because("the destination is not a directory")),
        (false, true) => Err(Kind::IsDirectory.because("the destination is a directory")),
        (true, true) if !to.replace && !content::is_empty(view, home)? => {
            Err(Kind::NotEmpty.because("the destination has entries"))
        }
        _ => Ok(()),
    }
}

/// Copies content; of extended attributes only the user's own kind, if the clone is `private`.
fn copy_content(
    view: &Snapshot,
    change: &mut Change<'_>,
    (origin, private): (&Origin, bool),
    (home, old): (&Location, Option<&Inode>),
    inode: &mut Inode,
) -> Result<()> {
    let selects = private && origin.inode.has(HAS_XATTRS);
    if selects {
        inode.flags = 0;
    }
    content::copy(view, &mut change.batch, (&origin.at, inode), (home, old))?;
    if selects {
        let prefix = origin.at.xattr(USER_SPACE);
        for item in view.scan(KeyRange::prefix(prefix.clone())) {
            let (key, value) = item?;
            let name = [USER_SPACE, key.get(prefix.len()..).unwrap_or_default()].concat();
            change.batch.put(home.xattr(&name), value);
            inode.flags = HAS_XATTRS;
        }
    }
    Ok(())
}
