//! The thread that keeps house while a store is mounted: background work of the engine, and a sync
//! at the latest `commit` after a change.

use cawfs_fs::Fs;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long to rest when there was nothing to do.
const REST: Duration = Duration::from_millis(100);

/// The running thread.
pub struct Keeper {
    stop: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

/// Starts the thread; without it (none could be had) the mount works, but does not tidy up.
pub fn start(fs: Arc<Fs>, commit: Duration) -> Keeper {
    let (stop, stopped) = channel();
    let thread = std::thread::Builder::new()
        .name("cawfs-keep".into())
        .spawn(move || {
            let mut synced = Instant::now();
            let mut rest = REST;
            while stopped.recv_timeout(rest) == Err(RecvTimeoutError::Timeout) {
                rest = match fs.store().tick() {
                    Ok(true) => Duration::ZERO,
                    Ok(false) => REST,
                    Err(e) => {
                        tracing::error!(error = %e, "background work failed");
                        commit
                    }
                };
                if synced.elapsed() >= commit {
                    if let Err(e) = fs.sync_all() {
                        tracing::error!(error = %e, "the periodic sync failed");
                    }
                    synced = Instant::now();
                }
            }
        });
    if let Err(e) = &thread {
        tracing::error!(error = %e, "no thread for background work");
    }
    Keeper {
        stop,
        thread: thread.ok(),
    }
}

impl Keeper {
    /// Ends the thread and waits for it.
    pub fn stop(self) {
        drop(self.stop);
        if let Some(thread) = self.thread
            && thread.join().is_err()
        {
            tracing::error!("the housekeeping thread had panicked");
        }
    }
}
