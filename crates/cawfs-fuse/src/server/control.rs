//! Ioctls: cloning and removing trees, statistics, sync.

use super::{Reply, Server, errno};
use crate::connection::{Answer, Notice};
use crate::control;
use crate::wire::reply;
use cawfs_fs::{Caller, FileHandle, Invalidation, NodeId, protocol};

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
        match command {
            control::STATS => {
                let answer = control::answer_stats(input, &(self.stats)());
                return Ok(Answer::Reply(reply::ioctl(&answer)));
            }
            control::SYNC => {
                self.launder(NodeId::ROOT);
                self.fs.sync_all().map_err(errno)?;
                return Ok(Answer::Reply(reply::ioctl(&[])));
            }
            protocol::CLONE_STAGE => self.launder(node),
            _ => {}
        }
        let answer = self
            .fs
            .ioctl(caller, node, handle, command, input)
            .map_err(errno)?;
        self.notifier
            .send_and_wait(answer.invalidations.into_iter().map(notice).collect());
        match answer.data.get(..answer.data.len().min(room)) {
            Some(data) => Ok(Answer::Reply(reply::ioctl(data))),
            None => Err(libc::EIO),
        }
    }

    /// Makes the kernel write back what was changed through mappings at or below a node. A file with
    /// dirty pages is held open for writing by its mapping, so only such files are asked for.
    fn launder(&self, node: NodeId) {
        let open = self.fs.writable_handles_below(node);
        self.notifier
            .send_and_wait(open.into_iter().map(|n| Notice::Inode(n.0)).collect());
    }
}

fn notice(invalidation: Invalidation) -> Notice {
    match invalidation {
        Invalidation::Entry { parent, name } => Notice::Entry {
            parent: parent.0,
            name: name.to_vec(),
        },
        Invalidation::Attributes(node) => Notice::Attributes(node.0),
        Invalidation::Inode(node) => Notice::Inode(node.0),
    }
}
