//! A small file system over a small store in memory, threads that do operations in it, and what must hold when they are done.

use crate::order::{Event, Name, Names, Op, Seen, assert_explained};
use cawdb::disk::{Disk, RamDisk};
use cawdb::shuttle::thread;
use cawdb::{CreateOptions, Options, Store};
use cawfs_fs::{
    Caller, DirEntry, Error, FileType, FormatOptions, Fs, Kind, MountOptions, NodeId, Time,
    WriteFlags,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub const ME: Caller = Caller::ROOT;
pub const TOP: NodeId = NodeId::ROOT;

/// A file system that threads share.
#[derive(Clone)]
pub struct World {
    pub fs: Arc<Fs>,
    pub store: Store,
    /// The system's own, so that telling the time is no place to change threads.
    clock: Arc<AtomicU64>,
}

impl World {
    pub fn new() -> Self {
        let disk: Arc<dyn Disk> = Arc::new(RamDisk::new());
        let create = CreateOptions {
            size: 16 << 20,
            journal_bytes: Some(64 << 10),
            ..CreateOptions::default()
        };
        Store::create(disk.clone(), &create).unwrap();
        let store = Store::open(disk, Options::tiny(4)).unwrap();
        Fs::format(&store, &FormatOptions::default()).unwrap();
        let options = MountOptions {
            clock: Box::new(Time::default),
            seed: 1,
            ..MountOptions::default()
        };
        let fs = Arc::new(Fs::mount(store.clone(), options).unwrap());
        let clock = Arc::default();
        Self { fs, store, clock }
    }

    pub fn folder(&self, dir: NodeId, name: Name) -> NodeId {
        self.fs
            .mkdir(&ME, dir, name.as_bytes(), 0o755)
            .unwrap()
            .node
    }
    pub fn file(&self, dir: NodeId, name: Name, data: &str) -> NodeId {
        let made = self
            .fs
            .create(&ME, dir, name.as_bytes(), 0o644, libc::O_RDWR);
        let (entry, handle) = made.unwrap();
        self.write(entry.node, data);
        self.fs.release(entry.node, handle);
        entry.node
    }
    /// Writes at the beginning of what must be there.
    pub fn write(&self, file: NodeId, data: &str) {
        let written = self
            .fs
            .write(file, 0, data.as_bytes(), WriteFlags::default());
        assert_eq!(written.unwrap() as usize, data.len());
    }
    /// Reads what must be there.
    pub fn read(&self, file: NodeId) -> String {
        let read = self.fs.read(file, 0, 100).unwrap();
        String::from_utf8(read.to_vec()).unwrap()
    }
    fn list(&self, dir: NodeId, plus: bool) -> Result<Vec<DirEntry>, Error> {
        let (handle, mut found) = (self.fs.opendir(dir)?, Vec::new());
        let mut accept = |entry| {
            found.push(entry);
            true
        };
        let listed = match plus {
            true => self.fs.readdirplus(handle, 0, &mut accept),
            false => self.fs.readdir(handle, 0, &mut accept),
        };
        self.fs.releasedir(handle);
        // Without `.` and `..`.
        listed.map(|()| found.split_off(2))
    }
    /// All names below a directory.
    fn walk(&self, dir: NodeId, to: &mut Names) {
        to.dirs.insert(dir);
        for entry in self.list(dir, true).unwrap() {
            let node = entry.entry.unwrap().node;
            let name = String::from_utf8(entry.name.to_vec()).unwrap();
            to.entries.insert((dir, name), node);
            if entry.kind == FileType::Directory {
                self.walk(node, to);
            }
            self.fs.forget(node, 1);
        }
    }
    pub fn names(&self) -> Names {
        let mut names = Names::default();
        self.walk(TOP, &mut names);
        names
    }

    /// Does it; a node that is answered stays referred to.
    fn act(&self, op: &Op) -> Result<Seen, Kind> {
        let fs = &self.fs;
        let node = |entry: cawfs_fs::Entry| Seen::Node(entry.node);
        let done = |()| Seen::Done;
        let result = match *op {
            Op::Create(dir, name) => fs.mknod(&ME, dir, name.as_bytes(), 0o644, 0).map(node),
            Op::Mkdir(dir, name) => fs.mkdir(&ME, dir, name.as_bytes(), 0o755).map(node),
            Op::Link(file, dir, name) => fs.link(&ME, file, dir, name.as_bytes()).map(node),
            Op::Unlink(dir, name) => fs.unlink(&ME, dir, name.as_bytes()).map(done),
            Op::Rmdir(dir, name) => fs.rmdir(&ME, dir, name.as_bytes()).map(done),
            Op::RemoveTree(dir, name) => {
                let removed = fs.remove_tree(&ME, dir, name.as_bytes());
                removed.map(|_| Seen::Done)
            }
            Op::Rename((a, x), (b, y), mode) => {
                let renamed = fs.rename(&ME, a, x.as_bytes(), b, y.as_bytes(), mode);
                renamed.map(done)
            }
            Op::Lookup(dir, name) => fs.lookup(&ME, dir, name.as_bytes()).map(node),
            Op::List(dir) => self.list(dir, false).map(|listed| {
                let name = |entry: DirEntry| String::from_utf8(entry.name.to_vec()).unwrap();
                Seen::Names(listed.into_iter().map(name).collect::<BTreeSet<_>>())
            }),
            Op::Links(file) => fs.getattr(file).map(|attr| Seen::Links(attr.nlink)),
        };
        result.map_err(|error| error.kind())
    }

    /// Lets each thread do its operations, and asserts that some order of all explains what they saw, and what is there then.
    /// `held` are the nodes referred to so far; nobody holds any afterwards.
    pub fn race(&self, held: &[NodeId], plans: Vec<Vec<Op>>) {
        let start = self.names();
        let threads = plans.into_iter().enumerate().map(|(thread, ops)| {
            let world = self.clone();
            thread::spawn(move || {
                let tick = || world.clock.fetch_add(1, Ordering::Relaxed);
                let event = |op: Op| {
                    let began = tick();
                    let answer = world.act(&op);
                    let ended = tick();
                    Event {
                        thread,
                        op,
                        answer,
                        began,
                        ended,
                    }
                };
                ops.into_iter().map(event).collect::<Vec<_>>()
            })
        });
        let threads: Vec<_> = threads.collect();
        let events: Vec<_> = threads
            .into_iter()
            .flat_map(|t| t.join().unwrap())
            .collect();
        assert_explained(&start, &events, &self.names());
        held.iter().for_each(|&node| self.fs.forget(node, 1));
        for event in events {
            if let Ok(Seen::Node(node)) = event.answer {
                self.fs.forget(node, 1);
            }
        }
        self.sound();
    }

    /// Nobody holds anything: the table is as small as at first, and both checkers find nothing.
    pub fn sound(&self) {
        assert_eq!(self.fs.nodes(), 1, "nodes that nobody holds");
        let report = cawfs_fs::check(&self.store.snapshot(), true).unwrap();
        assert_eq!((report.findings, report.orphans), (vec![], 0));
        let report = self.store.check(true).unwrap();
        assert!(report.findings.is_empty(), "{report:?}");
        assert_eq!(report.leaked_bytes, 0);
    }
}
