//! The one place where the command line makes, opens and closes stores.
//!
//! Until the engine opens files itself, the map it stands on is written out when the store is closed:
//!
//! ```text
//! magic (16) │ length of key : u32 │ key │ length of value : u32 │ value │ …
//! ```

use crate::failure::{Failure, plain};
use cawdb::{Batch, KeyRange, Store};
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const MAGIC: &[u8; 16] = b"cawfs map, v0\0\0\0";
/// How long to wait for whoever still has the store.
const PATIENCE: Duration = Duration::from_secs(60);

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

/// An open store, with the lock that keeps others out until it is closed.
pub struct Opened {
    /// The store.
    pub store: Store,
    file: File,
    path: PathBuf,
    read_only: bool,
}

/// Makes an empty store and leaves it open.
///
/// # Errors
/// If something is there and `force` is not given, or the system says no.
pub fn create(path: &Path, options: &Create) -> Result<Opened, Failure> {
    let mut how = OpenOptions::new();
    how.read(true)
        .write(true)
        .create_new(!options.force)
        .create(true)
        .truncate(false);
    let file = how.open(path).map_err(|e| match e.kind() {
        io::ErrorKind::AlreadyExists => Failure::at(path, "it exists already")
            .hint("give another name, or --force to overwrite it and lose what is in it"),
        _ => Failure::io(path, "cannot create it", e),
    })?;
    lock(&file, path)?;
    let failed = |e| Failure::io(path, "cannot make a store", e);
    file.set_len(0).map_err(failed)?;
    file.set_len(options.size.unwrap_or(1 << 30))
        .map_err(failed)?;
    let opened = Opened {
        store: Store::in_memory(),
        file,
        path: path.to_owned(),
        read_only: false,
    };
    opened.write_out().map_err(failed)?;
    Ok(opened)
}

/// Opens a store; waits for a daemon that is about to release it.
///
/// # Errors
/// If it is missing, in use, not a store, damaged, or the system says no.
pub fn open(path: &Path, options: &Open) -> Result<Opened, Failure> {
    let file = OpenOptions::new()
        .read(true)
        .write(!options.read_only)
        .open(path);
    let file = file.map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => Failure::at(path, "there is no such store")
            .hint(format!("make one with: cawfs mkfs {}", path.display())),
        _ => Failure::io(path, "cannot open it", e),
    })?;
    if file.metadata().is_ok_and(|m| m.is_dir()) {
        return Err(Failure::at(path, "it is a directory, not a store"));
    }
    let foreign =
        || Failure::at(path, "it is not a cawfs store").hint("the store comes first: STORE DIR");
    lock(&file, path)?;
    let store = Store::in_memory();
    let mut input = BufReader::new(&file);
    let mut magic = [0; MAGIC.len()];
    input.read_exact(&mut magic).map_err(|_| foreign())?;
    if &magic != MAGIC {
        return Err(foreign());
    }
    while let Some((key, value)) = read_pair(&mut input)
        .map_err(|e| Failure::at(path, format_args!("damaged: {}", plain(&e))))?
    {
        let mut batch = Batch::new();
        batch.put(key, value);
        store.commit(batch).map_err(|e| Failure::at(path, e))?;
    }
    Ok(Opened {
        store,
        file,
        path: path.to_owned(),
        read_only: options.read_only,
    })
}

impl Opened {
    /// Makes everything durable and releases the store.
    ///
    /// # Errors
    /// If something could not be written; what was synced before is safe.
    pub fn close(self) -> Result<(), Failure> {
        if self.read_only {
            return Ok(());
        }
        let path = self.path.clone();
        self.store.checkpoint().map_err(|e| Failure::at(&path, e))?;
        self.write_out()
            .map_err(|e| Failure::io(&path, "cannot write", e))
    }

    fn write_out(&self) -> io::Result<()> {
        let mut out = BufWriter::new(&self.file);
        out.rewind()?;
        out.write_all(MAGIC)?;
        for pair in self.store.scan(KeyRange::prefix(Vec::new())) {
            let (key, value) = pair.map_err(io::Error::other)?;
            for part in [key, value] {
                out.write_all(&(part.len() as u32).to_le_bytes())?;
                out.write_all(&part)?;
            }
        }
        out.write_all(&[0; 4])?;
        out.flush()?;
        self.file.sync_all()
    }
}

fn read_pair(input: &mut impl Read) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
    let mut part = |limit: usize| {
        let mut length = [0; 4];
        input.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length) as usize;
        if length > limit {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
        let mut bytes = vec![0; length];
        input.read_exact(&mut bytes).map(|()| bytes)
    };
    let key = part(cawdb::MAX_KEY_BYTES)?;
    if key.is_empty() {
        return Ok(None);
    }
    Ok(Some((key, part(cawdb::MAX_VALUE_BYTES)?)))
}

fn lock(file: &File, path: &Path) -> Result<(), Failure> {
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(std::fs::TryLockError::WouldBlock) if begun.elapsed() > PATIENCE => {
                return Err(Failure::at(path, "another process has it in use")
                    .hint("is it mounted? see /proc/mounts"));
            }
            Err(std::fs::TryLockError::WouldBlock) => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(std::fs::TryLockError::Error(e)) => {
                return Err(Failure::io(path, "cannot lock it", e));
            }
        }
    }
}
