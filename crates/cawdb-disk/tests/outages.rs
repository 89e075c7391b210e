//! The enumeration of crashes: complete where few requests are open, never touching what was synced; and the faults
//! that are no errors.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use cawdb_disk::{
    Disk, Extent, Fate, Fault, FaultyDisk, OpKind, Outages, RamDisk, RamImage, Recording, Sampling,
};
use fastrand::Rng;
use std::collections::BTreeSet;

const UNIT: usize = 512;

fn recorded() -> FaultyDisk<RamDisk> {
    let disk = FaultyDisk::new(RamDisk::new()).unwrap();
    disk.record();
    disk
}

/// The first byte of every unit; all of a unit must be alike.
fn units(image: RamImage, count: usize) -> Vec<u8> {
    let disk = RamDisk::from_image(image);
    let mut bytes = vec![0; (count * UNIT).min(disk.len() as usize)];
    disk.read_at(&mut bytes, 0).unwrap();
    bytes.resize(count * UNIT, 0);
    let units: Vec<_> = bytes.chunks(UNIT).collect();
    assert!(units.iter().all(|unit| unit.iter().all(|b| *b == unit[0])));
    units.iter().map(|unit| unit[0]).collect()
}

#[test]
fn every_subset_of_a_few_writes_is_tried() {
    let disk = recorded();
    for n in 0..4 {
        disk.write_at(&[n as u8 + 1; UNIT], n * UNIT as u64)
            .unwrap();
    }
    let recording = disk.recording();
    let outages = Outages::new(&recording, Sampling::default());
    let seen: BTreeSet<_> = outages.map(|(_, image)| units(image, 4)).collect();
    let all = (0..16_u8).map(|set| (0..4).map(|n| (set >> n & 1) * (n + 1)).collect());
    assert_eq!(seen, all.collect::<BTreeSet<Vec<u8>>>());
}

#[test]
fn a_write_is_torn_at_units_and_granules_and_overlapping_ones_are_swapped() {
    let disk = recorded();
    disk.write_at(&[1; 16 * UNIT], 0).unwrap();
    disk.write_at(&[2; 9 * UNIT], 8 * UNIT as u64).unwrap();
    let recording = disk.recording();
    let seen: BTreeSet<_> = Outages::new(&recording, Sampling::default())
        .map(|(_, image)| units(image, 17))
        .collect();
    let of = |runs: &[(u8, usize)]| -> Vec<u8> {
        let run = |&(value, n): &(u8, usize)| std::iter::repeat_n(value, n);
        runs.iter().flat_map(run).collect()
    };
    for expected in [
        of(&[(0, 17)]),
        of(&[(1, 16), (0, 1)]),
        of(&[(1, 8), (2, 9)]),
        of(&[(0, 8), (2, 9)]),
        // The first one arrives last.
        of(&[(1, 16), (2, 1)]),
        // Torn at 4 KiB.
        of(&[(1, 8), (0, 9)]),
        of(&[(0, 8), (1, 8), (0, 1)]),
        // Every other unit.
        [1, 0].repeat(9)[..16].iter().copied().chain([0]).collect(),
        [0, 1].repeat(8).into_iter().chain([0]).collect(),
    ] {
        assert!(seen.contains(&expected), "{expected:?} of {seen:?}");
    }
}

/// Some writes, discards, reservations and syncs, each write of one value.
fn random(seed: u64) -> Recording {
    let (disk, mut rng) = (recorded(), Rng::with_seed(seed));
    for value in 1..60 {
        let (at, len) = (rng.u64(..40) * UNIT as u64, rng.usize(1..20) * UNIT);
        match rng.u8(..8) {
            0 => disk.sync().unwrap(),
            1 => disk.reserve(Extent::new(at, len as u64)).unwrap(),
            2 => disk.discard(Extent::new(at, len as u64)).unwrap(),
            _ => disk.write_at(&vec![value; len], at).unwrap(),
        }
    }
    disk.recording()
}

#[test]
fn what_was_synced_stays_and_an_outage_can_be_repeated() {
    for seed in 0..6 {
        let recording = random(seed);
        let sampling = Sampling {
            seed,
            ..Sampling::default()
        };
        let (mut tried, mut positions) = (0, BTreeSet::new());
        for (outage, image) in Outages::new(&recording, sampling) {
            let found = units(image, 60);
            assert_eq!(found, units(outage.image(&recording), 60), "{outage}");
            let durable = Recording {
                base: recording.base.clone(),
                requests: recording.requests[..outage.synced()].to_vec(),
            };
            // A unit that nothing open touches is as it was synced.
            let synced = units(durable.image(), 60);
            let open = &recording.requests[outage.synced()..outage.position];
            for (unit, value) in found.iter().enumerate() {
                let extent = Extent::new((unit * UNIT) as u64, UNIT as u64);
                let touched = open
                    .iter()
                    .any(|r| r.changes() && r.extent().overlaps(&extent));
                assert!(touched || *value == synced[unit], "unit {unit}: {outage}");
            }
            positions.insert(outage.position);
            tried += 1;
        }
        let again = Outages::new(&recording, sampling);
        assert_eq!(again.count(), tried);
        let changes = recording.requests.iter().filter(|r| r.changes()).count();
        assert!(
            positions.len() > changes && tried > 4 * changes,
            "{tried} images"
        );
        let sparse = Outages::new(&recording, Sampling::sparse(seed, 3));
        assert!(sparse.count() <= 3 * positions.len());
        assert_eq!(Outages::new(&recording, sampling).remaining(), tried);
        let one_in = 10;
        let tenth = Outages::new(&recording, Sampling { one_in, ..sampling }).count();
        assert!(
            (tried / 20..tried / 5).contains(&tenth),
            "{tenth} of {tried}"
        );
    }
}

