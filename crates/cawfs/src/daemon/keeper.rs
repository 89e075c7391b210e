//! The thread that tidies the file system while it is mounted: access times that wait to be written,
//! staged clones that nobody took. The engine has its own background work.

use cawfs_fs::Fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often.
const INTERVAL: Duration = Duration::from_secs(60);

/// The running thread.
pub struct Keeper {
    stop: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

/// Starts the thread. Without it, if none can be had, all of this happens at the next sync.
pub fn start(fs: Arc<Fs>) -> Keeper {
    let (stop, stopped) = channel();
    let thread = std::thread::Builder::new()
        .name("cawfs-keep".into())
        .spawn(move || {
            while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                match catch_unwind(AssertUnwindSafe(|| fs.sync_all())) {
                    Ok(Ok(())) => {}
                    Ok(Err(e)) => tracing::error!(error = %e, "tidying up failed"),
                    Err(said) => fs.panicked("tidying up", &*said),
                }
            }
        });
    if let Err(e) = &thread {
        tracing::error!(error = %e, "no thread to tidy up");
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
        if self.thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that tidies up had panicked");
        }
    }
}
