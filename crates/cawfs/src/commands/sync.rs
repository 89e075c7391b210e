//! `cawfs sync`: all that happened before is durable.

use crate::Outcome;
use crate::args::Sync;
use crate::control;
use crate::failure::Failure;
use std::fs::File;
use std::path::Path;

/// Syncs the mount of a directory or file.
pub fn run(args: &Sync) -> Outcome {
    sync(&args.dir)?;
    Ok(0)
}

/// Syncs the mount of a directory or file.
///
/// # Errors
/// If it is not on a mount, or the store cannot be written.
pub fn sync(dir: &Path) -> Result<(), Failure> {
    let object = File::open(dir).map_err(|e| Failure::io(dir, "cannot open it", e))?;
    control::sync(&object)
        .map_err(|refusal| refusal.at(dir, |e| Failure::io(dir, "cannot write to disk", e)))
}
