//! Contents of two files that threads write, append to, cut and copy between: all have an order.

use crate::explore::explore;
use crate::names_model::TOP;
use crate::order::{Model, assert_explained};
use crate::world::{ME, World};
use cawdb::shuttle::rand::{Rng, thread_rng};
use cawfs_fs::{Kind, NodeId, SetAttr, WriteFlags};

/// One of the two files.
type Which = usize;

#[derive(Debug, Clone)]
enum Op {
    Write(Which, u64, &'static [u8]),
    Append(Which, &'static [u8]),
    Cut(Which, u64),
    /// All of the first, to an offset of the second.
    Copy(Which, Which, u64),
    Read(Which),
    Size(Which),
}

#[derive(Debug, Clone, PartialEq)]
enum Seen {
    Bytes(Vec<u8>),
    Count(u64),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Contents([Vec<u8>; 2]);

impl Contents {
    fn put(&mut self, which: Which, offset: u64, data: &[u8]) -> u64 {
        let (start, file) = (offset as usize, &mut self.0[which]);
        let end = start + data.len();
        file.resize(file.len().max(end), 0);
        file[start..end].copy_from_slice(data);
        data.len() as u64
    }
}

impl Model for Contents {
    type Op = Op;
    type Answer = Result<Seen, Kind>;

    fn apply(&mut self, op: &Op, _: &Result<Seen, Kind>) -> Result<Seen, Kind> {
        Ok(Seen::Count(match *op {
            Op::Write(file, offset, data) => self.put(file, offset, data),
            Op::Append(file, data) => self.put(file, self.0[file].len() as u64, data),
            Op::Cut(file, size) => {
                self.0[file].resize(size as usize, 0);
                size
            }
            Op::Copy(from, to, offset) => {
                let data = self.0[from].clone();
                if from == to && !data.is_empty() && offset < data.len() as u64 {
                    return Err(Kind::Invalid);
                }
                match data.is_empty() {
                    true => 0,
                    false => self.put(to, offset, &data),
                }
            }
            Op::Read(file) => return Ok(Seen::Bytes(self.0[file].clone())),
            Op::Size(file) => self.0[file].len() as u64,
        }))
    }
}

/// The files are the first two objects that are made.
fn act(world: &World, op: &Op) -> Result<Seen, Kind> {
    let (fs, node) = (&world.fs, |which: Which| NodeId(2 + which as u64));
    let flags = |append| WriteFlags {
        append,
        kill_suidgid: false,
    };
    let result = match *op {
        Op::Write(file, offset, data) => {
            let wrote = fs.write(node(file), offset, data, flags(false));
            wrote.map(u64::from)
        }
        Op::Append(file, data) => fs.write(node(file), 0, data, flags(true)).map(u64::from),
        Op::Cut(file, size) => {
            let change = SetAttr {
                size: Some(size),
                ..SetAttr::default()
            };
            fs.setattr(&ME, node(file), &change).map(|_| size)
        }
        Op::Copy(from, to, offset) => {
            fs.copy_file_range(node(from), 0, node(to), offset, 100, false)
        }
        Op::Read(file) => {
            let read = fs.read(node(file), 0, 100);
            return Ok(Seen::Bytes(read.map_err(|e| e.kind())?.to_vec()));
        }
        Op::Size(file) => fs.getattr(node(file)).map(|attr| attr.size),
    };
    result.map(Seen::Count).map_err(|error| error.kind())
}

fn random_op(data: &'static [u8]) -> Op {
    let mut rng = thread_rng();
    let (file, offset) = (rng.gen_range(0..2), rng.gen_range(0..8));
    match rng.gen_range(0..8) {
        0 | 1 => Op::Write(file, offset, data),
        2 => Op::Append(file, data),
        3 => Op::Cut(file, offset),
        4 | 5 => Op::Copy(file, rng.gen_range(0..2), offset),
        6 => Op::Read(file),
        _ => Op::Size(file),
    }
}

fn files_that_are_written() {
    let world = World::new();
    let files = [
        world.file(TOP, "f", "first"),
        world.file(TOP, "g", "second"),
    ];
    assert_eq!(files.map(|file| file.node), [NodeId(2), NodeId(3)]);
    let contents = || Contents(files.map(|file| world.read(file.node).into_bytes()));
    let plan = |data| (0..3).map(|_| random_op(data)).collect();
    let plans = vec![plan(b"aaa"), plan(b"bb"), plan(b"c")];
    let start = contents();
    let events = world.events::<Contents>(plans, act);
    assert_explained(&start, &events, &contents());
    world.forget(&files);
    world.sound();
}

#[test]
fn contents_have_an_order() {
    explore(300, files_that_are_written);
}
