//! Clones by overlayfs: each a mount with an upper layer of its own over what its source consists of.
//!
//! ```text
//! clone  =  .layers/clone/upper  over  [.layers/source/upper  over …]  over  the original
//! ```
//!
//! The layers of a source must not change while a clone stands on them; the workloads never write to what was cloned.

use crate::process::{self, run};
use anyhow::Result;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// The clones of one file system.
pub struct Overlays {
    dir: PathBuf,
    /// Names, and what each stands on, uppermost first.
    clones: Vec<(String, Vec<PathBuf>)>,
}

impl Overlays {
    /// None yet, on the file system mounted at `dir`.
    pub fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            clones: Vec::new(),
        }
    }

    /// Forgets all: the file system was made anew.
    pub fn forget(&mut self) {
        self.clones.clear();
    }

    fn layer(&self, tree: &str, part: &str) -> PathBuf {
        self.dir.join(".layers").join(tree).join(part)
    }

    /// Makes a clone.
    pub fn clone_tree(&mut self, src: &str, dst: &str) -> Result<()> {
        let lower = match self.clones.iter().find(|(name, _)| name == src) {
            Some((_, below)) => {
                let upper = self.layer(src, "upper");
                [upper].into_iter().chain(below.iter().cloned()).collect()
            }
            None => vec![self.dir.join(src)],
        };
        for place in [
            self.layer(dst, "upper"),
            self.layer(dst, "work"),
            self.dir.join(dst),
        ] {
            std::fs::create_dir_all(place)?;
        }
        self.mount(dst, &lower)?;
        self.clones.push((dst.to_owned(), lower));
        Ok(())
    }

    fn mount(&self, tree: &str, lower: &[PathBuf]) -> Result<()> {
        let mut options = OsString::from("noatime,lowerdir=");
        for (index, layer) in lower.iter().enumerate() {
            options.push(if index > 0 { ":" } else { "" });
            options.push(layer);
        }
        for (name, part) in [(",upperdir=", "upper"), (",workdir=", "work")] {
            options.push(name);
            options.push(self.layer(tree, part));
        }
        let args = ["-t", "overlay", "overlay", "-o"].map(OsStr::new);
        let dir = self.dir.join(tree);
        run(
            "mount",
            args.into_iter()
                .chain([options.as_os_str(), dir.as_os_str()]),
        )
    }

    /// Removes a clone; whether it was one.
    pub fn remove_tree(&mut self, tree: &str) -> Result<bool> {
        let Some(at) = self.clones.iter().position(|(name, _)| name == tree) else {
            return Ok(false);
        };
        run("umount", [self.dir.join(tree)])?;
        self.clones.remove(at);
        let layers = self.dir.join(".layers").join(tree);
        let places = [layers, self.dir.join(tree)];
        run(
            "rm",
            ["-rf".as_ref()]
                .into_iter()
                .chain(places.iter().map(|p| p.as_os_str())),
        )?;
        Ok(true)
    }

    /// Mounts all again.
    pub fn mount_all(&self) -> Result<()> {
        let mut clones = self.clones.iter();
        clones.try_for_each(|(tree, lower)| self.mount(tree, lower))
    }

    /// Unmounts all.
    pub fn unmount_all(&self) -> Result<()> {
        let mut clones = self.clones.iter().rev();
        clones.try_for_each(|(tree, _)| run("umount", [self.dir.join(tree)]))
    }

    /// Unmounts what can be.
    pub fn tidy_up(&self) {
        for (tree, _) in self.clones.iter().rev() {
            process::tidy_up("umount", ["-l".as_ref(), self.dir.join(tree).as_os_str()]);
        }
    }
}
