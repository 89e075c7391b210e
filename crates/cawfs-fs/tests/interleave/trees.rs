//! Trees that are removed while files in them are used: what is open lives on, and nothing of it stays.

use crate::explore::explore;
use crate::names_model::{Name, TOP};
use crate::world::{ME, World};
use cawdb::shuttle::thread;
use cawfs_fs::{Kind, NodeId, Result};

/// What may come of looking for, opening or making what is just being removed.
pub fn alive<T>(result: Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Stale) => None,
        Err(error) => panic!("{error}"),
    }
}

/// Walks down to a name and does something there; all references are given back.
fn at(world: &World, path: &[Name], work: impl FnOnce(NodeId)) {
    let (mut at, mut held) = (TOP.node, Vec::new());
    for name in path {
        match alive(world.fs.lookup(&ME, at, name.as_bytes())) {
            Some(entry) => at = entry.node,
            None => break,
        }
        held.push(at);
    }
    if held.len() == path.len() {
        work(at);
    }
    held.iter().for_each(|&node| world.fs.forget(node, 1));
}

/// What is open can be written and read, whatever becomes of its names.
fn use_open(world: &World, file: NodeId, data: &str) {
    world.write(file, data);
    assert_eq!(world.read(file), data);
    world.write(file, &data.to_uppercase());
    assert_eq!(world.read(file), data.to_uppercase());
}

fn open_and_use(world: &World, path: &[Name], data: &str) {
    at(world, path, |file| {
        if let Some(handle) = alive(world.fs.open(file, libc::O_RDWR)) {
            use_open(world, file, data);
            world.fs.release(file, handle);
        }
    });
}

pub fn removed_trees_against_open_files() {
    let world = World::new();
    let top = world.folder(TOP, "t");
    let sub = world.folder(top, "s");
    let files = [
        world.file(sub, "f", "before"),
        world.file(top, "g", "before"),
    ];
    world.forget(&[files[0], files[1], sub, top]);
    let spawn = |work: fn(&World)| {
        let world = world.clone();
        thread::spawn(move || work(&world))
    };
    let threads = [
        spawn(|world| {
            let removed = world.fs.remove_tree(&ME, TOP.node, b"t");
            removed.expect("nobody else removes it");
        }),
        spawn(|world| open_and_use(world, &["t", "s", "f"], "opened")),
        spawn(|world| {
            at(world, &["t", "s"], |dir| {
                let made = world.fs.create(&ME, dir, b"new", 0o644, libc::O_RDWR);
                if let Some((entry, handle)) = alive(made) {
                    use_open(world, entry.node, "made");
                    world.fs.release(entry.node, handle);
                    world.fs.forget(entry.node, 1);
                }
            });
        }),
        spawn(|world| {
            open_and_use(world, &["t", "g"], "others");
            at(world, &["t"], |dir| {
                alive(world.fs.unlink(&ME, dir, b"g"));
            });
        }),
    ];
    let keeper = world.keep_house();
    threads.into_iter().for_each(|t| t.join().unwrap());
    keeper.join().unwrap();
    assert!(world.names().entries.is_empty());
    world.sound();
}

/// Files are closed and forgotten just when the tree that they are in is removed.
fn removed_trees_against_last_closes() {
    let world = World::new();
    let top = world.folder(TOP, "t");
    let files = ["f", "g", "h"].map(|name| world.file(top, name, "x"));
    let handles = files.map(|file| world.fs.open(file.node, libc::O_RDONLY).unwrap());
    let closer = {
        let world = world.clone();
        thread::spawn(move || {
            for (file, handle) in files.into_iter().zip(handles) {
                world.fs.release(file.node, handle);
                world.forget(&[file]);
            }
        })
    };
    let removed = world.fs.remove_tree(&ME, TOP.node, b"t");
    assert!(removed.is_ok(), "{removed:?}");
    closer.join().unwrap();
    world.forget(&[top]);
    world.sound();
}

/// Found by the explorer: what was open when the removal looked, and was closed and forgotten then, made it fail (ESTALE).
#[test]
fn what_is_closed_meanwhile_keeps_no_tree_from_going() {
    explore(300, removed_trees_against_last_closes);
}

#[test]
fn what_is_open_outlives_its_tree() {
    explore(300, removed_trees_against_open_files);
}
