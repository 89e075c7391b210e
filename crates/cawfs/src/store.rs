//! The one place where the command line makes, opens and closes stores.

use crate::failure::Failure;
use cawdb::disk::superblock;
use cawdb::disk::{Access, Disk, Error as DiskError, FileDisk};
use cawdb::{CreateOptions, Error, Options, Store};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long to wait for whoever still has the store before saying so, and after that.
const NOTICE: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(59);

/// Hears, once, whom an open waits for.
pub type Tell<'a> = &'a dyn Fn(&str);

/// How a store is made.
#[derive(Debug, Clone, Copy)]
pub struct Create {
    /// Limit of its size in bytes; `None`: what there is room for.
    pub size: Option<u64>,
    /// How it compresses.
    pub compression: crate::args::Compression,
    /// Overwrite what is there.
    pub force: bool,
}

/// How a store is opened.
#[derive(Debug, Clone, Copy, Default)]
pub struct Open {
    /// Memory for data read, in bytes.
    pub cache: Option<u64>,
    /// Memory for changes, in bytes.
    pub memtable: Option<u64>,
    /// No changes.
    pub read_only: bool,
}

/// Makes an empty store and opens it.
///
/// # Errors
/// If something is there and `force` is not given, or the system says no.
pub fn create(path: &Path, options: &Create, tell: Tell<'_>) -> Result<Store, Failure> {
    let found = std::fs::metadata(path);
    let is_device = found.as_ref().is_ok_and(|m| !m.is_file() && !m.is_dir());
    if found.as_ref().is_ok_and(std::fs::Metadata::is_dir) {
        return Err(Failure::at(
            path,
            "it is a directory, not a file or block device",
        ));
    }
    if found.is_ok() && !is_device && !options.force {
        return Err(Failure::at(path, "it exists already")
            .hint("give another name, or --force to overwrite it and lose what is in it"));
    }
    let disk = disk(path, Access::Create, tell)?;
    if is_device && !options.force && superblock::has_magic(&disk).unwrap_or(false) {
        return Err(Failure::at(path, "there is a store on it already")
            .hint("--force overwrites it, and loses what is in it"));
    }
    let create = CreateOptions {
        size: options.size.unwrap_or_else(|| room_below(path, &disk)),
        compression: options.compression.into(),
        journal_bytes: None,
    };
    let disk: Arc<dyn Disk> = Arc::new(disk);
    Store::create(disk.clone(), &create).map_err(|e| {
        if found.is_err() {
            // What is left of the attempt is ours, and no use to anybody.
            let _ = std::fs::remove_file(path);
        }
        failure(path, e)
    })?;
    let store = Store::open(disk, Options::default()).map_err(|e| failure(path, e))?;
    Ok(store)
}

/// What the file system below, or the device, has room for; a sparse file never takes more than it needs.
fn room_below(path: &Path, disk: &FileDisk) -> u64 {
    let below = || rustix::fs::statvfs(path).map_or(1 << 40, |s| s.f_bavail * s.f_frsize);
    disk.limit().unwrap_or_else(below) / 4096 * 4096
}

/// Opens and locks the file; waits for whoever has it, because daemons end some time after their mounts.
fn disk(path: &Path, access: Access, tell: Tell<'_>) -> Result<FileDisk, Failure> {
    let opened = match FileDisk::open(path, access, NOTICE) {
        Err(DiskError::Busy { who }) => {
            tell(&format!(
                "{}: in use by {who}; waiting until it is free",
                path.display()
            ));
            FileDisk::open(path, access, PATIENCE)
        }
        other => other,
    };
    opened.map_err(|e| failure(path, e.into()))
}

/// Opens a store; waits for a daemon that is about to release it.
///
/// # Errors
/// If it is missing, in use, not a store, damaged, or the system says no.
pub fn open(path: &Path, options: &Open, tell: Tell<'_>) -> Result<Store, Failure> {
    match std::fs::metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(Failure::at(path, "there is no such store")
                .hint(format!("make one with: cawfs mkfs {}", path.display())));
        }
        Err(e) => return Err(Failure::io(path, "cannot open it", e)),
        Ok(meta) if meta.is_dir() => {
            return Err(Failure::at(path, "it is a directory, not a store"));
        }
        Ok(_) => {}
    }
    let default = Options::default();
    let engine = Options {
        cache_bytes: options.cache.unwrap_or(default.cache_bytes),
        memtable_bytes: options.memtable.unwrap_or(default.memtable_bytes),
        read_only: options.read_only,
        ..default
    };
    let access = match options.read_only {
        true => Access::Read,
        false => Access::Write,
    };
    let disk = Arc::new(disk(path, access, tell)?);
    Store::open(disk, engine).map_err(|e| failure(path, e))
}

/// An error of the engine, for people.
fn failure(path: &Path, error: Error) -> Failure {
    match &error {
        Error::Busy(_) => Failure::at(path, error)
            .hint("a mounted store is looked at through its directory, or unmounted first"),
        Error::Invalid(what) if what.contains("not a cawfs store") => {
            Failure::at(path, "it is not a cawfs store")
        }
        Error::Corrupt(_) => Failure {
            damaged: true,
            ..Failure::at(path, error)
        },
        Error::Io(what) => {
            let opening = format!("open {}: ", path.display());
            let what = what.split(" (os error").next().unwrap_or(what);
            match what.strip_prefix(&opening) {
                Some(why) => Failure::at(path, format_args!("cannot open it: {why}")),
                None => Failure::at(path, what),
            }
        }
        _ => Failure::at(path, error),
    }
}

/// Makes everything durable; the store is released with its last handle.
///
/// # Errors
/// If something could not be written; what was synced before is safe.
pub fn close(store: &Store, path: &Path) -> Result<(), Failure> {
    store.checkpoint().map_err(|e| failure(path, e))
}

impl From<crate::args::Compression> for cawdb::Compression {
    fn from(choice: crate::args::Compression) -> Self {
        match choice {
            crate::args::Compression::Lz4 => Self::Lz4,
            crate::args::Compression::Zstd => Self::Zstd,
            crate::args::Compression::None => Self::None,
        }
    }
}
