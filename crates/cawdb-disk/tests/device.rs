//! The disks: all against an array of bytes, the file's lock, the faults.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use cawdb_disk::{Access, Disk, Error, Extent, FaultyDisk, FileDisk, OpKind, RamDisk};
use fastrand::Rng;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

/// Its number is another one on other processors.
const O_DIRECT: i32 = rustix::fs::OFlags::DIRECT.bits() as i32;

const NOW: Duration = Duration::ZERO;

/// Random requests against an array; discarded granules are undefined until written again.
fn as_an_array(disk: &dyn Disk, seed: u64, size: usize) {
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let mut model = vec![Some(0); size];
    disk.reserve(Extent::new(0, size as u64)).unwrap();
    for _ in 0..300 {
        let at = rng.usize(0..size);
        let len = rng.usize(0..(size - at).min(size / 3) + 1);
        match rng.u8(0..8) {
            kind @ 0..=3 => {
                let bytes: Vec<u8> = (0..len).map(|_| rng.u8(..)).collect();
                match kind {
                    0 => disk.write_bulk(&bytes, at as u64).unwrap(),
                    _ => disk.write_at(&bytes, at as u64).unwrap(),
                }
                model[at..at + len]
                    .iter_mut()
                    .zip(bytes)
                    .for_each(|(m, b)| *m = Some(b));
            }
            4 => {
                let extent = Extent::new(at as u64, len as u64);
                disk.discard(extent).unwrap();
                if let Some(whole) = extent.granules() {
                    model[whole.offset as usize..whole.end() as usize].fill(None);
                }
            }
            5 => disk.sync().unwrap(),
            _ => {
                disk.will_read(Extent::new(at as u64, len as u64));
                let mut bytes = vec![0; len];
                disk.read_at(&mut bytes, at as u64).unwrap();
                for (i, byte) in bytes.iter().enumerate() {
                    assert!(
                        model[at + i].is_none_or(|m| m == *byte),
                        "seed {seed}, {}",
                        at + i
                    );
                }
            }
        }
    }
    assert_eq!(disk.len(), size as u64);
    let beyond = disk.read_at(&mut [0; 2], size as u64 - 1);
    assert!(matches!(beyond, Err(Error::Corrupt { .. })));
    assert!(disk.read_at(&mut [0; 2], u64::MAX).is_err());
    let stats = disk.stats();
    assert!(stats.reads > 0 && stats.write_bytes > 0 && stats.syncs > 0 && stats.discards > 0);
}

#[test]
fn all_disks_are_arrays() {
    let dir = tempfile::tempdir().unwrap();
    for seed in 0..20 {
        as_an_array(&RamDisk::new(), seed, 300_000);
        as_an_array(&RamDisk::with_limit(300_000), seed, 300_000);
        as_an_array(&FaultyDisk::new(RamDisk::new()).unwrap(), seed, 300_000);
        if seed < 4 {
            let path = dir.path().join(format!("{seed}"));
            let disk = FileDisk::open(path, Access::Create, NOW).unwrap();
            as_an_array(&disk, seed, 300_000);
        }
    }
}

/// Much is refused where little is: a file that was opened for reading, and what would end behind all offsets.
#[test]
fn bulk_is_refused_where_other_writes_are() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    let much = vec![1; 1 << 20];
    std::fs::write(&path, vec![0; 1 << 20]).unwrap();
    let disk = FileDisk::open(&path, Access::Read, NOW).unwrap();
    assert!(matches!(disk.write_at(&much, 0), Err(Error::Io { .. })));
    assert!(matches!(disk.write_bulk(&much, 0), Err(Error::Io { .. })));
    drop(disk);
    let disk = FileDisk::open(&path, Access::Write, NOW).unwrap();
    for offset in [u64::MAX, u64::MAX - 4096, u64::MAX - (1 << 20) + 1] {
        let refused = disk.write_bulk(&much, offset);
        assert!(matches!(refused, Err(Error::Io { .. })), "{refused:?}");
    }
    assert_eq!(std::fs::read(&path).unwrap(), vec![0; 1 << 20]);
}

fn refuses_direct(path: &std::path::Path) -> bool {
    let mut how = OpenOptions::new();
    let refused = how.write(true).custom_flags(O_DIRECT).open(path).err();
    if let Some(e) = &refused {
        println!("the folder for tests lies where nothing goes past the cache: {e}");
    }
    refused.is_some()
}

