//! What is mounted where, from `/proc/self/mountinfo`.
//!
//! ```text
//! 36 35 98:0 /root /mount\040point rw,noatime shared:1 - fuse.cawfs /store rw,user_id=0
//!  id        root   [4]         [5]                       type      source [dash + 3]: of all mounts of it
//! ```

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountEntry {
    /// Number of its device, such as `0:45`.
    pub device: String,
    /// Where.
    pub dir: PathBuf,
    /// Type, such as `fuse`.
    pub kind: String,
    /// What is mounted; for ours the path of the store.
    pub source: PathBuf,
    /// Its options, as `ro,nosuid`.
    pub options: String,
}

/// The mount whose root is `dir`, the topmost if there are several.
pub fn at(dir: &Path) -> io::Result<Option<MountEntry>> {
    let text = std::fs::read("/proc/self/mountinfo")?;
    let mut entries = text.split(|&b| b == b'\n').filter_map(parse);
    Ok(entries.rfind(|e| e.dir == dir))
}

/// The mount that a path lies in, told by its words alone, so that nobody has to answer.
pub fn around(path: &Path) -> Option<MountEntry> {
    let path = std::path::absolute(path).ok()?;
    let text = std::fs::read("/proc/self/mountinfo").ok()?;
    let entries = text.split(|&b| b == b'\n').filter_map(parse);
    let holding = entries.filter(|e| path.starts_with(&e.dir));
    // Of several at one place, the last lies on top.
    holding.max_by_key(|e| e.dir.components().count())
}

/// Where the store with this path is mounted, if anywhere.
pub fn of_store(store: &Path) -> Option<MountEntry> {
    let store = store.canonicalize().ok()?;
    let text = std::fs::read("/proc/self/mountinfo").ok()?;
    let mut entries = text.split(|&b| b == b'\n').filter_map(parse);
    entries.find(|e| e.kind.starts_with("fuse") && e.source == store)
}

fn parse(line: &[u8]) -> Option<MountEntry> {
    let words: Vec<&[u8]> = line.split(|&b| b == b' ').collect();
    let dash = words.iter().position(|w| *w == b"-")?;
    Some(MountEntry {
        device: String::from_utf8_lossy(words.get(2)?).into_owned(),
        dir: unescape(words.get(4)?),
        kind: String::from_utf8_lossy(words.get(dash + 1)?).into_owned(),
        source: unescape(words.get(dash + 2)?),
        options: String::from_utf8_lossy(words.get(5)?).into_owned(),
    })
}

/// Undoes the octal escapes of blanks and backslashes.
fn unescape(word: &[u8]) -> PathBuf {
    let mut out = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&first, tail)) = rest.split_first() {
        let octal = tail
            .get(..3)
            .filter(|d| first == b'\\' && d.iter().all(|c| (b'0'..=b'7').contains(c)));
        match octal {
            Some(d) => {
                let value = d.iter().fold(0_u32, |v, c| v * 8 + u32::from(c - b'0'));
                out.push(value as u8);
                rest = tail.get(3..).unwrap_or_default();
            }
            None => {
                out.push(first);
                rest = tail;
            }
        }
    }
    OsString::from_vec(out).into()
}

/// The absolute path of a directory without touching it, so that a dead mount can be named: only
/// its parent is looked at.
pub fn absolute(dir: &Path) -> io::Result<PathBuf> {
    match dir.canonicalize() {
        Err(e) if is_stale(&e) => {
            let dir = std::path::absolute(dir)?;
            match (dir.parent(), dir.file_name()) {
                (Some(parent), Some(name)) => Ok(parent.canonicalize()?.join(name)),
                _ => Ok(dir),
            }
        }
        other => other,
    }
}

/// Whether this error says that the daemon of a mount has died.
pub fn is_stale(e: &io::Error) -> bool {
    matches!(e.raw_os_error(), Some(libc::ENOTCONN | libc::ECONNABORTED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_blanks_and_optional_fields() {
        let line =
            br"36 35 0:40 / /mnt/a\040b rw,noatime shared:1 master:2 - fuse.cawfs /s\134t rw";
        let entry = parse(line).unwrap();
        assert_eq!(entry.dir, Path::new("/mnt/a b"));
        assert_eq!(entry.kind, "fuse.cawfs");
        assert_eq!(entry.source, Path::new(r"/s\t"));
        assert_eq!(parse(b"garbage"), None);
        assert!(
            at(Path::new("/proc"))
                .unwrap()
                .is_some_and(|e| e.kind == "proc")
        );
    }
}
