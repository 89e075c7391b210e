//! `cawfs check --salvage DIR`: copies what can still be read of a damaged store into a folder.
//!
//! A file of which blocks cannot be read is written with holes in their place. What was lost stands in the output and
//! in `DIR/cawfs-lost.txt`. Symbolic links are made last, so that nothing is ever written through one.

use crate::failure::Failure;
use crate::finding::{DAMAGED, UNCHECKED};
use crate::{Outcome, output, store};
use cawfs_fs::{FileType, Object, Salvage, Salvaged, Time};
use rustix::fs::{AtFlags, CWD, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use serde_json::json;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Where in the folder it says what was lost.
const LOST: &str = "cawfs-lost.txt";

/// What was done.
#[derive(Default)]
struct Done {
    directories: u64,
    files: u64,
    others: u64,
    bytes: u64,
    damaged_files: u64,
    lost: Vec<String>,
}

/// Saves what can be saved of `path` into `dir`, which must not exist or be empty.
pub fn run(path: &Path, dir: &Path, as_json: bool) -> Outcome {
    std::fs::create_dir_all(dir)
        .map_err(|e| Failure::io(dir, "cannot make it", e).code(UNCHECKED))?;
    let mut entries = std::fs::read_dir(dir)
        .map_err(|e| Failure::io(dir, "cannot read it", e).code(UNCHECKED))?;
    if entries.next().is_some() {
        let failure = Failure::at(dir, "it is not empty").hint("give a folder that does not exist");
        return Err(failure.code(UNCHECKED));
    }
    let (store, notes) = store::rescue(path, &output::note).map_err(|f| {
        let code = if f.damaged { DAMAGED } else { UNCHECKED };
        f.code(code)
    })?;
    let mut done = Done {
        lost: notes,
        ..Done::default()
    };
    let mut bad = Vec::new();
    let mut scrub = store.scrub(0).with_all_places();
    let bar = output::bar("reading", scrub.bytes_left());
    while let Some(step) = scrub.step() {
        bar.inc(step.bytes);
        bad.extend(step.findings.into_iter().flat_map(|f| f.keys));
    }
    bar.finish_and_clear();
    save(&Salvage::new(&store, bad), dir, &mut done);
    let listed = list(&dir.join(LOST), &done.lost);
    // Also without the list, which says the same.
    report(path, dir, &done, as_json);
    listed?;
    Ok(if done.lost.is_empty() { 0 } else { DAMAGED })
}

/// Writes what was lost into a new file, a line each; no file if nothing was. What was saved under that name stays, be it a link that leads elsewhere.
fn list(file: &Path, lost: &[String]) -> Result<(), Failure> {
    if lost.is_empty() {
        return Ok(());
    }
    let text: String = lost.iter().map(|l| format!("{l}\n")).collect();
    let written = File::create_new(file).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|e| Failure::io(file, "cannot write it", e).code(UNCHECKED))
}

fn report(path: &Path, dir: &Path, done: &Done, as_json: bool) {
    if as_json {
        return output::json(&json!({
            "store": path.to_string_lossy(),
            "directory": dir.to_string_lossy(),
            "directories": done.directories,
            "files": done.files,
            "other_objects": done.others,
            "content_bytes": done.bytes,
            "damaged_files": done.damaged_files,
            "lost": done.lost,
        }));
    }
    let mut text = format!(
        "{}: {} directories, {} files, {} others saved in {}, {} of content\n",
        path.display(),
        output::count(done.directories),
        output::count(done.files),
        output::count(done.others),
        dir.display(),
        output::bytes(done.bytes),
    );
    if done.damaged_files > 0 {
        let n = output::count(done.damaged_files);
        text.push_str(&format!(
            "  damaged  {n} files have holes where blocks cannot be read\n"
        ));
    }
    for lost in &done.lost {
        text.push_str(&format!("  lost     {lost}\n"));
    }
    output::print(&text);
}

