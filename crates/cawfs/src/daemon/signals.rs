//! SIGTERM, SIGINT and SIGHUP unmount, after which the daemon writes everything and ends.
//!
//! If files are open, the first signal detaches the mount: nobody finds it any more, those who
//! work in it go on, and the daemon ends with the last of them. A second signal is repeated politeness.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};
use std::io;
use std::path::Path;

/// Starts the thread that waits for signals, until the handle is closed.
///
/// # Errors
/// If the system refuses handlers or a thread.
pub fn watch(dir: &Path) -> io::Result<Handle> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    let handle = signals.handle();
    let dir = dir.to_owned();
    let thread = std::thread::Builder::new().name("cawfs-signal".into());
    thread.spawn(move || {
        for signal in signals.forever() {
            tracing::info!(signal, "told to end: unmounting");
            let done = match cawfs_fuse::unmount(&dir, false) {
                Err(e) if e.kind() == io::ErrorKind::ResourceBusy => {
                    tracing::warn!("files are open: detached, ends when they are closed");
                    cawfs_fuse::unmount(&dir, true)
                }
                other => other,
            };
            if let Err(e) = done {
                tracing::error!(dir = %dir.display(), error = %e, "cannot unmount");
            }
        }
    })?;
    Ok(handle)
}
