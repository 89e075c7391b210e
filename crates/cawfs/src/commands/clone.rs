//! `cawfs clone`: stage the clones, then rename each into place.
//!
//! The rename goes through the kernel, which so checks rights, tells those who watch the directory,
//! and shows the clone whole or not at all (the protocol: `cawfs_fs::protocol`).

use super::target::Target;
use crate::Outcome;
use crate::args::CloneArgs;
use crate::control;
use crate::failure::Failure;
use crate::output;
use cawfs_fs::protocol::{CLONE_READ_ONLY, CLONE_REPLACE, stage_name};
use cawfs_fs::{IdRange, Ids};
use rustix::fs::{FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use serde_json::json;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Clones.
pub fn run(args: &CloneArgs) -> Outcome {
    let begun = Instant::now();
    let wish = Wish {
        replace: args.replace,
        read_only: args.read_only,
        users: &args.map_uid,
        groups: &args.map_gid,
    };
    let (destinations, took) = clone(&args.src, &args.dst, wish)?;
    if args.json {
        output::json(&json!({
            "source": args.src.to_string_lossy(),
            "destinations": destinations,
            "ioctl_seconds": took.ioctl.as_secs_f64(),
            "calls_seconds": took.calls.as_secs_f64(),
            "seconds": begun.elapsed().as_secs_f64(),
        }));
    }
    Ok(0)
}

/// What clones are to be like.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wish<'a> {
    /// They replace what is there.
    pub replace: bool,
    /// Nothing in them ever changes.
    pub read_only: bool,
    /// As which users those of the source are shown; none: as they are.
    pub users: &'a [IdRange],
    /// The same for groups.
    pub groups: &'a [IdRange],
}

impl Wish<'_> {
    fn flags(self) -> u32 {
        let replace = if self.replace { CLONE_REPLACE } else { 0 };
        replace | if self.read_only { CLONE_READ_ONLY } else { 0 }
    }
    fn maps(self) -> bool {
        !self.users.is_empty() || !self.groups.is_empty()
    }
    /// Refuses what makes no sense.
    fn check(self, src: &Path, is_dir: bool) -> Result<(), Failure> {
        for (option, ranges) in [("--map-uid", self.users), ("--map-gid", self.groups)] {
            Ids::new(ranges, &[]).map_err(|e| Failure::usage(format!("{option}: {e}")))?;
        }
        if self.read_only && !is_dir {
            return Err(
                Failure::at(src, "--read-only is for directories, and it is none")
                    .hint("clone it, and take the right to write: chmod a-w"),
            );
        }
        Ok(())
    }
}

/// How long the calls took that clone.
#[derive(Debug, Clone, Copy)]
pub struct Took {
    /// The ioctl that stages.
    pub ioctl: Duration,
    /// That, and the renames that make the clones appear.
    pub calls: Duration,
}

/// Clones `src` to each of `dst`; the answer is the names of the clones, and how long that took.
///
/// # Errors
/// Whatever keeps a clone from its place; those before it are there then.
pub fn clone(src: &Path, dst: &[PathBuf], wish: Wish<'_>) -> Result<(Vec<String>, Took), Failure> {
    let (source, is_dir, device) = open_source(src)?;
    wish.check(src, is_dir)?;
    let targets = dst
        .iter()
        .map(|d| Target::of(d))
        .collect::<Result<Vec<_>, _>>()?;
    let mut modes = Vec::with_capacity(targets.len());
    for target in &targets {
        modes.push(may_become(target, is_dir, device, wish.replace)?);
    }
    let count = u32::try_from(targets.len()).map_err(|_| Failure::usage("too many DST"))?;
    let (token, ioctl) = control::stage(&source, (count, wish.flags()), (wish.users, wish.groups))
        .map_err(|refusal| refusal.at(src, |e| refused(src, wish, e)))?;
    let begun = Instant::now();
    for (index, (target, mode)) in (0..count).zip(targets.iter().zip(modes)) {
        let staged = stage_name(token, index);
        rustix::fs::renameat_with(&target.parent, staged, &target.parent, &target.name, mode)
            .map_err(|e| match control::failure(&source) {
                Some(why) if e == Errno::IO => control::failed(&target.path, &why),
                _ => misplaced(target, e),
            })?;
    }
    let calls = ioctl + begun.elapsed();
    let names = targets
        .iter()
        .map(|t| t.path.to_string_lossy().into_owned())
        .collect();
    Ok((names, Took { ioctl, calls }))
}

