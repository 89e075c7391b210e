//! Names that come and go: whatever threads do to few of them has an order. What each thread does is by chance, too.

use crate::explore::explore;
use crate::names_model::{Name, Obj, Op, TOP};
use crate::world::{ME, World};
use cawdb::shuttle::rand::{Rng, thread_rng};
use cawfs_fs::RenameMode;

const THREADS: usize = 3;
const EACH: usize = 3;
const NAMES: [Name; 2] = ["x", "y"];

fn one<T: Copy>(of: &[T]) -> T {
    of[thread_rng().gen_range(0..of.len())]
}

fn place(dirs: &[Obj]) -> (Obj, Name) {
    (one(dirs), one(&NAMES))
}

fn rename(dirs: &[Obj]) -> Op {
    // Replacing twice, as it is what is done mostly.
    let modes = [
        RenameMode::Replace,
        RenameMode::Replace,
        RenameMode::NoReplace,
        RenameMode::Exchange,
    ];
    Op::Rename(place(dirs), place(dirs), one(&modes))
}

fn plans(op: impl Fn() -> Op) -> Vec<Vec<Op>> {
    let plan = || (0..EACH).map(|_| op()).collect();
    (0..THREADS).map(|_| plan()).collect()
}

/// Files are made, renamed and removed in two directories.
pub fn files_in_two_directories() {
    let world = World::new();
    let dirs = [world.folder(TOP, "a"), world.folder(TOP, "b")];
    let files = [world.file(dirs[0], "x", "1"), world.file(dirs[1], "y", "2")];
    let plans = plans(|| {
        let (dir, name) = place(&dirs);
        match thread_rng().gen_range(0..8) {
            0 | 1 => Op::Create(dir, name),
            2 => Op::Unlink(dir, name),
            3 => Op::Lookup(dir, name),
            4 => Op::List(dir),
            _ => rename(&dirs),
        }
    });
    world.race(&[], plans);
    world.forget(&[dirs, files].concat());
    world.sound();
}

/// Directories move between directories, into each other and over each other, and are removed, alone and with what is in them.
fn directories_in_each_other() {
    let world = World::new();
    let (a, b) = (world.folder(TOP, "a"), world.folder(TOP, "b"));
    let dirs = [a, b, world.folder(a, "x"), world.folder(b, "y")];
    let plans = plans(|| {
        let (dir, name) = place(&dirs);
        match thread_rng().gen_range(0..10) {
            0 => Op::Create(dir, name),
            1 => Op::Mkdir(dir, name),
            2 | 3 => Op::Rmdir(dir, name),
            4 => Op::RemoveTree(dir, name),
            5 => Op::Lookup(dir, name),
            _ => rename(&dirs),
        }
    });
    world.race(&[], plans);
    world.forget(&dirs);
    world.sound();
}

/// A directory moves from each of two into the other, while it is removed, and while something moves into it.
fn directories_cross() {
    let world = World::new();
    let (a, b) = (world.folder(TOP, "a"), world.folder(TOP, "b"));
    let (x, y) = (world.folder(a, "x"), world.folder(b, "y"));
    let file = world.file(a, "f", "1");
    let mode = RenameMode::Replace;
    let plans = vec![
        vec![Op::Rename((a, "x"), (b, "x"), mode), Op::Rmdir(b, "x")],
        vec![Op::Rename((b, "y"), (a, "y"), mode), Op::Rmdir(a, "y")],
        vec![Op::Rename((a, "f"), (y, "f"), mode), Op::Rmdir(b, "y")],
        vec![Op::Rename((b, "y"), (x, "y"), mode), Op::Lookup(x, "y")],
    ];
    world.race(&[], plans);
    world.forget(&[a, b, x, y, file]);
    world.sound();
}

/// One file gets and loses names in directories that lie in each other and beside each other, and go as well if it is open.
fn names_of(is_open: bool) {
    let world = World::new();
    let (a, c) = (world.folder(TOP, "a"), world.folder(TOP, "c"));
    let dirs = [a, world.folder(a, "b"), c];
    let file = world.file(dirs[1], "x", "content");
    let linked = world.fs.link(&ME, file.node, c.node, b"y").unwrap();
    let open = is_open.then(|| (file, world.fs.open(file.node, libc::O_RDWR).unwrap()));
    let plans = plans(|| {
        let (dir, name) = place(&dirs);
        match thread_rng().gen_range(0..20) {
            0..6 => Op::Link(file, dir, name),
            6..12 => Op::Unlink(dir, name),
            12 | 13 => Op::Links(file),
            14 => Op::Lookup(dir, name),
            15 => Op::List(dir),
            // What is not open is not told that the tree above it went.
            16 if is_open => Op::RemoveTree(TOP, one(&["a", "c"])),
            _ => rename(&dirs),
        }
    });
    let files: Vec<_> = open.iter().map(|(file, _)| *file).collect();
    world.race(&files, plans);
    if let Some((file, handle)) = open {
        assert_eq!(world.read(file.node), "content");
        world.fs.release(file.node, handle);
    }
    world.forget(&[a, c, dirs[1], file, linked.into()]);
    world.sound();
}

pub fn names_of_one_file() {
    names_of(false);
}

fn names_of_an_open_file() {
    names_of(true);
}

#[test]
fn files_have_an_order() {
    explore(300, files_in_two_directories);
}

#[test]
fn directories_have_an_order() {
    explore(300, directories_in_each_other);
}

#[test]
fn directories_that_cross_have_an_order() {
    explore(200, directories_cross);
}

#[test]
fn links_have_an_order_and_are_counted() {
    explore(300, names_of_one_file);
}

#[test]
fn links_of_an_open_file_have_an_order() {
    explore(200, names_of_an_open_file);
}
