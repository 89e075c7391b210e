//! The adapter between the kernel's FUSE and the file system.
//!
//! ```text
//! kernel ── /dev/fuse ── connection ── readers (one at the device) ── server ── cawfs_fs::Fs
//!    ▲                                                                  │
//!    └──────────────── invalidate (its own thread) ◄────────────────────┘
//! ```
//!
//! Only this crate knows the protocol; it does not know keys or the store. [`Mount`] is the door:
//! attach with [`Mount::attach`], then [`Mount::serve`] until somebody unmounts.

mod awake;
mod buffers;
mod connection;
#[doc(hidden)]
pub mod floor;
#[doc(hidden)]
pub mod fuzz;
mod init;
mod invalidate;
mod latency;
mod mount;
mod mountpoints;
mod near;
mod prune;
mod readahead;
mod readers;
mod server;
mod wire;

pub use latency::RequestTimes;
pub use mount::{MountError, MountOptions, abort, remount, unmount};

use cawfs_fs::Fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// What the daemon answers about itself and its store: JSON objects, of which this floor only knows that they are text.
pub trait About: Send + Sync + 'static {
    /// Statistics, given the times of requests.
    fn stats(&self, requests: &[RequestTimes]) -> String;

    /// Verifies about `budget` bytes more of the store, and says what it saw; see [`cawfs_fs::protocol`]. None if the token
    /// is not known.
    fn scrub(&self, token: u64, budget: u64) -> Option<String>;
}

/// A directory that the kernel sends to us, before anything is answered.
#[derive(Debug)]
pub struct Mount {
    connection: Arc<connection::Connection>,
    agreed: init::Agreed,
    read_only: bool,
    awake: awake::Awake,
    inside: mountpoints::MountPoints,
}

impl Mount {
    /// Mounts on `dir` and agrees with the kernel on features.
    ///
    /// # Errors
    /// See [`MountError`]; on error nothing is mounted.
    pub fn attach(dir: &Path, options: &MountOptions) -> Result<Self, MountError> {
        // Looked at now, as nobody answers questions about the mount itself yet.
        let place = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
        let awake = awake::Awake::new(options.awake).map_err(MountError::Awake)?;
        let connection = Arc::new(connection::Connection::new(mount::mount(dir, options)?));
        match init::handshake(&connection, options.access_times) {
            Ok(agreed) => Ok(Self {
                connection,
                agreed,
                read_only: options.read_only,
                awake,
                inside: mountpoints::MountPoints::of(&place),
            }),
            Err(e) => {
                drop(connection);
                if let Err(e) = unmount(dir, true) {
                    tracing::warn!(dir = %dir.display(), error = %e, "cannot unmount");
                }
                Err(MountError::Handshake(e))
            }
        }
    }

    /// Answers requests until the mount is gone. Nothing is synced here: that is the caller's.
    ///
    /// # Errors
    /// A failure of the device, or of starting threads.
    pub fn serve(self, fs: Arc<Fs>, about: Box<dyn About>) -> io::Result<()> {
        let notifier = invalidate::Notifier::start(self.connection.clone())?;
        let fixed = server::Fixed {
            agreed: self.agreed,
            read_only: self.read_only,
            inside: self.inside,
        };
        // Ends with this function, and lets the file system go.
        let pruner = prune::Pruner::start(self.connection.clone(), fs.clone())?;
        let server = server::Server::new(fs, fixed, notifier, pruner.waker(), about);
        readers::serve(self.connection, Arc::new(server), self.awake)
    }
}

/// Makes the kernel read ahead further in the files of the mount at `dir`, if we may.
///
/// # Errors
/// If `dir` cannot be looked at, that is if the mount does not work.
pub fn warm_up(dir: &Path) -> io::Result<()> {
    rustix::fs::statfs(dir)?;
    readahead::raise(rustix::fs::stat(dir)?.st_dev);
    Ok(())
}
