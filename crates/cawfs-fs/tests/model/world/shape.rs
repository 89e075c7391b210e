//! What a world is made of, as its seed has it: the sizes of the engine, and how much there may be.

use super::Mix;
use cawdb::disk::{FaultyDisk, RamDisk};
use cawdb::{Compression, CreateOptions, Options, Store};
use std::sync::Arc;

/// Sizes of a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Where all else comes from.
    pub seed: u64,
    /// Children of a node of the tree; none for an engine as users have it.
    pub fanout: Option<usize>,
    /// Memory for decoded data, in bytes.
    pub cache_bytes: u64,
    /// Length of the journal, in bytes.
    pub journal_bytes: u64,
    /// How data is compressed.
    pub compression: Compression,
    /// Objects above which a step that makes more removes instead.
    pub objects: usize,
    /// Whether files are of hundreds of KiB.
    pub large: bool,
}

impl Shape {
    /// Mostly small, because all there is is checked after every step. One seed in 16 has large files, one in 16 an
    /// engine as users have it, and one in 8 reads nearly everything from the disk.
    pub fn of(seed: u64) -> Self {
        let choose = |n: usize| (seed / 16) as usize % n;
        let large = seed % 16 == 5;
        Self {
            seed,
            fanout: (seed % 16 != 10).then(|| [4, 8, 16][seed as usize % 3]),
            cache_bytes: if seed % 8 == 3 { 64 << 10 } else { 16 << 20 },
            journal_bytes: [64 << 10, 256 << 10, 4 << 20][choose(3)],
            compression: [Compression::Lz4, Compression::None, Compression::Zstd]
                [seed as usize / 2 % 3],
            objects: if large {
                60
            } else {
                [20, 30, 45][seed as usize / 3 % 3]
            },
            large,
        }
    }
    /// How the engine is opened.
    pub fn options(&self) -> Options {
        Options {
            cache_bytes: self.cache_bytes,
            ..self.fanout.map_or_else(Options::default, Options::tiny)
        }
    }
    /// A disk with an empty store.
    pub fn disk(&self) -> Arc<FaultyDisk<RamDisk>> {
        let disk = Arc::new(FaultyDisk::new(RamDisk::new()).unwrap());
        let create = CreateOptions {
            size: 1 << 30,
            compression: self.compression,
            journal_bytes: Some(self.journal_bytes),
        };
        Store::create(disk.clone(), &create).unwrap();
        disk
    }
    /// Steps that go with it.
    pub fn mix(&self) -> Mix {
        Mix {
            large: self.large,
            remount_every: 90,
            crash_every: 90,
            sync_every: 30,
            tick_every: 4,
        }
    }
}
