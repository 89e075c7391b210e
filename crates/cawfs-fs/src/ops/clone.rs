//! Clones: staging, completing, and the library's direct way. The protocol is in `protocol`.
//!
//! A clone is one batch: the ranges of the source, a new record at the destination, the parent's record, and what becomes of an
//! object that was there. The destination may lie inside the source: the batch clones the state before it.

use crate::content;
use crate::counters::add;
use crate::errno::{Kind, Result};
use crate::fs::{Change, Fs, check_name};
use crate::inode::{HAS_XATTRS, Inode, NoSetId, SET_GID};
use crate::locks::lock;
use crate::ops::rename::drop_hidden;
use crate::protocol::{self, CLONE_REPLACE, CLONE_STAGE, REMOVE_TREE};
use crate::schema::Location;
use crate::stages::{Source, Stage, check_count};
use crate::table::{Count, Node, Pin, Place, pin_new};
use crate::types::{
    Caller, Entry, FileHandle, FileType, Invalidation, IoctlReply, NodeId, RenameMode,
};
use bytes::Bytes;
use cawdb::{Batch, KeyRange, Snapshot};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Names of attributes that go along when a user clones another's file.
const USER_SPACE: &[u8] = b"user.";

/// What is cloned.
struct Origin {
    at: Location,
    inode: Inode,
    no_set_id: NoSetId,
}

/// Where to, and what of it is decided already.
struct Destination<'a> {
    dir: &'a Pin<'a>,
    name: &'a Bytes,
    /// Number that the clone shows.
    ino: u64,
    /// Whether a directory there goes with all it holds.
    replace: bool,
    /// Whether nothing may be there.
    fresh: bool,
}

impl Fs {
    /// All ioctls of [`crate::protocol`]: decodes, does, encodes; ENOTTY for others. `handle` is that of the open
    /// file, none for a directory. Before CLONE_STAGE the front end launders [`Fs::writable_handles_below`].
    pub fn ioctl(
        &self,
        caller: &Caller,
        node: NodeId,
        handle: Option<FileHandle>,
        command: u32,
        input: &[u8],
    ) -> Result<IoctlReply> {
        match command {
            CLONE_STAGE => {
                let mut stage = protocol::Stage::decode(input)?;
                if handle.is_some_and(|handle| !handle.readable()) {
                    return Err(Kind::BadHandle.because("not open for reading"));
                }
                stage.token = self.stage_clone(caller, node, stage.count, stage.flags)?;
                Ok(IoctlReply {
                    data: stage.encode().to_vec(),
                    invalidations: Vec::new(),
                })
            }
            REMOVE_TREE => {
                let name = protocol::decode_remove(input)?;
                let invalidations = self.remove_tree(caller, node, name)?;
                Ok(IoctlReply {
                    data: Vec::new(),
                    invalidations,
                })
            }
            _ => Err(Kind::UnknownIoctl.because("not an ioctl of cawfs")),
        }
    }

    /// The nodes at or below `source` that are open for writing: the kernel may hold dirty pages of them, to be laundered
    /// (INVAL_INODE) before a clone. O(open nodes · depth).
    pub fn writable_handles_below(&self, source: NodeId) -> Vec<NodeId> {
        let _names = self.shared();
        lock(&self.table).open_below(source, true)
    }

    /// Stages `count` clones of a file or tree; returns the token of their staged names.
    pub fn stage_clone(
        &self,
        caller: &Caller,
        source: NodeId,
        count: u32,
        flags: u32,
    ) -> Result<u64> {
        self.check_writable()?;
        check_count(count)?;
        if flags & !CLONE_REPLACE != 0 {
            return Err(Kind::Invalid.because("unknown flags"));
        }
        self.expire_stages()?;
        let _names = self.exclusive();
        let node = self.node(source)?;
        let origin = self.origin(caller, &node)?;
        let token = self.random();
        let kept = if count == 1 {
            lock(&self.table).count(source, Count::Open(false));
            Source::Live(source)
        } else {
            let (mut batch, view) = (Batch::new(), self.store.snapshot());
            let shelf = Location::staged(self.volume, token);
            content::copy(
                &view,
                &mut batch,
                (&origin.at, &origin.inode),
                (&shelf, None),
            )?;
            self.commit(batch)?;
            Source::Copy(token)
        };
        let stage = Stage {
            caller: caller.clone(),
            source: kept,
            inode: origin.inode,
            no_set_id: origin.no_set_id,
            count,
            replace: flags & CLONE_REPLACE != 0,
            born: self.now(),
            done: HashSet::new(),
            nodes: HashMap::new(),
        };
        lock(&self.stages).0.insert(token, stage);
        Ok(token)
    }

