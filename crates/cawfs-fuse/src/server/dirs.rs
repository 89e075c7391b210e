//! Listing directories.

use super::{Reply, Server, convert, errno, names};
use crate::connection::Answer;
use crate::wire::{Op, reply};
use cawfs_fs::{AccessTimes, DirHandle, NodeId};

/// The kernel may keep a listing from an earlier open; it drops it when the directory changes.
const KEEP_CACHE: u32 = 1 << 1;
/// It may use and fill the listing it keeps.
const CACHE_DIR: u32 = 1 << 3;

/// What is answered to opening a directory whose names may be cached.
pub const DIRECTORY_FLAGS: u32 = KEEP_CACHE | CACHE_DIR;

impl Server {
    pub(super) fn directory(&self, node: NodeId, op: &Op<'_>) -> Reply {
        match *op {
            Op::OpenDir { .. } => {
                let handle = self.fs.opendir(node).map_err(errno)?;
                // What the kernel answers from its cache renews no access time.
                let cached = self.fs.may_cache_names(handle)
                    && self.fs.access_times() != AccessTimes::Always;
                let flags = if cached { DIRECTORY_FLAGS } else { KEEP_CACHE };
                Ok(Answer::Reply(reply::open(handle.0, flags)))
            }
            Op::ReleaseDir { fh } => {
                self.fs.releasedir(DirHandle(fh));
                Ok(Answer::DONE)
            }
            Op::ReadDir {
                fh,
                offset,
                size,
                plus,
            } => self.list(DirHandle(fh), offset, size as usize, plus),
            _ => self.sync(cawfs_fs::Fs::sync_all),
        }
    }

    fn list(&self, handle: DirHandle, from: u64, size: usize, plus: bool) -> Reply {
        let mut listing = reply::Listing::new(size);
        if !plus {
            let done = self.fs.readdir(handle, from, &mut |e| {
                let fits = listing.fits(&e.name, false);
                if fits {
                    listing.name(e.ino, e.next, convert::kind(e.kind), &e.name);
                }
                fits
            });
            done.map_err(errno)?;
            return Ok(Answer::Reply(listing.into_bytes()));
        }
        let done = self.fs.readdirplus(handle, from, &mut |e| {
            let fits = listing.fits(&e.name, true);
            match e.entry {
                _ if !fits => {}
                Some(known) => {
                    let attr = convert::attr(&known.attr);
                    let valid = names::valid(&known);
                    listing.plus(known.node.0, valid, &attr, e.next, &e.name);
                }
                None => {
                    let mode = convert::kind(e.kind);
                    let attr = reply::Attr {
                        ino: e.ino,
                        mode,
                        ..Default::default()
                    };
                    listing.plus(0, 0, &attr, e.next, &e.name);
                }
            }
            fits
        });
        done.map_err(errno)?;
        Ok(Answer::Reply(listing.into_bytes()))
    }
}
