//! A file system in memory over our own FUSE floor: what FUSE costs by itself. Not a peer, as it keeps nothing.
//!
//! Its program is the example `floor` of `cawfs-fuse`. It cannot be mounted anew without losing everything, so cold means for it that
//! the kernel's caches were dropped. Invariant: dropping it unmounts it, which ends its process.

use crate::process::{self, run};
use crate::system::{Counts, Kind, Server, System, Told};
use anyhow::{Context, Result, ensure};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The system.
pub struct Floor {
    program: PathBuf,
    dir: PathBuf,
    running: Option<Child>,
}

/// Why it cannot be measured; none for other systems.
pub fn missing(kind: Kind, program: &Path) -> Option<String> {
    let lacks = kind == Kind::Floor && !program.is_file();
    lacks.then(|| format!("there is no {}", program.display()))
}

impl Floor {
    /// Served by this program, mounted at `dir`.
    pub fn new(program: &Path, dir: PathBuf) -> Self {
        Self {
            program: program.to_owned(),
            dir,
            running: None,
        }
    }

    fn shell(&self, line: &str, trees: &[&str]) -> Result<()> {
        let args = ["-c", line, "sh"].map(Into::into);
        let trees = trees.iter().map(|tree| self.path(tree).into_os_string());
        run("sh", args.into_iter().chain(trees))
    }
}

impl System for Floor {
    fn kind(&self) -> Kind {
        Kind::Floor
    }

    fn make(&mut self) -> Result<()> {
        self.unmount()?;
        self.mount()
    }

    fn mount(&mut self) -> Result<()> {
        let mut command = Command::new(&self.program);
        let child = command
            .arg(&self.dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        let child = child.with_context(|| format!("cannot start {}", self.program.display()))?;
        let child = self.running.insert(child);
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
        ensure!(
            line.trim() == "mounted",
            "the file system in memory cannot be mounted"
        );
        Ok(())
    }

    fn unmount(&mut self) -> Result<()> {
        if let Some(mut child) = self.running.take() {
            let done = run("umount", [&self.dir]);
            if done.is_err() {
                self.running = Some(child);
                return done;
            }
            child.wait()?;
        }
        Ok(())
    }

    fn remount_cold(&mut self) -> Result<()> {
        Ok(std::fs::write("/proc/sys/vm/drop_caches", "3")?)
    }

    fn dir(&self) -> &Path {
        &self.dir
    }

    fn new_tree(&mut self, tree: &str) -> Result<()> {
        Ok(std::fs::create_dir(self.path(tree))?)
    }

    fn clone_tree(&mut self, src: &str, dst: &str) -> Result<Told> {
        self.shell("cp -a \"$1\" \"$2\"", &[src, dst])?;
        Ok(Told::default())
    }

    fn remove_tree(&mut self, tree: &str) -> Result<Told> {
        self.shell("rm -rf \"$1\"", &[tree])?;
        Ok(Told::default())
    }

    fn sync(&self) -> Result<()> {
        run("sync", ["-f".as_ref(), self.dir.as_os_str()])
    }

    fn counts(&self) -> Result<Option<Counts>> {
        Ok(Some(Counts::default()))
    }

    fn server(&self) -> Server {
        let pid = self.running.as_ref().map(Child::id);
        pid.map_or_else(Server::default, |pid| Server {
            seconds: process::seconds_of(&pid.to_string()),
            peak_bytes: process::peak_bytes(pid),
        })
    }

    fn requests(&self) -> Result<Option<u64>> {
        let mut text = [0; 32];
        let length = rustix::fs::getxattr(&self.dir, "user.requests", &mut text[..])?;
        let text = std::str::from_utf8(&text[..length])?;
        Ok(Some(text.parse()?))
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        if let Some(mut child) = self.running.take() {
            if !process::tidy_up("umount", [&self.dir]) {
                process::tidy_up("umount", ["-l".as_ref(), self.dir.as_os_str()]);
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
