//! A mount in memory with a clock that only moves when told.

use cawdb::Store;
use cawfs_fs::{Caller, FormatOptions, Fs, Kind, MountOptions, NodeId, SetAttr, Time, WriteFlags};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

pub const ME: Caller = Caller::ROOT;
pub const TOP: NodeId = NodeId::ROOT;

/// A mount, its engine and its clock.
pub struct Mount {
    pub fs: Fs,
    pub store: Store,
    pub clock: Arc<AtomicI64>,
}

impl std::ops::Deref for Mount {
    type Target = Fs;
    fn deref(&self) -> &Fs {
        &self.fs
    }
}

pub fn mount() -> Mount {
    let store = Store::in_memory();
    Fs::format(
        &store,
        &FormatOptions {
            mode: 0o777,
            ..FormatOptions::default()
        },
    )
    .unwrap();
    let clock = Arc::new(AtomicI64::new(1_000_000));
    let fs = open(&store, &clock);
    Mount { fs, store, clock }
}

pub fn open(store: &Store, clock: &Arc<AtomicI64>) -> Fs {
    open_with(store, clock, 1)
}

/// The same with a seed of its own, so that trees that are cloned show other numbers than those before.
pub fn open_with(store: &Store, clock: &Arc<AtomicI64>, seed: u64) -> Fs {
    let clock = clock.clone();
    let clock = Box::new(move || Time {
        secs: clock.load(Ordering::Relaxed),
        nanos: 0,
    });
    Fs::mount(
        store.clone(),
        MountOptions {
            clock,
            seed,
            ..MountOptions::default()
        },
    )
    .unwrap()
}

impl Mount {
    pub fn file(&self, dir: NodeId, name: &str, data: &[u8]) -> NodeId {
        let (entry, handle) = self
            .create(&ME, dir, name.as_bytes(), 0o644, libc::O_RDWR)
            .unwrap();
        self.write(entry.node, 0, data, WriteFlags::default())
            .unwrap();
        self.release(entry.node, handle);
        entry.node
    }
    pub fn folder(&self, dir: NodeId, name: &str) -> NodeId {
        self.mkdir(&ME, dir, name.as_bytes(), 0o755).unwrap().node
    }
    pub fn content(&self, node: NodeId) -> Vec<u8> {
        self.read(node, 0, 1 << 30).unwrap().to_vec()
    }
    pub fn tick(&self) -> Time {
        Time {
            secs: self.clock.fetch_add(10, Ordering::Relaxed) + 10,
            nanos: 0,
        }
    }
    pub fn chmod(&self, node: NodeId, mode: u32) {
        let change = SetAttr {
            mode: Some(mode),
            ..SetAttr::default()
        };
        self.setattr(&ME, node, &change).unwrap();
    }
    pub fn chown(&self, caller: &Caller, node: NodeId, uid: u32) {
        let change = SetAttr {
            uid: Some(uid),
            ..SetAttr::default()
        };
        self.setattr(caller, node, &change).unwrap();
    }
    pub fn mode(&self, node: NodeId) -> u16 {
        self.getattr(node).unwrap().perm
    }
    pub fn names(&self, dir: NodeId) -> Vec<String> {
        let handle = self.opendir(dir).unwrap();
        let mut names = Vec::new();
        let mut accept = |entry: cawfs_fs::DirEntry| {
            names.push(String::from_utf8(entry.name.to_vec()).unwrap());
            true
        };
        self.readdir(handle, 0, &mut accept).unwrap();
        self.releasedir(handle);
        names.split_off(2)
    }
    pub fn well(&self) {
        assert_eq!(
            cawfs_fs::check(&self.store.snapshot(), true)
                .unwrap()
                .findings,
            []
        );
        let (longest, known) = (self.longest_key(), self.bound_of_keys());
        assert!(longest <= known, "{longest} bytes, not {known}");
    }

    /// Length of the longest key, in bytes.
    pub fn longest_key(&self) -> usize {
        let keys = self.store.scan(cawdb::KeyRange::all());
        keys.map(|item| item.unwrap().0.len()).max().unwrap()
    }

    /// How long keys are, at most, as the store has it.
    pub fn bound_of_keys(&self) -> usize {
        let mut keys = self.store.scan(cawdb::KeyRange::all()).map(Result::unwrap);
        let bounds = keys.find(|(key, _)| key.ends_with(b"xK"));
        bounds.map_or(8192, |(_, bounds)| {
            u32::from_le_bytes(bounds[4..8].try_into().unwrap()) as usize
        })
    }
}

pub fn kind<T: std::fmt::Debug>(result: Result<T, cawfs_fs::Error>) -> Kind {
    result.unwrap_err().kind()
}
