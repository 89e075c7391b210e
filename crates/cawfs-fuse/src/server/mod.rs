//! Requests in the kernel's words become calls of [`Fs`], replies go back the same way.
//!
//! Invariants:
//! - each reference to a node that a reply gives to the kernel, the kernel gives back by FORGET;
//!   one that does not reach it is given back here;
//! - ENOSYS is answered only to what will never be served: the kernel remembers it for ever.

mod control;
mod convert;
mod dirs;
mod files;
mod flags;
mod listers;
mod names;

pub use dirs::DIRECTORY_FLAGS;
pub use files::open_flags;

use crate::connection::Answer;
use crate::init::Agreed;
use crate::invalidate::Notifier;
use crate::latency::Latency;
use crate::mountpoints::{MountPoints, Now};
use crate::prune::Waker;
use crate::readers::Service;
use crate::wire::{Op, Request, reply};
use cawfs_fs::{Caller, Error, Fs, NodeId};
use std::any::Any;
use std::cell::Cell;
use std::sync::Arc;

/// Serves one mount.
pub struct Server {
    fs: Arc<Fs>,
    fixed: Fixed,
    notifier: Notifier,
    pruner: Waker,
    about: Box<dyn crate::About>,
    latency: Latency,
    listers: listers::Listers,
}

/// What does not change while a mount lives.
pub struct Fixed {
    /// What the kernel offered and we took.
    pub agreed: Agreed,
    /// There is never anything to sync.
    pub read_only: bool,
    /// What is mounted inside.
    pub inside: MountPoints,
}

/// An answer, or an errno.
type Reply = Result<Answer, i32>;

thread_local! {
    /// Why the request that this thread serves fails, for the line in the log that also names the path.
    static CAUSE: Cell<Option<String>> = const { Cell::new(None) };
}

/// The file system's error in the kernel's words; those that are nobody's fault but ours go to the log.
fn errno(e: Error) -> i32 {
    if e.errno() == libc::EIO {
        let cause = std::error::Error::source(&e).map_or(e.to_string(), ToString::to_string);
        CAUSE.set(Some(cause));
    }
    e.errno()
}

impl Server {
    /// A server for a file system.
    pub fn new(
        fs: Arc<Fs>,
        fixed: Fixed,
        notifier: Notifier,
        pruner: Waker,
        about: Box<dyn crate::About>,
    ) -> Self {
        Self {
            fs,
            fixed,
            notifier,
            pruner,
            about,
            latency: Latency::default(),
            listers: listers::Listers::default(),
        }
    }

    /// A line in the log for a request that failed: where in the tree, and why.
    fn log(&self, node: NodeId, cause: &str) {
        let mut path = String::new();
        for name in self.fs.path(node).unwrap_or_default() {
            path.push('/');
            path.push_str(&name.escape_ascii().to_string());
        }
        let path = if path.is_empty() { "/" } else { &path };
        tracing::error!(path, node = node.0, cause, "input/output error");
    }

    /// EBUSY if something is mounted on a name or below it.
    fn check_unused(&self, mounts: &Now<'_>, parent: NodeId, name: &[u8]) -> Result<(), i32> {
        let mut names = self.fs.path(parent).map_err(errno)?;
        names.push(name.to_vec().into());
        if mounts.any_below(&names) {
            return Err(libc::EBUSY);
        }
        Ok(())
    }

    fn sync(&self, sync: impl FnOnce(&Fs) -> cawfs_fs::Result<()>) -> Reply {
        let done = if self.fixed.read_only {
            Ok(())
        } else {
            sync(&self.fs)
        };
        done.map(|()| Answer::DONE).map_err(errno)
    }
}

impl Service for Server {
    fn panicked(&self, request: &str, said: &(dyn Any + Send)) {
        self.fs.panicked(request, said);
    }

    fn serve(&self, request: &Request<'_>) -> Reply {
        let answer = self
            .latency
            .measure(request.header.opcode, || self.answer(request));
        if let Some(cause) = CAUSE.take() {
            self.log(NodeId(request.header.node), &cause);
        }
        if request.op.as_ref().is_some_and(makes_nodes) {
            self.pruner.look();
        }
        answer
    }
}

/// Whether the kernel may remember a node more after an operation.
fn makes_nodes(op: &Op<'_>) -> bool {
    matches!(
        op,
        Op::Lookup { .. }
            | Op::Create { .. }
            | Op::MkNod { .. }
            | Op::MkDir { .. }
            | Op::Symlink { .. }
            | Op::ReadDir { plus: true, .. }
    )
}

impl Server {
    fn answer(&self, request: &Request<'_>) -> Reply {
        let Some(op) = &request.op else {
            return Err(libc::EIO);
        };
        let node = NodeId(request.header.node);
        let caller = Caller {
            uid: request.header.uid,
            gid: request.header.gid,
            pid: request.header.pid,
            groups: request.header.group.into_iter().collect(),
            ..Caller::ROOT
        };
        match op {
            Op::Forget { count } => {
                self.fs.forget(node, *count);
                Ok(Answer::Silence)
            }
            Op::BatchForget { list } => {
                list.iter()
                    .for_each(|&(node, count)| self.fs.forget(NodeId(node), count));
                Ok(Answer::Silence)
            }
            Op::Interrupt => Ok(Answer::Silence),
            Op::Destroy => Ok(Answer::DONE),
            Op::StatFs => Ok(Answer::Reply(reply::statfs(&convert::statfs(
                self.fs.statfs(),
            )))),
            Op::Unknown => Err(libc::ENOSYS),
            Op::Ioctl {
                fh,
                command,
                data,
                out_size,
                directory,
                ..
            } => {
                let handle = (!directory).then_some(cawfs_fs::FileHandle(*fh));
                self.ioctl(&caller, node, handle, *command, data, *out_size as usize)
            }
            Op::Write { data, .. } => self.write(node, op, request.keep(data)),
            Op::OpenDir { .. } | Op::ReadDir { .. } | Op::ReleaseDir { .. } | Op::FsyncDir => {
                self.directory(request.header.pid, node, op)
            }
            Op::Lookup { .. }
            | Op::ReadLink
            | Op::Symlink { .. }
            | Op::MkNod { .. }
            | Op::MkDir { .. }
            | Op::Unlink { .. }
            | Op::RmDir { .. }
            | Op::Rename { .. }
            | Op::Link { .. } => self.name(caller, node, op),
            _ => self.file(caller, node, op),
        }
    }
}
