//! Files with several names: moved, cloned, removed, with more names than a batch takes one by one.
#![allow(clippy::unwrap_used)] // A failed step is a failed test.

use cawdb::{KeyRange, Store};
use cawfs_fs::{
    Caller, FormatOptions, Fs, Invalidation, Kind, MountOptions, NodeId, RenameMode, SetAttr,
    WriteFlags, XattrMode,
};
use std::collections::BTreeMap;

const ME: Caller = Caller::ROOT;
const TOP: NodeId = NodeId::ROOT;
/// More than are moved by value.
const MANY: usize = 150;

struct Mounted {
    store: Store,
    fs: Fs,
}

impl std::ops::Deref for Mounted {
    type Target = Fs;
    fn deref(&self) -> &Fs {
        &self.fs
    }
}

fn mount() -> Mounted {
    let store = Store::in_memory();
    Fs::format(&store, &FormatOptions::default()).unwrap();
    let fs = Fs::mount(store.clone(), MountOptions::default()).unwrap();
    Mounted { store, fs }
}

impl Mounted {
    fn at(&self, path: &str) -> NodeId {
        let step = |dir, name: &str| self.lookup(&ME, dir, name.as_bytes()).unwrap().node;
        path.split('/')
            .filter(|name| !name.is_empty())
            .fold(TOP, step)
    }
    /// The directory of a path, and its last name.
    fn split<'a>(&self, path: &'a str) -> (NodeId, &'a [u8]) {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        (self.at(dir), name.as_bytes())
    }
    fn dirs(&self, paths: &[&str]) {
        for path in paths {
            let (dir, name) = self.split(path);
            self.mkdir(&ME, dir, name, 0o755).unwrap();
        }
    }
    fn file(&self, path: &str, bytes: &[u8]) -> NodeId {
        let (dir, name) = self.split(path);
        let node = self.mknod(&ME, dir, name, 0o644, 0).unwrap().node;
        self.write(node, 0, bytes, WriteFlags::default()).unwrap();
        node
    }
    fn ln(&self, from: &str, to: &str) {
        let (dir, name) = self.split(to);
        self.link(&ME, self.at(from), dir, name).unwrap();
    }
    fn mv(&self, from: &str, to: &str, mode: RenameMode) {
        let ((a, name), (b, new)) = (self.split(from), self.split(to));
        self.rename(&ME, a, name, b, new, mode).unwrap();
    }
    fn cp(&self, from: &str, to: &str) {
        let (dir, name) = self.split(to);
        self.clone_tree(&ME, self.at(from), dir, name, true)
            .unwrap();
    }
    fn rm(&self, path: &str) {
        let (dir, name) = self.split(path);
        self.unlink(&ME, dir, name).unwrap();
    }
    /// Number, links and content under a path.
    fn seen(&self, path: &str) -> (u64, u32, Vec<u8>) {
        let node = self.at(path);
        let attr = self.getattr(node).unwrap();
        let bytes = self.read(node, 0, 1 << 20).unwrap().to_vec();
        (attr.ino, attr.nlink, bytes)
    }
    fn well(&self) {
        let report = cawfs_fs::check(&self.store.snapshot(), true).unwrap();
        assert_eq!((report.findings, report.orphans), (vec![], 0));
    }
    /// Keys of bodies and back-references.
    fn link_keys(&self) -> usize {
        let meta = self.store.scan(KeyRange::prefix(b"\0\0\0\x01m".to_vec()));
        let keys = meta.map(|item| item.unwrap().0);
        let inside = |key: &[u8]| {
            let mut rest = &key[5..];
            while rest[0] == b'S' {
                rest = &rest[rest.iter().position(|b| *b == 0).unwrap() + 1..];
            }
            matches!(rest[0], b'H' | b'L')
        };
        keys.filter(|key| inside(key)).count()
    }
    fn count(&self, name: &str) -> u64 {
        self.counters()
            .all()
            .into_iter()
            .find(|(n, _)| *n == name)
            .unwrap()
            .1
    }
}

