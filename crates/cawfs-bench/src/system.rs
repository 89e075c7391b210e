//! What a file system must be able to do to be measured.
//!
//! A system holds *trees*, each known by a name and found at `path(name)`. Contract: `make` gives an empty, mounted one
//! whatever was there before; `remount_cold` leaves nothing of it in any cache; dropping it leaves nothing behind.

use anyhow::{Result, bail};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// The systems that can be measured: file systems, and engines that store pairs of keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// cawfs.
    Cawfs,
    /// Btrfs, where a tree is a subvolume and a clone a snapshot.
    BtrfsSnap,
    /// overlayfs on ext4, where a clone is a mount over its source.
    Overlay,
    /// Btrfs, where a clone is `cp -a --reflink=always`.
    Btrfs,
    /// XFS, likewise.
    Xfs,
    /// ext4, where a clone is `cp -a`.
    Ext4,
    /// A file system in memory over the same FUSE floor, which keeps nothing: what FUSE costs by itself.
    Floor,
    /// cawdb, the engine below cawfs.
    Cawdb,
    /// RocksDB.
    #[value(name = "rocksdb")]
    RocksDb,
    /// fjall.
    Fjall,
    /// redb.
    Redb,
    /// LMDB.
    Lmdb,
}

impl Kind {
    /// All, in the order of the tables.
    pub const ALL: [Self; 12] = [
        Self::Cawfs,
        Self::BtrfsSnap,
        Self::Overlay,
        Self::Btrfs,
        Self::Xfs,
        Self::Ext4,
        Self::Floor,
        Self::Cawdb,
        Self::RocksDb,
        Self::Fjall,
        Self::Redb,
        Self::Lmdb,
    ];

    /// The name in tables.
    pub fn label(self) -> &'static str {
        match self {
            Self::Cawfs => "cawfs",
            Self::BtrfsSnap => "Btrfs snapshot",
            Self::Overlay => "overlayfs on ext4",
            Self::Btrfs => "Btrfs reflink",
            Self::Xfs => "XFS reflink",
            Self::Ext4 => "ext4 cp -a",
            Self::Floor => "FUSE in memory",
            Self::Cawdb => "cawdb",
            Self::RocksDb => "RocksDB",
            Self::Fjall => "fjall",
            Self::Redb => "redb",
            Self::Lmdb => "LMDB",
        }
    }

    /// Whether it is ours, with which the others are compared.
    pub fn is_ours(self) -> bool {
        matches!(self, Self::Cawfs | Self::Cawdb)
    }

    /// Whether ours has to be as good: not as what keeps nothing.
    pub fn is_peer(self) -> bool {
        !self.is_ours() && self != Self::Floor
    }

    /// Whether it is an engine, and no file system.
    pub fn is_engine(self) -> bool {
        matches!(
            self,
            Self::Cawdb | Self::RocksDb | Self::Fjall | Self::Redb | Self::Lmdb
        )
    }

    /// Whether its clones are made without copying the data.
    pub fn shares(self) -> bool {
        !matches!(self, Self::Ext4 | Self::Floor)
    }
}

/// What has passed through the device since it was attached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Read requests.
    pub reads: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Write requests.
    pub writes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Bytes written as the server's process knows them, where the device may count more than was written.
    #[serde(skip)]
    pub by_process: Option<u64>,
}

impl Counts {
    /// What has passed since `before`.
    pub fn since(self, before: Self) -> Self {
        let written = self.written_bytes.saturating_sub(before.written_bytes);
        let processes = self.by_process.zip(before.by_process);
        // A process that was started since began to count anew.
        let by_process = processes.and_then(|(now, then)| now.checked_sub(then));
        Self {
            reads: self.reads.saturating_sub(before.reads),
            read_bytes: self.read_bytes.saturating_sub(before.read_bytes),
            writes: self.writes.saturating_sub(before.writes),
            written_bytes: written.min(by_process.unwrap_or(u64::MAX)),
            by_process,
        }
    }
}

/// What a server in user space has used so far; zero for file systems of the kernel, which have none.
#[derive(Debug, Clone, Copy, Default)]
pub struct Server {
    /// Seconds of processor time.
    pub seconds: f64,
    /// Its largest resident size until now, in bytes.
    pub peak_bytes: u64,
}

/// What an engine says of what it did.
#[derive(Debug, Clone, Copy, Default)]
pub struct Answer {
    /// Seconds within the engine.
    pub seconds: f64,
    /// Bytes of the keys and values that it was given, or gave.
    pub bytes: u64,
}

/// What a program tells of itself, in seconds, where it does.
#[derive(Debug, Clone, Copy, Default)]
pub struct Told {
    /// All of it, after it had started.
    pub program: Option<f64>,
    /// Of that, the calls that do the work.
    pub calls: Option<f64>,
}

/// A file system that is measured, or an engine on one.
pub trait System {
    /// Which one it is.
    fn kind(&self) -> Kind;
    /// What it should be measured with, and is not; for a note.
    fn lack(&self) -> Option<String> {
        None
    }
    /// Makes it anew, empty, and mounts it.
    fn make(&mut self) -> Result<()>;
    /// Mounts it.
    fn mount(&mut self) -> Result<()>;
    /// Unmounts it, which writes everything.
    fn unmount(&mut self) -> Result<()>;
    /// Unmounts, drops what the kernel has cached of anything that is written, mounts again.
    fn remount_cold(&mut self) -> Result<()> {
        self.unmount()?;
        std::fs::write("/proc/sys/vm/drop_caches", "3")?;
        self.mount()
    }
    /// Where it is mounted.
    fn dir(&self) -> &Path;
    /// Where a tree is.
    fn path(&self, tree: &str) -> PathBuf {
        self.dir().join(tree)
    }
    /// Makes an empty tree.
    fn new_tree(&mut self, tree: &str) -> Result<()>;
    /// Clones a tree.
    fn clone_tree(&mut self, src: &str, dst: &str) -> Result<Told>;
    /// Clones a tree several times, at once where the system can.
    fn clone_many(&mut self, src: &str, dsts: &[String]) -> Result<()> {
        dsts.iter()
            .try_for_each(|dst| self.clone_tree(src, dst).map(drop))
    }
    /// Removes a tree the quickest way the system has.
    fn remove_tree(&mut self, tree: &str) -> Result<Told>;
    /// Makes everything durable, by a program, as every system is asked the same way.
    fn sync(&self) -> Result<()>;
    /// Bytes in use, and bytes that are free, as `df` shows them.
    fn space(&self) -> Result<(u64, u64)> {
        let stat = rustix::fs::statvfs(self.dir())?;
        let used = stat.f_blocks.saturating_sub(stat.f_bfree) * stat.f_frsize;
        Ok((used, stat.f_bavail * stat.f_frsize))
    }
    /// What has passed through its device; `None` where there is no device of its own.
    fn counts(&self) -> Result<Option<Counts>>;
    /// Requests that the kernel has sent its server, but for those that asking for this takes; `None` where there is no server.
    fn requests(&self) -> Result<Option<u64>> {
        Ok(None)
    }
    /// What its server has used.
    fn server(&self) -> Server;
    /// Has an engine do what a line says (`bench-engine` tells which there are); bytes of keys and values that were dealt with.
    fn ask(&mut self, line: &str) -> Result<Answer> {
        bail!("{line:?} is said to engines only")
    }
}
