//! The allocator against a bitmap, places, and the room that a file takes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use cawdb_disk::space::{Reserved, SpaceStats};
use cawdb_disk::{Class, Disk, Error, Extent, GRANULE, Place, RamDisk, SpaceMap, UNIT};
use fastrand::Rng;
use std::sync::Arc;

const DATA: u64 = 8 * GRANULE;

#[derive(Clone, Copy, PartialEq)]
enum Unit {
    Free,
    Allocated,
    Limbo(u64),
}

/// The naive twin: what each unit of the data area is.
struct Bitmap {
    units: Vec<Unit>,
    cut: u64,
}

impl Bitmap {
    fn of(&mut self, e: Extent) -> &mut [Unit] {
        &mut self.units[((e.offset - DATA) / UNIT) as usize..((e.end() - DATA) / UNIT) as usize]
    }

    fn count(&self, which: impl Fn(Unit) -> bool) -> u64 {
        self.units.iter().filter(|&&u| which(u)).count() as u64 * UNIT
    }

    fn stats(&self) -> SpaceStats {
        let runs = self.units.split(|&u| u != Unit::Free);
        SpaceStats {
            allocated: self.count(|u| u == Unit::Allocated),
            limbo: self.count(|u| matches!(u, Unit::Limbo(_))),
            free: self.count(|u| u == Unit::Free),
            longest_free: runs.map(|run| run.len() as u64 * UNIT).max().unwrap_or(0),
            end: DATA
                + self
                    .units
                    .iter()
                    .rposition(|&u| u != Unit::Free)
                    .map_or(0, |i| i as u64 + 1)
                    * UNIT,
        }
    }

    fn blocks(&self) -> u64 {
        let granules = self.units.chunks((GRANULE / UNIT) as usize);
        granules
            .filter(|g| g.iter().any(|&u| u != Unit::Free))
            .count() as u64
            * GRANULE
    }

    /// The length of the shortest free run that fits.
    fn best_fit(&self, len: u64) -> Option<u64> {
        let runs = self
            .units
            .split(|&u| u != Unit::Free)
            .map(|run| run.len() as u64 * UNIT);
        runs.filter(|&run| run >= len).min()
    }
}

fn random_len(rng: &mut Rng) -> u64 {
    UNIT * match rng.u8(0..10) {
        0..=5 => rng.u64(1..20),
        6..=8 => rng.u64(1..300),
        _ => rng.u64(1..3000),
    }
}

/// Allocates in both; none if there is no room in either.
fn allocate(map: &SpaceMap, model: &mut Bitmap, len: u64, seed: u64) -> Option<Extent> {
    match map.allocate(len, Class::Checkpoint) {
        Ok(e) => {
            assert_eq!(e.len, len);
            assert!(model.of(e).iter().all(|&u| u == Unit::Free), "seed {seed}");
            model.of(e).fill(Unit::Allocated);
            Some(e)
        }
        Err(Error::Full { wanted, free }) => {
            assert_eq!((wanted, free), (len, model.stats().free));
            assert_eq!(model.best_fit(len), None, "seed {seed}: there was room");
            None
        }
        Err(e) => panic!("seed {seed}: {e}"),
    }
}

