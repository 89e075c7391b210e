//! Who uses a mount: the processes with something of it open, mapped, or as their place. Told by names in `/proc` alone,
//! which the kernel gives without asking the mount's daemon, so that a dead or stopped one hangs nobody.
//!
//! ```text
//! /proc/812/cwd → /srv/tree/src       /proc/812/fd/3 → /srv/tree/notes       /proc/812/maps: … /srv/tree/lib.so
//! ```

use std::fs;
use std::path::Path;

/// Of so many it tells by name.
const NAMED: usize = 4;

/// The users of what is mounted on `dir`, for a sentence; none if none are seen (those of others only root sees).
pub fn of(dir: &Path) -> Option<String> {
    let mut users: Vec<u32> = fs::read_dir("/proc")
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|&pid| uses(pid, dir))
        .collect();
    users.sort_unstable();
    let mut named: Vec<String> = users.iter().take(NAMED).map(|&pid| name(pid)).collect();
    match users.len().saturating_sub(NAMED) {
        0 => {}
        more => named.push(format!("{more} more")),
    }
    (!named.is_empty()).then(|| named.join(", "))
}

/// A process with its name.
fn name(pid: u32) -> String {
    match fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => format!("process {pid} ({})", name.trim_end()),
        Err(_) => format!("process {pid}"),
    }
}

fn uses(pid: u32, dir: &Path) -> bool {
    let inside = |link: &Path| fs::read_link(link).is_ok_and(|to| to.starts_with(dir));
    let process = Path::new("/proc").join(pid.to_string());
    if ["cwd", "root", "exe"]
        .iter()
        .any(|link| inside(&process.join(link)))
    {
        return true;
    }
    let open = fs::read_dir(process.join("fd")).into_iter().flatten();
    if open.flatten().any(|entry| inside(&entry.path())) {
        return true;
    }
    let maps = fs::read_to_string(process.join("maps")).unwrap_or_default();
    maps.lines().any(|line| {
        let path = line.find('/').and_then(|at| line.get(at..));
        path.is_some_and(|path| Path::new(path).starts_with(dir))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn an_open_file_makes_a_user() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        assert_eq!(of(&dir), None);
        let open = File::create(dir.join("file")).unwrap();
        let me = format!("process {} (", std::process::id());
        assert!(of(&dir).unwrap().starts_with(&me));
        drop(open);
        assert_eq!(of(&dir), None);
    }
}
