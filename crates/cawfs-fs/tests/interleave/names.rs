//! Names that come and go: whatever threads do to few of them has an order. What each thread does is by chance, too.

use crate::explore::explore;
use crate::order::{Name, Op};
use crate::world::{TOP, World};
use cawdb::shuttle::rand::{Rng, thread_rng};
use cawfs_fs::{NodeId, RenameMode};

const THREADS: usize = 3;
const EACH: usize = 3;
const NAMES: [Name; 2] = ["x", "y"];

fn one<T: Copy>(of: &[T]) -> T {
    of[thread_rng().gen_range(0..of.len())]
}

fn place(dirs: &[NodeId]) -> (NodeId, Name) {
    (one(dirs), one(&NAMES))
}

fn rename(dirs: &[NodeId]) -> Op {
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
    world.race(&[dirs, files].concat(), plans);
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
    world.race(&dirs, plans);
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
    world.race(&[a, b, x, y, file], plans);
}

/// One file gets and loses names in directories that lie in each other and beside each other.
pub fn names_of_one_file() {
    let world = World::new();
    let (a, c) = (world.folder(TOP, "a"), world.folder(TOP, "c"));
    let dirs = [a, world.folder(a, "b"), c];
    let file = world.file(dirs[1], "x", "1");
    let linked = world
        .fs
        .link(&crate::world::ME, file, c, b"y")
        .unwrap()
        .node;
    let plans = plans(|| {
        let (dir, name) = place(&dirs);
        match thread_rng().gen_range(0..10) {
            0..3 => Op::Link(file, dir, name),
            3..6 => Op::Unlink(dir, name),
            6 => Op::Links(file),
            7 => Op::Lookup(dir, name),
            _ => rename(&dirs),
        }
    });
    world.race(&[a, c, dirs[1], file, linked], plans);
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
