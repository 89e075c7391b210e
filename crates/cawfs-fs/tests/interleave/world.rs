//! A small file system over a small store in memory, threads that do operations in it, and what must hold when they are done.

use crate::names_model::{Name, Names, Obj, Op, Seen, TOP};
use crate::order::{Event, Model, assert_explained};
use cawdb::disk::{Disk, RamDisk};
use cawdb::shuttle::thread;
use cawdb::{CreateOptions, Options, Store};
use cawfs_fs::{
    AccessTimes, Caller, DirEntry, Entry, Error, FileType, FormatOptions, Fs, Kind, MountOptions,
    NodeId, Time, With, WriteFlags,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

pub const ME: Caller = Caller::ROOT;

/// A file system that threads share.
#[derive(Clone)]
pub struct World {
    pub fs: Arc<Fs>,
    pub store: Store,
    /// Orders what threads ask and see. The system's own, so that looking at it is no place to change threads.
    ticks: Arc<AtomicU64>,
    secs: Arc<AtomicI64>,
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
        let nanos = AtomicU32::new(0);
        let secs = Arc::<AtomicI64>::default();
        let clock = secs.clone();
        let now = move || Time {
            secs: clock.load(Ordering::Relaxed),
            nanos: nanos.fetch_add(1, Ordering::Relaxed),
        };
        let options = MountOptions {
            clock: Box::new(now),
            access_times: AccessTimes::Always,
            seed: 1,
            ..MountOptions::default()
        };
        let fs = Arc::new(Fs::mount(store.clone(), options).unwrap());
        let ticks = Arc::default();
        Self {
            fs,
            store,
            ticks,
            secs,
        }
    }
    /// The clock goes on by so many seconds.
    pub fn later(&self, secs: i64) {
        self.secs.fetch_add(secs, Ordering::Relaxed);
    }

    pub fn folder(&self, dir: Obj, name: Name) -> Obj {
        let made = self.fs.mkdir(&ME, dir.node, name.as_bytes(), 0o755);
        made.unwrap().into()
    }
    pub fn file(&self, dir: Obj, name: Name, data: &str) -> Obj {
        let (fs, name) = (&self.fs, name.as_bytes());
        let (entry, handle) = fs.create(&ME, dir.node, name, 0o644, libc::O_RDWR).unwrap();
        self.write(entry.node, data);
        self.fs.release(entry.node, handle);
        entry.into()
    }
    pub fn forget(&self, held: &[Obj]) {
        held.iter()
            .for_each(|object| self.fs.forget(object.node, 1));
    }
    /// Writes at the beginning of what must be there.
    pub fn write(&self, file: NodeId, data: &str) {
        let flags = WriteFlags::default();
        let written = self.fs.write(file, 0, data.as_bytes(), flags);
        assert_eq!(written.unwrap() as usize, data.len());
    }
    /// Reads what must be there.
    pub fn read(&self, file: NodeId) -> String {
        let read = self.fs.read(file, 0, 100).unwrap();
        String::from_utf8(read.to_vec()).unwrap()
    }
    fn list(&self, dir: NodeId) -> Result<Vec<(String, Entry)>, Error> {
        let (handle, mut found) = (self.fs.opendir(dir)?, Vec::new());
        let listed = self
            .fs
            .readdirplus(handle, 0, With::All, &mut |item: DirEntry| {
                let name = String::from_utf8(item.name.to_vec()).unwrap();
                found.extend(item.entry.map(|entry| (name, entry)));
                true
            });
        self.fs.releasedir(handle);
        listed.map(|()| found)
    }
    /// All names below a directory.
    fn walk(&self, dir: Obj, to: &mut Names) {
        for (name, entry) in self.list(dir.node).unwrap() {
            let (child, is_dir) = (
                Obj::from(entry.clone()),
                entry.attr.kind == FileType::Directory,
            );
            to.entries.insert((dir.ino, name), (child.ino, is_dir));
            if is_dir {
                self.walk(child, to);
            }
            self.forget(&[child]);
        }
    }
    pub fn names(&self) -> Names {
        let mut names = Names::default();
        self.walk(TOP, &mut names);
        names
    }

    /// Does an operation on names, and keeps no reference.
    fn act(&self, op: &Op) -> Result<Seen, Kind> {
        let fs = &self.fs;
        let object = |entry: Entry| {
            fs.forget(entry.node, 1);
            Seen::Object(entry.attr.ino)
        };
        let done = |()| Seen::Done;
        let at = |(dir, name): (Obj, Name)| (dir.node, name.as_bytes());
        let result = match *op {
            Op::Create(dir, name) => {
                let made = fs.mknod(&ME, dir.node, name.as_bytes(), 0o644, 0);
                made.map(object)
            }
            Op::Mkdir(dir, name) => fs.mkdir(&ME, dir.node, name.as_bytes(), 0o755).map(object),
            Op::Link(file, dir, name) => {
                let linked = fs.link(&ME, file.node, dir.node, name.as_bytes());
                linked.map(object)
            }
            Op::Unlink(dir, name) => fs.unlink(&ME, dir.node, name.as_bytes()).map(done),
            Op::Rmdir(dir, name) => fs.rmdir(&ME, dir.node, name.as_bytes()).map(done),
            Op::RemoveTree(dir, name) => {
                let removed = fs.remove_tree(&ME, dir.node, name.as_bytes());
                removed.map(|_| Seen::Done)
            }
            Op::Rename(from, to, mode) => {
                let ((a, x), (b, y)) = (at(from), at(to));
                fs.rename(&ME, a, x, b, y, mode).map(done)
            }
            Op::Lookup(dir, name) => fs.lookup(&ME, dir.node, name.as_bytes()).map(object),
            Op::List(dir) => self.list(dir.node).map(|listed| {
                let shown = listed.into_iter().map(|(name, entry)| {
                    fs.forget(entry.node, 1);
                    (name, entry.attr.ino)
                });
                Seen::Names(shown.collect())
            }),
            Op::Links(file) => fs.getattr(file.node).map(|attr| Seen::Links(attr.nlink)),
        };
        result.map_err(|error| error.kind())
    }

    /// Lets each thread do its operations; what they saw.
    pub fn events<M: Model + 'static>(
        &self,
        plans: Vec<Vec<M::Op>>,
        act: fn(&World, &M::Op) -> M::Answer,
    ) -> Vec<Event<M>> {
        let threads = plans.into_iter().enumerate().map(|(thread, ops)| {
            let world = self.clone();
            thread::spawn(move || {
                let tick = || world.ticks.fetch_add(1, Ordering::Relaxed);
                let event = |op: M::Op| {
                    let began = tick();
                    let answer = act(&world, &op);
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
        let keeper = self.keep_house();
        let events = threads.into_iter().flat_map(|t| t.join().unwrap());
        let events = events.collect();
        keeper.join().unwrap();
        events
    }

    /// What a daemon does beside requests, once.
    pub fn keep_house(&self) -> thread::JoinHandle<()> {
        let world = self.clone();
        thread::spawn(move || {
            world.fs.sync_all().unwrap();
            world.fs.aged_nodes(3);
            world.fs.handle_memory();
            world.fs.listing_memory();
            world.store.tick().unwrap();
        })
    }

    /// Lets each thread do its operations on names, and asserts that some order of all explains what they saw, and what is there
    /// then. `open` are files that somebody has open.
    pub fn race(&self, open: &[Obj], plans: Vec<Vec<Op>>) {
        let names = || Names {
            open: open.iter().map(|file| file.ino).collect(),
            ..self.names()
        };
        let start = names();
        let events = self.events::<Names>(plans, Self::act);
        assert_explained(&start, &events, &names());
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