    /// The node of a staged name, if that is what the name is for this caller. It shows itself as the caller's.
    pub(crate) fn lookup_staged(
        &self,
        caller: &Caller,
        token: u64,
        index: u32,
    ) -> Result<Option<Entry>> {
        let mut stages = lock(&self.stages);
        let Some(stage) = stages.find(caller, token, index) else {
            return Ok(None);
        };
        if let Some(&(id, _)) = stage.nodes.get(&index)
            && let Ok(pin) = self.node(id)
        {
            return Ok(Some(self.entry(&pin)));
        }
        let mut inode = stage.inode.clone();
        (inode.uid, inode.gid) = (stage.caller.uid, stage.caller.gid);
        inode.perm |= 0o700;
        // A second look-up after a forget shows the same number.
        let ino = match stage.nodes.get(&index) {
            Some(&(_, ino)) => ino,
            None => self.clone_number(&inode)?,
        };
        inode.shift = if inode.is_dir() {
            ino.wrapping_sub(inode.number)
        } else {
            0
        };
        inode.no_set_id = clone_no_set_id(&stage.caller, stage.no_set_id, inode.kind);
        let pin = pin_new(&self.table, inode, ino, Place::Staged)?;
        stage.nodes.insert(index, (pin.id, ino));
        Ok(Some(self.entry(&pin)))
    }

