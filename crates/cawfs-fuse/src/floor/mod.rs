//! A file system in memory on the same connection, readers and wire as ours: what FUSE costs by itself, to be measured beside it.
//!
//! It answers what benchmarks ask for at once, under one lock, and keeps nothing: no journal, no checks, no extended attributes. The kernel
//! may keep what it is told, and opens bypass the page cache, exactly as with ours. `user.requests` of its root, as an extended
//! attribute, tells how many requests there were.

mod tree;

use crate::Mount;
use crate::connection::Answer;
use crate::init::Agreed;
use crate::readers::{self, Service};
use crate::server::{DIRECTORY_FLAGS, open_flags};
use crate::wire::{Op, Request, reply};
use cawfs_fs::AccessTimes;
use std::any::Any;
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tree::{Node, Tree};

/// What `statfs` shows as the size.
const BYTES: u64 = 1 << 36;
const BLOCK: u64 = 4096;
const ROOT: u64 = 1;
const QUESTION: &[u8] = b"user.requests";

/// An answer, or an errno.
type Reply = Result<Answer, i32>;

/// What a listing shows, as it was when the directory was opened.
type Names = Arc<Vec<(Vec<u8>, u64)>>;

struct Floor {
    agreed: Agreed,
    requests: AtomicU64,
    state: Mutex<State>,
}

struct State {
    tree: Tree,
    listings: HashMap<u64, Names>,
    next_listing: u64,
}

/// Serves an empty file system until the mount is gone.
///
/// # Errors
/// A failure of the device, or of starting threads.
pub fn serve(mount: Mount) -> io::Result<()> {
    let state = State {
        tree: Tree::new(),
        listings: HashMap::new(),
        next_listing: 1,
    };
    let floor = Floor {
        agreed: mount.agreed,
        requests: AtomicU64::new(0),
        state: Mutex::new(state),
    };
    readers::serve(mount.connection, Arc::new(floor), mount.awake)
}

impl Service for Floor {
    fn panicked(&self, request: &str, _said: &(dyn Any + Send)) {
        tracing::error!(request, "the file system in memory panicked");
    }

    fn serve(&self, request: &Request<'_>) -> Reply {
        let op = request.op.as_ref().ok_or(libc::EIO)?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (header, node) = (&request.header, request.header.node);
        let asked = |op: &Op<'_>| matches!(op, Op::GetXattr { name, .. } if *name == QUESTION);
        let counted = u64::from(!asked(op) && !unanswered(op));
        let requests = self.requests.fetch_add(counted, Ordering::Relaxed);
        match *op {
            Op::GetXattr { name, size } => {
                if node != ROOT || name != QUESTION {
                    return Err(libc::ENODATA);
                }
                let text = requests.to_string().into_bytes();
                match size {
                    0 => Ok(Answer::Reply(reply::count(text.len() as u32))),
                    _ => Ok(Answer::Reply(text)),
                }
            }
            Op::Open { flags } => Ok(Answer::Reply(reply::open(
                0,
                open_flags(self.agreed, AccessTimes::Never, flags),
            ))),
            Op::Create {
                name,
                flags,
                mode,
                umask,
            } => {
                let new = Node::new(libc::S_IFREG | (mode & !umask), header.uid, header.gid);
                let (made, new) = state.tree.add(node, name, new)?;
                let flags = open_flags(self.agreed, AccessTimes::Never, flags);
                Ok(Answer::Reply(reply::create(made, &new.attr, 0, flags)))
            }
            Op::MkNod { .. } | Op::MkDir { .. } | Op::Symlink { .. } => {
                let (name, new) = made(op, header.uid, header.gid).ok_or(libc::EINVAL)?;
                let (made, new) = state.tree.add(node, name, new)?;
                Ok(entry(made, new))
            }
            _ => state.answer(node, op),
        }
    }
}

/// What has no answer, and is counted for no file system.
fn unanswered(op: &Op<'_>) -> bool {
    matches!(
        op,
        Op::Forget { .. } | Op::BatchForget { .. } | Op::Interrupt
    )
}

/// What an operation makes, and under which name.
fn made<'a>(op: &Op<'a>, uid: u32, gid: u32) -> Option<(&'a [u8], Node)> {
    match *op {
        Op::MkNod {
            name,
            mode,
            rdev,
            umask,
        } => {
            let mut new = Node::new(mode & !umask, uid, gid);
            new.attr.rdev = rdev;
            Some((name, new))
        }
        Op::MkDir { name, mode, umask } => {
            Some((name, Node::new(libc::S_IFDIR | (mode & !umask), uid, gid)))
        }
        Op::Symlink { name, target } => Some((name, Node::link(target, uid, gid))),
        _ => None,
    }
}

fn entry(number: u64, node: &Node) -> Answer {
    Answer::Reply(reply::entry(number, reply::FOREVER, &node.attr))
}