/// What is read for the first time goes past the cache; what is written or read again through it, and all is what was last written.
#[test]
fn the_first_reading_goes_past_the_cache() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    let mut content: Vec<u8> = (0..5_000_123).map(|_| fastrand::u8(..)).collect();
    std::fs::write(&path, &content).unwrap();
    let disk = FileDisk::open(&path, Access::Write, NOW).unwrap();
    let refuses = refuses_direct(&path);
    let past = || disk.stats().read_past_cache_bytes;
    let expect = |content: &[u8], offset: usize, len: usize, how: Option<bool>| {
        let before = past();
        let read = disk.read_bulk(offset as u64, len).unwrap();
        assert!(read == content[offset..offset + len], "{len} at {offset}");
        let went = if past() > before { len as u64 } else { 0 };
        assert_eq!(past() - before, went);
        if let Some(how) = how.filter(|_| !refuses) {
            assert_eq!(went > 0, how, "{len} at {offset}");
        }
    };
    expect(&content, 1_000_001, 100_000, Some(true));
    expect(&content, 1_000_001, 100_000, Some(false));
    expect(&content, 0, 4096, Some(false));
    expect(&content, 2_700_000, 2 << 20, Some(false));
    expect(&content, 5_000_123 - 70_000, 70_000, Some(true));
    disk.write_at(&[9; 200_000], 2_000_000).unwrap();
    content[2_000_000..2_200_000].fill(9);
    expect(&content, 2_010_000, 150_000, Some(false));
    // Pages that nobody wrote yet, and others around them.
    expect(&content, 1_900_000, 400_000, Some(true));
    let held: Vec<_> = (0..20)
        .map(|i| disk.read_bulk(i * 40_000, 40_000).unwrap())
        .collect();
    assert!(
        held.concat() == content[..800_000],
        "no buffer is lent twice"
    );
    let mut random = Rng::with_seed(10);
    for _ in 0..300 {
        let offset = random.usize(..content.len());
        let len = random
            .usize(..=content.len() - offset)
            .min(random.usize(..1 << 20));
        match random.u8(..3) {
            0 => {
                let value = random.u8(..);
                disk.write_at(&vec![value; len], offset as u64).unwrap();
                content[offset..offset + len].fill(value);
            }
            1 => {
                disk.write_bulk(&content[offset..offset + len], offset as u64)
                    .unwrap();
            }
            _ => expect(&content, offset, len, None),
        }
    }
    assert!(
        disk.read_bulk(content.len() as u64 - 40_000, 40_001)
            .is_err()
    );
    assert!(disk.read_bulk(u64::MAX, 40_000).is_err());
}

/// Short pieces go both ways, and are what was last written.
#[test]
fn short_pieces_are_the_same_either_way() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    let mut random = Rng::with_seed(11);
    let mut content: Vec<u8> = (0..8_000_123).map(|_| random.u8(..)).collect();
    std::fs::write(&path, &content).unwrap();
    let disk = FileDisk::open(&path, Access::Write, NOW).unwrap();
    let written = 4_000_000..4_300_000;
    for n in 0..1000 {
        let len = random.usize(8 << 10..32 << 10);
        // What was just written is in the cache, and read from there.
        let new = n % 4 == 0 && n > 0;
        let within = if new {
            written.clone()
        } else {
            0..content.len()
        };
        let offset = random.usize(within.start..=within.end - len);
        let past = disk.stats().read_past_cache_bytes;
        let read = disk.read_bulk(offset as u64, len).unwrap();
        assert!(read == content[offset..offset + len], "{len} at {offset}");
        let past = disk.stats().read_past_cache_bytes - past;
        assert!(past == 0 || past == len as u64 && !new, "{past} of {len}");
        if n % 100 == 0 {
            content[written.clone()].fill(n as u8);
            let bytes = &content[written.clone()];
            disk.write_at(bytes, written.start as u64).unwrap();
        }
    }
    if !refuses_direct(&path) {
        assert!(disk.stats().read_past_cache_bytes > 0, "some are tried");
    }
    assert!(disk.read_bulk(content.len() as u64 - 9000, 9001).is_err());
}

/// Both ways to one file, one beside the other.
#[test]
fn past_the_cache_a_file_is_the_same_array() {
    let dir = tempfile::tempdir().unwrap();
    for seed in 0..3 {
        let path = dir.path().join(format!("{seed}"));
        let disk = FileDisk::open(&path, Access::Create, NOW).unwrap();
        as_an_array(&disk, seed, 4_000_000);
        let past = disk.stats().past_cache_bytes;
        match refuses_direct(&path) {
            true => assert_eq!(past, 0),
            false => assert!(
                past > 1_000_000 && past < disk.stats().write_bytes,
                "{past}"
            ),
        }
    }
}

#[test]
fn memory_occupies_what_was_written_and_not_discarded() {
    let disk = RamDisk::new();
    disk.reserve(Extent::new(0, 1 << 30)).unwrap();
    assert_eq!(disk.occupied(), Some(0));
    disk.write_at(&[1; 10], 4090).unwrap();
    disk.write_at(&[1; 10], 1 << 20).unwrap();
    assert_eq!(disk.occupied(), Some(3 * 4096));
    let image = disk.image();
    disk.discard(Extent::new(4095, 4097)).unwrap();
    assert_eq!(disk.occupied(), Some(2 * 4096));
    assert_eq!(RamDisk::from_image(image).occupied(), Some(3 * 4096));
    let limited = RamDisk::with_limit(8192);
    assert!(matches!(
        limited.write_at(&[1], 8192),
        Err(Error::Io { .. })
    ));
    assert!(matches!(
        limited.reserve(Extent::new(4096, 8192)),
        Err(Error::Full { .. })
    ));
}