#[test]
fn the_whole_recording_kept_is_what_the_disk_holds() {
    let recording = random(9);
    let everything = Outages::new(&recording, Sampling::default())
        .filter(|(o, _)| o.position == recording.requests.len())
        .find(|(o, _)| o.fates.iter().all(|f| *f == Fate::Kept) && !o.reversed);
    let (outage, image) = everything.unwrap();
    assert_eq!(units(image, 60), units(recording.image(), 60));
    assert!(outage.to_string().starts_with("power lost after "));
}

fn read(disk: &dyn Disk, unit: u64) -> Vec<u8> {
    let mut bytes = vec![0; UNIT];
    disk.read_at(&mut bytes, unit * UNIT as u64).unwrap();
    bytes
}

#[test]
fn lies_are_told_once_and_the_disk_goes_on() {
    let disk = recorded();
    disk.inject(OpKind::Read, 1000, false, Fault::Stale);
    for unit in 0..8 {
        disk.write_at(&[unit as u8; UNIT], unit * UNIT as u64)
            .unwrap();
    }
    disk.write_at(&[99; UNIT], 2 * UNIT as u64).unwrap();
    disk.heal();
    disk.inject(OpKind::Read, 0, false, Fault::Stale);
    assert_eq!(read(&disk, 2), [2; UNIT]);
    assert_eq!(read(&disk, 2), [99; UNIT]);
    disk.inject(OpKind::Read, 0, false, Fault::Flip { seed: 3 });
    let flipped = read(&disk, 3);
    let differing = flipped.iter().map(|b| (b ^ 3).count_ones()).sum::<u32>();
    assert_eq!(differing, 1);
    disk.inject(OpKind::Read, 0, false, Fault::Misdirect { seed: 3 });
    assert_ne!(read(&disk, 3), [3; UNIT]);
    disk.inject(OpKind::Write, 0, false, Fault::Lost);
    disk.write_at(&[77; UNIT], 3 * UNIT as u64).unwrap();
    assert_eq!(read(&disk, 3), [3; UNIT]);
    disk.inject(OpKind::Write, 0, false, Fault::Misdirect { seed: 1 });
    disk.write_at(&[77; UNIT], 3 * UNIT as u64).unwrap();
    assert_eq!(read(&disk, 3), [3; UNIT]);
    assert_eq!((0..8).filter(|u| read(&disk, *u) == [77; UNIT]).count(), 1);
    disk.inject(OpKind::Write, 0, false, Fault::Flip { seed: 1 });
    disk.write_at(&[55; UNIT], 0).unwrap();
    assert!(read(&disk, 0) != [55; UNIT]);
    assert_eq!(disk.recording().image().len(), 8 * UNIT as u64);
}

#[test]
fn a_lost_sync_makes_nothing_durable_and_a_full_disk_says_so() {
    let disk = recorded();
    disk.write_at(&[1; UNIT], 0).unwrap();
    disk.inject(OpKind::Sync, 0, false, Fault::Lost);
    disk.sync().unwrap();
    let recording = disk.recording();
    let nothing = |(_, image): (_, RamImage)| units(image, 1) == [0];
    assert!(
        Outages::new(&recording, Sampling::default())
            .skip(1)
            .any(nothing)
    );
    disk.sync().unwrap();
    let (last, image) = Outages::new(&disk.recording(), Sampling::default())
        .last()
        .unwrap();
    assert_eq!((last.fates.len(), units(image, 1)), (0, vec![1]));
    disk.inject(OpKind::Reserve, 0, true, Fault::Full);
    for _ in 0..2 {
        let refused = disk.reserve(Extent::new(0, 4096));
        assert!(matches!(
            refused,
            Err(cawdb_disk::Error::Full { wanted: 4096, .. })
        ));
    }
}

#[test]
fn an_image_decays_bit_by_bit() {
    let disk = RamDisk::new();
    disk.write_at(&[0; UNIT], 0).unwrap();
    let mut image = disk.image();
    image.flip(5, 3);
    image.flip(1 << 20, 0);
    assert_eq!(image.len(), UNIT as u64);
    let bytes = read(&RamDisk::from_image(image), 0);
    assert_eq!(
        (bytes[5], bytes.iter().filter(|b| **b != 0).count()),
        (8, 1)
    );
}
