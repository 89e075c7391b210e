//! Files that the workloads make and change; all that is random follows from the generator that is passed in.

use crate::process;
use anyhow::{Context, Result};
use fastrand::Rng;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The name of a random file.
pub fn random_name(index: u32) -> PathBuf {
    PathBuf::from(format!("dir-{}/file-{index}", index / 8))
}

/// Makes `files` files of `bytes` incompressible bytes, eight to a folder.
pub fn random_files(dir: &Path, files: u32, bytes: usize, random: &mut Rng) -> Result<()> {
    let mut content = vec![0; bytes];
    for index in 0..files {
        let path = dir.join(random_name(index));
        fs::create_dir_all(path.parent().unwrap_or(dir))?;
        random.fill(&mut content);
        fs::write(path, &content)?;
    }
    Ok(())
}

/// A few bytes written somewhere into a random file.
pub struct Patch {
    /// Which file.
    pub file: u32,
    /// Where, a multiple of 4 KiB.
    pub offset: u64,
    /// What.
    pub bytes: Vec<u8>,
}

impl Patch {
    /// Somewhere in a file of `file_bytes`.
    pub fn random(file: u32, file_bytes: usize, patch_bytes: usize, random: &mut Rng) -> Self {
        let mut bytes = vec![0; patch_bytes];
        random.fill(&mut bytes);
        let offset = random.u64(0..file_bytes as u64 / 4096) * 4096;
        Self {
            file,
            offset,
            bytes,
        }
    }

    /// Writes it.
    pub fn write(&self, dir: &Path) -> Result<()> {
        write_at(&dir.join(random_name(self.file)), &self.bytes, self.offset)
    }
}

/// Opens a file, writes something into it and closes it.
pub fn write_at(path: &Path, bytes: &[u8], offset: u64) -> Result<()> {
    let file = OpenOptions::new().write(true).open(path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    Ok(file.write_all_at(bytes, offset)?)
}

/// Makes a file of so many incompressible bytes.
pub fn random_file(path: &Path, bytes: u64, random: &mut Rng) -> Result<()> {
    let mut file = File::create(path)?;
    let mut content = vec![0; 1 << 20];
    for start in (0..bytes).step_by(content.len()) {
        process::go_on()?;
        random.fill(&mut content);
        let left = usize::try_from(bytes - start).unwrap_or(usize::MAX);
        file.write_all(&content[..left.min(content.len())])?;
    }
    Ok(())
}

/// Reads a file from its beginning to its end.
pub fn read_through(path: &Path) -> Result<()> {
    let mut file = File::open(path)?;
    let mut content = vec![0; 1 << 20];
    while file.read(&mut content)? > 0 {
        process::go_on()?;
    }
    Ok(())
}

/// Writes so many pieces of `size` bytes at random multiples of 4 KiB into a file of `bytes`; the file, to be made durable.
pub fn random_block_writes(
    path: &Path,
    bytes: u64,
    count: u32,
    size: usize,
    random: &mut Rng,
) -> Result<File> {
    let file = OpenOptions::new().write(true).open(path)?;
    let mut content = vec![0; size];
    for _ in 0..count {
        random.fill(&mut content);
        file.write_all_at(&content, random.u64(0..bytes / 4096) * 4096)?;
    }
    Ok(file)
}

/// Reads so many blocks of 4 KiB.
pub fn random_block_reads(path: &Path, bytes: u64, count: u32, random: &mut Rng) -> Result<()> {
    let file = File::open(path)?;
    let mut content = vec![0; 4096];
    for _ in 0..count {
        file.read_exact_at(&mut content, random.u64(0..bytes / 4096) * 4096)?;
    }
    Ok(())
}

/// Makes a tree of about `files` files that look like sources: lines of words, most of a few KiB.
pub fn made_up_tree(dir: &Path, files: u32, random: &mut Rng) -> Result<()> {
    let words: Vec<String> = (0..2000)
        .map(|_| {
            (0..random.usize(2..10))
                .map(|_| random.lowercase())
                .collect()
        })
        .collect();
    let mut text = Vec::new();
    for index in 0..files {
        let folder = dir.join(format!("part-{}/unit-{}", index / 1024, index / 32 % 32));
        if index % 32 == 0 {
            fs::create_dir_all(&folder)?;
        }
        text.clear();
        let bytes = 1 << random.usize(8..15);
        while text.len() < bytes {
            text.extend_from_slice(random.choice(&words).map_or(b"", |word| word.as_bytes()));
            text.push(if random.u8(0..8) == 0 { b'\n' } else { b' ' });
        }
        File::create(folder.join(format!("source-{index}.c")))?.write_all(&text)?;
    }
    Ok(())
}

/// Makes files of 200 bytes in a tree of fan-out 128.
///
/// The bytes of each are new: cut from one buffer, those of neighbours would meet again where several files are compressed together.
pub fn small_files(dir: &Path, files: u32, random: &mut Rng) -> Result<()> {
    let mut content = [0; 200];
    for index in 0..files {
        let folder = dir.join(format!("{}/{}", index / 16384, index / 128 % 128));
        if index % 128 == 0 {
            fs::create_dir_all(&folder)?;
        }
        random.fill(&mut content);
        fs::write(folder.join(format!("file-{index}")), content)?;
    }
    Ok(())
}

/// All files below a folder, with their sizes, sorted; paths are relative to it.
pub fn list(dir: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(dir.join(&folder))? {
            let entry = entry?;
            let (kind, path) = (entry.file_type()?, folder.join(entry.file_name()));
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                found.push((path, entry.metadata()?.len()));
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn what_is_made_follows_from_the_seed() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for dir in [a.path(), b.path()] {
            made_up_tree(&dir.join("tree"), 70, &mut Rng::with_seed(4)).unwrap();
            random_files(&dir.join("files"), 9, 5000, &mut Rng::with_seed(4)).unwrap();
            small_files(&dir.join("small"), 130, &mut Rng::with_seed(4)).unwrap();
        }
        let files = list(a.path()).unwrap();
        assert_eq!(files.len(), 209);
        for (path, bytes) in files {
            let content = fs::read(a.path().join(&path)).unwrap();
            assert_eq!(content.len() as u64, bytes);
            assert_eq!(content, fs::read(b.path().join(&path)).unwrap());
        }
    }

    #[test]
    fn no_small_file_is_like_another() {
        let dir = tempfile::tempdir().unwrap();
        small_files(dir.path(), 130, &mut Rng::with_seed(1)).unwrap();
        let files = list(dir.path()).unwrap();
        let words: HashSet<[u8; 8]> = files
            .iter()
            .flat_map(|(path, _)| {
                let content = fs::read(dir.path().join(path)).unwrap();
                content.as_chunks().0.to_vec()
            })
            .collect();
        assert_eq!(words.len(), 130 * 200 / 8);
    }

    #[test]
    fn a_patch_lies_within_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut random = Rng::with_seed(1);
        random_files(dir.path(), 1, 8192, &mut random).unwrap();
        for _ in 0..20 {
            let patch = Patch::random(0, 8192, 16, &mut random);
            assert!(patch.offset.is_multiple_of(4096));
            patch.write(dir.path()).unwrap();
        }
        let length = fs::metadata(dir.path().join(random_name(0))).unwrap().len();
        assert_eq!(length, 8192);
    }
}
