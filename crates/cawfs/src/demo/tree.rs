//! Trees of files: finding one, counting, copying, comparing byte by byte.

use super::Pace;
use crate::failure::Failure;
use std::fs::{self, File, FileTimes, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A tree and its size.
#[derive(Debug, Clone)]
pub struct Tree {
    /// Its top directory.
    pub top: PathBuf,
    /// Everything below, relative to the top; directories before what is in them, in sorted order.
    pub names: Vec<PathBuf>,
    /// Number of regular files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A tree for a demonstration is not larger than this.
const MOST_NAMES: usize = 80_000;
const MOST_BYTES: u64 = 1 << 30;
/// Nor smaller than this.
const LEAST_FILES: u64 = 1000;

/// Finds a real tree of a sensible size on this machine.
pub fn find() -> Result<Tree, Failure> {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output();
    let sysroot = sysroot.ok().and_then(|o| String::from_utf8(o.stdout).ok());
    let sysroot = sysroot.map(|s| PathBuf::from(s.trim()));
    let rust = sysroot
        .into_iter()
        .flat_map(|s| ["share/doc", "lib/rustlib/src", "lib"].map(|part| s.join(part)));
    let usual = [
        "/usr/share/doc",
        "/usr/include",
        "/usr/share",
        "/usr/lib/python3",
        "/usr/lib",
    ];
    for top in rust.chain(usual.map(PathBuf::from)) {
        if let Ok(Some(tree)) = walk(&top, MOST_NAMES, MOST_BYTES)
            && tree.files >= LEAST_FILES
        {
            return Ok(tree);
        }
    }
    Err(
        Failure::new("no tree of a sensible size found on this machine")
            .hint("name one: cawfs demo TREE"),
    )
}

/// Lists a tree that was named.
pub fn named(top: &Path) -> Result<Tree, Failure> {
    let top = top
        .canonicalize()
        .map_err(|e| Failure::io(top, "cannot use it", e))?;
    let tree = walk(&top, usize::MAX, u64::MAX)
        .map_err(|e| Failure::io(&top, "cannot list it", e))?
        .ok_or_else(|| Failure::at(&top, "too large"))?;
    if tree.files == 0 {
        return Err(Failure::at(&top, "there are no files in it"));
    }
    Ok(tree)
}

/// Lists a tree; `None` if it is larger than allowed.
fn walk(top: &Path, most_names: usize, most_bytes: u64) -> io::Result<Option<Tree>> {
    let mut tree = Tree {
        top: top.to_owned(),
        names: Vec::new(),
        files: 0,
        bytes: 0,
    };
    let mut todo = vec![PathBuf::new()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(top.join(&dir))? {
            let entry = entry?;
            let name = dir.join(entry.file_name());
            let meta = entry.metadata()?;
            if meta.is_dir() {
                todo.push(name.clone());
            } else if meta.is_file() {
                tree.files += 1;
                tree.bytes += meta.len();
            }
            tree.names.push(name);
        }
        if tree.names.len() > most_names || tree.bytes > most_bytes {
            return Ok(None);
        }
    }
    tree.names.sort();
    Ok(Some(tree))
}

/// Copies a tree with modes, owners, times and links, as `cp -a` does.
pub fn copy(tree: &Tree, to: &Path, pace: &Pace) -> Result<(), Failure> {
    copy_one(&tree.top, to, pace)?;
    for name in &tree.names {
        copy_one(&tree.top.join(name), &to.join(name), pace)?;
    }
    // Times of directories last: making what is in them changed them.
    for name in tree.names.iter().rev() {
        let from = tree.top.join(name);
        let meta = fs::symlink_metadata(&from).map_err(|e| Failure::io(&from, "copy", e))?;
        if meta.is_dir() {
            let to = to.join(name);
            set_times(&to, &meta).map_err(|e| Failure::io(&to, "copy", e))?;
        }
    }
    Ok(())
}

fn copy_one(from: &Path, to: &Path, pace: &Pace) -> Result<(), Failure> {
    let copied = || -> io::Result<u64> {
        let meta = fs::symlink_metadata(from)?;
        let kind = meta.file_type();
        let mut bytes = 0;
        if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(from)?, to)?;
        } else if kind.is_dir() {
            fs::create_dir(to)?;
        } else if kind.is_file() {
            bytes = io::copy(&mut File::open(from)?, &mut File::create(to)?)?;
        } else if kind.is_fifo() || kind.is_socket() {
            return Ok(0);
        }
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::lchown(to, Some(meta.uid()), Some(meta.gid()))?;
        }
        if !kind.is_symlink() {
            fs::set_permissions(to, meta.permissions())?;
            set_times(to, &meta)?;
        }
        Ok(bytes)
    };
    let bytes = copied().map_err(|e| Failure::io(from, "cannot copy it", e))?;
    pace.step(bytes)
}

