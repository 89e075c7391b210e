//! SIGTERM, SIGINT and SIGHUP: everything becomes durable, the mount goes, and the daemon ends.
//!
//! ```text
//! first signal ──► sync ──► unmount ──► the daemon ends
//!                              └─ files are open ──► detach: nobody finds the mount any more, those who work in it go on,
//!                                                    and the daemon ends with the last of them
//! second signal ─► sync ──► the daemon ends at once; whoever has files open sees errors
//! ```

use crate::control;
use cawfs_fs::Fs;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Starts the thread that waits for signals, until the handle is closed.
///
/// # Errors
/// If the system refuses handlers or a thread.
pub fn watch(dir: &Path, fs: Arc<Fs>) -> io::Result<Handle> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    let handle = signals.handle();
    let ending = Ending {
        dir: dir.to_owned(),
        fs,
    };
    let thread = std::thread::Builder::new().name("cawfs-signal".into());
    thread.spawn(move || {
        let mut detached = false;
        for signal in signals.forever() {
            tracing::info!(signal, "told to end");
            if detached {
                std::process::exit(ending.now());
            }
            ending.sync();
            detached = ending.unmount();
        }
    })?;
    Ok(handle)
}

struct Ending {
    dir: PathBuf,
    fs: Arc<Fs>,
}

impl Ending {
    /// Makes everything durable, through the mount if it can be reached, so that mappings are written as well. That it
    /// fails keeps nobody from ending.
    fn sync(&self) -> bool {
        let through = File::open(&self.dir).is_ok_and(|root| control::sync(&root).is_ok());
        let synced = through || self.fs.sync_all().is_ok();
        if !synced {
            tracing::error!("not everything could be written");
        }
        synced
    }

    /// Takes the mount away; true if somebody still works in it.
    fn unmount(&self) -> bool {
        let done = cawfs_fuse::unmount(&self.dir, false);
        if done
            .as_ref()
            .is_err_and(|e| e.kind() == io::ErrorKind::ResourceBusy)
        {
            let users = crate::users::of(&self.dir).unwrap_or_else(|| "somebody".into());
            tracing::warn!(
                "in use by {users}: detached, ends with the last of them, or at the next signal"
            );
            let detached = cawfs_fuse::unmount(&self.dir, true);
            return detached.inspect_err(|e| self.complain(e)).is_ok();
        }
        if let Err(e) = &done {
            self.complain(e);
        }
        false
    }

    fn complain(&self, e: &io::Error) {
        tracing::error!(dir = %self.dir.display(), error = %e, "cannot unmount");
    }

    /// The exit code of a daemon that ends while files are open. The store is as after a crash, but all of it was synced.
    fn now(&self) -> i32 {
        tracing::warn!("ends although files are open");
        let read_only = self.fs.read_only();
        i32::from(!(read_only || self.fs.sync_all().is_ok()))
    }
}
