//! `cawfs rm`: removes names with all that lies below them.

use super::target::Target;
use crate::Outcome;
use crate::args::Rm;
use crate::control;
use crate::failure::{FAILED, Failure};
use crate::output;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde_json::json;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Instant;

/// Removes all paths; one that fails does not keep the others.
pub fn run(args: &Rm) -> Outcome {
    let begun = Instant::now();
    let mut code = 0;
    let mut removed = vec![];
    for path in &args.paths {
        match remove(path, args.force) {
            Ok(true) => removed.push(path.to_string_lossy()),
            Ok(false) => {}
            Err(failure) => {
                failure.report("rm");
                code = FAILED;
            }
        }
    }
    if args.json {
        let seconds = begun.elapsed().as_secs_f64();
        output::json(&json!({ "removed": removed, "seconds": seconds }));
    }
    Ok(code)
}

/// Whether it was there.
fn remove(path: &Path, force: bool) -> Result<bool, Failure> {
    let target = Target::of(path)?;
    let Some(there) = target.stat()? else {
        let missing = Failure::at(path, "it does not exist");
        return if force { Ok(false) } else { Err(missing) };
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = rustix::fs::open(&target.parent_path, flags, Mode::empty())
        .map_err(|e| Failure::io(&target.parent_path, "cannot read it", e))?;
    let place =
        rustix::fs::fstat(&parent).map_err(|e| Failure::io(path, "cannot look at it", e))?;
    if place.st_dev != there.st_dev {
        return Err(Failure::at(path, "a file system is mounted there")
            .hint("unmount it, or remove what is in it"));
    }
    control::remove(&File::from(parent), target.name.as_bytes())
        .map_err(|refusal| refusal.at(path, |e| refused(path, e)))?;
    Ok(true)
}

fn refused(path: &Path, e: Errno) -> Failure {
    match e {
        Errno::BUSY => Failure::at(path, "something is mounted in it"),
        Errno::ROFS => Failure::io(path, "cannot remove it", e)
            .hint("a read-only clone is removed as a whole; is the mount itself read-only?"),
        Errno::PERM | Errno::ACCESS => Failure::io(path, "cannot remove it", e)
            .hint("a tree is removed by root, or by its owner from where he may remove it; nothing in it may be immutable or append-only (lsattr)"),
        _ => Failure::io(path, "cannot remove it", e),
    }
}
