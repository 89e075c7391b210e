//! What the demonstration changes in each clone, and what must be there afterwards.
//!
//! Every clone gets its own changes, chosen by its number alone: some bytes overwritten in the middle,
//! some appended, a file renamed, one deleted, one added.

use super::Pace;
use super::tree::Tree;
use crate::failure::Failure;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Files of a clone that are not as in the source: their new content, or `None` if they are gone.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    files: BTreeMap<PathBuf, Option<Vec<u8>>>,
    /// Names that the source does not have.
    pub extra: usize,
}

/// The clone by which a change is recognised.
fn mark(clone: usize, name: &Path) -> String {
    format!("[clone {clone} was here: {}]", name.display())
}

/// Changes some files of a clone.
pub fn make(tree: &Tree, clone: usize, at: &Path, seed: u64) -> Result<Changes, Failure> {
    let mut random = fastrand::Rng::with_seed(seed ^ clone as u64);
    let mut picked: Vec<&PathBuf> = Vec::new();
    for _ in 0..400 {
        let name = &tree.names[random.usize(..tree.names.len())];
        let usable = fs::symlink_metadata(tree.top.join(name))
            .is_ok_and(|m| m.is_file() && m.len() < 4 << 20);
        if usable && !picked.contains(&name) {
            picked.push(name);
        }
        if picked.len() == 6 {
            break;
        }
    }
    let mut changes = Changes::default();
    for (kind, name) in picked.into_iter().enumerate() {
        let path = at.join(name);
        change(&mut changes, kind, clone, name, at)
            .map_err(|e| Failure::io(&path, "cannot change it", e))?;
    }
    Ok(changes)
}

fn change(
    changes: &mut Changes,
    kind: usize,
    clone: usize,
    name: &Path,
    at: &Path,
) -> std::io::Result<()> {
    let path = at.join(name);
    let mark = mark(clone, name);
    let mut content = fs::read(&path)?;
    match kind {
        0 | 1 => {
            let offset = content.len() / 2;
            let mut file = OpenOptions::new().write(true).open(&path)?;
            file.seek(SeekFrom::Start(offset as u64))?;
            file.write_all(mark.as_bytes())?;
            content.resize(content.len().max(offset + mark.len()), 0);
            content[offset..offset + mark.len()].copy_from_slice(mark.as_bytes());
        }
        2 => {
            OpenOptions::new()
                .append(true)
                .open(&path)?
                .write_all(mark.as_bytes())?;
            content.extend(mark.as_bytes());
        }
        3 => {
            let new = name.with_added_extension(format!("renamed-{clone}"));
            fs::rename(&path, at.join(&new))?;
            changes.files.insert(new, Some(content));
            changes.extra += 1;
            changes.files.insert(name.to_owned(), None);
            return Ok(());
        }
        4 => {
            fs::remove_file(&path)?;
            changes.files.insert(name.to_owned(), None);
            return Ok(());
        }
        _ => {
            let new = name.with_added_extension(format!("new-{clone}"));
            fs::write(at.join(&new), &mark)?;
            changes.files.insert(new, Some(mark.into_bytes()));
            changes.extra += 1;
            return Ok(());
        }
    }
    changes.files.insert(name.to_owned(), Some(content));
    Ok(())
}

impl Changes {
    /// Whether a name is among those changed.
    pub fn has(&self, name: &Path) -> bool {
        self.files.contains_key(name)
    }

    /// How many names are changed.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Compares the changed files of a clone with what they must be.
    pub fn compare(&self, at: &Path, pace: &Pace) -> Result<(), Failure> {
        for (name, expected) in &self.files {
            let path = at.join(name);
            let found = match fs::read(&path) {
                Ok(content) => Some(content),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
                Err(e) => return Err(Failure::io(&path, "cannot read it", e)),
            };
            if &found != expected {
                let what = match (found, expected) {
                    (Some(_), None) => "it was deleted in this clone, and is there",
                    (None, _) => "it is missing",
                    _ => "its content is not what was written in this clone",
                };
                return Err(Failure::at(&path, what));
            }
            pace.step(found.map_or(0, |c| c.len() as u64))?;
        }
        Ok(())
    }
}
