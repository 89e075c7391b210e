//! Staged clones: the ioctls of `protocol`, staged names, and the rename that makes them real.

#[cfg(feature = "interleave")]
use crate::broken;
use crate::content;
use crate::errno::{Kind, Result};
use crate::fs::Fs;
use crate::inherited::Inherited;
use crate::locks::lock;
use crate::maps::Ids;
use crate::ops::clone::{Destination, Origin, clone_no_set_id, inherited};
use crate::protocol::{self, CLONE_STAGE, CLONE_STAGE_MAPPED, REMOVE_TREE};
use crate::schema::Location;
use crate::stages::{Source, Stage, check_count};
use crate::table::{Count, Place, pin_child, pin_new};
use crate::types::{
    Caller, CloneOptions, Entry, FileHandle, Invalidation, IoctlReply, NodeId, RenameMode,
};
use bytes::Bytes;
use cawdb::Batch;
use std::collections::{HashMap, HashSet};

impl Fs {
    /// The ioctls of [`crate::protocol`] that change names: decodes, does, encodes; ENOTTY for others. `handle` is that of
    /// the open file, none for a directory. Before CLONE_STAGE the front end launders [`Fs::writable_handles_below`].
    pub fn ioctl(
        &self,
        caller: &Caller,
        node: NodeId,
        handle: Option<FileHandle>,
        command: u32,
        input: &[u8],
    ) -> Result<IoctlReply> {
        match command {
            CLONE_STAGE | CLONE_STAGE_MAPPED => {
                let (mut stage, ids) = match command {
                    CLONE_STAGE => (protocol::Stage::decode(input)?, Ids::default()),
                    _ => protocol::decode_mapped(input)?,
                };
                if handle.is_some_and(|handle| !handle.readable()) {
                    return Err(Kind::BadHandle.because("not open for reading"));
                }
                let options = stage.options(ids)?;
                stage.token = self.stage_clone(caller, node, stage.count, &options)?;
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
        lock(&self.table).writable_below(source)
    }

    /// What the kernel must hear when a clone replaces a name, of what lies below: which nodes lose links, and names that
    /// somebody may go on to. O(open nodes · depth + files with names both there and elsewhere).
    pub fn lost_below(&self, parent: NodeId, name: &[u8]) -> Vec<Invalidation> {
        let names = self.shared();
        let Some(top) = pin_child(&self.table, parent, name) else {
            return Vec::new();
        };
        let mut nodes = lock(&self.table).open_below(top.id);
        // What cannot be read now is told to whoever asks for the clone.
        nodes.extend(self.crossing_nodes(&top).unwrap_or_default());
        let view = self.store.snapshot();
        let at = self.resolve(&top).map(|resolved| resolved.at);
        let held = at.and_then(|at| self.held_below(&view, &top, &at));
        drop((top, names));
        let nodes = nodes.into_iter().map(Invalidation::Attributes);
        nodes
            .chain(held.unwrap_or_default().expire(&view))
            .collect()
    }

    /// Stages `count` clones of a file or tree; returns the token of their staged names.
    pub fn stage_clone(
        &self,
        caller: &Caller,
        source: NodeId,
        count: u32,
        options: &CloneOptions,
    ) -> Result<u64> {
        self.check_writable()?;
        check_count(count)?;
        self.expire_stages()?;
        let _names = self.exclusive();
        let node = self.node(source)?;
        let _kept = self.keep_content(&node);
        let mut origin = self.origin(caller, &node)?;
        let inherited = inherited(caller, &origin, options)?;
        let token = self.random();
        let live = count == 1;
        #[cfg(feature = "interleave")]
        let live = live || broken::is(broken::Fault::InstantsApart);
        let kept = if live {
            lock(&self.table).count(source, Count::Open(false));
            Source::Live(source)
        } else {
            let (mut change, view) = (self.change(), self.store.snapshot());
            let shelf = Location::staged(self.volume, token);
            if origin.inode.is_dir() {
                let found = self.look(&view, (&origin.at, origin.reach), &shelf)?;
                // Bodies that are made here come to where it goes.
                origin.reach = found.unwrap_or(origin.reach).with_bodies();
                self.admit_tree(origin.reach, &shelf)?;
            }
            let source = (&origin.at, &origin.inode);
            content::copy(&view, &mut change.batch, source, (&shelf, None))?;
            if origin.inode.is_dir() {
                let source = (&**node, &origin.at);
                let target = (&shelf, &mut origin.inode);
                self.clone_bodies(&mut change, &view, source, target)?;
            }
            change.commit()?;
            Source::Copy(token)
        };
        let stage = Stage {
            caller: caller.clone(),
            source: kept,
            inode: origin.inode,
            no_set_id: origin.no_set_id,
            ids: origin.ids,
            inherited,
            reach: origin.reach,
            count,
            replace: options.replace,
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
        if !inode.is_dir() {
            inode.links = 1;
        }
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
        let (hidden, ids) = (stage.no_set_id, &stage.ids);
        inode.no_set_id = clone_no_set_id(&stage.caller, hidden, ids, inode.kind);
        inode.inherited = match inode.is_dir() {
            true => Inherited {
                ids: ids.then(&stage.inherited.ids),
                read_only: stage.inherited.read_only,
            },
            false => Inherited::default(),
        };
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
        let names = self.exclusive();
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
                    ids: stage.ids.clone(),
                    reach: stage.reach,
                    node: None,
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
            inherited: &stage.inherited,
        };
        let node = known.and_then(|(id, _)| self.node(id).ok());
        self.clone_into(&stage.caller, &origin, &to, node.as_deref())?;
        let last = lock(&self.stages).finish(token, index);
        // The last handle of the source may go now, and that writes its access time.
        drop((node, dir, names));
        if let Some(stage) = last
            && let Err(error) = self.end_stage(&stage)
        {
            tracing::warn!(%error, "what was staged stays until the next mount");
        }
        Ok(true)
    }

    /// Drops staged clones that are too old. None is taken out while somebody makes it real.
    pub(crate) fn expire_stages(&self) -> Result<()> {
        if lock(&self.stages).0.is_empty() {
            return Ok(());
        }
        let names = Some(self.shared());
        #[cfg(feature = "interleave")]
        let names = names.filter(|_| !broken::is(broken::Fault::StageNotHeld));
        let expired = lock(&self.stages).expired(self.now());
        // The last handle of a source may go now, and that writes its access time.
        drop(names);
        expired.iter().try_for_each(|stage| self.end_stage(stage))
    }

    /// Lets go of what a stage that was taken out held.
    pub(crate) fn end_stage(&self, stage: &Stage) -> Result<()> {
        match stage.source {
            Source::Live(source) => {
                self.close(source, false);
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
}
