//! `cawfs sync`: all that happened before is durable.

use crate::Outcome;
use crate::args::Sync;
use crate::control;
use crate::failure::Failure;
use std::fs::File;

/// Syncs the mount of a directory or file.
pub fn run(args: &Sync) -> Outcome {
    let dir = &args.dir;
    let object = File::open(dir).map_err(|e| match crate::mounts::is_stale(&e) {
        true => control::stale(dir),
        false => Failure::io(dir, "cannot open it", e),
    })?;
    control::sync(&object)
        .map_err(|refusal| refusal.at(dir, |e| Failure::io(dir, "cannot write to disk", e)))?;
    Ok(0)
}