/// Bodies that others lie between, large and small, with attributes and without.
#[test]
fn bodies_among_others_are_cloned_and_moved_without_them() {
    let m = mount();
    m.dirs(&["top", "top/in", "top/out", "other"]);
    for n in 0..3 * MANY {
        let to = if n % 3 == 0 { "top/kept" } else { "top/in/" };
        let file = m.file(&format!("top/out/{n}"), &vec![n as u8; n * 700]);
        if n % 5 == 0 {
            m.setxattr(&ME, file, b"user.a", b"v", XattrMode::Any)
                .unwrap();
        }
        if n % 40 == 0 {
            // More blocks than are deleted one by one.
            let end = (3 << 20, b"end");
            m.write(file, end.0, end.1, WriteFlags::default()).unwrap();
        }
        m.ln(&format!("top/out/{n}"), &format!("{to}{n}"));
    }
    m.cp("top/in", "other/in");
    m.mv("top/in", "other/moved", RenameMode::Replace);
    m.well();
    m.cp("other/moved", "top/again");
    assert_eq!(m.count("bodies_in_ranges"), 6 * MANY as u64);
    for n in (0..3 * MANY).filter(|n| n % 3 != 0) {
        let (a, b) = (format!("top/out/{n}"), format!("other/moved/{n}"));
        assert_eq!(m.seen(&a), m.seen(&b));
        for copy in [format!("other/in/{n}"), format!("top/again/{n}")] {
            assert_eq!((m.seen(&copy).1, m.seen(&copy).2), (1, m.seen(&a).2));
            let attributes = |path: &str| m.listxattr(&ME, m.at(path)).unwrap();
            assert_eq!(attributes(&copy), attributes(&a));
        }
    }
    m.well();
}

/// A range that comes to a home would take away what lies there between its ends.
#[test]
fn bodies_that_come_between_others_take_nothing_away() {
    let m = mount();
    m.dirs(&["top", "top/in", "top/out", "else"]);
    for n in 0..MANY {
        m.file(&format!("top/out/{n}"), n.to_string().as_bytes());
        m.ln(&format!("top/out/{n}"), &format!("top/in/{n}"));
        if n == MANY / 2 {
            m.file("top/above", b"above");
            m.ln("top/above", "else/above");
            m.file("top/in/own", b"own");
            m.ln("top/in/own", "top/in/same");
        }
    }
    m.cp("top/in", "clone");
    assert_eq!(m.count("bodies_in_ranges"), 0);
    assert_eq!(m.seen("clone/own"), m.seen("clone/same"));
    assert_eq!(
        (m.seen("clone/own").1, m.seen("clone/own").2),
        (2, b"own".to_vec())
    );
    assert_eq!(
        (m.seen("clone/149").1, m.seen("clone/149").2),
        (1, b"149".to_vec())
    );
    m.well();
    m.mv("top/in", "else/in", RenameMode::Replace);
    assert_eq!(m.count("bodies_in_ranges"), 0);
    joined(&m, "else/in", "top/out");
    assert_eq!(m.seen("top/above"), m.seen("else/above"));
    // A clone of a directory that is a home itself, and shares files with its outside as well.
    m.cp("else/in", "copy");
    assert_eq!(m.count("bodies_in_ranges"), 0);
    assert_eq!(m.seen("copy/own"), m.seen("copy/same"));
    assert_eq!((m.seen("copy/7").1, m.seen("copy/7").2), (1, b"7".to_vec()));
    m.well();
}

/// `in/n` and `out/n` are names of one file each, for many n.
fn many(m: &Mounted) {
    m.dirs(&[
        "top",
        "top/in",
        "top/in/deep",
        "top/out",
        "else",
        "else/where",
    ]);
    for n in 0..MANY {
        m.file(&format!("top/in/deep/{n}"), n.to_string().as_bytes());
        m.ln(&format!("top/in/deep/{n}"), &format!("top/out/{n}"));
    }
    m.well();
}

fn joined(m: &Mounted, a: &str, b: &str) {
    for n in [0, 1, 77, MANY - 1] {
        let (first, second) = (m.seen(&format!("{a}/{n}")), m.seen(&format!("{b}/{n}")));
        assert_eq!(first, second, "{a} and {b}");
        assert_eq!((first.1, first.2), (2, n.to_string().into_bytes()));
    }
}

#[test]
fn a_directory_with_many_names_moves_below_the_home_and_out_of_it() {
    let m = mount();
    many(&m);
    let number = m.seen("top/out/5").0;
    m.mv("top/in", "top/out/inner", RenameMode::Replace);
    joined(&m, "top/out/inner/deep", "top/out");
    m.well();
    m.mv("top/out/inner/deep", "top/deep", RenameMode::Replace);
    joined(&m, "top/deep", "top/out");
    m.well();
    assert_eq!(m.count("bodies_moved"), 0, "the home contains all of this");
    m.mv("top/deep", "else/where/deep", RenameMode::Replace);
    joined(&m, "else/where/deep", "top/out");
    m.well();
    assert_eq!(m.count("bodies_moved"), MANY as u64);
    assert_eq!(m.count("bodies_in_ranges"), MANY as u64);
    m.mv("top", "else/top", RenameMode::Replace);
    joined(&m, "else/where/deep", "else/top/out");
    assert_eq!(m.seen("else/top/out/5").0, number);
    m.well();
}

