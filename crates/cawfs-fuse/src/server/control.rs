//! The ioctls of [`cawfs_fs::protocol`]: cloning and removing trees, sync, statistics, scrubs.

use super::{Reply, Server, errno, flags};
use crate::connection::{Answer, Notice};
use crate::wire::reply;
use cawfs_fs::protocol;
use cawfs_fs::{Caller, FileHandle, Invalidation, NodeId};

impl Server {
    pub(super) fn ioctl(
        &self,
        caller: &Caller,
        node: NodeId,
        handle: Option<FileHandle>,
        command: u32,
        input: &[u8],
        room: usize,
    ) -> Reply {
        let data = self.command(caller, node, handle, command, input)?;
        let data = data.get(..data.len().min(room)).unwrap_or_default();
        Ok(Answer::Reply(reply::ioctl(data)))
    }

    fn command(
        &self,
        caller: &Caller,
        node: NodeId,
        handle: Option<FileHandle>,
        command: u32,
        input: &[u8],
    ) -> Result<Vec<u8>, i32> {
        match command {
            protocol::SYNC => {
                self.launder(NodeId::ROOT);
                return self.sync(cawfs_fs::Fs::sync_all).map(|_| Vec::new());
            }
            protocol::STATS => {
                let text = self.about.stats(&self.latency.report());
                return protocol::answer_stats(input, text.as_bytes()).map_err(errno);
            }
            protocol::SCRUB => return self.scrub(caller, input),
            protocol::ACCESS_TIMES => {
                self.check_serves(caller)?;
                let when = protocol::decode_access_times(input).map_err(errno)?;
                self.fs.set_access_times(when);
                return Ok(Vec::new());
            }
            flags::GET_FLAGS | flags::SET_FLAGS | flags::GET_XATTR | flags::SET_XATTR => {
                return self.flags(caller, (node, handle.is_some()), command, input);
            }
            protocol::CLONE_STAGE | protocol::CLONE_STAGE_MAPPED => self.launder(node),
            protocol::REMOVE_TREE => {
                let name = protocol::decode_remove(input).map_err(errno)?;
                let mounts = self.fixed.inside.now();
                if mounts.is_read_only() {
                    return Err(libc::EROFS);
                }
                self.check_unused(&mounts, node, name)?;
            }
            _ => {}
        }
        let answer = self
            .fs
            .ioctl(caller, node, handle, command, input)
            .map_err(errno)?;
        let later = self.fixed.agreed.forgets_later();
        let notices = answer.invalidations.iter().map(|i| notice(i, later));
        self.notifier.send_and_wait(notices.collect());
        for invalidation in answer.invalidations {
            if let Invalidation::Removed { node, .. } = invalidation
                && later
            {
                self.pruner.forget_tree(node);
            }
        }
        Ok(answer.data)
    }

    /// EPERM to all but root and whoever serves the mount.
    fn check_serves(&self, caller: &Caller) -> Result<(), i32> {
        if !caller.is_root() && caller.uid != rustix::process::geteuid().as_raw() {
            return Err(libc::EPERM);
        }
        Ok(())
    }

    /// A part of a scrub, which tells names that not everybody may see, and takes time of the disk.
    fn scrub(&self, caller: &Caller, input: &[u8]) -> Result<Vec<u8>, i32> {
        self.check_serves(caller)?;
        let (token, budget) = protocol::decode_scrub(input).map_err(errno)?;
        let text = self.about.scrub(token, budget).ok_or(libc::ENOENT)?;
        protocol::answer_scrub(token, text.as_bytes()).map_err(errno)
    }

    /// Makes the kernel write back what was changed through mappings at or below a node. A file with
    /// dirty pages is held open for writing by its mapping, so only such files are asked for.
    pub(super) fn launder(&self, node: NodeId) {
        let open = self.fs.writable_handles_below(node);
        self.notifier
            .send_and_wait(open.into_iter().map(|n| Notice::Inode(n.0)).collect());
    }
}

/// A name that is gone only expires if what was below is forgotten `later`: dropping it at once takes the kernel some µs for each
/// name it remembers there, while it holds the directory's lock.
pub(super) fn notice(invalidation: &Invalidation, later: bool) -> Notice {
    let entry = |parent: &NodeId, name: &[u8], expire| Notice::Entry {
        parent: parent.0,
        name: name.to_vec(),
        expire,
    };
    match invalidation {
        Invalidation::Entry { parent, name } => entry(parent, name, false),
        Invalidation::Removed { parent, name, .. } | Invalidation::Expired { parent, name } => {
            entry(parent, name, later)
        }
        Invalidation::Attributes(node) => Notice::Attributes(node.0),
        Invalidation::Inode(node) => Notice::Inode(node.0),
    }
}
