//! Table and superblock body: what is written comes back, one copy is enough, damage is an error.

use super::*;
use cawdb_disk::{Checksum, RamDisk};
use cawdb_node::{Key, KeyRange, RunId, Translation};
use cawdb_tree::MergeKey;
use fastrand::Rng;

const DATA: u64 = 1 << 20;

/// Numbers of all lengths.
fn number(rng: &mut Rng) -> u64 {
    rng.u64(..) >> rng.u32(..64)
}

fn extent(rng: &mut Rng) -> Extent {
    Extent::new(rng.u64(..1 << 40) * UNIT, rng.u64(1..1 << 20) * UNIT)
}

fn entry(rng: &mut Rng) -> Entry {
    let id = number(rng);
    match rng.u8(..5) {
        0 => Entry::Node(
            id,
            NodeRecord {
                count: rng.u32(..),
                height: rng.u8(..),
                extent: extent(rng),
                checksum: rng.u64(..),
            },
        ),
        1 => {
            let meta = RunMeta {
                len: rng.u64(1 << 32..),
                index_len: rng.u32(..),
                index_checksum: Checksum(rng.u64(..)),
                bytes: rng.u64(..),
                points: rng.u64(..),
                deletes: rng.u64(..),
                has_delete_ranges: rng.bool(),
            };
            let (count, shown) = (rng.u32(..), number(rng));
            let extent = extent(rng);
            Entry::Run(
                id,
                RunRecord {
                    count,
                    shown,
                    extent,
                    meta,
                },
            )
        }
        2 => Entry::NodeGone(id),
        3 => Entry::RunGone(id),
        _ => Entry::Merged(known(rng)),
    }
}

fn key(rng: &mut Rng, most: usize) -> Vec<u8> {
    (0..rng.usize(..=most)).map(|_| rng.u8(..3)).collect()
}

/// A merge with pieces that cover its range.
fn known(rng: &mut Rng) -> Known {
    let input = |rng: &mut Rng| {
        let tr = Translation::new(key(rng, 5), key(rng, 5));
        (RunId(rng.u64(1..1 << 40)), tr)
    };
    let inputs = (0..rng.usize(1..6)).map(|_| input(rng)).collect();
    let mut cuts: Vec<Option<Key>> = (0..rng.usize(2..6))
        .map(|_| Some(key(rng, 6).into()))
        .collect();
    cuts.push(rng.bool().then(|| vec![9; 7].into()));
    cuts.sort_by_key(|cut| (cut.is_none(), cut.clone()));
    cuts.dedup();
    let pieces: Vec<_> = cuts
        .windows(2)
        .map(|ends| {
            let (lo, hi) = (ends[0].clone().unwrap(), ends[1].clone());
            let run = rng.bool().then(|| RunId(rng.u64(1 << 40..1 << 50)));
            (KeyRange { lo, hi }, run)
        })
        .collect();
    let range = KeyRange {
        lo: pieces[0].0.lo.clone(),
        hi: pieces[pieces.len() - 1].0.hi.clone(),
    };
    let bottom = rng.bool();
    Known {
        key: MergeKey {
            inputs,
            range,
            bottom,
        },
        pieces,
    }
}

fn twice(rng: &mut Rng) -> Twice {
    let copies = [extent(rng), extent(rng)];
    Twice {
        copies,
        len: rng.u64(..=copies[0].len.min(copies[1].len)),
        generation: number(rng),
    }
}

fn body(rng: &mut Rng) -> Body {
    Body {
        seq: number(rng),
        journal: number(rng),
        next_ids: (number(rng), number(rng)),
        compression: rng.u8(..3),
        root: (rng.u8(..), extent(rng), rng.u64(..)),
        base: twice(rng),
        deltas: (0..rng.usize(..=MAX_DELTAS)).map(|_| twice(rng)).collect(),
        upkeep: Upkeep {
            fresh_from: number(rng),
            sweep: rng.bool().then(|| Position {
                height: rng.u8(..),
                id: number(rng),
                slot: rng.u32(..),
                again: rng.bool(),
            }),
        },
    }
}

#[test]
fn random_entries_and_bodies_come_back() {
    for seed in 0..500 {
        let mut rng = Rng::with_seed(seed);
        let entries: Vec<_> = (0..rng.usize(..40)).map(|_| entry(&mut rng)).collect();
        let decoded = decode_entries(&encode_entries(&entries)).unwrap();
        assert_eq!(decoded, entries, "seed {seed}");
        let body = body(&mut rng);
        assert_eq!(Body::decode(&body.encode()).unwrap(), body, "seed {seed}");
    }
}