#[test]
fn as_a_bitmap() {
    for seed in 0..40 {
        println!("seed {seed}");
        let mut rng = Rng::with_seed(seed);
        let units = rng.usize(1..2000) * (GRANULE / UNIT) as usize;
        let map = SpaceMap::new(DATA, Some(DATA + units as u64 * UNIT)).unwrap();
        let mut model = Bitmap {
            units: vec![Unit::Free; units],
            cut: 0,
        };
        let (disk, mut live) = (RamDisk::new(), Vec::<Extent>::new());
        for _ in 0..1500 {
            match rng.u8(0..20) {
                0..=9 => {
                    let len = random_len(&mut rng);
                    live.extend(allocate(&map, &mut model, len, seed));
                }
                10..=15 if !live.is_empty() => {
                    let e = live.swap_remove(rng.usize(..live.len()));
                    let persistent = rng.bool();
                    map.release(e, persistent).unwrap();
                    let cut = model.cut;
                    model.of(e).fill(if persistent {
                        Unit::Limbo(cut)
                    } else {
                        Unit::Free
                    });
                    assert!(
                        map.release(e, persistent).is_err(),
                        "seed {seed}: released twice"
                    );
                }
                16 => {
                    model.cut += 1;
                    assert_eq!(map.cut(), model.cut);
                }
                17 => {
                    let cut = rng.u64(0..=model.cut);
                    let goes = |u| matches!(u, Unit::Limbo(c) if c < cut);
                    assert_eq!(map.durable(cut), model.count(goes));
                    model
                        .units
                        .iter_mut()
                        .filter(|u| goes(**u))
                        .for_each(|u| *u = Unit::Free);
                }
                18 => {
                    map.punch(&disk, rng.u64(0..1 << 20)).unwrap();
                }
                _ => {
                    let at = rng.usize(0..units);
                    let e = Extent::new(DATA + at as u64 * UNIT, UNIT * rng.u64(1..9));
                    let inside = e.end() <= DATA + units as u64 * UNIT;
                    let free = inside && model.of(e).iter().all(|&u| u == Unit::Free);
                    assert_eq!(map.mark_used(e).is_ok(), free, "seed {seed}");
                    if free {
                        model.of(e).fill(Unit::Allocated);
                        live.push(e);
                    }
                }
            }
            assert_eq!(map.stats(), model.stats(), "seed {seed}");
            assert_eq!(map.allocated_blocks(), model.blocks(), "seed {seed}");
        }
    }
}

#[test]
fn a_punched_store_occupies_just_its_blocks() {
    for seed in 0..30 {
        println!("seed {seed}");
        let mut rng = Rng::with_seed(seed);
        let (map, disk) = (SpaceMap::new(DATA, None).unwrap(), RamDisk::new());
        let mut live = Vec::new();
        for _ in 0..300 {
            if live.is_empty() || rng.u8(0..5) < 3 {
                let e = map.allocate(random_len(&mut rng), Class::User).unwrap();
                let fill = rng.u8(..);
                disk.write_at(&vec![fill; e.len as usize], e.offset)
                    .unwrap();
                live.push((e, fill));
            } else {
                let (e, _) = live.swap_remove(rng.usize(..live.len()));
                map.release(e, rng.bool()).unwrap();
            }
            if rng.u8(0..10) == 0 {
                map.durable(map.cut());
                while map.punch(&disk, 1 + rng.u64(0..100_000)).unwrap() > 0 {}
                assert_eq!(disk.occupied(), Some(map.allocated_blocks()), "seed {seed}");
            }
        }
        for (e, fill) in &live {
            let mut bytes = vec![0; e.len as usize];
            disk.read_at(&mut bytes, e.offset).unwrap();
            assert!(
                bytes.iter().all(|b| b == fill),
                "seed {seed}: punched live data"
            );
        }
        // As after a crash: a new map knows what is used, not what was punched.
        disk.write_at(&[1; 40_000], map.end() + 10_000).unwrap();
        let again = SpaceMap::new(DATA, None).unwrap();
        live.iter().for_each(|(e, _)| again.mark_used(*e).unwrap());
        again.mark_unpunched(disk.len());
        while again.punch(&disk, u64::MAX).unwrap() > 0 {}
        assert_eq!(
            disk.occupied(),
            Some(again.allocated_blocks()),
            "seed {seed}"
        );
    }
}

#[test]
fn classes_leave_what_is_reserved() {
    let map = SpaceMap::new(DATA, Some(DATA + 100 * GRANULE)).unwrap();
    map.set_reserved(Reserved {
        background: 20 * GRANULE,
        checkpoint: 10 * GRANULE,
    });
    assert_eq!(map.free_for(Class::User), 70 * GRANULE);
    map.allocate(70 * GRANULE, Class::User).unwrap();
    assert!(matches!(
        map.allocate(UNIT, Class::User),
        Err(Error::Full { free: 0, .. })
    ));
    map.allocate(20 * GRANULE, Class::Background).unwrap();
    assert!(map.allocate(UNIT, Class::Background).is_err());
    map.allocate(10 * GRANULE, Class::Checkpoint).unwrap();
    assert!(map.allocate(UNIT, Class::Checkpoint).is_err());
}