#[test]
fn a_file_gives_back_what_is_discarded() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FileDisk::open(dir.path().join("f"), Access::Create, NOW).unwrap();
    disk.reserve(Extent::new(0, 1 << 20)).unwrap();
    disk.write_at(&vec![1; 1 << 20], 0).unwrap();
    disk.sync().unwrap();
    let before = disk.occupied().unwrap();
    disk.discard(Extent::new(100, 1 << 19)).unwrap();
    // A file system that cannot punch holes may keep all of it, but never takes more.
    assert!(disk.occupied().unwrap() <= before);
    assert_eq!(disk.len(), 1 << 20);
}

#[test]
fn what_is_forgotten_is_read_as_before() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FileDisk::open(dir.path().join("f"), Access::Create, NOW).unwrap();
    let bytes: Vec<u8> = (0..300_000_u32).map(|n| n as u8).collect();
    disk.write_at(&bytes, 0).unwrap();
    let mut found = vec![0; bytes.len()];
    for sync in [false, true] {
        if sync {
            disk.sync().unwrap();
        }
        for (offset, len) in [(0, 300_000), (70_001, 3), (299_999, 500_000), (1 << 40, 1)] {
            disk.forget(Extent { offset, len });
            disk.read_at(&mut found, 0).unwrap();
            assert!(found == bytes, "{len} bytes at {offset}");
        }
    }
}

#[test]
fn one_writer_or_many_readers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    assert!(matches!(
        FileDisk::open(&path, Access::Write, NOW),
        Err(Error::Io { .. })
    ));
    assert!(matches!(
        FileDisk::open(dir.path(), Access::Read, NOW),
        Err(Error::Invalid(_))
    ));
    let writer = FileDisk::open(&path, Access::Create, NOW).unwrap();
    let begun = Instant::now();
    let wait = Duration::from_millis(100);
    let Err(Error::Busy { who }) = FileDisk::open(&path, Access::Write, wait) else {
        panic!("two writers")
    };
    assert!(begun.elapsed() >= wait, "did not wait");
    assert!(who == "this process" || who == "another process", "{who}");
    assert!(matches!(
        FileDisk::open(&path, Access::Read, NOW),
        Err(Error::Busy { .. })
    ));
    drop(writer);
    let one = FileDisk::open(&path, Access::Read, NOW).unwrap();
    let two = FileDisk::open(&path, Access::Read, NOW).unwrap();
    assert!(one.write_at(&[1], 0).is_err());
    assert!(FileDisk::open(&path, Access::Write, NOW).is_err());
    drop((one, two));
    FileDisk::open(&path, Access::Write, NOW).unwrap();
}

#[test]
fn planned_failures_strike_once_or_for_ever() {
    let disk = FaultyDisk::new(RamDisk::new()).unwrap();
    disk.fail_nth(OpKind::Write, 1);
    let results: Vec<bool> = (0..4).map(|_| disk.write_at(&[1], 0).is_ok()).collect();
    assert_eq!(results, [true, false, true, true]);
    disk.fail_from(OpKind::Sync, 1);
    let results: Vec<bool> = (0..4).map(|_| disk.sync().is_ok()).collect();
    assert_eq!(results, [true, false, false, false]);
    disk.heal();
    disk.sync().unwrap();
    assert_eq!(
        (disk.count(OpKind::Write), disk.count(OpKind::Sync)),
        (4, 5)
    );
}

#[test]
fn a_crash_keeps_what_was_synced_and_plays_with_the_rest() {
    let disk = FaultyDisk::new(RamDisk::new()).unwrap();
    disk.write_at(&[1; 4096], 0).unwrap();
    disk.sync().unwrap();
    disk.write_at(&[2; 2048], 1024).unwrap();
    let (mut kept, mut lost, mut torn) = (0, 0, 0);
    for seed in 0..100 {
        let image = disk.crash(seed);
        let (mut bytes, mut again) = (vec![0; 4096], vec![0; 4096]);
        image.read_at(&mut bytes, 0).unwrap();
        disk.crash(seed).read_at(&mut again, 0).unwrap();
        assert_eq!(bytes, again, "seed {seed} is not repeatable");
        assert!(
            bytes[..1024].iter().chain(&bytes[3072..]).all(|&b| b == 1),
            "seed {seed}"
        );
        let units: Vec<u8> = bytes[1024..3072].chunks(512).map(|unit| unit[0]).collect();
        assert!(
            bytes
                .chunks(512)
                .all(|unit| unit.iter().all(|b| b == &unit[0]))
        );
        match units.iter().filter(|&&b| b == 2).count() {
            0 => lost += 1,
            4 => kept += 1,
            _ => torn += 1,
        }
    }
    assert!(kept > 0 && lost > 0 && torn > 0, "{kept} {lost} {torn}");
}