/// Writes every object: directories and files as they come, links after them, and last what dates directories.
fn save(salvage: &Salvage, dir: &Path, done: &mut Done) {
    let (mut links, mut dirs) = (Vec::new(), Vec::new());
    let mut linked = HashMap::new();
    salvage.objects(&mut |found| match found {
        Salvaged::Lost(what) => done.lost.push(what),
        Salvaged::Object(object) => {
            let at = place(dir, &object);
            let first = object.linked.as_ref().and_then(|file| linked.get(file));
            if let Some(first) = first {
                let made = at.parent().map_or(Ok(()), make_dir);
                if let Err(e) = made.and_then(|()| std::fs::hard_link(first, &at)) {
                    done.lost.push(format!("{}: {e}", at.display()));
                }
                return;
            }
            let made = match object.kind {
                FileType::Symlink => {
                    links.push((at, object));
                    return;
                }
                FileType::Directory => make_dir(&at).inspect(|()| done.directories += 1),
                FileType::Regular => write_file(salvage, &at, &object, done),
                kind => make_node(&at, kind, &object).inspect(|()| done.others += 1),
            };
            let dressed = made.and_then(|()| match object.kind {
                FileType::Directory => Ok(()),
                _ => dress(&at, &object),
            });
            if let Err(e) = dressed {
                done.lost.push(format!("{}: {e}", at.display()));
            } else if let Some(file) = object.linked.clone() {
                linked.insert(file, at.clone());
            }
            if object.kind == FileType::Directory {
                dirs.push((at, object));
            }
        }
    });
    for (at, object) in links {
        let parent = at.parent().map_or(Ok(()), make_dir);
        let target = OsStr::from_bytes(&object.target);
        let made = parent.and_then(|()| std::os::unix::fs::symlink(target, &at));
        match made.and_then(|()| dress(&at, &object)) {
            Ok(()) => done.others += 1,
            Err(e) => done.lost.push(format!("{}: {e}", at.display())),
        }
    }
    // The innermost first: what is made in a directory changes its times.
    for (at, object) in dirs.into_iter().rev() {
        if let Err(e) = dress(&at, &object) {
            done.lost.push(format!("{}: {e}", at.display()));
        }
    }
}

fn place(dir: &Path, object: &Object) -> PathBuf {
    let names = object.path.iter().map(|name| OsStr::from_bytes(name));
    names.fold(dir.to_owned(), |at, name| at.join(name))
}

/// Makes a directory, and those above it whose own records are lost.
fn make_dir(at: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(at)
}

fn write_file(
    salvage: &Salvage,
    at: &Path,
    object: &Object,
    done: &mut Done,
) -> std::io::Result<()> {
    at.parent().map_or(Ok(()), make_dir)?;
    let file = File::create_new(at)?;
    file.set_len(object.size)?;
    let (mut bytes, mut failed) = (0, None);
    let lost = salvage.content(object, &mut |offset, block| {
        bytes += block.len() as u64;
        if let Err(e) = file.write_all_at(block, offset) {
            failed.get_or_insert(e);
        }
    });
    if let Some(e) = failed {
        return Err(e);
    }
    done.files += 1;
    done.bytes += bytes;
    done.damaged_files += u64::from(!lost.is_empty());
    for (range, why) in lost {
        done.lost.push(format!(
            "{}: bytes {} to {}: {why}",
            at.display(),
            range.start,
            range.end
        ));
    }
    Ok(())
}

fn make_node(at: &Path, kind: FileType, object: &Object) -> std::io::Result<()> {
    at.parent().map_or(Ok(()), make_dir)?;
    let kind = match kind {
        FileType::Fifo => rustix::fs::FileType::Fifo,
        FileType::Socket => rustix::fs::FileType::Socket,
        FileType::CharDevice => rustix::fs::FileType::CharacterDevice,
        _ => rustix::fs::FileType::BlockDevice,
    };
    let dev = u64::from(object.rdev);
    Ok(rustix::fs::mknodat(
        CWD,
        at,
        kind,
        Mode::from_raw_mode(0o600),
        dev,
    )?)
}

/// Owner, mode, attributes, times. Who is not root keeps what he saves.
fn dress(at: &Path, object: &Object) -> std::io::Result<()> {
    let (uid, gid) = (Uid::from_raw(object.uid), Gid::from_raw(object.gid));
    let link = object.kind == FileType::Symlink;
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    if rustix::process::geteuid().is_root() {
        rustix::fs::chownat(CWD, at, Some(uid), Some(gid), flags)?;
    }
    let mut refused = None;
    for (name, value) in &object.xattrs {
        let name = OsStr::from_bytes(name);
        if let Err(e) = rustix::fs::lsetxattr(at, name, value, XattrFlags::empty()) {
            refused = Some(std::io::Error::other(format!(
                "attribute {}: {e}",
                name.display()
            )));
        }
    }
    if !link {
        let mode = Mode::from_raw_mode(u32::from(object.perm));
        rustix::fs::chmodat(CWD, at, mode, AtFlags::empty())?;
    }
    let time = |t: Time| Timespec {
        tv_sec: t.secs,
        tv_nsec: i64::from(t.nanos),
    };
    let times = Timestamps {
        last_access: time(object.times[0]),
        last_modification: time(object.times[1]),
    };
    rustix::fs::utimensat(CWD, at, &times, flags)?;
    refused.map_or(Ok(()), Err)
}
