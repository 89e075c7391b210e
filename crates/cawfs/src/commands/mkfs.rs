//! `cawfs mkfs`: an empty store with an empty file system in it.

use crate::Outcome;
use crate::args::Mkfs;
use crate::failure::Failure;
use crate::output;
use crate::store::{self, Create};
use cawdb::Store;
use cawfs_fs::{FormatOptions, Fs};
use serde_json::json;
use std::path::Path;

/// Makes a store and reports it.
pub fn run(args: &Mkfs) -> Outcome {
    let how = Create {
        size: args.size,
        compression: args.compression,
        force: args.force,
    };
    let store = make(&args.store, &how, &output::note)?;
    let space = store.space();
    store::close(&store, &args.store)?;
    let path = args.store.display();
    if args.json {
        output::json(&json!({
            "store": args.store.to_string_lossy(),
            "size_bytes": space.limit,
            "compression": format!("{:?}", args.compression).to_lowercase(),
        }));
    } else {
        let limit = output::bytes(space.limit);
        output::print(&format!(
            "{path}: an empty store, may grow to {limit}\nmount it with: cawfs mount {path} DIR\n"
        ));
    }
    Ok(0)
}

/// Makes a store whose root directory belongs to the caller, and leaves it open.
pub fn make(path: &Path, how: &Create, tell: store::Tell<'_>) -> Result<Store, Failure> {
    let store = store::create(path, how, tell)?;
    let root = FormatOptions {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        mode: 0o755,
    };
    Fs::format(&store, &root)
        .map_err(|e| Failure::at(path, format_args!("cannot make a file system: {e}")))?;
    Ok(store)
}
