//! Daemons that were killed and cannot end.
//!
//! ```text
//! a thread of the daemon ──asks──► kernel: forget these pages ──first write them──► daemon: killed, answers no more
//!      └──────────── cannot be killed while it waits, and holds the connection open ─────────────┘
//! ```
//! The kernel ends a connection with the last descriptor of it, so here never, and whoever touches the mount waits too. The
//! kernel's list of locks names the daemon, as holder of the store, without asking it; that its first thread is gone tells
//! that it was killed.

use crate::mounts::MountEntry;
use cawdb::disk::lock_holder;

/// Ends the connection of a mount if its daemon was killed and cannot end. The mount is then as stale as if it had. Whether
/// that was so.
pub fn release(mount: &MountEntry) -> bool {
    let killed = mount.kind.starts_with("fuse")
        && lock_holder(&mount.source).and_then(is_dead) == Some(true);
    killed && cawfs_fuse::abort(&mount.dir, &mount.device).is_ok()
}

/// Whether a process is there in name only; none if not even that.
pub fn is_dead(pid: u32) -> Option<bool> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(state(&stat).is_some_and(|s| matches!(s, 'Z' | 'X')))
}

/// The state in a line such as `812 (a (b) c) S 1 ...`: names may hold anything.
fn state(stat: &str) -> Option<char> {
    stat.rsplit_once(") ")?.1.chars().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_lives_is_not_dead() {
        assert_eq!(is_dead(std::process::id()), Some(false));
        assert_eq!(state("812 (a) Z (b) c) S 1 812"), Some('S'));
        assert_eq!(state("812 (cawfs) Z 1 812"), Some('Z'));
        assert_eq!(state(""), None);
    }

    #[test]
    fn a_child_that_nobody_waited_for_is_dead() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        while is_dead(child.id()) == Some(false) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert_eq!(is_dead(child.id()), None);
    }
}
