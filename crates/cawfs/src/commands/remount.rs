//! `cawfs mount -o remount,…`: changes the options of what is mounted.
//!
//! ```text
//!   options now (kernel's table) ─ options given ─► flags ─► mount(MS_REMOUNT), ACCESS_TIMES
//! ```
//! Invariants: what is not named stays as it is. Only what the kernel itself watches over can change (`ro`, `nosuid`, `nodev`,
//! `noexec` and their opposites), and when access times are renewed, which the kernel shows and the daemon does; the daemon's
//! other options last as long as it does.

use crate::control;
use crate::failure::Failure;
use crate::mounts::{self, MountEntry};
use crate::options::Options;
use std::path::Path;

/// Gives the mount on `dir` the options in `given`, which ask for it with `remount`.
///
/// # Errors
/// If nothing of ours is mounted there, an option cannot change, or the kernel refuses.
pub fn run(store: &Path, dir: &Path, given: &[String]) -> Result<(), Failure> {
    let dir = mounts::absolute(dir).map_err(|e| Failure::io(dir, "cannot look at it", e))?;
    let entry = mounts::at(&dir).map_err(|e| Failure::io(&dir, "cannot see what is mounted", e))?;
    let entry = entry.filter(|e| e.kind == "fuse" || e.kind.starts_with("fuse."));
    let entry = entry.ok_or_else(|| {
        Failure::at(&dir, "no store is mounted there").hint("mount it without remount")
    })?;
    let named = store.canonicalize().unwrap_or_else(|_| store.to_owned());
    if named != entry.source {
        let source = entry.source.display();
        return Err(Failure::at(&dir, format_args!("{source} is mounted there")));
    }
    let wanted = wanted(&entry, given)?;
    if !wanted.read_only && serves_only_readers(&dir)? {
        return Err(Failure::at(&dir, "the store is open without changes")
            .hint("unmount it (cawfs umount DIR) and mount it again without ro"));
    }
    cawfs_fuse::remount(&dir, &wanted.for_kernel(&entry.source))
        .map_err(|e| Failure::io(&dir, "cannot change the options of the mount", e))?;
    let silent = |e| Failure::io(&dir, "its daemon does not take the change", e);
    let root = std::fs::File::open(&dir).map_err(|e| Failure::io(&dir, "cannot open it", e))?;
    control::access_times(&root, wanted.access_times).map_err(|refusal| refusal.at(&dir, silent))
}

/// The options now, changed by those given.
fn wanted(entry: &MountEntry, given: &[String]) -> Result<Options, Failure> {
    let asked = Options::parse(given)?;
    let fixed = Options {
        read_only: asked.read_only,
        nosuid: asked.nosuid,
        nodev: asked.nodev,
        noexec: asked.noexec,
        access_times: asked.access_times,
        // The kernel's table names these, and mount(8) repeats what it finds there.
        allow_other: asked.allow_other,
        subtype: asked.subtype.clone(),
        remount: true,
        ..Options::default()
    };
    if asked != fixed {
        return Err(Failure::usage(
            "-o remount: cache, memtable, commit, awake and log stay as they are while the store is mounted",
        )
        .hint("unmount it (cawfs umount DIR) and mount it again with the new options"));
    }
    // The kernel's table says nothing of a mount whose access times are strict.
    let mut words = vec!["strictatime".to_owned()];
    words.extend(std::iter::once(&entry.options).chain(given).cloned());
    Options::parse(&words)
}

/// Whether the daemon has opened its store without the right to change it.
fn serves_only_readers(dir: &Path) -> Result<bool, Failure> {
    let silent = |e| Failure::io(dir, "its daemon does not answer", e);
    let root = std::fs::File::open(dir).map_err(|e| Failure::io(dir, "cannot open it", e))?;
    let stats = control::stats(&root).map_err(|refusal| refusal.at(dir, silent))?;
    Ok(stats["read_only"] == true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cawfs_fs::AccessTimes;

    fn entry() -> MountEntry {
        MountEntry {
            device: "0:40".into(),
            dir: "/mnt".into(),
            kind: "fuse.cawfs".into(),
            source: "/s".into(),
            options: "rw,nosuid,noexec,relatime".into(),
        }
    }

    #[test]
    fn what_is_not_named_stays() {
        let list = |text: &str| vec![text.to_owned()];
        let o = wanted(&entry(), &list("remount,ro,exec,user_id=0,group_id=0")).unwrap();
        assert!(o.read_only && o.nosuid && !o.noexec && !o.nodev);
        assert_eq!(o.access_times, AccessTimes::Relative);
        let strict = MountEntry {
            options: "rw".into(),
            ..entry()
        };
        for (words, when) in [
            ("remount", AccessTimes::Always),
            ("remount,noatime", AccessTimes::Never),
            ("remount,relatime", AccessTimes::Relative),
        ] {
            let o = wanted(&strict, &list(words)).unwrap();
            assert_eq!(o.access_times, when, "{words}");
        }
        for text in [
            "remount,cache=1G",
            "remount,commit=9",
            "remount,awake",
            "remount,log=/x",
        ] {
            assert_eq!(wanted(&entry(), &list(text)).unwrap_err().code, 2, "{text}");
        }
    }
}
