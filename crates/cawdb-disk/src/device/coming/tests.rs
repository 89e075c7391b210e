//! What is begun is what is read, and what was written since; through a file, beside a model of its bytes.

use super::pieces::{KEPT, MOST, OLD, PRICE};
use super::state::PATIENCE;
use super::*;
use crate::device::flight::Ring;
use crate::device::{Access, Disk, FileDisk};
use fastrand::Rng;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
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

/// A piece of half a MiB, far from the others.
fn apart(n: usize) -> Extent {
    at(n * MIB, 512 << 10)
}

fn take(disk: &FileDisk, content: &[u8], piece: Extent) {
    let (from, len) = (piece.offset as usize, piece.len as usize);
    assert!(read(disk, from, len) == content[from..from + len]);
}

#[test]
fn what_nobody_comes_for_makes_room_where_others_were_of_use() {
    let Some((_folder, disk, content)) = disk(4) else {
        return;
    };
    assert!((0..MOST).all(|n| disk.begin_read(apart(n))));
    std::thread::sleep(2 * KEPT);
    assert!(!disk.begin_read(apart(MOST)), "nobody was of use");
    (4..4 + PRICE).for_each(|n| take(&disk, &content, apart(n)));
    let again = |n: usize| at(n * MIB + (512 << 10), 256 << 10);
    assert!((4..4 + PRICE).all(|n| disk.begin_read(again(n))));
    assert_eq!(disk.coming().len(), MOST);
    std::thread::sleep(2 * KEPT);
    assert!(disk.begin_read(apart(MOST)), "the oldest goes");
    assert!(!disk.begin_read(apart(MOST + 1)), "that was paid for once");
    assert_eq!(disk.coming().len(), MOST);
    let used = disk.stats().read_begun_used_bytes;
    (0..2).for_each(|n| take(&disk, &content, apart(n)));
    let more = disk.stats().read_begun_used_bytes - used;
    assert_eq!(more, apart(1).len, "the first is read anew");
}

#[test]
fn who_goes_on_finds_room_in_that_of_what_he_comes_for() {
    let Some((_folder, disk, content)) = disk(6) else {
        return;
    };
    assert!((0..MOST).all(|n| disk.begin_read(apart(n))));
    for n in 0..MOST {
        let next = at(n * MIB + (512 << 10), 256 << 10);
        assert!(disk.begin_read(next), "{n}");
        take(&disk, &content, apart(n));
    }
    assert_eq!(disk.coming().len(), MOST);
    let used = disk.stats().read_begun_used_bytes;
    assert_eq!(used, MOST as u64 * apart(0).len);
}

#[test]
fn what_was_guessed_too_much_is_let_go() {
    let Some((_folder, disk, content)) = disk(7) else {
        return;
    };
    for n in 0..10 {
        let (from, guess) = (n * MIB, (600 << 10) + 60_000);
        assert!(disk.begin_read(at(from, guess)));
        take(&disk, &content, at(from, 600 << 10));
        let behind = at(from + (600 << 10), 300 << 10);
        assert!(disk.begin_read(behind), "{n}");
        assert_eq!(disk.coming().len(), 1);
        take(&disk, &content, behind);
        assert_eq!(disk.coming().len(), 0);
    }
}

/// A little is not to hold all, nor to take it away from who comes for all.
#[test]
fn somebody_else_may_want_a_little_of_it() {
    let Some((_folder, disk, content)) = disk(8) else {
        return;
    };
    let all = at(0, MIB);
    assert!(disk.begin_read(all));
    take(&disk, &content, at(MIB - 40_000, 40_000));
    take(&disk, &content, all);
    assert_eq!(disk.stats().reads, 1);
    assert_eq!(disk.coming().len(), 0);
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
    assert!(disk.stats().read_begun_bytes > 0);
}

/// A file of which nothing comes before somebody writes.
fn slow() -> (File, std::io::PipeWriter) {
    let (from, to) = std::io::pipe().unwrap();
    (File::from(std::os::fd::OwnedFd::from(from)), to)
}

const LEN_SLOW: usize = 64 << 10;

/// Begins to read all that will come of it.
fn begin(coming: &Coming, file: &File, from: usize) -> Begun {
    let buffers = (2, &Arc::new(Spare::default()));
    coming.begin(file, at(from, LEN_SLOW), buffers, |_| 0..LEN_SLOW)
}

/// The kernel tells what came once the thread that began it lets it, and that may be busy.
#[test]
fn who_did_not_begin_it_does_not_wait_for_long() {
    if Ring::new().is_none() {
        return println!("this kernel refuses io_uring: nothing can be on its way");
    }
    let (coming, clocks) = (Coming::default(), Clocks::default());
    let (file, mut to) = slow();
    let ((begins, begun), (over, ends)) = (channel::<Begun>(), channel::<()>());
    let (coming, file, clocks) = (&coming, &file, &clocks);
    std::thread::scope(move |scope| {
        scope.spawn(move || {
            begins.send(begin(coming, file, 0)).unwrap();
            // Until all is over, or this test fails.
            ends.recv().unwrap_err();
        });
        // It goes when this does.
        let _over = over;
        assert_eq!(begun.recv(), Ok(Begun::Now));
        let asked = Instant::now();
        assert!(coming.take(at(0, LEN_SLOW / 2), clocks).is_none());
        assert!(asked.elapsed() >= PATIENCE);
        assert_eq!(coming.len(), 0, "nobody waits for it again");
        assert_eq!(begin(coming, file, 1 << 20), Begun::Not, "not so soon");
        assert_eq!(lock(&coming.pieces).gone.len(), 1, "it still flies");
        let asked = Instant::now();
        coming.forget(at(0, 1));
        assert!(asked.elapsed() < PATIENCE, "who writes waits for nobody");
        to.write_all(&[3; LEN_SLOW]).unwrap();
        while !lock(&coming.pieces).gone.is_empty() {
            assert!(asked.elapsed() < OLD, "it is down, and stays");
            coming.with(|_| ());
        }
    });
    assert_eq!(clocks.times().reads.count, 1);
}

#[test]
fn who_began_it_waits_for_the_medium() {
    if Ring::new().is_none() {
        return println!("this kernel refuses io_uring: nothing can be on its way");
    }
    let (coming, clocks) = (Coming::default(), Clocks::default());
    let (file, mut to) = slow();
    assert_eq!(begin(&coming, &file, 0), Begun::Now);
    let writer = std::thread::spawn(move || {
        std::thread::sleep(3 * PATIENCE);
        to.write_all(&[3; LEN_SLOW]).unwrap();
    });
    let came = coming.take(at(0, LEN_SLOW), &clocks).unwrap();
    assert!(came == [3; LEN_SLOW][..]);
    writer.join().unwrap();
}

/// A piece that somebody is in the middle of is his.
#[test]
fn who_begins_beside_somebody_takes_nothing_from_him() {
    let Some((_folder, disk, content)) = disk(9) else {
        return;
    };
    assert!(disk.begin_read(at(0, MIB)));
    take(&disk, &content, at(0, 100_000));
    assert!(!disk.begin_read(at(MIB / 2, MIB)));
    take(&disk, &content, at(100_000, MIB - 100_000));
    assert_eq!(disk.stats().read_begun_used_bytes, MIB as u64);
}
