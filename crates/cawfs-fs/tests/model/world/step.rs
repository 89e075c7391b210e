//! Steps of a random test, and what their numbers mean on a given state.
//!
//! A step names objects by position among those that are there when it is replayed, so every sub-list of a list of steps
//! is meaningful too: that is what makes shrinking work.
//!
//! ```text
//!  Pick 13 ── 5 directories ──► the one at position 13 mod 5
//! ```

use super::tree::{Id, Model};
use super::zone::Look;
use cawfs_fs::{RenameMode, XattrMode};

/// A position, counted round and round.
pub type Pick = u32;

/// Names that are made. Each also comes eighty times over.
const NAMES: [&str; 7] = ["a", "b", "ab", "c", "E", "S\u{1}", "\u{ff}x"];

/// A choice of name in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PickName {
    /// One that is there, or this of `NAMES` if there is none.
    Known(Pick),
    /// This of `NAMES`, perhaps a long one.
    Any(Pick, bool),
}

/// A choice of regular file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PickFile {
    /// One that a path leads to.
    Named(Pick),
    /// One that is open, perhaps without a name; a named one if none is open.
    Open(Pick),
}

/// Bytes other than zero, so that they are told from holes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fill {
    pub tag: u8,
    pub len: u32,
}

/// What is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    File,
    Dir,
    Link,
}

/// What fallocate does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allocate {
    Reserve,
    Zero,
    Punch,
}

/// How a clone is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By the library.
    Call,
    /// By staging and renaming; whether the staged name is looked up between.
    Staged { looked: bool, fresh: bool },
}

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Make(Pick, PickName, Made),
    Write(PickFile, u64, Fill, bool),
    Truncate(PickFile, u64),
    Allocate(PickFile, Allocate, bool, u64, u64),
    Copy(PickFile, u64, PickFile, u64, u64),
    Seek(PickFile, u64),
    Unlink(Pick, PickName),
    Rmdir(Pick, PickName),
    RemoveTree(Pick, PickName),
    Rename(Pick, PickName, Pick, PickName, RenameMode),
    SetXattr(Pick, Pick, Fill, XattrMode),
    RemoveXattr(Pick, Pick),
    Chmod(Pick, u16),
    Chown(Pick, u8, u8),
    /// Sets flags of chattr(1): 1 immutable, 2 append only, 4 not for dump, 8 no access times.
    Guard(Pick, u8),
    /// Takes all flags from something that has a guard.
    Unguard(Pick),
    /// Of a named object, or of an open file.
    Clone(Result<Pick, PickFile>, Pick, PickName, bool, Way, Look),
    /// Into the directory that is cloned.
    Nest(Pick, PickName),
    /// Stages so many clones (two at least), to be completed later.
    Stage(Pick, u8, bool, Look),
    /// Completes the next of some stage.
    Complete(Pick, Pick, PickName, Way),
    Open(Pick),
    Close(Pick),
    Tmpfile(Pick, PickName, Fill),
    /// Of a named object, or of an open file.
    Link(Result<Pick, PickFile>, Pick, PickName),
    /// Gives references back: all, or half of them.
    Forget(bool),
    Fsync(PickFile),
    FsyncDir(Pick),
    SyncAll,
    Checkpoint,
    Tick(u8),
    HandOver,
    /// Unmounts and mounts again; whether all background work is done, and whether a checkpoint is written before.
    Remount(bool, bool),
    /// Loses power: what was not synced is kept, dropped or torn, as this seed says.
    Crash(u32),
}

impl PickName {
    /// The name that is meant.
    pub fn on(self, model: &Model, dir: Id) -> Vec<u8> {
        let entries = model.entries(dir);
        match self {
            Self::Known(at) if !entries.is_empty() => {
                let name = entries.keys().nth(at as usize % entries.len());
                name.unwrap().to_vec()
            }
            Self::Known(at) | Self::Any(at, false) => NAMES[at as usize % NAMES.len()].into(),
            Self::Any(at, true) => NAMES[at as usize % NAMES.len()].repeat(80).into(),
        }
    }
}

