//! Listing directories.

use super::listers::Gets;
use super::{Reply, Server, convert, errno, names};
use crate::connection::Answer;
use crate::wire::{Op, reply};
use cawfs_fs::{AccessTimes, DirEntry, DirHandle, FileType, NodeId, With};

/// The kernel may keep a listing from an earlier open; it drops it when the directory changes.
const KEEP_CACHE: u32 = 1 << 1;
/// It may use and fill the listing it keeps.
const CACHE_DIR: u32 = 1 << 3;

/// What is answered to opening a directory whose names may be cached.
pub const DIRECTORY_FLAGS: u32 = KEEP_CACHE | CACHE_DIR;

impl Server {
    pub(super) fn directory(&self, process: u32, node: NodeId, op: &Op<'_>) -> Reply {
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
            } => {
                let listing = reply::Listing::new(size as usize);
                match plus {
                    true => self.list_known(process, node, (DirHandle(fh), offset), listing),
                    false => self.list((DirHandle(fh), offset), listing),
                }
            }
            _ => self.sync(cawfs_fs::Fs::sync_all),
        }
    }

    fn list(&self, (handle, from): (DirHandle, u64), mut listing: reply::Listing) -> Reply {
        let done = self.fs.readdir(handle, from, &mut |e| {
            let fits = listing.fits(&e.name, false);
            if fits {
                listing.name(e.ino, e.next, convert::kind(e.kind), &e.name);
            }
            fits
        });
        answered(listing, done)
    }

    /// Lists names with what the kernel may remember of them; see [`super::listers`].
    fn list_known(
        &self,
        process: u32,
        node: NodeId,
        (handle, from): (DirHandle, u64),
        mut listing: reply::Listing,
    ) -> Reply {
        let gets = match from {
            0 => self.listers.lists(process, node),
            _ => self.listers.goes_on(process),
        };
        let with = match gets {
            Gets::Directories => With::Directories,
            Gets::All | Gets::AllButOne => With::All,
        };
        let mut held_back = None;
        let done = self.fs.readdirplus(handle, from, with, &mut |e| {
            let fits = listing.fits(&e.name, true);
            let holds_back = |e: &DirEntry| {
                gets == Gets::AllButOne && held_back.is_none() && e.kind != FileType::Directory
            };
            match &e.entry {
                _ if !fits => {}
                Some(known) if holds_back(&e) => {
                    held_back = Some((e.name.clone(), known.node));
                    bare(&mut listing, &e);
                }
                Some(known) => {
                    let attr = convert::attr(&known.attr);
                    listing.plus(known.node.0, names::valid(known), &attr, e.next, &e.name);
                }
                None => bare(&mut listing, &e),
            }
            fits
        });
        if let Some((name, held)) = held_back {
            self.fs.forget(held, 1);
            self.listers.held_back(process, node, name);
        }
        answered(listing, done)
    }
}

/// What came before a failure is answered, as the kernel has to give back the nodes that came with it; who goes on behind that fails.
fn answered(listing: reply::Listing, done: cawfs_fs::Result<()>) -> Reply {
    match done {
        Err(e) if listing.is_empty() => Err(errno(e)),
        _ => Ok(Answer::Reply(listing.into_bytes())),
    }
}

/// A name with which the kernel learns nothing to remember.
fn bare(listing: &mut reply::Listing, e: &DirEntry) {
    let attr = reply::Attr {
        ino: e.ino,
        mode: convert::kind(e.kind),
        ..Default::default()
    };
    listing.plus(0, 0, &attr, e.next, &e.name);
}