#[test]
fn directories_with_many_names_change_places() {
    for outside in [false, true] {
        let m = mount();
        many(&m);
        if outside {
            m.mv("top/out", "else/where/out", RenameMode::Replace);
            m.mv("top/in", "else/where/out", RenameMode::Exchange);
            joined(&m, "top/in", "else/where/out/deep");
        } else {
            m.mv("top/in/deep", "top/out", RenameMode::Exchange);
            joined(&m, "top/in/deep", "top/out");
            // A single name of one of them, and the directory that holds the other.
            m.mv("top/in/deep/3", "top/3", RenameMode::Replace);
            m.mv("top/3", "top/out", RenameMode::Exchange);
            assert_eq!(m.seen("top/3/3"), m.seen("top/out"));
            joined(&m, "top/3", "top/in/deep");
        }
        m.well();
    }
}

#[test]
fn clones_and_removals_cut_the_names_that_cross() {
    let m = mount();
    many(&m);
    m.ln("top/in/deep/9", "top/in/deep/9b");
    m.cp("top/in", "copy");
    let (source, copy) = (m.seen("top/in/deep/9"), m.seen("copy/deep/9"));
    assert_eq!((source.1, copy.1, &copy.2[..]), (3, 2, &b"9"[..]));
    assert_eq!(copy, m.seen("copy/deep/9b"));
    assert_ne!(source.0, copy.0);
    assert_eq!(m.seen("copy/deep/8").1, 1);
    m.write(m.at("copy/deep/9"), 0, b"changed", WriteFlags::default())
        .unwrap();
    assert_eq!(m.seen("copy/deep/9b").2, b"changed");
    assert_eq!(m.seen("top/out/9").2, b"9");
    m.well();
    // What holds the home is cloned whole.
    let before = m.count("bodies_cloned");
    m.cp("top", "whole");
    assert_eq!(m.count("bodies_cloned"), before);
    joined(&m, "whole/in/deep", "whole/out");
    m.well();
    let watched = m.at("top/out/7");
    let stale = m.remove_tree(&ME, m.at("top"), b"in").unwrap();
    assert!(
        stale.contains(&Invalidation::Attributes(watched)),
        "{stale:?}"
    );
    assert_eq!((m.seen("top/out/7").1, m.seen("whole/out/7").1), (1, 2));
    m.well();
    for name in [&b"top"[..], b"whole", b"copy"] {
        m.remove_tree(&ME, TOP, name).unwrap();
    }
    assert_eq!(m.link_keys(), 0);
    m.well();
}

#[test]
fn the_last_name_in_the_home_makes_an_ordinary_file() {
    let m = mount();
    m.dirs(&["d"]);
    let node = m.file("d/tmp", b"object");
    let number = m.seen("d/tmp").0;
    m.ln("d/tmp", "d/final");
    assert_eq!(m.at("d/final"), node);
    assert_eq!(m.link_keys(), 3);
    m.rm("d/tmp");
    assert_eq!((m.link_keys(), m.count("bodies_unmade")), (0, 1));
    assert_eq!(m.seen("d/final"), (number, 1, b"object".to_vec()));
    assert_eq!(m.at("d/final"), node);
    m.rm("d/final");
    m.rmdir(&ME, TOP, b"d").unwrap();
    m.well();
}

#[test]
fn the_name_given_last_is_found_among_many() {
    let m = mount();
    m.dirs(&["d"]);
    for n in 0..40 {
        m.file(&format!("d/a{n:02}"), b"neighbour");
        m.ln(&format!("d/a{n:02}"), &format!("d/b{n:02}"));
    }
    for (n, gone, stays) in [(0, "d/y", "d/z"), (1, "d/a", "d/y")] {
        let node = m.file(gone, b"object");
        m.ln(gone, stays);
        m.rm(gone);
        assert_eq!((m.link_keys(), m.count("bodies_unmade")), (120, n + 1));
        assert_eq!((m.at(stays), m.seen(stays).1), (node, 1));
    }
    // It is a hint: the name given last may be the one that goes.
    m.file("d/x", b"object");
    m.ln("d/x", "d/zz");
    m.rm("d/zz");
    assert_eq!((m.seen("d/x").1, m.count("bodies_unmade")), (1, 2));
    m.well();
}

