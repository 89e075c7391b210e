//! What the kernel's table says of our mount and of what is mounted inside: a tree that holds a mount point must not be removed or
//! replaced, as the kernel would cut off what is mounted there; and nothing may change while it is mounted anew without changes,
//! which the kernel sees to for all but our own requests.
//!
//! ```text
//! /proc/self/mountinfo:  id parent major:minor root point …      42 30 0:55 / /srv/tree … - fuse s ro   ours: 0:55, no changes
//!                                                                57 42 0:61 / /srv/tree/a/b …           so a/b is in use
//! ```
//!
//! A mount point inside is one whose parent shows our device; its place is the parent's root and the rest of its path, which
//! is right for bind mounts of parts of the mount, too. Mounts of other namespaces are not seen.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const TABLE: &str = "/proc/self/mountinfo";
/// What most tables fit into, in bytes. The kernel writes the table anew for each read, and tells no length.
const USUAL_BYTES: usize = 16 << 10;

/// The device number of a mount, as the kernel writes it; finds mount points inside.
#[derive(Debug)]
pub struct MountPoints {
    device: Option<String>,
}

impl MountPoints {
    /// For the mount that was just made on `dir`, which is free of symbolic links.
    pub fn of(dir: &Path) -> Self {
        let table = read_table();
        let on_dir = lines(&table).filter(|line| line.point == dir);
        // The last one lies on top.
        let device = on_dir.last().map(|line| line.device.to_owned());
        Self { device }
    }

    /// How it is now; takes as long as a trip to the daemon.
    pub fn now(&self) -> Now<'_> {
        Now {
            device: self.device.as_deref(),
            table: read_table(),
        }
    }
}

/// The mounts of one moment.
#[derive(Debug)]
pub struct Now<'a> {
    device: Option<&'a str>,
    table: Vec<u8>,
}

impl Now<'_> {
    /// Whether all mounts of our device are without changes.
    pub fn is_read_only(&self) -> bool {
        self.device
            .is_some_and(|device| is_read_only(&self.table, device))
    }

    /// Whether something is mounted on what these names lead to from the root of the mount, or below it.
    pub fn any_below<N: AsRef<[u8]>>(&self, names: &[N]) -> bool {
        let Some(device) = self.device else {
            return false;
        };
        let path = names
            .iter()
            .map(|name| std::ffi::OsStr::from_bytes(name.as_ref()));
        let path: PathBuf = path.collect();
        inside(&self.table, device)
            .iter()
            .any(|point| point.starts_with(&path))
    }
}

/// The table; empty if it cannot be read.
fn read_table() -> Vec<u8> {
    let mut table = Vec::with_capacity(USUAL_BYTES);
    let read = File::open(TABLE).and_then(|mut file| file.read_to_end(&mut table));
    if read.is_err() {
        table.clear();
    }
    table
}

/// One mount.
struct Line<'a> {
    id: &'a str,
    parent: &'a str,
    device: &'a str,
    root: PathBuf,
    point: PathBuf,
    /// Those of the device, for all its mounts.
    options: &'a [u8],
}

/// Whether the device itself takes no changes, however it is mounted.
fn is_read_only(table: &[u8], device: &str) -> bool {
    let ours = lines(table).find(|line| line.device == device);
    ours.is_some_and(|line| line.options.split(|&byte| byte == b',').any(|w| w == b"ro"))
}

/// Places inside a device, from its root, on which something is mounted.
fn inside(table: &[u8], device: &str) -> Vec<PathBuf> {
    let ours: HashMap<String, (PathBuf, PathBuf)> = lines(table)
        .filter(|line| line.device == device)
        .map(|line| (line.id.to_owned(), (line.root, line.point)))
        .collect();
    let place = |line: Line<'_>| {
        let (root, point) = ours.get(line.parent)?;
        let rest = line.point.strip_prefix(point).ok()?;
        Some(root.strip_prefix("/").unwrap_or(root).join(rest))
    };
    // What lies on the root itself hides the mount as a whole and keeps nothing from being removed.
    let places = lines(table).filter_map(place);
    places.filter(|place| place.as_os_str() != "").collect()
}

fn lines(table: &[u8]) -> impl Iterator<Item = Line<'_>> {
    table.split(|&byte| byte == b'\n').filter_map(|line| {
        let mut words = line.split(|&byte| byte == b' ');
        let mut word = || words.next();
        Some(Line {
            id: std::str::from_utf8(word()?).ok()?,
            parent: std::str::from_utf8(word()?).ok()?,
            device: std::str::from_utf8(word()?).ok()?,
            root: unescape(word()?),
            point: unescape(word()?),
            options: words.next_back().unwrap_or_default(),
        })
    })
}

/// The kernel writes a space, tab, line end or backslash as three octal digits behind a backslash.
fn unescape(word: &[u8]) -> PathBuf {
    let (mut out, mut rest) = (Vec::with_capacity(word.len()), word);
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        let digits = match (byte, tail) {
            (
                b'\\',
                [
                    a @ b'0'..=b'3',
                    b @ b'0'..=b'7',
                    c @ b'0'..=b'7',
                    after @ ..,
                ],
            ) => {
                rest = after;
                Some(((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'))
            }
            _ => None,
        };
        out.push(digits.unwrap_or(byte));
    }
    std::ffi::OsStr::from_bytes(&out).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"30 1 8:1 / / rw - ext4 /dev/sda rw\n\
        42 30 0:55 / /srv/my\\040work rw - fuse s rw\n\
        57 42 0:61 / /srv/my\\040work/a/b rw - tmpfs t rw\n\
        58 30 0:55 /deep/x /bind rw - fuse s rw\n\
        59 58 0:62 / /bind/y rw - tmpfs t rw\n\
        60 42 0:63 / /srv/my\\040work rw - tmpfs t rw\n\
        61 30 0:64 / /other/a rw - tmpfs t rw\n\
        broken line\n";

    #[test]
    fn mount_points_inside_are_found_through_all_ways() {
        let found = inside(TABLE, "0:55");
        assert_eq!(found, [Path::new("a/b"), Path::new("deep/x/y")]);
        assert!(inside(TABLE, "9:9").is_empty());
        assert!(inside(b"", "0:55").is_empty());
    }

    #[test]
    fn a_device_without_changes_is_seen() {
        assert!(!is_read_only(TABLE, "0:55") && !is_read_only(TABLE, "9:9"));
        let bound = b"42 30 0:55 / /srv ro - fuse s rw,user_id=0\n";
        assert!(!is_read_only(bound, "0:55"), "one of its mounts only");
        let whole = b"42 30 0:55 / /srv ro,nosuid - fuse.cawfs s ro,user_id=0\n";
        assert!(is_read_only(whole, "0:55"));
    }

    #[test]
    fn octal_digits_are_bytes() {
        assert_eq!(unescape(b"a\\040b\\134c\\"), Path::new("a b\\c\\"));
        assert_eq!(unescape(b"\\09x\\4000"), Path::new("\\09x\\4000"));
    }
}
