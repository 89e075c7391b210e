//! The temporary folder of a demonstration: a store, a mount, and a place for ordinary copies.
//!
//! Invariant: however the demonstration ends, by success, failure or Ctrl-C, the mount is gone, its
//! daemon has ended and the folder is removed.

use crate::commands::{mkfs, umount};
use crate::daemon::{Plan, start};
use crate::failure::Failure;
use crate::options::Options;
use crate::store::{self, Create};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The folder and what is in it.
pub struct Scene {
    folder: TempDir,
    mounted: bool,
}

impl Scene {
    /// Makes the folder, a store in it that may grow to `size` bytes, and mounts it.
    pub fn set_up(size: u64) -> Result<Self, Failure> {
        let place = std::env::temp_dir();
        let folder = tempfile::Builder::new().prefix("cawfs-demo-").tempdir();
        let folder = folder.map_err(|e| Failure::io(&place, "cannot make a folder there", e))?;
        let mut scene = Self {
            folder,
            mounted: false,
        };
        std::fs::create_dir(scene.mount_point())
            .map_err(|e| Failure::io(&scene.mount_point(), "cannot make it", e))?;
        let how = Create {
            size: Some(size),
            compression: crate::args::Compression::Lz4,
            force: false,
        };
        let path = scene.store();
        store::close(&mkfs::make(&path, &how, &crate::output::note)?, &path)?;
        scene.mount()?;
        Ok(scene)
    }

    /// The store.
    pub fn store(&self) -> PathBuf {
        self.path().join("store.caw")
    }

    /// The directory on which it is mounted.
    pub fn mount_point(&self) -> PathBuf {
        self.path().join("mnt")
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    fn mount(&mut self) -> Result<(), Failure> {
        let canonical = |p: PathBuf| p.canonicalize().map_err(|e| Failure::io(&p, "lost", e));
        let plan = Plan {
            store: canonical(self.store())?,
            dir: canonical(self.mount_point())?,
            options: Options::default(),
            create: false,
        };
        start::launch(&plan, &[])?;
        self.mounted = true;
        Ok(())
    }

    fn unmount(&mut self) -> Result<(), Failure> {
        let dir = self.mount_point();
        let dir = dir
            .canonicalize()
            .map_err(|e| Failure::io(&dir, "lost", e))?;
        umount::unmount(&dir)?;
        self.mounted = false;
        Ok(())
    }

    /// Unmounts and mounts again.
    pub fn remount(&mut self) -> Result<(), Failure> {
        self.unmount()?;
        self.mount()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if self.mounted && self.unmount().is_err() {
            // Whatever keeps it busy must not keep it found; the daemon ends with the last user.
            let _ = cawfs_fuse::unmount(&self.mount_point(), true);
        }
    }
}
