//! Superblocks: alternation, two copies, damage told from loss of power.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use cawdb_disk::layout::SLOTS;
use cawdb_disk::superblock::{
    FORMAT_VERSION, FaultKind, MAX_BODY, OLDEST_VERSION, candidates, format, heal, read, read_copy,
    write,
};
use cawdb_disk::{Checksum, Disk, Error, Extent, FaultyDisk, Layout, OpKind, RamDisk, Superblock};

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

/// A store with checkpoints up to this generation.
fn at(generation: u64) -> RamDisk {
    let disk = formatted();
    for g in 2..=generation {
        write(&disk, &later(g)).unwrap();
    }
    disk
}

fn flip(disk: &RamDisk, offset: u64) {
    let mut byte = [0];
    disk.read_at(&mut byte, offset).unwrap();
    disk.write_at(&[byte[0] ^ 0x10], offset).unwrap();
}

fn copy_of(disk: &RamDisk, extent: Extent) -> Vec<u8> {
    let mut bytes = vec![0; extent.len as usize];
    disk.read_at(&mut bytes, extent.offset).unwrap();
    bytes
}

/// What can happen to a copy, each another way.
fn damages(disk: &RamDisk, copy: Extent) -> Vec<Vec<u8>> {
    let good = copy_of(disk, copy);
    let half = good[..2048].iter().copied().chain([0; 2048]).collect();
    let foreign = RamDisk::new();
    format(&foreign, &first(9)).unwrap();
    let mut flipped = good.clone();
    flipped[70] ^= 1;
    let foreign = copy_of(&foreign, copy);
    vec![
        flipped,
        vec![0; good.len()],
        vec![0xAA; good.len()],
        half,
        foreign,
    ]
}

#[test]
fn what_is_no_store_is_told_from_a_damaged_one() {
    let disk = RamDisk::new();
    assert!(matches!(read(&disk), Err(Error::Invalid(_))));
    disk.write_at(&[9; 200_000], 0).unwrap();
    assert!(matches!(read(&disk), Err(Error::Invalid(_))));
    let disk = formatted();
    for copy in SLOTS.as_flattened() {
        flip(&disk, copy.offset + 100);
    }
    let Err(Error::Corrupt { found, .. }) = read(&disk) else {
        panic!("must be damage")
    };
    assert!(
        found.contains("slot 0, copy 1") && found.contains("slot 1, copy 0"),
        "{found}"
    );
}

#[test]
fn the_version_before_is_read_and_others_are_named() {
    let of_version = |version: u32| {
        let disk = formatted();
        for copy in SLOTS.as_flattened() {
            let mut bytes = vec![0; 4096];
            disk.read_at(&mut bytes, copy.offset).unwrap();
            bytes[8..12].copy_from_slice(&version.to_le_bytes());
            let checksum = Checksum::of(&bytes[..4088]);
            bytes[4088..].copy_from_slice(&checksum.0.to_le_bytes());
            disk.write_at(&bytes, copy.offset).unwrap();
        }
        disk
    };
    for version in OLDEST_VERSION..=FORMAT_VERSION {
        let disk = of_version(version);
        assert_eq!(read(&disk).unwrap().superblock, first(7), "{version}");
    }
    for version in [OLDEST_VERSION - 1, FORMAT_VERSION + 1] {
        let Err(Error::Invalid(why)) = read(&of_version(version)) else {
            panic!("{version} is not known");
        };
        assert!(why.contains(&format!("version {version}; ")), "{why}");
    }
}