fn set_times(path: &Path, meta: &Metadata) -> io::Result<()> {
    let times = FileTimes::new()
        .set_accessed(meta.accessed()?)
        .set_modified(meta.modified()?);
    File::open(path)?.set_times(times)
}

/// Reads all files of a tree; the answer is their bytes.
pub fn read(tree: &Tree, at: &Path, pace: &Pace) -> Result<u64, Failure> {
    let mut buffer = vec![0; 1 << 20];
    let mut total = 0;
    for name in &tree.names {
        let path = at.join(name);
        if !fs::symlink_metadata(&path).is_ok_and(|m| m.is_file()) {
            continue;
        }
        let mut file = File::open(&path).map_err(|e| Failure::io(&path, "cannot read it", e))?;
        let mut bytes = 0;
        loop {
            let n = file.read(&mut buffer);
            match n.map_err(|e| Failure::io(&path, "cannot read it", e))? {
                0 => break,
                n => bytes += n as u64,
            }
        }
        total += bytes;
        pace.step(bytes)?;
    }
    Ok(total)
}

/// Compares a tree with a copy of it, but for the names in `except`: kind, mode, link, every byte; and
/// that the copy holds `extra` names beyond.
pub fn compare(
    tree: &Tree,
    with: &Path,
    except: &dyn Fn(&Path) -> bool,
    extra: usize,
    pace: &Pace,
) -> Result<(), Failure> {
    let mut missing = 0;
    for name in &tree.names {
        if except(name) {
            missing += usize::from(fs::symlink_metadata(with.join(name)).is_err());
            continue;
        }
        let bytes = compare_one(&tree.top.join(name), &with.join(name))?;
        pace.step(bytes)?;
    }
    let there = walk(with, usize::MAX, u64::MAX)
        .map_err(|e| Failure::io(with, "cannot list it", e))?
        .map_or(0, |t| t.names.len());
    let expected = tree.names.len() - missing + extra;
    if there != expected {
        let text = format!("it holds {there} names where {expected} are expected");
        return Err(Failure::at(with, text));
    }
    Ok(())
}

fn compare_one(a: &Path, b: &Path) -> Result<u64, Failure> {
    let look = |p: &Path| fs::symlink_metadata(p).map_err(|e| Failure::io(p, "is missing", e));
    let (one, two) = (look(a)?, look(b)?);
    let differs = |what: &str| {
        Err(Failure::at(
            b,
            format_args!("{what} differs from {}", a.display()),
        ))
    };
    if one.file_type() != two.file_type() {
        return differs("its kind");
    }
    if one.is_symlink() {
        let (x, y) = (fs::read_link(a), fs::read_link(b));
        return if x.ok() == y.ok() {
            Ok(0)
        } else {
            differs("its target")
        };
    }
    if one.permissions().mode() != two.permissions().mode() {
        return differs("its mode");
    }
    if !one.is_file() {
        return Ok(0);
    }
    let whole = |p: &Path| fs::read(p).map_err(|e| Failure::io(p, "cannot read it", e));
    let (x, y) = (whole(a)?, whole(b)?);
    if x != y {
        let at = x
            .iter()
            .zip(&y)
            .position(|(x, y)| x != y)
            .unwrap_or(x.len().min(y.len()));
        return differs(&format!("its content, from byte {at} on,"));
    }
    Ok(x.len() as u64)
}

/// Room that a tree takes on its disk, in bytes.
pub fn room(tree: &Tree, at: &Path) -> u64 {
    let names = tree
        .names
        .iter()
        .map(|name| at.join(name))
        .chain([at.to_owned()]);
    names
        .filter_map(|p| fs::symlink_metadata(p).ok())
        .map(|m| m.blocks() * 512)
        .sum()
}
