//! How far the kernel reads ahead in files of the mount.
//!
//! The handshake cannot ask for more than the kernel offers, 128 KiB; root may set more for the
//! mount's device number under `/sys/class/bdi`.

use std::path::Path;

/// Read-ahead in KiB: enough that a cold sequential read keeps the disk busy.
const KIB: &str = "1024";

/// Sets the read-ahead of a mount if we may; `device` is the `st_dev` of its root.
pub fn raise(device: u64) {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let file = format!("/sys/class/bdi/{major}:{minor}/read_ahead_kb");
    if Path::new(&file).exists()
        && let Err(e) = std::fs::write(&file, KIB)
    {
        tracing::debug!(file, error = %e, "read-ahead stays as it is");
    }
}