fn open_source(src: &Path) -> Result<(File, bool, u64), Failure> {
    let meta = std::fs::metadata(src).map_err(|e| Failure::io(src, "cannot clone it", e))?;
    if !meta.is_dir() && !meta.is_file() {
        return Err(Failure::at(src, "only files and directories can be cloned"));
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let source = rustix::fs::open(src, flags, Mode::empty())
        .map_err(|e| Failure::io(src, "cannot read it", e))?;
    Ok((File::from(source), meta.is_dir(), meta.dev()))
}

/// How to rename onto a destination; looks first, so that nothing is staged in vain.
fn may_become(
    target: &Target,
    is_dir: bool,
    device: u64,
    replace: bool,
) -> Result<RenameFlags, Failure> {
    if target.device()? != device {
        return Err(Failure::at(&target.path, "SRC is on another mount")
            .hint("a clone shares its data with the source: both must be on one mount"));
    }
    let Some(there) = target.stat()? else {
        return Ok(RenameFlags::NOREPLACE);
    };
    let both_dirs = is_dir && FileType::from_raw_mode(there.st_mode) == FileType::Directory;
    if replace || (both_dirs && is_empty(target)) {
        return Ok(RenameFlags::empty());
    }
    Err(exists(target))
}

fn is_empty(target: &Target) -> bool {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(&target.parent, &target.name, flags, Mode::empty())
        .and_then(rustix::fs::Dir::new)
        .is_ok_and(|dir| {
            let mut names = dir.filter_map(Result::ok);
            !names.any(|e| e.file_name() != c"." && e.file_name() != c"..")
        })
}

fn exists(target: &Target) -> Failure {
    Failure::at(&target.path, "it exists").hint("DST names the clone itself; --replace replaces it")
}

fn refused(src: &Path, wish: Wish<'_>, e: Errno) -> Failure {
    let failure = Failure::io(src, "cannot clone it", e);
    match e {
        Errno::PERM if wish.maps() => {
            failure.hint("only root may map owners, as only root may chown: leave out --map-uid and --map-gid")
        }
        Errno::PERM | Errno::ACCESS => failure
            .hint("a tree is cloned by root or by the owner of its top directory; a file by whoever may read it"),
        _ => failure,
    }
}

fn misplaced(target: &Target, e: Errno) -> Failure {
    match e {
        Errno::EXIST | Errno::NOTEMPTY => exists(target),
        Errno::ISDIR => Failure::at(&target.path, "it is a directory, SRC is a file"),
        Errno::NOTDIR => Failure::at(&target.path, "it is no directory, SRC is one"),
        Errno::BUSY => Failure::at(&target.path, "something is mounted there"),
        Errno::ROFS => Failure::at(&target.path, "nothing can be made there: it lies in a read-only clone, or the mount is read-only")
            .hint("a clone of a read-only clone is writable"),
        Errno::XDEV => Failure::at(&target.path, "owners of SRC cannot be shown there")
            .hint("it lies in a clone that maps owners: give --map-uid and --map-gid that lead to ids which show there"),
        Errno::OVERFLOW => Failure::at(&target.path, "you cannot own anything there")
            .hint("it lies in a clone that maps owners, and not to you"),
        _ => Failure::io(&target.path, "cannot put a clone there", e),
    }
}
