//! Changing attributes: mode, owner, size, times. And access times, which are lazy.

use crate::acl::{ACCESS, Acl};
use crate::change::Change;
use crate::counters::add;
use crate::data;
use crate::errno::{Kind, Result};
use crate::fs::Fs;
use crate::guards::{NO_ATIME, check_attributes};
use crate::inode::{HAS_ACL, HAS_CAPS, Inode, PERM_BITS, SET_GID, SET_UID};
use crate::locks::{lock, write};
use crate::maps::Ids;
use crate::ops::xattr::CAPABILITY;
use crate::schema::Location;
use crate::table::{Node, Pin};
use crate::types::{AccessTimes, Attr, Caller, FILE_MAX, FileType, NodeId, SetAttr, SetTime, Time};
use std::sync::Arc;

/// An access time is renewed after this many seconds, even if nothing was changed since.
const ATIME_SECS: i64 = 24 * 60 * 60;

impl Fs {
    /// Changes attributes; returns the new ones. The kernel has checked who may. Changing the owner clears set-id bits
    /// of files, and so does truncation if asked; all changes renew the change time.
    pub fn setattr(&self, caller: &Caller, node: NodeId, change: &SetAttr) -> Result<Attr> {
        add(&self.counters.setattrs, 1);
        let _names = self.shared();
        let node = if change.size.is_some() {
            self.file(node)?
        } else {
            self.node(node)?
        };
        let held = write(&node.busy);
        self.set_attributes(caller, &node, change)?;
        drop(held);
        Ok(self.attr(&node))
    }

    pub(crate) fn set_attributes(
        &self,
        caller: &Caller,
        node: &Arc<Node>,
        set: &SetAttr,
    ) -> Result<()> {
        let mut inode = node.inode();
        check_attributes(&inode, set)?;
        let found = match self.resolve(node) {
            // It, or what it was in: devices, pipes and directories live on so while somebody has them open.
            Err(error) if error.kind() == Kind::NotFound => None,
            found => Some(found?),
        };
        let mut change = self.change();
        let Some(found) = found else {
            // What was removed has no keys; who still holds it may change what it shows.
            apply(caller, &mut inode, set, change.now);
            (inode.uid, inode.gid) = owner(&lock(&self.table).ids(node.id), &inode, set)?;
            change.remember(node, inode);
            return change.commit();
        };
        found.zone.check_writable()?;
        let at = found.at;
        if let Some(size) = set.size {
            if size > FILE_MAX {
                return Err(Kind::FileTooBig.because("beyond the largest file"));
            }
            let view = self.store.snapshot();
            data::resize(&view, &mut change.batch, &at, &mut inode, size)?;
            kill_caps(&mut change, &at, &mut inode);
        }
        if set.is_chown() {
            kill_caps(&mut change, &at, &mut inode);
        }
        apply(caller, &mut inode, set, change.now);
        (inode.uid, inode.gid) = owner(&found.zone.ids, &inode, set)?;
        if set.mode.is_some() && inode.has(HAS_ACL) {
            let key = at.xattr(ACCESS);
            if let Some(value) = self.store.get(&key)? {
                let mut acl = Acl::decode(&value)?;
                acl.set_mode(inode.perm);
                change.batch.put(key, acl.encode());
            }
        }
        change.record(node, &at, inode);
        change.commit()
    }

    /// Notes that an object was read. Kept in memory, until another change of the record, or sync, or the last forget.
    pub(crate) fn accessed(&self, node: &Node) {
        let when = self.access_times();
        if when == AccessTimes::Never {
            return;
        }
        let now = self.now();
        let due = {
            let inode = lock(&node.inode);
            if inode.has(NO_ATIME) {
                return;
            }
            let newest = inode.mtime.max(inode.ctime);
            let old = now.secs.saturating_sub(inode.atime.secs) >= ATIME_SECS;
            inode.atime <= newest || old || when == AccessTimes::Always
        };
        if due && !lock(&self.table).is_read_only(node.id) {
            lock(&node.inode).atime = now;
            lock(&self.lazy).insert(node.id);
        }
    }

    /// Writes the access time of a node that nobody holds any more.
    pub(crate) fn last_chance(&self, pin: &Pin<'_>) {
        if lock(&self.table).is_last_pin(pin.id)
            && lock(&self.lazy).remove(&pin.id)
            && let Err(error) = self.write_atime(pin)
        {
            tracing::debug!(%error, "an access time is lost");
        }
    }

    /// Writes the access time of a node, if it still has a place.
    pub(crate) fn write_atime(&self, node: &Arc<Node>) -> Result<()> {
        let _names = self.shared();
        let _held = write(&node.busy);
        let Ok(found) = self.resolve(node) else {
            return Ok(());
        };
        let mut change = self.change();
        change.record(node, &found.at, node.inode());
        change.commit()
    }
}

/// Drops file capabilities, as every change of content or owner does.
pub(crate) fn kill_caps(change: &mut Change<'_>, at: &Location, inode: &mut Inode) {
    if inode.has(HAS_CAPS) {
        change.batch.delete(at.xattr(CAPABILITY));
        inode.flags &= !HAS_CAPS;
    }
}

/// Owner and group after a change, as they are kept.
fn owner(ids: &Ids, inode: &Inode, set: &SetAttr) -> Result<(u32, u32)> {
    let user = set.uid.map(|shown| ids.stored_user(shown)).transpose()?;
    let group = set.gid.map(|shown| ids.stored_group(shown)).transpose()?;
    Ok((user.unwrap_or(inode.uid), group.unwrap_or(inode.gid)))
}

fn apply(caller: &Caller, inode: &mut Inode, set: &SetAttr, now: Time) {
    if set.is_chown() && inode.kind != FileType::Directory {
        inode.perm &= !SET_UID;
        if inode.perm & 0o010 != 0 || !caller.is_root() {
            inode.perm &= !SET_GID;
        }
    }
    if set.kill_suidgid {
        inode.kill_set_id();
    }
    if let Some(mode) = set.mode {
        inode.perm = mode as u16 & PERM_BITS;
    }
    if set.size.is_some() {
        inode.mtime = now;
    }
    let time = |set: SetTime| match set {
        SetTime::Now => now,
        SetTime::At(time) => time,
    };
    inode.atime = set.atime.map_or(inode.atime, time);
    inode.mtime = set.mtime.map_or(inode.mtime, time);
    inode.ctime = set.ctime.unwrap_or(now);
}