impl Fill {
    pub fn bytes(self) -> Vec<u8> {
        if self.tag.is_multiple_of(3) {
            // What does not compress lies otherwise on the disk.
            let mut rng = fastrand::Rng::with_seed(self.tag.into());
            return (0..self.len).map(|_| rng.u8(..) | 1).collect();
        }
        let stride = self.tag % 7;
        (0..self.len)
            .map(|i| {
                self.tag
                    .wrapping_add(((i % 251) as u8).wrapping_mul(stride))
                    | 1
            })
            .collect()
    }
}

impl Step {
    /// Whether there may be more objects afterwards.
    pub fn grows(&self) -> bool {
        matches!(
            self,
            Self::Make(..)
                | Self::Clone(..)
                | Self::Nest(..)
                | Self::Stage(..)
                | Self::Complete(..)
                | Self::Tmpfile(..)
        )
    }
    /// Simpler forms of a step, for the shrinker.
    pub fn simpler(&self) -> Vec<Self> {
        let less = |n: u64| {
            [0, n / 2, n.saturating_sub(1)]
                .into_iter()
                .filter(move |&m| m < n)
        };
        let shorter = |fill: Fill| {
            let lens = [1, fill.len / 2]
                .into_iter()
                .filter(move |&len| 0 < len && len < fill.len);
            lens.map(move |len| Fill { len, ..fill })
        };
        match *self {
            Self::Write(file, offset, fill, append) => {
                let nearer = less(offset).map(|offset| Self::Write(file, offset, fill, append));
                let shorter = shorter(fill).map(|fill| Self::Write(file, offset, fill, append));
                shorter.chain(nearer).collect()
            }
            Self::Truncate(file, size) => less(size).map(|n| Self::Truncate(file, n)).collect(),
            Self::Allocate(file, what, keep, offset, len) => {
                let nearer = less(offset).map(|n| Self::Allocate(file, what, keep, n, len));
                let shorter = less(len).filter(|&n| n > 0);
                nearer
                    .chain(shorter.map(|n| Self::Allocate(file, what, keep, offset, n)))
                    .collect()
            }
            Self::Copy(from, at, to, target, len) => {
                let shorter = less(len).map(|n| Self::Copy(from, at, to, target, n));
                let nearer = less(at.min(target)).map(|n| {
                    let less = at.min(target) - n;
                    Self::Copy(from, at - less, to, target - less, len)
                });
                shorter.chain(nearer).collect()
            }
            Self::SetXattr(object, name, fill, mode) => shorter(fill)
                .map(|fill| Self::SetXattr(object, name, fill, mode))
                .collect(),
            Self::Tmpfile(dir, name, fill) => shorter(fill)
                .map(|fill| Self::Tmpfile(dir, name, fill))
                .collect(),
            Self::Clone(from, dir, name, replace, way, look) => {
                let call = (way != Way::Call).then_some(Way::Call);
                let calls = call.map(|way| Self::Clone(from, dir, name, replace, way, look));
                let looks = look.simpler();
                let plain = looks.map(|look| Self::Clone(from, dir, name, replace, way, look));
                calls.into_iter().chain(plain).collect()
            }
            Self::Stage(at, count, replace, look) => {
                let looks = look.simpler();
                looks
                    .map(|look| Self::Stage(at, count, replace, look))
                    .collect()
            }
            Self::Make(dir, PickName::Any(at, true), made) => {
                vec![Self::Make(dir, PickName::Any(at, false), made)]
            }
            Self::Tick(n) if n > 1 => vec![Self::Tick(1), Self::Tick(n - 1)],
            Self::Remount(true, checkpoint) => vec![Self::Remount(false, checkpoint)],
            Self::Remount(false, true) => vec![Self::Remount(false, false)],
            _ => Vec::new(),
        }
    }
}
