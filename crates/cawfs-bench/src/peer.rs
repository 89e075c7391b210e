//! The file systems of the kernel, each in a loop image: ext4, XFS, Btrfs with reflinks and with snapshots, overlayfs.
//!
//! Invariant: dropping it unmounts it. Room for directories of its own: names that begin with a dot are not trees.

use crate::image::Image;
use crate::overlay::Overlays;
use crate::process::{self, run};
use crate::system::{Counts, Kind, Server, System, Told};
use anyhow::Result;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The system.
pub struct Peer {
    kind: Kind,
    dir: PathBuf,
    image: Arc<Image>,
    overlays: Option<Overlays>,
    mounted: bool,
}

/// What a kind needs: programs, and the name under which the kernel must know it.
pub fn missing(kind: Kind) -> Option<String> {
    let (programs, kernel): (&[&str], &[&str]) = match kind {
        Kind::Cawfs | Kind::Floor => (&[], &[]),
        Kind::Ext4 => (&["mkfs.ext4"], &["ext4"]),
        Kind::Xfs => (&["mkfs.xfs"], &["xfs"]),
        Kind::Btrfs | Kind::BtrfsSnap => (&["mkfs.btrfs", "btrfs"], &["btrfs"]),
        Kind::Overlay => (&["mkfs.ext4"], &["ext4", "overlay"]),
        // Engines lie in files on it.
        Kind::Cawdb | Kind::RocksDb | Kind::Fjall | Kind::Redb | Kind::Lmdb => {
            (&["mkfs.ext4"], &["ext4"])
        }
    };
    let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let has = |name: &&&str| known.split_whitespace().any(|word| word == **name);
    let program = programs.iter().find(|program| !process::exists(program));
    let module = kernel.iter().find(|name| !has(name));
    program
        .map(|program| format!("there is no {program} here"))
        .or_else(|| module.map(|name| format!("this kernel knows no {name}")))
}

impl Peer {
    /// On this image, mounted at `dir`.
    pub fn new(kind: Kind, dir: PathBuf, image: Arc<Image>) -> Self {
        let overlays = (kind == Kind::Overlay).then(|| Overlays::new(dir.clone()));
        Self {
            kind,
            dir,
            image,
            overlays,
            mounted: false,
        }
    }

    fn format(&self) -> Result<()> {
        let line: &[&str] = match self.kind {
            Kind::Xfs => &["mkfs.xfs", "-q", "-f", "-K", "-m", "reflink=1"],
            Kind::Btrfs | Kind::BtrfsSnap => &["mkfs.btrfs", "-q", "-f", "-K"],
            _ => &[
                "mkfs.ext4",
                "-q",
                "-F",
                "-i",
                "8192",
                "-E",
                "nodiscard,lazy_itable_init=0,lazy_journal_init=0",
            ],
        };
        let device = self.image.device().as_os_str();
        let args = line.iter().skip(1).map(OsStr::new).chain([device]);
        run(line[0], args)
    }

    fn snapshots(&self) -> bool {
        self.kind == Kind::BtrfsSnap
    }
}

impl System for Peer {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn make(&mut self) -> Result<()> {
        self.unmount()?;
        if let Some(overlays) = &mut self.overlays {
            overlays.forget();
        }
        self.format()?;
        self.mount()
    }

    fn mount(&mut self) -> Result<()> {
        let options = ["-o", "noatime"].map(OsStr::new);
        let places = [self.image.device().as_os_str(), self.dir.as_os_str()];
        self.mounted = true;
        run("mount", options.into_iter().chain(places))?;
        self.overlays.as_ref().map_or(Ok(()), Overlays::mount_all)
    }

    fn unmount(&mut self) -> Result<()> {
        if self.mounted {
            if let Some(overlays) = &self.overlays {
                overlays.unmount_all()?;
            }
            run("umount", [&self.dir])?;
            self.mounted = false;
        }
        Ok(())
    }

    fn dir(&self) -> &Path {
        &self.dir
    }

    fn new_tree(&mut self, tree: &str) -> Result<()> {
        let path = self.path(tree);
        if !self.snapshots() {
            return Ok(std::fs::create_dir(path)?);
        }
        let line = ["subvolume", "create"].map(OsStr::new);
        run("btrfs", line.into_iter().chain([path.as_os_str()]))
    }

    fn clone_tree(&mut self, src: &str, dst: &str) -> Result<Told> {
        if let Some(overlays) = &mut self.overlays {
            overlays.clone_tree(src, dst)?;
            return Ok(Told::default());
        }
        let (program, args): (_, &[&str]) = match self.kind {
            Kind::BtrfsSnap => ("btrfs", &["subvolume", "snapshot"]),
            Kind::Ext4 => ("cp", &["-a", "--reflink=never"]),
            _ => ("cp", &["-a", "--reflink=always"]),
        };
        let (src, dst) = (self.path(src), self.path(dst));
        let paths = [src.as_os_str(), dst.as_os_str()];
        run(program, args.iter().map(OsStr::new).chain(paths))?;
        Ok(Told::default())
    }

    fn remove_tree(&mut self, tree: &str) -> Result<Told> {
        if let Some(overlays) = &mut self.overlays
            && overlays.remove_tree(tree)?
        {
            return Ok(Told::default());
        }
        let (program, args) = match self.kind {
            Kind::BtrfsSnap => ("btrfs", ["subvolume", "delete"]),
            _ => ("rm", ["-r", "-f"]),
        };
        let path = self.path(tree);
        run(
            program,
            args.iter().map(OsStr::new).chain([path.as_os_str()]),
        )?;
        Ok(Told::default())
    }

    fn sync(&self) -> Result<()> {
        run("sync", ["-f".as_ref(), self.dir.as_os_str()])
    }

    fn counts(&self) -> Result<Option<Counts>> {
        self.image.counts().map(Some)
    }

    fn server(&self) -> Server {
        Server::default()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(overlays) = &self.overlays {
            overlays.tidy_up();
        }
        let dir = self.dir.as_os_str();
        if self.mounted && !process::tidy_up("umount", [dir]) {
            process::tidy_up("umount", ["-l".as_ref(), dir]);
        }
    }
}
