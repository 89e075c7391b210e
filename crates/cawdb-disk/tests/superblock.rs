//! Superblocks: alternation, fallback, damage, crashes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use cawdb_disk::layout::SLOTS;
use cawdb_disk::superblock::{MAX_BODY, format, read, read_slot, write};
use cawdb_disk::{Disk, Error, FaultyDisk, Layout, OpKind, RamDisk, Superblock};

fn first(uuid: u8) -> Superblock {
    let journal = Layout::new(64 << 10).unwrap().journal;
    Superblock {
        uuid: [uuid; 16],
        generation: 1,
        journal,
        limit: 1 << 30,
        body: b"body".to_vec(),
    }
}

/// The same store, some checkpoints later.
fn later(generation: u64) -> Superblock {
    Superblock {
        generation,
        ..first(7)
    }
}

fn formatted() -> RamDisk {
    let disk = RamDisk::new();
    format(&disk, &first(7)).unwrap();
    disk
}

fn flip(disk: &RamDisk, offset: u64) {
    let mut byte = [0];
    disk.read_at(&mut byte, offset).unwrap();
    disk.write_at(&[byte[0] ^ 0x10], offset).unwrap();
}

#[test]
fn what_is_no_store_is_told_from_a_damaged_one() {
    let disk = RamDisk::new();
    assert!(matches!(read(&disk), Err(Error::Invalid(_))));
    disk.write_at(&[9; 200_000], 0).unwrap();
    assert!(matches!(read(&disk), Err(Error::Invalid(_))));
    let disk = formatted();
    flip(&disk, SLOTS[1].offset + 100);
    let Err(Error::Corrupt { found, .. }) = read(&disk) else {
        panic!("must be damage")
    };
    assert!(
        found.contains("slot 0") && found.contains("slot 1"),
        "{found}"
    );
}

#[test]
fn the_newest_wins_and_the_other_is_the_way_back() {
    let disk = formatted();
    assert_eq!(read(&disk).unwrap(), first(7));
    for generation in 2..9 {
        let next = Superblock {
            generation,
            body: vec![generation as u8; MAX_BODY],
            ..first(7)
        };
        write(&disk, &next).unwrap();
        assert_eq!(read(&disk).unwrap(), next);
    }
    flip(&disk, SLOTS[0].offset + 3000);
    assert_eq!(read(&disk).unwrap().generation, 7);
    assert!(read_slot(&disk, 0).is_err() && read_slot(&disk, 2).is_err());
    let long = Superblock {
        body: vec![0; MAX_BODY + 1],
        ..first(7)
    };
    assert!(matches!(write(&disk, &long), Err(Error::Invalid(_))));
}

#[test]
fn slots_of_two_stores_or_swapped_slots_are_damage() {
    let disk = formatted();
    write(
        &disk,
        &Superblock {
            generation: 2,
            ..first(8)
        },
    )
    .unwrap();
    assert!(matches!(read(&disk), Err(Error::Corrupt { .. })));
    let disk = formatted();
    let mut slot = vec![0; 4096];
    disk.read_at(&mut slot, SLOTS[1].offset).unwrap();
    disk.write_at(&slot, SLOTS[0].offset).unwrap();
    assert!(matches!(read_slot(&disk, 0), Err(Error::Corrupt { .. })));
}

#[test]
fn every_flipped_bit_is_found() {
    for at in 0..4096 {
        let disk = formatted();
        flip(&disk, SLOTS[1].offset + at);
        assert!(read(&disk).is_err(), "byte {at}");
    }
}

#[test]
fn a_slot_that_cannot_be_read_does_not_bring_back_the_past() {
    let disk = FaultyDisk::new(formatted()).unwrap();
    write(&disk, &later(2)).unwrap();
    // Two reads look for the magic, the first finds it; the slots come next.
    for nth in 0..3 {
        disk.fail_nth(OpKind::Read, nth);
        assert!(matches!(read(&disk), Err(Error::Io { .. })), "{nth}");
        disk.heal();
    }
}

#[test]
fn formatting_over_an_old_store_forgets_it() {
    let disk = formatted();
    write(&disk, &later(8)).unwrap();
    format(&disk, &first(9)).unwrap();
    assert_eq!(read(&disk).unwrap(), first(9));
}

#[test]
fn a_crash_leaves_the_old_or_the_new() {
    for seed in 0..300 {
        let disk = FaultyDisk::new(formatted()).unwrap();
        write(&disk, &later(2)).unwrap();
        disk.fail_nth(OpKind::Sync, 0);
        assert!(write(&disk, &later(3)).is_err());
        let found = read(&disk.crash(seed)).unwrap().generation;
        assert!(found == 2 || found == 3, "seed {seed}: {found}");
    }
}

#[test]
fn formatting_that_fails_anywhere_can_be_done_again() {
    for nth in 0.. {
        let disk = FaultyDisk::new(formatted()).unwrap();
        disk.fail_nth(
            [OpKind::Write, OpKind::Sync, OpKind::Reserve][nth % 3],
            (nth / 3) as u64,
        );
        let failed = format(&disk, &first(9)).is_err();
        for seed in 0..20 {
            let image = disk.crash(seed);
            if let Ok(found) = read(&image) {
                assert!(found == first(7) || found == first(9), "{nth}, seed {seed}");
                assert!(failed || found == first(9), "{nth}, seed {seed}");
            }
            format(&image, &first(9)).unwrap();
            assert_eq!(read(&image).unwrap(), first(9));
        }
        if nth > 9 {
            assert!(!failed, "there are no so many requests");
            break;
        }
    }
}
