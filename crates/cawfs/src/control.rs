//! Requests to the daemon of a mount, through names that are read like extended attributes
//! (`cawfs_fuse::control`; the ioctls of the same meaning would need unsafe code).

use crate::failure::Failure;
use crate::mounts;
use cawfs_fuse::control::{Request, VALUE_MAX, read_token};
use rustix::io::Errno;
use std::fs::File;
use std::path::Path;

/// Why a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The object is not on a cawfs mount.
    Foreign,
    /// The daemon of the mount has died.
    Stale,
    /// The daemon said no.
    Error(Errno),
}

impl Refusal {
    /// The refusal for people, where the daemon's own errors are told by `why`.
    pub fn at(self, path: &Path, why: impl FnOnce(Errno) -> Failure) -> Failure {
        match self {
            Self::Foreign => Failure::at(path, "it is not on a cawfs mount")
                .hint("mount a store with: cawfs mount STORE DIR"),
            Self::Stale => stale(path),
            Self::Error(e) => why(e),
        }
    }
}

/// The failure for a mount whose daemon has died.
pub fn stale(path: &Path) -> Failure {
    Failure::at(
        path,
        "the daemon behind this mount has died; what was synced is in the store",
    )
    .hint(format!(
        "clean up with: cawfs umount {}, then mount again",
        path.display()
    ))
}

fn ask(object: &File, request: Request<'_>, room: usize) -> Result<Vec<u8>, Refusal> {
    let mut buffer = vec![0; room];
    let name = request.name();
    match rustix::fs::fgetxattr(object, name.as_slice(), &mut buffer) {
        Ok(n) => {
            buffer.truncate(n);
            Ok(buffer)
        }
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::NOTTY | Errno::NOSYS) => {
            Err(Refusal::Foreign)
        }
        Err(e) if mounts::is_stale(&e.into()) => Err(Refusal::Stale),
        Err(e) => Err(Refusal::Error(e)),
    }
}

/// Stages `count` clones of an object; the token names them.
pub fn stage(object: &File, count: u32, flags: u32) -> Result<u64, Refusal> {
    let value = ask(object, Request::Clone { count, flags }, 64)?;
    read_token(&value).ok_or(Refusal::Foreign)
}

/// Removes a name of a directory with all below it.
pub fn remove(parent: &File, name: &[u8]) -> Result<(), Refusal> {
    ask(parent, Request::Remove { name }, 1).map(drop)
}

/// Makes everything durable that happened before on the mount of this object.
pub fn sync(object: &File) -> Result<(), Refusal> {
    ask(object, Request::Sync, 1).map(drop)
}

/// What the daemon tells about itself.
pub fn stats(object: &File) -> Result<serde_json::Value, Refusal> {
    let mut text = Vec::new();
    // The text may change between two pieces; then it is no JSON, and is asked for again.
    for _ in 0..8 {
        loop {
            let piece = ask(object, Request::Stats { offset: text.len() }, VALUE_MAX)?;
            if piece.is_empty() {
                break;
            }
            text.extend(piece);
        }
        if let Ok(value) = serde_json::from_slice(&text) {
            return Ok(value);
        }
        text.clear();
    }
    Err(Refusal::Error(Errno::AGAIN))
}
