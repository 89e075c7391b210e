//! Requests to the daemon of a mount: the ioctls of [`cawfs_fs::protocol`].

use crate::failure::Failure;
use crate::{ioctl, mounts};
use cawfs_fs::protocol::{self, Stage};
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

fn refusal(e: Errno) -> Refusal {
    match e {
        Errno::NOTTY | Errno::OPNOTSUPP | Errno::NOSYS => Refusal::Foreign,
        e if mounts::is_stale(&e.into()) => Refusal::Stale,
        e => Refusal::Error(e),
    }
}

/// Stages `count` clones of an object; the token names them.
pub fn stage(object: &File, count: u32, flags: u32) -> Result<u64, Refusal> {
    let mut stage = Stage {
        count,
        flags,
        token: 0,
    }
    .encode();
    ioctl::call::<{ protocol::CLONE_STAGE }, _>(object, &mut stage).map_err(refusal)?;
    Stage::decode(&stage)
        .map(|stage| stage.token)
        .map_err(|_| Refusal::Foreign)
}

/// Removes a name of a directory with all below it.
pub fn remove(parent: &File, name: &[u8]) -> Result<(), Refusal> {
    let mut ask = protocol::encode_remove(name).map_err(|_| Refusal::Error(Errno::NAMETOOLONG))?;
    ioctl::call::<{ protocol::REMOVE_TREE }, _>(parent, &mut ask).map_err(refusal)
}

/// Makes everything durable that happened before on the mount of this object.
pub fn sync(object: &File) -> Result<(), Refusal> {
    ioctl::call::<{ protocol::SYNC }, _>(object, &mut []).map_err(refusal)
}

/// What the daemon tells about itself.
pub fn stats(object: &File) -> Result<serde_json::Value, Refusal> {
    let mut text = Vec::new();
    // The text may change between two pieces; then it is no JSON, and is asked for again.
    for _ in 0..8 {
        loop {
            let mut piece = protocol::ask_stats(text.len() as u64);
            ioctl::call::<{ protocol::STATS }, _>(object, &mut piece).map_err(refusal)?;
            let piece = protocol::decode_stats(&piece).map_err(|_| Refusal::Foreign)?;
            text.extend_from_slice(piece);
            if piece.len() < protocol::STATS_ROOM {
                break;
            }
        }
        if let Ok(value) = serde_json::from_slice(&text) {
            return Ok(value);
        }
        text.clear();
    }
    Err(Refusal::Error(Errno::AGAIN))
}
