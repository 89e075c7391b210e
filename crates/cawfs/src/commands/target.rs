//! A name in a directory, as the last part of a path: what clones are made as and trees removed by.

use crate::failure::Failure;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

/// The directory and the name in it that a path means.
#[derive(Debug)]
pub struct Target {
    /// The path as it was given.
    pub path: PathBuf,
    /// The directory, opened only as a place.
    pub parent: OwnedFd,
    /// The directory's path.
    pub parent_path: PathBuf,
    /// The name.
    pub name: OsString,
}

impl Target {
    /// Opens the directory of a path; the last part need not exist and is not followed.
    ///
    /// # Errors
    /// If the directory does not exist, or the path ends in `..`, `.` or `/` and so has no name.
    pub fn of(path: &Path) -> Result<Self, Failure> {
        let Some(Component::Normal(name)) = path.components().next_back() else {
            return Err(Failure::at(path, "the path must end in a name"));
        };
        let parent_path = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        use rustix::fs::{Mode, OFlags};
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let parent = rustix::fs::open(&parent_path, flags, Mode::empty())
            .map_err(|e| Failure::io(&parent_path, "no such place", e))?;
        Ok(Self {
            path: path.to_owned(),
            parent,
            parent_path,
            name: name.to_owned(),
        })
    }

    /// On which device the directory lies. Asks the kernel for nothing else, so that it need not ask the daemon.
    ///
    /// # Errors
    /// If it cannot be looked at.
    pub fn device(&self) -> Result<u64, Failure> {
        use rustix::fs::{AtFlags, StatxFlags, makedev, statx};
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        statx(&self.parent, "", flags, StatxFlags::empty())
            .map(|found| makedev(found.stx_dev_major, found.stx_dev_minor))
            .map_err(|e| Failure::io(&self.parent_path, "cannot look at it", e))
    }

    /// What stands there now, not followed if it is a link; `None` if nothing.
    ///
    /// # Errors
    /// If it cannot be looked at.
    pub fn stat(&self) -> Result<Option<rustix::fs::Stat>, Failure> {
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        match rustix::fs::statat(&self.parent, &self.name, flags) {
            Ok(stat) => Ok(Some(stat)),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(e) => Err(Failure::io(&self.path, "cannot look at it", e)),
        }
    }
}