    /// Makes a staged clone real under its destination. False if the name is no staged one for this caller.
    pub(crate) fn complete_clone(
        &self,
        caller: &Caller,
        token: u64,
        index: u32,
        (parent, name): (NodeId, &Bytes),
        mode: RenameMode,
    ) -> Result<bool> {
        let _names = self.exclusive();
        let found = lock(&self.stages)
            .find(caller, token, index)
            .map(|stage| stage.clone());
        let Some(stage) = found else { return Ok(false) };
        if mode == RenameMode::Exchange {
            return Err(Kind::Invalid.because("a staged clone cannot be exchanged"));
        }
        let dir = self.dir(parent)?;
        let origin = match stage.source {
            Source::Live(source) => self.origin(&stage.caller, &*self.node(source)?)?,
            Source::Copy(token) => {
                let at = Location::staged(self.volume, token);
                Origin {
                    at,
                    inode: stage.inode.clone(),
                    no_set_id: stage.no_set_id,
                }
            }
        };
        let known = stage.nodes.get(&index).copied();
        let ino = match known {
            Some((_, ino)) => ino,
            None => self.clone_number(&origin.inode)?,
        };
        let fresh = mode == RenameMode::NoReplace;
        let to = Destination {
            dir: &dir,
            name,
            ino,
            replace: stage.replace,
            fresh,
        };
        let node = known.and_then(|(id, _)| self.node(id).ok());
        self.clone_into(&stage.caller, &origin, &to, node.as_deref())?;
        let last = lock(&self.stages).finish(token, index);
        if let Some(stage) = last
            && let Err(error) = self.end_stage(&stage)
        {
            tracing::warn!(%error, "what was staged stays until the next mount");
        }
        Ok(true)
    }

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
        let name = check_name(name)?;
        self.check_writable()?;
        let _names = self.exclusive();
        let (node, dir) = (self.node(source)?, self.dir(parent)?);
        let origin = self.origin(caller, &node)?;
        let ino = self.clone_number(&origin.inode)?;
        let to = Destination {
            dir: &dir,
            name: &name,
            ino,
            replace,
            fresh: !replace,
        };
        self.clone_into(caller, &origin, &to, None)?;
        Ok(vec![
            Invalidation::Entry { parent, name },
            Invalidation::Attributes(parent),
        ])
    }

    /// Drops staged clones that are too old.
    pub(crate) fn expire_stages(&self) -> Result<()> {
        let expired = lock(&self.stages).expired(self.now());
        expired.iter().try_for_each(|stage| self.end_stage(stage))
    }

    /// Lets go of what a stage that was taken out held.
    pub(crate) fn end_stage(&self, stage: &Stage) -> Result<()> {
        match stage.source {
            Source::Live(source) => {
                let pin = self.node(source)?;
                lock(&self.table).uncount(pin.id, Count::Open(false), 1);
                drop(pin);
                self.bury()
            }
            Source::Copy(token) => {
                let mut batch = Batch::new();
                content::erase(
                    &mut batch,
                    &Location::staged(self.volume, token),
                    &stage.inode,
                );
                self.commit(batch)
            }
        }
    }

    /// A fresh number for the root of a clone. A random one for a directory moves the numbers of all below it far from
    /// all others.
    fn clone_number(&self, inode: &Inode) -> Result<u64> {
        if inode.is_dir() {
            Ok((self.random() >> 1) | (1 << 40))
        } else {
            self.new_number()
        }
    }

    /// What a node has to clone, if the caller may.
    fn origin(&self, caller: &Caller, node: &Node) -> Result<Origin> {
        let inode = node.inode();
        if inode.is_dir() && !caller.is_root() && inode.uid != caller.uid {
            return Err(Kind::NotPermitted.because("only its owner may clone a tree"));
        }
        let found = self.resolve(node)?;
        Ok(Origin {
            at: found.at,
            inode,
            no_set_id: found.no_set_id,
        })
    }

    /// The clone itself. The namespace must be held exclusively. `staged` becomes the node of the destination.
    fn clone_into(
        &self,
        caller: &Caller,
        origin: &Origin,
        to: &Destination<'_>,
        staged: Option<&Arc<Node>>,
    ) -> Result<()> {
        let at = self.resolve(to.dir)?.at;
        let view = self.store.snapshot();
        let occupant = self.child(to.dir, &at, to.name)?;
        let home = at.child(to.name.clone());
        if let Some(occupant) = &occupant {
            check_occupant(&view, origin, to, occupant, &home)?;
            if to.replace
                && occupant.is_dir()
                && !caller.is_root()
                && lock(&occupant.inode).uid != caller.uid
                && !content::is_empty(&view, &home)?
            {
                return Err(Kind::NotPermitted.because("only its owner may replace a tree"));
            }
        }
        let mut change = self.change();
        let moves = match &occupant {
            Some(occupant) => self.displace(&mut change, &view, occupant, &home)?,
            None => Vec::new(),
        };
        let old = occupant.as_ref().map(|occupant| occupant.inode());
        let mut inode = self.clone_inode(caller, origin, to, &mut change);
        let private = inode.kind != FileType::Directory && !caller.is_root();
        copy_content(
            &view,
            &mut change,
            (origin, private),
            (&home, old.as_ref()),
            &mut inode,
        )?;
        drop_hidden(&mut change, &mut inode, origin.no_set_id, &home);
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

    fn clone_inode(
        &self,
        caller: &Caller,
        origin: &Origin,
        to: &Destination<'_>,
        change: &mut Change<'_>,
    ) -> Inode {
        let mut inode = origin.inode.clone();
        (inode.ctime, inode.btime) = (change.now, change.now);
        if inode.is_dir() {
            inode.shift = to
                .ino
                .wrapping_sub(inode.number)
                .wrapping_sub(to.dir.shifts);
            inode.no_set_id = clone_no_set_id(caller, origin.no_set_id, inode.kind);
            return inode;
        }
        inode.links = 1;
        inode.number = to.ino.wrapping_sub(to.dir.shifts);
        if !caller.is_root() {
            let dir = lock(&to.dir.inode);
            inode.uid = caller.uid;
            inode.gid = if dir.perm & SET_GID != 0 {
                dir.gid
            } else {
                caller.gid
            };
            inode.perm &= 0o777 & !(caller.umask as u16);
        }
        inode
    }
}

/// What set-id bits are hidden in a clone.
fn clone_no_set_id(caller: &Caller, source: NoSetId, kind: FileType) -> NoSetId {
    match (kind, caller.is_root()) {
        (FileType::Directory, true) => source,
        (FileType::Directory, false) => source.and(NoSetId::Except(caller.uid)),
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
