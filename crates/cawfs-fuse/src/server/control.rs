//! Cloning and removing trees, statistics, sync: by ioctl, and by name (`control.rs` of the crate).

use super::{Reply, Server, errno};
use crate::connection::{Answer, Notice};
use crate::control::{self, Request};
use crate::wire::reply;
use cawfs_fs::protocol::{self, Stage};
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
        if command == protocol::CLONE_STAGE {
            self.launder(node);
        }
        let answer = self
            .fs
            .ioctl(caller, node, handle, command, input)
            .map_err(errno)?;
        self.notifier
            .send_and_wait(answer.invalidations.into_iter().map(notice).collect());
        Ok(answer.data)
    }

    /// Answers a request that came as the name of an attribute. The kernel has checked that the
    /// caller may read the object.
    pub(super) fn by_name(
        &self,
        caller: &Caller,
        node: NodeId,
        name: &[u8],
    ) -> Result<Vec<u8>, i32> {
        match Request::parse(name).ok_or(libc::ENODATA)? {
            Request::Clone { count, flags } => {
                let is_dir =
                    self.fs.getattr(node).map_err(errno)?.kind == cawfs_fs::FileType::Directory;
                let handle = (!is_dir).then_some(FileHandle(FileHandle::READ));
                let ask = Stage {
                    count,
                    flags,
                    token: 0,
                }
                .encode();
                let answer = self.command(caller, node, handle, protocol::CLONE_STAGE, &ask)?;
                let token = Stage::decode(&answer).map_err(errno)?.token;
                Ok(control::write_token(token))
            }
            Request::Remove { name } => {
                let ask = protocol::encode_remove(name).map_err(errno)?;
                self.command(caller, node, None, protocol::REMOVE_TREE, &ask)
            }
            Request::Sync => {
                self.launder(NodeId::ROOT);
                self.sync(cawfs_fs::Fs::sync_all)?;
                Ok(Vec::new())
            }
            Request::Stats { offset } => {
                let text = (self.stats)();
                let rest = text.as_bytes().get(offset..).unwrap_or_default();
                Ok(rest
                    .get(..rest.len().min(control::VALUE_MAX / 2))
                    .unwrap_or_default()
                    .to_vec())
            }
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
