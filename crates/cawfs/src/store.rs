//! The one place where the command line makes, opens and closes stores.

use crate::failure::Failure;
use crate::mounts;
use crate::occupant;
use crate::stuck;
use cawdb::disk::{Access, Disk, Error as DiskError, FileDisk};
use cawdb::{CreateOptions, Error, Options, Store};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long to wait for whoever still has the store before saying so.
const NOTICE: Duration = Duration::from_secs(1);
/// How long altogether, while it is mounted: a daemon that was just told to end takes its mount away at once.
const MOUNTED: Duration = Duration::from_secs(5);
/// How long altogether for a daemon whose mount is gone, and that writes what is left.
const ENDING: Duration = Duration::from_secs(60);
/// How long between two looks at which of these it is.
const LOOK: Duration = Duration::from_millis(500);

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
    if is_device && !options.force {
        must_be_empty(path, &disk)?;
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

/// Refuses a device on which something lies, be it a store or what others made.
fn must_be_empty(path: &Path, disk: &FileDisk) -> Result<(), Failure> {
    let hint = "give another device, or --force to overwrite it and lose what is on it";
    match occupant::of(disk) {
        Ok(None) => Ok(()),
        Ok(Some(found)) => {
            let why = format!("there is {} on it, at byte {}", found.what, found.at);
            Err(Failure::at(path, why).hint(hint))
        }
        Err(e) => Err(failure(path, e.into()).hint(hint)),
    }
}

/// What the file system below, or the device, has room for; a sparse file never takes more than it needs.
fn room_below(path: &Path, disk: &FileDisk) -> u64 {
    let below = || rustix::fs::statvfs(path).map_or(1 << 40, |s| s.f_bavail * s.f_frsize);
    disk.limit().unwrap_or_else(below) / 4096 * 4096
}

/// Opens and locks the file; waits for whoever has it, because daemons end some time after their mounts.
fn disk(path: &Path, access: Access, tell: Tell<'_>) -> Result<FileDisk, Failure> {
    let begun = Instant::now();
    let mut opened = FileDisk::open(path, access, NOTICE);
    if matches!(opened, Err(DiskError::Busy { .. }))
        && mounts::of_store(path).is_some_and(|mount| stuck::release(&mount))
    {
        opened = FileDisk::open(path, access, NOTICE);
    }
    if let Err(DiskError::Busy { who }) = &opened {
        let who = format!("in use by {who}{}", mounted_on(path));
        tell(&format!(
            "{}: {who}; waiting until it is free",
            path.display()
        ));
    }
    while let Err(DiskError::Busy { who }) = opened {
        let place = mounted_on(path);
        let patience = if place.is_empty() { ENDING } else { MOUNTED };
        if begun.elapsed() > patience {
            let who = format!("{who}{place}");
            return Err(failure(path, DiskError::Busy { who }.into()));
        }
        opened = FileDisk::open(path, access, LOOK);
    }
    opened.map_err(|e| failure(path, e.into()))
}

/// Where a store is mounted, as the end of a sentence; nothing if it is not.
fn mounted_on(store: &Path) -> String {
    mounts::of_store(store).map_or_else(String::new, |at| {
        format!(", mounted on {}", at.dir.display())
    })
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

/// Opens what is left of a damaged store, for reading; and what could not be had.
///
/// # Errors
/// If nothing at all can be opened.
pub fn rescue(path: &Path, tell: Tell<'_>) -> Result<(Store, Vec<String>), Failure> {
    let disk: Arc<dyn Disk> = Arc::new(disk(path, Access::Read, tell)?);
    Store::open_rescue(&disk, &Options::default()).map_err(|e| failure(path, e))
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
