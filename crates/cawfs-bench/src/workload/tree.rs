//! A tree of many small files: copied in, searched, cloned, edited, renamed, removed.
//!
//! The tree comes from outside the image and is in the page cache when it is copied in. All that is called cold begins with
//! a new mount and empty caches. Each round is a clone of the original.

use crate::files;
use crate::process::run;
use crate::session::{REMOVAL, Session};
use crate::workload::tools;
use anyhow::Result;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// What is read cold: its names for the original and for a clone, and the command.
const READINGS: [(&str, &str, &str); 4] = [
    ("cold find", "cold find, clone", "find \"$1\" >/dev/null"),
    ("cold du", "cold du, clone", "du -s \"$1\" >/dev/null"),
    (
        "cold grep -r",
        "cold grep -r, clone",
        "! grep -r -F 'cawfs-bench looks for this line' \"$1\"",
    ),
    // tar reads nothing if it sees that nobody wants it.
    (
        "cold tar c",
        "cold tar c, clone",
        "tar cf - -C \"$1\" . | cat >/dev/null",
    ),
];

/// Where the tree comes from: a folder, and the same as an archive.
struct Source {
    dir: PathBuf,
    archive: PathBuf,
    _scratch: tempfile::TempDir,
}

/// Runs it.
pub fn run_tree(session: &mut Session) -> Result<()> {
    let source = Source::new(session)?;
    let listed = files::list(&source.dir)?;
    let tree_bytes: u64 = listed.iter().map(|(_, bytes)| *bytes).sum();
    copy_in(session, &source)?;
    read_all(session, 0, "orig")?;
    let mut rounds = 0;
    for round in 1..=session.sizes.tree_rounds {
        // Blocks are rounded up, and there is metadata.
        if session.system.space()?.1 < tree_bytes * 3 / 2 {
            session.note(&format!("the image is full before round {round}"));
            break;
        }
        one_round(session, round, &listed)?;
        rounds = round;
    }
    session.step("remove all clones + sync", 0, |system| {
        for round in 1..=rounds {
            system.remove_tree(&format!("clone-{round}"))?;
        }
        system.sync()
    })?;
    tools::rsync(session)?;
    tools::git(session, &listed)?;
    session.step("rename the tree", 0, |system| {
        Ok(std::fs::rename(
            system.path("orig"),
            system.path("renamed"),
        )?)
    })?;
    session.step("rm -r + sync", 0, |system| {
        // A subvolume itself stays, as rm may not remove it; what it holds is what counts.
        shell("rm -r \"$1\"/* \"$1\"/.git", &[&system.path("renamed")])?;
        system.sync()
    })?;
    Ok(())
}

impl Source {
    fn new(session: &Session) -> Result<Self> {
        let scratch = tempfile::Builder::new()
            .prefix("cawfs-bench-tree.")
            .tempdir()?;
        let mut dir = scratch.path().join("tree");
        if let Some(given) = &session.sizes.tree {
            dir.clone_from(given);
        } else {
            let mut random = fastrand::Rng::with_seed(session.sizes.seed);
            files::made_up_tree(&dir, session.sizes.tree_files, &mut random)?;
        }
        let archive = scratch.path().join("tree.tar");
        shell("tar cf \"$1\" -C \"$2\" .", &[&archive, &dir])?;
        Ok(Self {
            dir,
            archive,
            _scratch: scratch,
        })
    }
}

fn copy_in(session: &mut Session, source: &Source) -> Result<()> {
    let Source { dir, archive, .. } = source;
    let warm = "cat \"$1\" >/dev/null; tar cf - -C \"$2\" . | cat >/dev/null";
    shell(warm, &[archive, dir])?;
    session.step("copy in: tar x + sync", 0, |system| {
        system.new_tree("unpacked")?;
        shell(
            "tar xf \"$1\" -C \"$2\"",
            &[archive, &system.path("unpacked")],
        )?;
        system.sync()
    })?;
    session.told_step(REMOVAL, 0, |system| system.remove_tree("unpacked"))?;
    session.step("remove the tree: sync", 0, |system| system.sync())?;
    shell(warm, &[archive, dir])?;
    session.step("copy in: cp -a + sync", 0, |system| {
        system.new_tree("orig")?;
        shell("cp -a \"$1\"/. \"$2\"", &[dir, &system.path("orig")])?;
        system.sync()
    })?;
    Ok(())
}

/// Each reading cold.
fn read_all(session: &mut Session, round: u32, tree: &str) -> Result<()> {
    for (of_original, of_clone, command) in READINGS {
        session.cold()?;
        let step = if round == 0 { of_original } else { of_clone };
        session.step(step, round, |system| shell(command, &[&system.path(tree)]))?;
    }
    Ok(())
}

fn one_round(session: &mut Session, round: u32, listed: &[(PathBuf, u64)]) -> Result<()> {
    let name = format!("clone-{round}");
    session.cold()?;
    let mut seconds = session.clone_step(round, "orig", &name)?;
    let edits: Vec<(&Path, u64)> = (0..session.sizes.tree_edits)
        .filter_map(|_| session.random.choice(listed))
        .map(|(path, bytes)| (path.as_path(), bytes / 2))
        .collect();
    seconds += session.step("edit", round, |system| {
        let dir = system.path(&name);
        edits.iter().try_for_each(|(path, offset)| {
            files::write_at(&dir.join(path), b"sixteen new ones", *offset)
        })
    })?;
    seconds += session.step("clone and edit: sync", round, |system| system.sync())?;
    session.told("clone + edit + sync", round, seconds);
    read_all(session, round, &name)
}

/// A line of shell; the paths are $1, $2.
pub fn shell(line: &str, paths: &[&Path]) -> Result<()> {
    let args = ["-c", line, "sh"].map(OsStr::new);
    run(
        "sh",
        args.into_iter()
            .chain(paths.iter().map(|path| path.as_os_str())),
    )
}
