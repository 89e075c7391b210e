//! Requests to the daemon of a mount: the ioctls of [`cawfs_fs::protocol`].

use crate::failure::Failure;
use crate::{ioctl, mounts};
use cawfs_fs::protocol::{self, Stage};
use cawfs_fs::{AccessTimes, IdRange};
use rustix::io::Errno;
use std::fs::File;
use std::path::Path;
use std::time::Duration;

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The object is not on a cawfs mount.
    Foreign,
    /// The daemon of the mount has died.
    Stale,
    /// The store takes no more changes; says why.
    Failed(String),
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
            Self::Failed(why) => failed(path, &why),
            Self::Error(e) => why(e),
        }
    }
}

/// The failure for a mount whose daemon has died.
pub fn stale(path: &Path) -> Failure {
    let mount = mounts::around(path).map_or_else(|| path.to_owned(), |mount| mount.dir);
    Failure::at(
        path,
        "the daemon behind this mount has died; what was synced is in the store",
    )
    .hint(format!(
        "clean up with: cawfs umount {}, then mount again",
        mount.display()
    ))
}

fn refusal(object: &File, e: Errno) -> Refusal {
    match e {
        Errno::NOTTY | Errno::OPNOTSUPP | Errno::NOSYS => Refusal::Foreign,
        e if mounts::is_stale(&e.into()) => Refusal::Stale,
        Errno::IO => failure(object).map_or(Refusal::Error(e), Refusal::Failed),
        e => Refusal::Error(e),
    }
}

/// Why the store of a mount takes no more changes, if so.
pub fn failure(object: &File) -> Option<String> {
    let stats = stats(object).ok()?;
    stats["failure"].as_str().map(str::to_owned)
}

/// The failure for a store that takes no more changes.
pub fn failed(path: &Path, why: &str) -> Failure {
    Failure::at(
        path,
        format_args!("the store takes no more changes, because {why}"),
    )
    .hint("what was synced before is safe: unmount, look with cawfs check, mount again")
}

/// Stages `count` clones of an object, with maps of users and groups; the token that names them, and how long the ioctl itself took.
pub fn stage(
    object: &File,
    (count, flags): (u32, u32),
    (users, groups): (&[IdRange], &[IdRange]),
) -> Result<(u64, Duration), Refusal> {
    let ask = Stage {
        count,
        flags,
        token: 0,
    };
    let answer = if users.is_empty() && groups.is_empty() {
        let mut stage = ask.encode();
        let done = ioctl::timed::<{ protocol::CLONE_STAGE }, _>(object, &mut stage);
        done.map(|took| (stage, took))
    } else {
        let mapped = protocol::encode_mapped(ask, users, groups);
        let mut mapped = mapped.map_err(|_| Refusal::Error(Errno::INVAL))?;
        let done = ioctl::timed::<{ protocol::CLONE_STAGE_MAPPED }, _>(object, &mut mapped);
        done.map(|took| (mapped.first_chunk().copied().unwrap_or_default(), took))
    };
    let (stage, took) = answer.map_err(|e| refusal(object, e))?;
    Stage::decode(&stage)
        .map(|stage| (stage.token, took))
        .map_err(|_| Refusal::Foreign)
}

/// Removes a name of a directory with all below it.
pub fn remove(parent: &File, name: &[u8]) -> Result<(), Refusal> {
    let mut ask = protocol::encode_remove(name).map_err(|_| Refusal::Error(Errno::NAMETOOLONG))?;
    ioctl::call::<{ protocol::REMOVE_TREE }, _>(parent, &mut ask).map_err(|e| refusal(parent, e))
}

/// Makes everything durable that happened before on the mount of this object.
pub fn sync(object: &File) -> Result<(), Refusal> {
    ioctl::call::<{ protocol::SYNC }, _>(object, &mut []).map_err(|e| refusal(object, e))
}

/// Whether somebody still answers for the mount of this object.
pub fn is_served(object: &File) -> Result<(), Refusal> {
    let answer = rustix::fs::fstatfs(object);
    answer.map(|_| ()).map_err(|e| refusal(object, e))
}

/// Tells the daemon when reading renews access times.
pub fn access_times(object: &File, when: AccessTimes) -> Result<(), Refusal> {
    let mut ask = protocol::encode_access_times(when);
    ioctl::call::<{ protocol::ACCESS_TIMES }, _>(object, &mut ask).map_err(|e| refusal(object, e))
}

/// Has the daemon verify about `budget` bytes more of its store, token 0 to begin; what it answers. Its own errors are not
/// explained further.
pub fn scrub(object: &File, token: u64, budget: u64) -> Result<serde_json::Value, Refusal> {
    let mut part = protocol::ask_scrub(token, budget);
    ioctl::call::<{ protocol::SCRUB }, _>(object, &mut part).map_err(|e| refusal(object, e))?;
    let text = protocol::decode_stats(&part).map_err(|_| Refusal::Foreign)?;
    serde_json::from_slice(text).map_err(|_| Refusal::Foreign)
}

/// What the daemon tells about itself.
pub fn stats(object: &File) -> Result<serde_json::Value, Refusal> {
    let mut text = Vec::new();
    // The text may change between two pieces; then it is no JSON, and is asked for again.
    for _ in 0..8 {
        loop {
            let mut piece = protocol::ask_stats(text.len() as u64);
            ioctl::call::<{ protocol::STATS }, _>(object, &mut piece).map_err(|e| match e {
                Errno::IO => Refusal::Error(e),
                e => refusal(object, e),
            })?;
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
