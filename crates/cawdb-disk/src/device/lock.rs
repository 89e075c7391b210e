//! The lock on a store's file: one writer, or many readers, among processes.
//!
//! The lock is the kernel's advisory one of the open file, so it ends with the process, however
//! that ends.

use crate::{Error, Result};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

const RETRY: Duration = Duration::from_millis(20);

/// Locks `file`, exclusively or shared, trying again for as long as `wait`.
pub(super) fn acquire(file: &File, path: &Path, exclusive: bool, wait: Duration) -> Result<()> {
    let operation = match exclusive {
        true => FlockOperation::NonBlockingLockExclusive,
        false => FlockOperation::NonBlockingLockShared,
    };
    let begun = Instant::now();
    loop {
        match flock(file, operation) {
            Ok(()) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(Errno::WOULDBLOCK) if begun.elapsed() >= wait => {
                return Err(Error::Busy { who: holder(file) });
            }
            Err(Errno::WOULDBLOCK) => thread::sleep(RETRY.min(wait)),
            Err(e) => return Err(Error::io(format!("lock {}", path.display()), e.into())),
        }
    }
}

/// The process that has the store at `path` locked, as far as the kernel's list of locks tells. The file is not opened.
pub fn lock_holder(path: &Path) -> Option<u32> {
    pid_of(&fs::metadata(path).ok()?)
}

fn pid_of(meta: &fs::Metadata) -> Option<u32> {
    let locks = fs::read_to_string("/proc/locks").ok()?;
    holder_in(&locks, meta.dev(), meta.ino())
}

/// Who holds the lock, for people.
fn holder(file: &File) -> String {
    match file.metadata().ok().and_then(|meta| pid_of(&meta)) {
        Some(pid) if pid == std::process::id() => "this process".into(),
        Some(pid) => match fs::read_to_string(format!("/proc/{pid}/comm")) {
            Ok(name) => format!("process {pid} ({})", name.trim_end()),
            Err(_) => format!("process {pid}"),
        },
        None => "another process".into(),
    }
}

/// Finds the pid in lines such as `1: FLOCK  ADVISORY  WRITE 812 fd:01:4711 0 EOF`. Some file
/// systems show another device number there than to `stat`; then the inode number must do.
fn holder_in(locks: &str, dev: u64, ino: u64) -> Option<u32> {
    let device = format!(
        "{:02x}:{:02x}",
        rustix::fs::major(dev),
        rustix::fs::minor(dev)
    );
    let mut by_inode = None;
    for line in locks.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, pid, place, ..] = words[..] else {
            continue;
        };
        let Some((on, inode)) = place.rsplit_once(':') else {
            continue;
        };
        let Ok(pid) = pid.parse() else { continue };
        if inode.parse() != Ok(ino) {
            continue;
        }
        if on == device {
            return Some(pid);
        }
        by_inode = Some(pid);
    }
    by_inode
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_is_found_in_the_list() {
        let locks = "1: POSIX  ADVISORY  WRITE 11 08:01:5 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 12 08:02:5 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 13 08:01:5 0 EOF\n\
                     3: -> FLOCK  ADVISORY  WRITE 14 08:01:5 0 EOF\n\
                     garbage\n";
        let dev = rustix::fs::makedev(8, 1);
        assert_eq!(holder_in(locks, dev, 5), Some(13));
        assert_eq!(holder_in(locks, rustix::fs::makedev(9, 9), 5), Some(13));
        assert_eq!(holder_in(locks, dev, 6), None);
    }
}
