//! Files that are written under another name first: what moves while it is young is written once, and leaves nothing behind.
#![allow(clippy::unwrap_used)] // A failed step is a failed test.

use cawdb::Store;
use cawfs_fs::{Caller, FormatOptions, Fs, MountOptions, NodeId, RenameMode, WriteFlags};

const ME: Caller = Caller::ROOT;
const TOP: NodeId = NodeId::ROOT;

/// A file system of one directory.
struct Place {
    store: Store,
    fs: Fs,
}

impl Place {
    fn new() -> Self {
        let store = Store::in_memory();
        Fs::format(&store, &FormatOptions::default()).unwrap();
        let fs = Fs::mount(store.clone(), MountOptions::default()).unwrap();
        Self { store, fs }
    }
    fn at(&self, name: &str) -> NodeId {
        self.fs.lookup(&ME, TOP, name.as_bytes()).unwrap().node
    }
    fn file(&self, name: &str, bytes: &[u8]) {
        let made = self.fs.mknod(&ME, TOP, name.as_bytes(), 0o644, 0);
        let node = made.unwrap().node;
        self.fs
            .write(node, 0, bytes, WriteFlags::default())
            .unwrap();
    }
    fn mv(&self, from: &str, to: &str) {
        let (from, to) = (from.as_bytes(), to.as_bytes());
        let how = RenameMode::Replace;
        self.fs.rename(&ME, TOP, from, TOP, to, how).unwrap();
    }
    fn ln(&self, from: &str, to: &str) {
        self.fs
            .link(&ME, self.at(from), TOP, to.as_bytes())
            .unwrap();
    }
    fn rm(&self, name: &str) {
        self.fs.unlink(&ME, TOP, name.as_bytes()).unwrap();
    }
    fn bytes(&self, name: &str) -> Vec<u8> {
        self.fs.read(self.at(name), 0, 1 << 20).unwrap().to_vec()
    }
    fn well(&self) {
        let report = cawfs_fs::check(&self.store.snapshot(), true).unwrap();
        assert_eq!((report.findings, report.orphans), (vec![], 0));
    }
}

/// Bytes of what a checkpoint has written once `make` has made 200 files: each under its name, or another one first.
fn written(make: impl Fn(&Place, &str, &str)) -> u64 {
    let m = Place::new();
    for n in 0..200 {
        make(&m, &format!("tmp_{n}_of_some_length"), &format!("{n:03}"));
    }
    m.well();
    m.store.checkpoint().unwrap();
    m.store.stats().run_bytes
}

#[test]
fn files_written_under_another_name_first_leave_nothing_of_it() {
    let plain = written(|m, _, name| {
        m.file(name, &[7; 300]);
    });
    let renamed = written(|m, tmp, name| {
        m.file(tmp, &[7; 300]);
        m.mv(tmp, name);
    });
    let linked = written(|m, tmp, name| {
        m.file(tmp, &[7; 300]);
        m.ln(tmp, name);
        m.rm(tmp);
    });
    for other in [renamed, linked] {
        assert!(other <= plain + plain / 50, "{other} bytes, not {plain}");
    }
}

#[test]
fn young_files_move_without_a_clone_and_old_ones_without_their_bytes() {
    let m = Place::new();
    let done = |name| {
        let counters = m.store.stats().counters;
        counters.iter().find(|(known, _)| *known == name).unwrap().1
    };
    let bytes: Vec<u8> = (0..200_000_u32)
        .map(|n| (n.wrapping_mul(n) >> 7) as u8)
        .collect();
    let (clones, sealed) = (done("clones"), done("sealed_runs"));
    for n in 0..20 {
        m.file(&format!("tmp{n}"), &bytes);
        m.mv(&format!("tmp{n}"), &format!("{n}"));
        m.file(&format!("tmp{n}"), &bytes);
        m.mv(&format!("tmp{n}"), &format!("{n}"));
        m.ln(&format!("{n}"), &format!("name{n}"));
        m.rm(&format!("{n}"));
    }
    assert_eq!((done("clones"), done("sealed_runs")), (clones, sealed));
    m.store.checkpoint().unwrap();
    let stored = m.store.stats().run_bytes;
    assert!(stored < 20 * 210_000, "{stored}");
    for n in 0..20 {
        m.mv(&format!("name{n}"), &format!("{n}"));
        assert_eq!(m.bytes(&format!("{n}")), bytes);
    }
    assert_eq!(done("clones"), clones + 20);
    m.store.checkpoint().unwrap();
    let stored = m.store.stats().run_bytes - stored;
    assert!(stored < 20_000, "{stored}");
    m.well();
}