#[test]
fn the_newest_wins_and_both_copies_hold_it() {
    let disk = formatted();
    assert_eq!(read(&disk).unwrap().superblock, first(7));
    for generation in 2..9 {
        let next = Superblock {
            generation,
            body: vec![generation as u8; MAX_BODY],
            ..first(7)
        };
        write(&disk, &next).unwrap();
        let found = read(&disk).unwrap();
        assert_eq!(found.superblock, next);
        assert!(found.faults.is_empty(), "{:?}", found.faults);
    }
    assert!(read_copy(&disk, 2, 0).is_err() && read_copy(&disk, 0, 2).is_err());
    let generations = candidates(&disk).unwrap();
    let generations: Vec<_> = generations.iter().map(|s| s.generation).collect();
    assert_eq!(generations, [8, 7]);
    let long = Superblock {
        body: vec![0; MAX_BODY + 1],
        ..first(7)
    };
    assert!(matches!(write(&disk, &long), Err(Error::Invalid(_))));
}

#[test]
fn the_loss_of_one_copy_is_survived_reported_and_healed() {
    for generation in 1..6 {
        let slot = (generation % 2) as usize;
        for (copy, place) in SLOTS[slot].into_iter().enumerate() {
            for (i, bytes) in damages(&at(generation), place).into_iter().enumerate() {
                let disk = at(generation);
                disk.write_at(&bytes, place.offset).unwrap();
                let found = read(&disk).unwrap();
                assert_eq!(found.superblock.generation, generation);
                let [fault] = &found.faults[..] else {
                    panic!("damage {i}: {:?}", found.faults)
                };
                let at = (fault.slot, fault.copy, fault.kind);
                assert_eq!(at, (slot, copy, FaultKind::Damaged));
                heal(&disk, &found).unwrap();
                assert!(read(&disk).unwrap().faults.is_empty());
                assert_eq!(read(&disk).unwrap().superblock.generation, generation);
            }
        }
    }
}

#[test]
fn a_stale_copy_does_not_bring_back_the_past() {
    let (old, disk) = (at(4), at(6));
    for copy in SLOTS[0] {
        let kept = copy_of(&disk, copy);
        disk.write_at(&copy_of(&old, copy), copy.offset).unwrap();
        assert_eq!(read(&disk).unwrap().superblock.generation, 6);
        disk.write_at(&kept, copy.offset).unwrap();
    }
    // Both: the newest state is gone, and the generations show it.
    for copy in SLOTS[0] {
        disk.write_at(&copy_of(&old, copy), copy.offset).unwrap();
    }
    assert_eq!(read(&disk).unwrap().superblock.generation, 5);
    let disk = at(8);
    for copy in SLOTS[0] {
        disk.write_at(&copy_of(&old, copy), copy.offset).unwrap();
    }
    assert!(matches!(read(&disk), Err(Error::Corrupt { .. })));
}

#[test]
fn the_loss_of_both_copies_of_the_newest_is_damage_and_no_step_back() {
    for generation in 1..6 {
        for i in 0..5 {
            for j in 0..5 {
                let disk = at(generation);
                let slot = SLOTS[(generation % 2) as usize];
                let (a, b) = (damages(&disk, slot[0]), damages(&disk, slot[1]));
                disk.write_at(&a[i], slot[0].offset).unwrap();
                disk.write_at(&b[j], slot[1].offset).unwrap();
                let error = read(&disk).unwrap_err();
                assert!(matches!(error, Error::Corrupt { .. }), "{i}, {j}: {error}");
                let left = candidates(&disk).unwrap_or_default();
                assert!(left.iter().any(|s| s.generation == generation - 1) || (i, j) == (4, 4));
            }
        }
    }
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
    for (copy, place) in SLOTS[1].into_iter().enumerate() {
        let bytes = copy_of(&disk, place);
        disk.write_at(&bytes, SLOTS[0][copy].offset).unwrap();
        assert!(matches!(
            read_copy(&disk, 0, copy),
            Err(Error::Corrupt { .. })
        ));
    }
    assert!(matches!(read(&disk), Err(Error::Corrupt { .. })));
}

#[test]
fn every_flipped_bit_is_found() {
    for at in 0..4096 {
        let disk = formatted();
        flip(&disk, SLOTS[1][0].offset + at);
        assert_eq!(read(&disk).unwrap().faults.len(), 1, "byte {at}");
        flip(&disk, SLOTS[1][1].offset + at);
        assert!(read(&disk).is_err(), "byte {at}");
    }
}

