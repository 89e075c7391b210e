//! Files without a name, that get one or are cloned just when their last handle goes: what is there afterwards is whole.

use crate::explore::explore;
use crate::names_model::{Obj, TOP};
use crate::trees::alive;
use crate::world::{ME, World};
use cawdb::shuttle::rand::{Rng, thread_rng};
use cawdb::shuttle::thread;
use cawfs_fs::{FileFlags, NodeId, WriteFlags};

/// Two blocks behind a hole: neither few nor dense, so that they go elsewhere by reference.
const PLACES: [u64; 2] = [70_000, 140_000];

/// How often whoever closes lets others go on before.
const LONGEST: u32 = 50;

pub fn write_places(world: &World, file: NodeId) {
    for place in PLACES {
        let written = world.fs.write(file, place, b"x", WriteFlags::default());
        assert_eq!(written.unwrap(), 1);
    }
}

/// If the name is there, all is there; nobody holds it afterwards.
pub fn assert_whole(world: &World, name: &[u8]) {
    let Some(found) = alive(world.fs.lookup(&ME, TOP.node, name)) else {
        return;
    };
    for place in PLACES {
        let read = world.fs.read(found.node, place, 1).unwrap();
        assert_eq!(&read[..], b"x", "content is lost");
    }
    world.forget(&[found.into()]);
}

fn last_close_against(act: fn(&World, NodeId)) {
    let world = World::new();
    let made = world.fs.tmpfile(&ME, TOP.node, 0o644, libc::O_RDWR);
    let (entry, handle) = made.unwrap();
    let file = Obj::from(entry);
    write_places(&world, file.node);
    let closer = {
        let world = world.clone();
        thread::spawn(move || {
            // So that it ends somewhere in the midst of the other.
            for _ in 0..thread_rng().gen_range(0..LONGEST) {
                thread::yield_now();
            }
            world.fs.release(file.node, handle);
        })
    };
    act(&world, file.node);
    closer.join().unwrap();
    assert_whole(&world, b"f");
    world.forget(&[file]);
    world.sound();
}

pub fn named() {
    last_close_against(|world, file| {
        if let Some(entry) = alive(world.fs.link(&ME, file, TOP.node, b"f")) {
            world.forget(&[entry.into()]);
        }
    });
}

pub fn cloned() {
    last_close_against(|world, file| {
        alive(world.fs.clone_tree(&ME, file, TOP.node, b"f", false));
    });
}

pub fn flagged() {
    last_close_against(|world, file| {
        let flags = FileFlags {
            no_dump: true,
            ..FileFlags::default()
        };
        alive(world.fs.set_flags(&ME, file, flags));
    });
}

#[test]
fn what_is_named_as_it_is_closed_is_whole_or_gone() {
    explore(300, named);
}

#[test]
fn what_is_cloned_as_it_is_closed_is_whole_or_gone() {
    explore(300, cloned);
}

#[test]
fn what_gets_flags_as_it_is_closed_leaves_nothing() {
    explore(300, flagged);
}