impl State {
    fn answer(&mut self, node: u64, op: &Op<'_>) -> Reply {
        let tree = &mut self.tree;
        match *op {
            Op::Lookup { name } => Ok(match tree.find(node, name)? {
                Some((number, found)) => entry(number, found),
                None => Answer::Reply(reply::no_entry()),
            }),
            Op::Forget { count } => {
                tree.forget(node, count);
                Ok(Answer::Silence)
            }
            Op::BatchForget { ref list } => {
                for &(node, count) in list {
                    tree.forget(node, count);
                }
                Ok(Answer::Silence)
            }
            Op::GetAttr => {
                let attr = &tree.node(node)?.attr;
                Ok(Answer::Reply(reply::attr(reply::FOREVER, attr)))
            }
            Op::Statx => {
                let attr = &tree.node(node)?.attr;
                Ok(Answer::Reply(reply::statx(reply::FOREVER, attr)))
            }
            Op::SetAttr(ref change) => {
                let attr = tree.change(node, change)?;
                Ok(Answer::Reply(reply::attr(reply::FOREVER, attr)))
            }
            Op::ReadLink => Ok(Answer::Reply(tree.node(node)?.target()?)),
            Op::Unlink { name } | Op::RmDir { name } => {
                let directory = matches!(op, Op::RmDir { .. });
                tree.remove(node, name, directory).map(|()| Answer::DONE)
            }
            Op::Rename {
                name,
                new_parent,
                new_name,
                flags,
            } => {
                let keep = flags == libc::RENAME_NOREPLACE;
                if flags != 0 && !keep {
                    return Err(libc::EINVAL);
                }
                let done = tree.rename((node, name), (new_parent, new_name), keep);
                done.map(|()| Answer::DONE)
            }
            Op::Link {
                node: file,
                new_name,
            } => Ok(entry(file, tree.link(file, node, new_name)?)),
            Op::ListXattr { size } => Ok(match size {
                0 => Answer::Reply(reply::count(0)),
                _ => Answer::DONE,
            }),
            Op::SetXattr { .. } | Op::RemoveXattr { .. } => Err(libc::ENOTSUP),
            Op::StatFs => Ok(Answer::Reply(self.sizes())),
            _ => self.content(node, op),
        }
    }

    fn content(&mut self, node: u64, op: &Op<'_>) -> Reply {
        match *op {
            Op::Read { offset, size, .. } => {
                let data = self.tree.node(node)?.read(offset, size as usize)?;
                Ok(Answer::Reply(data))
            }
            Op::Write {
                offset,
                data,
                flags,
                from_cache,
                ..
            } => {
                let append = !from_cache && flags as i32 & libc::O_APPEND != 0;
                self.tree.write(node, (!append).then_some(offset), data)?;
                Ok(Answer::Reply(reply::count(data.len() as u32)))
            }
            Op::OpenDir { .. } => {
                let names = self.tree.names(node)?;
                let handle = self.next_listing;
                self.next_listing += 1;
                self.listings.insert(handle, Arc::new(names));
                Ok(Answer::Reply(reply::open(handle, DIRECTORY_FLAGS)))
            }
            Op::ReleaseDir { fh } => {
                self.listings.remove(&fh);
                Ok(Answer::DONE)
            }
            Op::ReadDir {
                fh,
                offset,
                size,
                plus,
            } => self.list(fh, offset, size as usize, plus),
            Op::Interrupt => Ok(Answer::Silence),
            Op::Release { .. } | Op::Fsync { .. } | Op::FsyncDir | Op::SyncFs | Op::Destroy => {
                Ok(Answer::DONE)
            }
            _ => Err(libc::ENOSYS),
        }
    }

    fn list(&mut self, handle: u64, from: u64, size: usize, plus: bool) -> Reply {
        let names = self.listings.get(&handle).ok_or(libc::EBADF)?.clone();
        let mut listing = reply::Listing::new(size);
        for ((name, number), next) in names.iter().zip(1..).skip(from as usize) {
            if !listing.fits(name, plus) {
                break;
            }
            // What was removed meanwhile is listed no more; `.` and `..` have no node of their own.
            let Ok(node) = self.tree.node(*number) else {
                continue;
            };
            let dots = matches!(&name[..], b"." | b"..");
            match plus {
                false => listing.name(*number, next, node.attr.mode, name),
                true if dots => listing.plus(0, 0, &node.attr, next, name),
                true => {
                    listing.plus(*number, reply::FOREVER, &node.attr, next, name);
                    self.tree.remember(*number);
                }
            }
        }
        Ok(Answer::Reply(listing.into_bytes()))
    }

    fn sizes(&self) -> Vec<u8> {
        let free = BYTES.saturating_sub(self.tree.bytes()) / BLOCK;
        reply::statfs(&reply::StatFs {
            blocks: BYTES / BLOCK,
            free,
            available: free,
            files: 1 << 32,
            files_free: 1 << 31,
            block: BLOCK as u32,
            name_max: 255,
        })
    }
}