#[test]
fn small_extents_keep_together() {
    let map = SpaceMap::new(DATA, None).unwrap();
    let mut small = Vec::new();
    for _ in 0..50 {
        small.push(map.allocate(4096, Class::User).unwrap().offset);
        map.allocate(4 << 20, Class::User).unwrap();
    }
    assert!(small.windows(2).all(|w| w[1] == w[0] + 4096), "{small:?}");
}

#[test]
fn the_limit_moves_over_free_space_only() {
    let map = SpaceMap::new(DATA, Some(DATA + 100 * GRANULE)).unwrap();
    map.allocate(50 * GRANULE, Class::User).unwrap();
    assert!(map.set_limit(DATA + 49 * GRANULE).is_err() && map.set_limit(0).is_err());
    map.set_limit(DATA + 50 * GRANULE + 5).unwrap();
    assert_eq!((map.free_bytes(), map.limit()), (0, DATA + 50 * GRANULE));
    map.set_limit(DATA + 60 * GRANULE).unwrap();
    map.allocate(10 * GRANULE, Class::User).unwrap();
    assert!(SpaceMap::new(DATA + 1, None).is_err() && SpaceMap::new(DATA, Some(0)).is_err());
}

#[test]
fn hostile_extents_are_refused() {
    let map = SpaceMap::new(DATA, Some(1 << 20)).unwrap();
    for (offset, len) in [
        (0, 512),
        (DATA, 0),
        (DATA + 1, 512),
        (u64::MAX, 512),
        (1 << 20, 512),
    ] {
        let e = Extent::new(offset, len);
        assert!(
            map.mark_used(e).is_err() && map.release(e, true).is_err(),
            "{e}"
        );
    }
    assert!(matches!(
        map.allocate(100, Class::User),
        Err(Error::Invalid(_))
    ));
}

#[test]
fn a_place_releases_once_in_its_way() {
    let space = Arc::new(SpaceMap::new(DATA, Some(1 << 20)).unwrap());
    let place = |len| Place::new(space.allocate(len, Class::User).unwrap(), 42, space.clone());
    let shared = Arc::new(place(512));
    let other = shared.clone();
    assert_eq!(
        (other.checksum(), other.extent().len, other.is_persistent()),
        (42, 512, false)
    );
    drop(shared);
    assert_eq!(space.allocated_bytes(), 512);
    drop(other);
    assert_eq!((space.allocated_bytes(), space.limbo_bytes()), (0, 0));
    let durable = place(1024);
    durable.mark_persistent();
    drop(durable);
    assert_eq!((space.allocated_bytes(), space.limbo_bytes()), (0, 1024));
    let kept = place(2048).into_kept();
    assert_eq!(space.allocated_bytes(), 2048);
    space.release(kept, false).unwrap();
}

#[test]
#[should_panic(expected = "two owners")]
fn two_owners_of_one_extent_are_a_crash() {
    let space = Arc::new(SpaceMap::new(DATA, None).unwrap());
    let extent = space.allocate(512, Class::User).unwrap();
    drop(Place::new(extent, 0, space.clone()));
    drop(Place::new(extent, 0, space));
}

#[test]
fn allocation_waits_for_what_is_being_punched() {
    let space = Arc::new(SpaceMap::new(DATA, Some(DATA + 64 * GRANULE)).unwrap());
    let disk = Arc::new(RamDisk::new());
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for _ in 0..2000 {
                space.punch(&*disk, u64::MAX).unwrap();
            }
        });
        for _ in 0..2000 {
            let all = space.allocate(64 * GRANULE, Class::User).unwrap();
            space.release(all, false).unwrap();
        }
    });
}