#[test]
fn merges_that_make_no_sense_are_passed_over() {
    let mut rng = Rng::with_seed(8);
    let good = loop {
        let known = known(&mut rng);
        if known.pieces.len() > 2 && known.pieces[0].1.is_some() {
            break known;
        }
    };
    let spoil: [fn(&mut Known); 5] = [
        |known| known.key.inputs.clear(),
        |known| known.pieces.clear(),
        |known| known.pieces[0].1 = Some(known.key.inputs[0].0),
        |known| known.pieces[0].0.hi = Some(known.pieces[0].0.lo.clone()),
        |known| known.pieces[0].0.hi = None,
    ];
    let gone = Entry::RunGone(7);
    for spoil in spoil {
        let mut known = good.clone();
        spoil(&mut known);
        let entries = [Entry::Merged(known), gone.clone()];
        let decoded = decode_entries(&encode_entries(&entries)).unwrap();
        assert_eq!(decoded, std::slice::from_ref(&gone));
    }
}

#[test]
fn a_body_of_the_version_before_is_read() {
    let body = Body {
        upkeep: Upkeep::NONE,
        ..body(&mut Rng::with_seed(5))
    };
    let mut bytes = body.encode();
    bytes[0] = BODY_WITHOUT_UPKEEP;
    let mut upkeep = Writer::new();
    put_upkeep(&mut upkeep, &body.upkeep);
    bytes.truncate(bytes.len() - upkeep.as_slice().len());
    let expected = Body {
        upkeep: Upkeep::ALL,
        ..body
    };
    assert_eq!(Body::decode(&bytes).unwrap(), expected);
}

#[test]
fn a_body_that_knows_of_whole_nodes_only_is_read() {
    let at = |slot| Position {
        height: 2,
        id: 77,
        slot,
        again: true,
    };
    let upkeep = |slot| Upkeep {
        fresh_from: 80,
        sweep: Some(at(slot)),
    };
    let body = Body {
        upkeep: upkeep(0),
        ..body(&mut Rng::with_seed(6))
    };
    let mut bytes = body.encode();
    bytes[0] = BODY_WITHOUT_SLOT;
    assert_eq!(bytes.pop(), Some(0));
    assert_eq!(Body::decode(&bytes).unwrap(), body);
}

#[test]
fn the_largest_body_fits_its_superblock() {
    let (offset, len) = ((1 << 62) - (1 << 50), 1 << 50);
    let far = Extent::checked(offset, len).unwrap();
    let table = Twice {
        copies: [far; 2],
        len,
        generation: u64::MAX,
    };
    let body = Body {
        seq: u64::MAX,
        journal: u64::MAX,
        next_ids: (u64::MAX, u64::MAX),
        compression: 2,
        root: (u8::MAX, far, u64::MAX),
        base: table,
        deltas: vec![table; MAX_DELTAS],
        upkeep: Upkeep {
            fresh_from: u64::MAX,
            sweep: Some(Position {
                slot: u32::MAX,
                ..Position::TOP
            }),
        },
    };
    let bytes = body.encode().len();
    assert!(bytes <= cawdb_disk::superblock::MAX_BODY, "{bytes} bytes");
}

#[test]
fn any_bytes_are_survived() {
    for seed in 0..2000 {
        let mut rng = Rng::with_seed(seed);
        let mut bytes = encode_entries(&[entry(&mut rng), entry(&mut rng)]);
        let mut superblock = body(&mut rng).encode();
        for bad in [&mut bytes, &mut superblock] {
            let at = rng.usize(..bad.len());
            bad[at] = rng.u8(..);
            bad.truncate(rng.usize(..=bad.len()));
        }
        // Only the form is checked here: a changed number is found by the checksum around it.
        let _ = (decode_entries(&bytes), Body::decode(&superblock));
    }
    assert!(Body::decode(&[]).is_err() && decode_entries(&[5, 1]).is_err());
    let mut long = body(&mut Rng::with_seed(1)).encode();
    long.push(0);
    assert!(Body::decode(&long).is_err(), "a byte too many");
}

#[test]
fn one_good_copy_is_enough_and_none_is_damage() {
    let disk = RamDisk::new();
    let space = Arc::new(SpaceMap::new(DATA, None).unwrap());
    let mut rng = Rng::with_seed(3);
    let entries: Vec<_> = (0..100).map(|_| entry(&mut rng)).collect();
    let written = write_table(&disk, &space, 7, &entries).unwrap();
    let [a, b] = written.twice.copies;
    assert!(!a.overlaps(&b));
    assert_eq!(
        read_table(&disk, &written.twice).unwrap(),
        (entries.clone(), None)
    );

    let stale = Twice {
        generation: 8,
        ..written.twice
    };
    assert!(read_table(&disk, &stale).is_err(), "of another checkpoint");
    let beyond = Twice {
        copies: [Extent::new(1 << 40, 1 << 40); 2],
        len: 1 << 40,
        generation: 7,
    };
    assert!(read_table(&disk, &beyond).is_err(), "beyond the end");

    disk.write_at(&[0xff; 1], a.offset + 40).unwrap();
    let (found, lost) = read_table(&disk, &written.twice).unwrap();
    assert_eq!(found, entries);
    assert!(lost.unwrap().contains("copy 0 of the node table at "));
    disk.write_at(&[0xff; 1], b.offset + 50).unwrap();
    let both = read_table(&disk, &written.twice);
    let Err(Error::Corrupt(what)) = both else {
        panic!("{both:?}");
    };
    assert!(what.starts_with("both copies of the node table"), "{what}");
}
