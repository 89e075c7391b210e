//! Clones of a directory in which somebody writes.

use crate::explore::explore;
use crate::names_model::TOP;
use crate::orphans::{assert_whole, write_places};
use crate::trees::alive;
use crate::world::{ME, World};
use cawdb::shuttle::thread;
use cawfs_fs::protocol::{self, CLONE_STAGE, Stage};
use cawfs_fs::{NodeId, RenameMode};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const ROUNDS: u64 = 3;

/// What a tree shows of the two files that are written one after the other.
fn rounds(world: &World, top: &str) -> (u64, u64) {
    let dir = world.fs.lookup(&ME, TOP.node, top.as_bytes()).unwrap().node;
    let number = |name: &[u8]| {
        let file = world.fs.lookup(&ME, dir, name).unwrap().node;
        let round = world.read(file).parse().unwrap();
        world.fs.forget(file, 1);
        round
    };
    let shown = (number(b"first"), number(b"second"));
    world.fs.forget(dir, 1);
    shown
}

/// Asks for clones, for the token of their staged names.
fn stage(world: &World, source: NodeId, count: u32) -> u64 {
    let (flags, token) = (0, 0);
    let asked = Stage {
        count,
        flags,
        token,
    }
    .encode();
    let reply = world.fs.ioctl(&ME, source, None, CLONE_STAGE, &asked);
    Stage::decode(&reply.unwrap().data).unwrap().token
}

/// Clones as the command does: staged by an ioctl, made real by a rename for each destination.
fn staged(world: &World, source: NodeId, names: &[&str]) {
    let token = stage(world, source, names.len() as u32);
    for (index, name) in names.iter().enumerate() {
        let staged = protocol::stage_name(token, index as u32);
        let (fs, staged) = (&world.fs, staged.as_bytes());
        let node = fs.lookup(&ME, TOP.node, staged).unwrap().node;
        let mode = RenameMode::NoReplace;
        fs.rename(&ME, TOP.node, staged, TOP.node, name.as_bytes(), mode)
            .unwrap();
        fs.forget(node, 1);
    }
}

/// A clone never shows the second write without the first, holds all that had returned before it was asked for, and stays as it is.
pub fn clones_against_writes() {
    let world = World::new();
    let dir = world.folder(TOP, "d");
    let files = [
        world.file(dir, "first", "0"),
        world.file(dir, "second", "0"),
    ];
    let written = Arc::new(AtomicU64::new(0));
    let writer = {
        let (world, written) = (world.clone(), written.clone());
        thread::spawn(move || {
            for round in 1..=ROUNDS {
                files
                    .iter()
                    .for_each(|&file| world.write(file.node, &round.to_string()));
                written.store(round, Ordering::Relaxed);
            }
        })
    };
    let clone = |names: &'static [&'static str]| {
        let (world, written) = (world.clone(), written.clone());
        thread::spawn(move || {
            let before = written.load(Ordering::Relaxed);
            match names {
                ["whole"] => drop(
                    world
                        .fs
                        .clone_tree(&ME, dir.node, TOP.node, b"whole", false)
                        .unwrap(),
                ),
                _ => staged(&world, dir.node, names),
            }
            let shown: Vec<_> = names.iter().map(|name| rounds(&world, name)).collect();
            let (first, second) = shown[0];
            assert!(second <= first && first <= second + 1, "{shown:?}");
            assert!(before <= second, "{before} had returned: {shown:?}");
            assert!(
                shown.iter().all(|s| *s == shown[0]),
                "two instants: {shown:?}"
            );
            shown.into_iter().zip(names).collect::<Vec<_>>()
        })
    };
    let cloners = [clone(&["whole"]), clone(&["one"]), clone(&["two", "three"])];
    let keeper = world.keep_house();
    writer.join().unwrap();
    keeper.join().unwrap();
    for (shown, name) in cloners.into_iter().flat_map(|c| c.join().unwrap()) {
        assert_eq!(rounds(&world, name), shown, "the clone {name} changed");
    }
    assert_eq!(rounds(&world, "d"), (ROUNDS, ROUNDS));
    world.forget(&[files[0], files[1], dir]);
    world.sound();
}

#[test]
fn a_clone_shows_one_instant_of_what_is_written() {
    explore(100, clones_against_writes);
}

/// What was asked for ten minutes ago is dropped just when it is made real.
pub fn completions_against_the_end_of_time() {
    let world = World::new();
    let file = world.file(TOP, "source", "");
    write_places(&world, file.node);
    let token = stage(&world, file.node, 2);
    world.later(601);
    let sweeper = {
        let world = world.clone();
        thread::spawn(move || world.fs.sync_all().unwrap())
    };
    let staged = protocol::stage_name(token, 0);
    let mode = RenameMode::NoReplace;
    alive(
        world
            .fs
            .rename(&ME, TOP.node, staged.as_bytes(), TOP.node, b"clone", mode),
    );
    sweeper.join().unwrap();
    assert_whole(&world, b"clone");
    world.fs.sync_all().unwrap();
    world.forget(&[file]);
    world.sound();
}

#[test]
fn a_staged_clone_is_made_whole_or_not_at_all() {
    explore(300, completions_against_the_end_of_time);
}