#[test]
fn a_copy_that_cannot_be_read_does_not_bring_back_the_past() {
    let disk = FaultyDisk::new(at(2)).unwrap();
    // One read looks for the magic; the four copies come next.
    for nth in 0..6 {
        disk.fail_nth(OpKind::Read, nth);
        assert_eq!(read(&disk).unwrap().superblock, later(2), "{nth}");
        disk.heal();
    }
}

#[test]
fn formatting_over_an_old_store_forgets_it() {
    let disk = at(8);
    format(&disk, &first(9)).unwrap();
    assert_eq!(read(&disk).unwrap().superblock, first(9));
    let zero = Superblock {
        generation: 0,
        ..first(9)
    };
    assert!(matches!(format(&disk, &zero), Err(Error::Invalid(_))));
}

/// Writing fails at each request; power is lost; one copy is damaged besides: an old state is shown only if the new
/// one was not acknowledged.
#[test]
fn a_crash_leaves_the_old_or_the_new() {
    let mut outcomes = std::collections::BTreeMap::<_, u32>::new();
    for seed in 0..600u64 {
        let disk = FaultyDisk::new(at(2)).unwrap();
        let acknowledged = match seed % 3 {
            n @ 0..2 => {
                disk.fail_nth(OpKind::Sync, n);
                write(&disk, &later(3)).is_ok()
            }
            _ => write(&disk, &later(3)).is_ok(),
        };
        let image = disk.crash(seed);
        let generation = read(&image).unwrap().superblock.generation;
        assert!(generation == 3 || (generation == 2 && !acknowledged));
        *outcomes.entry((seed % 3, generation)).or_default() += 1;
        // Acknowledged or not: what is lost besides never makes an older state of an acknowledged one.
        for copy in SLOTS.as_flattened() {
            let kept = copy_of(&image, *copy);
            image.write_at(&[0x55; 4096], copy.offset).unwrap();
            match read(&image) {
                Ok(found) => assert!(found.superblock.generation == 3 || !acknowledged),
                Err(_) => assert!(!acknowledged, "one copy of two was lost"),
            }
            image.write_at(&kept, copy.offset).unwrap();
        }
        // What a crash left is made whole, and the next loss of power meets two slots in order.
        let found = read(&image).unwrap();
        heal(&image, &found).unwrap();
        assert!(read(&image).unwrap().faults.is_empty());
    }
    assert!(outcomes.contains_key(&(0, 2)) && outcomes.contains_key(&(0, 3)));
    assert!(outcomes.contains_key(&(1, 3)) && !outcomes.contains_key(&(1, 2)));
}

/// The copy that is still good is written last.
#[test]
fn a_crash_after_damage_to_an_old_copy_is_survived() {
    for copy in SLOTS[1] {
        for seed in 0..100 {
            let old = at(2);
            old.write_at(&[7; 4096], copy.offset).unwrap();
            let disk = FaultyDisk::new(old).unwrap();
            disk.fail_nth(OpKind::Sync, seed % 2);
            assert!(write(&disk, &later(3)).is_err());
            let found = read(&disk.crash(seed)).unwrap().superblock.generation;
            assert!(found == 3 || (found == 2 && seed % 2 == 0), "seed {seed}");
        }
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
                let found = found.superblock;
                let new = (found.uuid, &found.body) == ([9; 16], &first(9).body);
                assert!(found == first(7) || new, "{nth}, seed {seed}");
                assert!(failed || found == first(9), "{nth}, seed {seed}");
            }
            format(&image, &first(9)).unwrap();
            assert_eq!(read(&image).unwrap().superblock, first(9));
        }
        if nth > 24 {
            assert!(!failed, "there are no so many requests");
            break;
        }
    }
}
