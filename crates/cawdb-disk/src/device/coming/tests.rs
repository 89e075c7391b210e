//! What is begun is what is read, and what was written since; through a file, beside a model of its bytes.

use super::*;
use crate::device::{Access, Disk, FileDisk};
use fastrand::Rng;
use std::os::unix::fs::OpenOptionsExt;
use tempfile::TempDir;

const LEN: usize = 12 << 20;
const MIB: usize = 1 << 20;

/// A disk with random bytes, if this machine can read past its cache and leave requests to the kernel.
fn disk(seed: u64) -> Option<(TempDir, FileDisk, Vec<u8>)> {
    println!("seed {seed}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk");
    let mut random = Rng::with_seed(seed);
    let content: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(LEN).collect();
    std::fs::write(&path, &content).unwrap();
    let direct = rustix::fs::OFlags::DIRECT.bits() as i32;
    let mut how = std::fs::OpenOptions::new();
    if let Err(e) = how.read(true).custom_flags(direct).open(&path) {
        println!("the folder for tests lies where nothing goes past the cache: {e}");
        return None;
    }
    if Ring::new().is_none() {
        println!("this kernel refuses io_uring: nothing can be on its way");
        return None;
    }
    let disk = FileDisk::open(&path, Access::Write, Duration::ZERO).unwrap();
    Some((folder, disk, content))
}

fn at(offset: usize, len: usize) -> Extent {
    Extent::new(offset as u64, len as u64)
}

fn read(disk: &FileDisk, offset: usize, len: usize) -> Bytes {
    disk.read_bulk(offset as u64, len).unwrap()
}

#[test]
fn what_was_begun_is_read_in_parts_and_once() {
    let Some((_folder, disk, content)) = disk(1) else {
        return;
    };
    let (first, second) = (at(1000, MIB), at(1000 + MIB, MIB));
    assert!(disk.begin_read(first) && disk.begin_read(second));
    assert!(disk.begin_read(first), "it is on its way already");
    let mut from = 1000;
    for len in [100_000, 4096, MIB - 104_096, 500_000, MIB - 500_000] {
        assert!(read(&disk, from, len) == content[from..from + len]);
        from += len;
    }
    let io = disk.stats();
    assert_eq!((io.reads, io.read_bytes), (2, 2 * MIB as u64));
    assert_eq!(io.read_past_cache_bytes, io.read_bytes);
    assert_eq!(io.read_begun_bytes, io.read_bytes);
    assert_eq!(io.read_begun_used_bytes, io.read_bytes);
    assert_eq!(disk.times().reads.count, 5, "all who waited");
    assert_eq!(disk.coming().len(), 0, "the last part takes it away");
}

#[test]
fn what_cannot_come_is_not_on_its_way() {
    let Some((_folder, disk, content)) = disk(2) else {
        return;
    };
    assert!(!disk.begin_read(at(LEN - MIB, MIB + 1)), "beyond the end");
    assert!(!disk.begin_read(Extent::new(u64::MAX - 5, MIB as u64)));
    assert!(!disk.begin_read(at(0, 2 * MIB)), "too long");
    assert!(!disk.begin_read(at(0, 1000)), "too short");
    read(&disk, 0, MIB);
    assert!(!disk.begin_read(at(0, MIB)), "it goes through the cache");
    // A part that reaches beyond what was begun is read by itself.
    assert!(disk.begin_read(at(4 * MIB, MIB)));
    assert!(read(&disk, 4 * MIB + 5, MIB) == content[4 * MIB + 5..5 * MIB + 5]);
    assert_eq!(disk.stats().read_begun_used_bytes, 0);
}

#[test]
fn what_is_written_meanwhile_is_what_is_read() {
    let Some((_folder, disk, mut content)) = disk(3) else {
        return;
    };
    for (n, bulk) in [(1, false), (2, true), (3, false), (4, true)] {
        let place = n * 2 * MIB;
        assert!(disk.begin_read(at(place, MIB)));
        if n > 2 {
            // It is there, and waits.
            read(&disk, place, 100_000);
        }
        let (from, len) = match bulk {
            true => (place - 64 * 1024, 512 << 10),
            false => (place + 300_001, 5),
        };
        content[from..from + len].fill(n as u8);
        let bytes = &content[from..from + len];
        match bulk {
            true => disk.write_bulk(bytes, from as u64).unwrap(),
            false => disk.write_at(bytes, from as u64).unwrap(),
        }
        assert!(
            read(&disk, place, MIB) == content[place..place + MIB],
            "{n}"
        );
    }
    assert!(disk.begin_read(at(100, MIB)));
    disk.forget(at(MIB / 2, 1));
    read(&disk, 100, MIB);
    assert_eq!(disk.stats().read_begun_used_bytes, 200_000);
}

#[test]
fn what_nobody_comes_for_makes_room_after_a_while() {
    let Some((_folder, disk, content)) = disk(4) else {
        return;
    };
    let piece = |n: usize| at(n * MIB, MIB);
    assert!((0..MOST).all(|n| disk.begin_read(piece(n))));
    assert!(!disk.begin_read(piece(MOST)), "no room");
    std::thread::sleep(2 * KEPT);
    assert!(disk.begin_read(piece(MOST)));
    assert_eq!(disk.coming().len(), MOST);
    for n in 0..=MOST {
        assert!(read(&disk, n * MIB, MIB) == content[n * MIB..(n + 1) * MIB]);
    }
    let used = disk.stats().read_begun_used_bytes;
    assert_eq!(used, (MOST * MIB) as u64, "all but the oldest");
}

#[test]
fn a_file_is_an_array_whatever_is_on_its_way() {
    for seed in 10..14 {
        let Some((_folder, disk, mut content)) = disk(seed) else {
            return;
        };
        let mut random = Rng::with_seed(seed);
        let mut place = at(0, MIB);
        for _ in 0..400 {
            if random.u8(..3) > 0 {
                let len = random.usize(40_000..MIB);
                place = at(random.usize(..LEN - len), len);
            }
            let (from, len) = (place.offset as usize, place.len as usize);
            match random.u8(..4) {
                0 | 1 => drop(disk.begin_read(place)),
                2 => {
                    let len = random.usize(..len);
                    content[from..from + len].fill(random.u8(..));
                    let bytes = &content[from..from + len];
                    match random.bool() {
                        true => disk.write_bulk(bytes, place.offset).unwrap(),
                        false => disk.write_at(bytes, place.offset).unwrap(),
                    }
                }
                _ => assert!(read(&disk, from, len) == content[from..from + len]),
            }
        }
        let io = disk.stats();
        assert!(
            io.read_begun_bytes > 0 && io.read_begun_used_bytes > 0,
            "{io:?}"
        );
    }
}

/// Whoever begins to read while somebody writes may get either, but nobody gets the old once the write has ended.
#[test]
fn nobody_reads_what_was_there_before_a_write_that_has_ended() {
    let Some((_folder, disk, _)) = disk(5) else {
        return;
    };
    let place = at(3 * MIB, 512 << 10);
    let write = |version: u8| {
        let bytes = vec![version; place.len as usize];
        disk.write_bulk(&bytes, place.offset).unwrap();
    };
    write(1);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for version in 2..200 {
                write(version);
                let read = read(&disk, place.offset as usize, place.len as usize);
                assert!(read.iter().all(|b| *b == version), "{version}");
            }
        });
        while !writer.is_finished() {
            // Though it would be read through the cache by now.
            disk.begin_once(place);
            std::thread::yield_now();
        }
    });
    let io = disk.stats();
    assert!(io.read_begun_bytes > 0 && io.read_begun_used_bytes > 0);
}
