//! What people's tools do to a tree and to its clone: git, which finds all inodes of a clone new, and rsync within one file system.

use crate::files;
use crate::session::Session;
use crate::workload::tree::shell;
use anyhow::Result;
use std::path::{Path, PathBuf};

const GIT: &str = "git -C \"$1\" -c gc.auto=0 -c user.name=bench -c user.email=bench@localhost";

/// git on the tree `orig`, which becomes a repository (of all files: what a tree ignores is its own matter), and on a clone of it;
/// `listed` are its files.
pub fn git(session: &mut Session, listed: &[(PathBuf, u64)]) -> Result<()> {
    session.step("git add + commit", 0, |system| {
        let line = format!("{GIT} init -q && {GIT} add -A --force && {GIT} commit -q -m all");
        shell(&line, &[&system.path("orig")])?;
        system.sync()
    })?;
    let clone = "with-git";
    session.cold()?;
    session.step("clone of the repository", 0, |system| {
        system.clone_tree("orig", clone).map(drop)
    })?;
    let edits: Vec<(&Path, u64)> = (0..session.sizes.tree_edits)
        .filter_map(|_| session.random.choice(listed))
        .map(|(path, bytes)| (path.as_path(), bytes / 2))
        .collect();
    let dir = session.system.path(clone);
    for (path, offset) in edits {
        files::write_at(&dir.join(path), b"sixteen new ones", offset)?;
    }
    for (step, command) in [
        ("cold git status, edited clone", "status --short"),
        ("cold git status again, edited clone", "status --short"),
        ("cold git diff, edited clone", "diff"),
    ] {
        session.cold()?;
        session.step(step, 0, |system| {
            shell(
                &format!("{GIT} {command} >/dev/null"),
                &[&system.path(clone)],
            )
        })?;
    }
    session.system.remove_tree(clone)?;
    Ok(())
}

/// rsync of the tree `orig` into new ones: through temporary files that are renamed, and in place.
pub fn rsync(session: &mut Session) -> Result<()> {
    for (step, option) in [
        ("rsync -a + sync", ""),
        ("rsync -a --inplace + sync", "--inplace"),
    ] {
        session.cold()?;
        session.system.new_tree("rsynced")?;
        session.step(step, 0, |system| {
            let line = format!("rsync -a {option} \"$1\"/ \"$2\"/");
            shell(&line, &[&system.path("orig"), &system.path("rsynced")])?;
            system.sync()
        })?;
        session.system.remove_tree("rsynced")?;
    }
    Ok(())
}