#[test]
fn the_last_name_makes_an_ordinary_file_where_it_moves() {
    let m = mount();
    m.dirs(&["d", "d/tmp", "d/new", "d/cur", "out"]);
    for (n, to) in ["d/cur/x", "out/x", "out/taken"].into_iter().enumerate() {
        let bytes = vec![n as u8; 100_000 * n + 10];
        m.file("d/tmp/x", &bytes);
        let number = m.seen("d/tmp/x").0;
        m.ln("d/tmp/x", "d/new/x");
        m.rm("d/tmp/x");
        assert_eq!(m.link_keys(), 2);
        if to == "out/taken" {
            m.file("out/taken", b"goes");
            m.ln("out/taken", "d/tmp/taken");
        }
        m.mv("d/new/x", to, RenameMode::Replace);
        assert_eq!(m.seen(to), (number, 1, bytes));
        m.well();
    }
    assert_eq!((m.link_keys(), m.count("bodies_unmade")), (2, 3));
    m.rm("d/tmp/taken");
    assert_eq!(m.link_keys(), 0);
    m.well();
}

#[test]
fn an_open_file_outlives_all_its_names() {
    let m = mount();
    m.dirs(&["a", "b"]);
    let node = m.file("a/x", b"kept");
    m.ln("a/x", "b/y");
    let handle = m.open(node, libc::O_RDWR).unwrap();
    m.remove_tree(&ME, TOP, b"a").unwrap();
    assert_eq!(m.getattr(node).unwrap().nlink, 1);
    m.remove_tree(&ME, TOP, b"b").unwrap();
    assert_eq!(m.getattr(node).unwrap().nlink, 0);
    assert_eq!(&m.read(node, 0, 10).unwrap()[..], b"kept");
    m.release(node, handle);
    m.well();
}

#[test]
fn names_are_one_file_after_a_mount_and_a_hand_over() {
    let m = mount();
    m.dirs(&["a", "a/b"]);
    let node = m.file("a/x", b"1");
    m.ln("a/x", "a/b/y");
    let handle = m.open(node, libc::O_RDWR).unwrap();
    let table = m.hand_over().unwrap();
    let fs = Fs::take_over(m.store.clone(), MountOptions::default(), &table).unwrap();
    let m = Mounted {
        store: m.store.clone(),
        fs,
    };
    assert_eq!((m.at("a/x"), m.at("a/b/y")), (node, node));
    m.write(node, 0, b"2", WriteFlags::default()).unwrap();
    m.release(node, handle);
    m.sync_all().unwrap();
    let fs = Fs::mount(m.store.clone(), MountOptions::default()).unwrap();
    let m = Mounted {
        store: m.store.clone(),
        fs,
    };
    assert_eq!(m.seen("a/x"), m.seen("a/b/y"));
    assert_eq!(m.seen("a/x").2, b"2");
    m.well();
}

#[test]
fn what_was_hidden_in_a_clone_stays_hidden_when_it_is_linked_out() {
    let m = mount();
    let user = Caller::user(5);
    let open = |path: &str, mode| {
        let change = SetAttr {
            mode: Some(mode),
            ..SetAttr::default()
        };
        m.setattr(&ME, m.at(path), &change).unwrap();
    };
    let tree = m.mkdir(&user, TOP, b"tree", 0o777).unwrap().node;
    m.file("tree/tool", b"root's");
    open("tree/tool", 0o4755);
    m.clone_tree(&user, tree, TOP, b"copy", false).unwrap();
    assert_eq!(m.getattr(m.at("copy/tool")).unwrap().perm, 0o755);
    m.ln("copy/tool", "tool");
    for path in ["tool", "copy/tool"] {
        assert_eq!(m.getattr(m.at(path)).unwrap().perm, 0o755, "{path}");
    }
    m.well();
}

#[test]
fn names_take_the_place_of_each_other() {
    let m = mount();
    m.dirs(&["a", "b"]);
    m.file("a/x", b"first");
    m.file("b/y", b"second");
    m.ln("a/x", "b/x");
    m.ln("b/y", "a/y");
    let numbers: BTreeMap<_, _> = ["a/x", "b/y"].map(|path| (path, m.seen(path).0)).into();
    m.mv("a/x", "b/y", RenameMode::Exchange);
    assert_eq!(
        (m.seen("b/y").0, m.seen("a/x").0),
        (numbers["a/x"], numbers["b/y"])
    );
    m.mv("a/x", "b/y", RenameMode::Replace);
    assert_eq!((m.seen("b/y").0, m.seen("b/y").1), (numbers["b/y"], 2));
    assert_eq!(m.seen("b/x").1, 1);
    // Two names of one file: nothing happens.
    m.mv("b/y", "a/y", RenameMode::Replace);
    assert_eq!(m.seen("b/y"), m.seen("a/y"));
    let refused = m.link(&ME, m.at("a/y"), TOP, b"a").unwrap_err();
    assert_eq!(refused.kind(), Kind::Exists);
    m.well();
}
