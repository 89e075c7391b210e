//! The process behind a mount: opens the store, mounts, serves, and closes the store when the mount
//! is gone.
//!
//! ```text
//! open store ─► file system ─► mount ─► serve ─► (unmounted) ─► sync ─► checkpoint ─► release
//!                                └─► ready: the mount has answered a first statfs
//! ```

mod keeper;
mod report;
mod scrubs;
mod signals;
pub mod start;
pub mod watcher;

use crate::failure::Failure;
use crate::options::Options;
use crate::store;
use cawfs_fs::{Fs, Time};
use cawfs_fuse::Mount;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// What is mounted where.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Absolute path of the store.
    pub store: PathBuf,
    /// Absolute path of the directory.
    pub dir: PathBuf,
    /// How.
    pub options: Options,
    /// Make the store if it is missing.
    pub create: bool,
}

/// The part of the memory for what was read that the nodes may take which the kernel remembers.
const HANDLE_SHARE: u64 = 4;

/// Serves a mount until it is unmounted; calls `ready` once it is usable, and `tell` if the store is in use before.
///
/// # Errors
/// Whatever kept it from mounting, or from writing everything at the end.
pub fn run(plan: &Plan, tell: store::Tell<'_>, ready: impl FnOnce()) -> Result<(), Failure> {
    let store = open(plan, tell)?;
    tell_opening(&store);
    let fs = Arc::new(file_system(plan, &store)?);
    let entrance = fs.clone();
    let warming = cawdb::Warming::start(&store, move || entrance.entrance());
    let mount =
        Mount::attach(&plan.dir, &plan.options.for_kernel(&plan.store)).map_err(Failure::from)?;
    let keeper = (!plan.options.read_only).then(|| keeper::start(fs.clone()));
    let signals =
        signals::watch(&plan.dir, fs.clone()).map_err(|e| system("cannot watch signals", &e));
    let background =
        (!plan.options.read_only).then(|| cawdb::Background::start(&store, plan.options.commit));
    let about = Box::new(report::Report::new(&plan.store, &plan.dir, fs.clone()));
    let serving = fs.clone();
    let server = std::thread::Builder::new().name("cawfs-serve".into());
    let server = server
        .spawn(move || mount.serve(serving, about))
        .map_err(|e| system("serve", &e));
    let begun = signals.and_then(|signals| {
        let server = server?;
        cawfs_fuse::warm_up(&plan.dir)
            .map_err(|e| Failure::io(&plan.dir, "the mount does not answer", e))?;
        Ok((signals, server))
    });
    let (signals, server) = match begun {
        Ok(begun) => begun,
        Err(failure) => {
            let _ = cawfs_fuse::unmount(&plan.dir, true);
            return Err(failure);
        }
    };
    tracing::info!(store = %plan.store.display(), dir = %plan.dir.display(), "mounted");
    let watcher = watcher::start(&plan.dir);
    ready();
    let served = server.join();
    drop(watcher);
    tracing::info!(dir = %plan.dir.display(), "unmounted");
    signals.close();
    if let Some(keeper) = keeper {
        keeper.stop();
    }
    drop((background, warming));
    close(plan, &store, fs)?;
    match served {
        Ok(Ok(())) => Ok(()),
        Ok(Err(e)) => Err(system("the connection to the kernel broke", &e)),
        Err(_) => Err(Failure::new("a thread of the mount panicked")),
    }
}

fn file_system(plan: &Plan, store: &cawdb::Store) -> Result<Fs, Failure> {
    let options = cawfs_fs::MountOptions {
        read_only: plan.options.read_only,
        access_times: plan.options.access_times,
        handle_bytes: store.cache_bytes() / HANDLE_SHARE,
        clock: Box::new(now),
        seed: fastrand::u64(..),
        ..cawfs_fs::MountOptions::default()
    };
    Fs::mount(store.clone(), options)
        .map_err(|e| Failure::at(&plan.store, format_args!("cannot mount it: {e}")))
}

/// Writes what is left and closes the store, also if the first fails.
fn close(plan: &Plan, store: &cawdb::Store, fs: Arc<Fs>) -> Result<(), Failure> {
    if plan.options.read_only {
        return Ok(());
    }
    let synced = fs.sync_all();
    drop(fs);
    let closed = store::close(store, &plan.store);
    synced.map_err(|e| Failure::at(&plan.store, e))?;
    closed
}

/// Logs what opening took: above all, how much of the journal was replayed.
fn tell_opening(store: &cawdb::Store) {
    let opening = store.recovery();
    tracing::info!(
        checkpoint = opening.generation,
        replayed_batches = opening.batches,
        replayed_bytes = opening.journal_bytes,
        torn_end = opening.torn,
        time = ?opening.elapsed,
        "opened"
    );
}

fn open(plan: &Plan, tell: store::Tell<'_>) -> Result<cawdb::Store, Failure> {
    if plan.create && !plan.store.exists() {
        let how = store::Create {
            size: None,
            compression: crate::args::Compression::Lz4,
            force: false,
        };
        return crate::commands::mkfs::make(&plan.store, &how, tell);
    }
    let options = store::Open {
        cache: plan.options.cache,
        memtable: plan.options.memtable,
        read_only: plan.options.read_only,
    };
    store::open(&plan.store, &options, tell)
}

impl From<cawfs_fuse::MountError> for Failure {
    fn from(e: cawfs_fuse::MountError) -> Self {
        Self::new(e.to_string())
    }
}

fn system(doing: &str, e: &std::io::Error) -> Failure {
    Failure::new(format!("{doing}: {}", crate::failure::plain(e)))
}

/// The present, for the file system.
fn now() -> Time {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(d) => Time {
            secs: d.as_secs() as i64,
            nanos: d.subsec_nanos(),
        },
        Err(_) => Time::default(),
    }
}

/// When the daemon began, for its statistics.
fn begun() -> Instant {
    static BEGUN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *BEGUN.get_or_init(Instant::now)
}

/// Logs to a file, or to standard error; what is logged says `CAWFS_LOG` (default: `info`).
pub fn log_to(file: Option<&Path>) -> Result<(), Failure> {
    let filter = tracing_subscriber::EnvFilter::try_from_env("CAWFS_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false);
    let done = match file {
        Some(path) => {
            let mut how = std::fs::OpenOptions::new();
            let file = how.create(true).append(true).open(path);
            let file = file.map_err(|e| Failure::io(path, "cannot log there", e))?;
            builder.with_writer(std::sync::Mutex::new(file)).try_init()
        }
        None => builder.with_writer(std::io::stderr).try_init(),
    };
    // A second call changes nothing, which only happens within one process in tests.
    drop(done);
    begun();
    Ok(())
}

/// The JSON of a report, for the daemon's own part.
fn identity(store: &Path, dir: &Path) -> serde_json::Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "store": store.to_string_lossy(),
        "mounted_on": dir.to_string_lossy(),
        "pid": std::process::id(),
        "uptime_seconds": begun().elapsed().as_secs(),
    })
}
