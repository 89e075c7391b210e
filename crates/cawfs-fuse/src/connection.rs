//! The open `/dev/fuse` of one mount: requests come in, replies and notifications go out.
//!
//! Invariants:
//! - one `read` gives one whole request, one `write` takes one whole reply, from any thread;
//! - a notification is never sent by a thread that serves a request (see `invalidate.rs`).

use crate::wire::reply;
use bytes::Bytes;
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, IoSlice, Write};

/// What an operation answers.
#[derive(Debug)]
pub enum Answer {
    /// Nothing: FORGET and the like have no reply.
    Silence,
    /// The body of a reply.
    Reply(Vec<u8>),
    /// The same, not copied once more.
    Data(Bytes),
    /// The body of a READ: pieces that follow each other, each as it lies in memory.
    Pieces(Vec<Bytes>),
}

impl Answer {
    /// A reply without a body.
    pub const DONE: Self = Self::Reply(Vec::new());
}

/// The connection to the kernel.
#[derive(Debug)]
pub struct Connection {
    device: File,
}

/// A message that we send unasked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Drop the pages (which writes dirty ones back first) and the attributes of a node.
    Inode(u64),
    /// Drop the attributes of a node, keep its pages.
    Attributes(u64),
    /// Drop a name of a directory, also the memory of its absence.
    Entry {
        /// The directory's node.
        parent: u64,
        /// The name in it.
        name: Vec<u8>,
        /// Only ask again when it is used next; what is below stays in memory until then, or until it is pruned.
        expire: bool,
    },
    /// Forget nodes that nobody uses.
    Prune(Vec<u64>),
}

impl Connection {
    /// Takes over an open `/dev/fuse`.
    pub fn new(device: File) -> Self {
        Self { device }
    }

    /// Waits for the next request. `None` once the mount is gone.
    ///
    /// # Errors
    /// Any failure of the device other than "try again".
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match rustix::io::read(&self.device, &mut *buffer) {
                Ok(0) => return Ok(None),
                Ok(n) => return Ok(Some(n)),
                // ENOENT: the request was interrupted before we could read it.
                Err(Errno::INTR | Errno::AGAIN | Errno::NOENT) => {}
                Err(Errno::NODEV | Errno::CONNABORTED) => return Ok(None),
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Answers a request; `Err` holds an errno. A reply nobody waits for any more is no failure.
    pub fn reply(&self, unique: u64, answer: Result<Answer, i32>) {
        match answer {
            Ok(Answer::Silence) => {}
            Ok(Answer::Reply(body)) => self.send(unique, 0, &body),
            Ok(Answer::Data(body)) => self.send(unique, 0, &body),
            Ok(Answer::Pieces(pieces)) => {
                let header = reply::header(unique, 0, pieces.iter().map(Bytes::len).sum());
                let pieces = pieces.iter().map(|piece| &piece[..]);
                let parts = std::iter::once(&header[..]).chain(pieces);
                self.write(unique, &parts.map(IoSlice::new).collect::<Vec<_>>());
            }
            Err(errno) => self.send(unique, errno, &[]),
        }
    }

    /// Sends a reply whose body is in one piece: most are, and no memory is asked for then.
    fn send(&self, unique: u64, error: i32, body: &[u8]) {
        let header = reply::header(unique, error, body.len());
        self.write(unique, &[IoSlice::new(&header), IoSlice::new(body)]);
    }

    fn write(&self, unique: u64, parts: &[IoSlice<'_>]) {
        match (&self.device).write_vectored(parts) {
            Ok(_) => {}
            Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ENODEV)) => {}
            Err(e) => tracing::warn!(unique, error = %e, "the kernel refused a reply"),
        }
    }

    /// Sends a notification. That the kernel knew nothing of the node is no error.
    ///
    /// # Errors
    /// The device's; `Unsupported` if the kernel does not know the notification.
    pub fn notify(&self, notice: &Notice) -> io::Result<()> {
        let (code, body) = notice.encode();
        let header = reply::header(0, -code, body.len());
        match (&self.device).write_vectored(&[IoSlice::new(&header), IoSlice::new(&body)]) {
            Ok(_) => Ok(()),
            Err(e) if e.raw_os_error() == Some(libc::ENOENT) => Ok(()),
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) => {
                Err(io::ErrorKind::Unsupported.into())
            }
            Err(e) => Err(e),
        }
    }
}

impl Notice {
    fn encode(&self) -> (i32, Vec<u8>) {
        let inode = |node: u64, offset: i64| {
            [node.to_le_bytes(), offset.to_le_bytes(), 0i64.to_le_bytes()].concat()
        };
        match self {
            Self::Inode(node) => (2, inode(*node, 0)),
            Self::Attributes(node) => (2, inode(*node, -1)),
            Self::Entry {
                parent,
                name,
                expire,
            } => {
                let mut body = parent.to_le_bytes().to_vec();
                body.extend((name.len() as u32).to_le_bytes());
                body.extend(u32::from(*expire).to_le_bytes());
                body.extend(name);
                body.push(0);
                (3, body)
            }
            Self::Prune(nodes) => {
                let mut body = (nodes.len() as u32).to_le_bytes().to_vec();
                body.extend([0; 12]);
                body.extend(nodes.iter().flat_map(|node| node.to_le_bytes()));
                (9, body)
            }
        }
    }
}
