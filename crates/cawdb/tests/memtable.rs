//! The memtable against a history that is replayed up to a sequence number.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use cawdb_node::{Key, KeyRange, MemRun, Message};
use fastrand::Rng;
use memtable::{Cuts, Lookup, MemOp, Memtable};
use std::collections::BTreeMap;
use std::ops::Bound;

#[path = "../src/memtable.rs"]
mod memtable;

/// What lies below the memtable in the naive twin: every key has some value there.
fn below(key: &[u8]) -> Vec<u8> {
    [b"below ", key].concat()
}

fn key(n: u8) -> Key {
    // Prefixes of each other, too.
    let text = format!("{:b}", n / 2 + 1);
    Key::from(if n.is_multiple_of(2) {
        text
    } else {
        text + "/"
    })
}

fn any_key(rng: &mut Rng) -> Key {
    key(rng.u8(0..40))
}

fn any_range(rng: &mut Rng) -> KeyRange {
    let (lo, hi) = (any_key(rng), any_key(rng));
    match rng.u8(0..10) {
        0 => KeyRange { lo, hi: None },
        1 => KeyRange {
            lo: Key::new(),
            hi: Some(hi),
        },
        2 => KeyRange { lo, hi: Some(hi) },
        _ => KeyRange {
            lo: lo.clone().min(hi.clone()),
            hi: Some(lo.max(hi)),
        },
    }
}

fn any_op(rng: &mut Rng) -> MemOp {
    let bytes = Bytes::from(vec![rng.u8(..); rng.usize(0..12)]);
    let key = any_key(rng);
    match rng.u8(0..10) {
        0..=2 => MemOp::Point(key, Message::Put(bytes)),
        3 => MemOp::Point(key, Message::Delete),
        4..=7 => MemOp::Point(key, Message::patch(rng.u32(0..20), bytes)),
        _ => MemOp::DeleteRange(any_range(rng)),
    }
}

type Map = BTreeMap<Key, Vec<u8>>;

/// The whole state at `seq`, over what is below.
fn replay(history: &[(u64, Vec<MemOp>)], seq: u64) -> Map {
    let mut map: Map = (0..40).map(|n| (key(n), below(&key(n)))).collect();
    for (_, ops) in history.iter().filter(|(s, _)| *s <= seq) {
        for op in ops {
            match op {
                MemOp::Point(key, Message::Put(value)) => {
                    map.insert(key.clone(), value.to_vec());
                }
                MemOp::Point(key, Message::Delete) => {
                    map.remove(key);
                }
                MemOp::Point(key, Message::Patch(patch)) => {
                    let value = map.entry(key.clone()).or_default();
                    for (offset, bytes) in patch.pieces() {
                        let (from, to) = (*offset as usize, *offset as usize + bytes.len());
                        value.resize(value.len().max(to), 0);
                        value[from..to].copy_from_slice(bytes);
                    }
                }
                MemOp::First(..) => panic!("every key has a value below"),
                MemOp::DeleteRange(range) => map.retain(|key, _| !range.contains(key)),
            }
        }
    }
    map
}

/// The value of a key once a message lies over what is below.
fn shown(key: &Key, message: Message) -> Option<Vec<u8>> {
    message
        .over(Message::Put(below(key).into()))
        .resolve()
        .map(Into::into)
}

/// Messages and delete-ranges, as a scan gets them, laid over what is below.
fn lay(points: &[(Key, Message)], deletes: &[KeyRange]) -> Map {
    let mut map: Map = (0..40).map(|n| (key(n), below(&key(n)))).collect();
    map.retain(|key, _| !deletes.iter().any(|range| range.contains(key)));
    for (key, message) in points {
        let old = map
            .remove(key)
            .map_or(Message::Delete, |value| Message::Put(value.into()));
        if let Some(value) = message.clone().over(old).resolve() {
            map.insert(key.clone(), value.into());
        }
    }
    map
}

fn batches(table: &Memtable, seq: u64, reverse: bool, rng: &mut Rng) -> Vec<(Key, Message)> {
    let mut all: Vec<(Key, Message)> = Vec::new();
    loop {
        let last = all
            .last()
            .map_or(Bound::Unbounded, |(key, _)| Bound::Excluded(&key[..]));
        let (lo, hi) = if reverse {
            (Bound::Unbounded, last)
        } else {
            (last, Bound::Unbounded)
        };
        let max = rng.usize(1..5);
        let more = table.next_batch(lo, hi, reverse, seq, max);
        assert!(more.len() <= max);
        if more.is_empty() {
            break;
        }
        all.extend(more);
    }
    if reverse {
        all.reverse();
    }
    assert!(all.windows(2).all(|w| w[0].0 < w[1].0));
    all
}

fn check(table: &Memtable, history: &[(u64, Vec<MemOp>)], seq: u64, rng: &mut Rng, hint: &str) {
    let map = replay(history, seq);
    let deletes = table.delete_ranges(&KeyRange::all(), seq);
    assert!(
        deletes
            .windows(2)
            .all(|w| w[0].hi.as_ref().is_some_and(|hi| *hi < w[1].lo))
    );
    for key in (0..40).map(key) {
        let found = match table.get(&key, seq) {
            Lookup::Found(message) => shown(&key, message),
            Lookup::Covered => None,
            Lookup::Nothing => Some(below(&key)),
        };
        assert_eq!(found.as_ref(), map.get(&key), "{hint}: {key:?} at {seq}");
    }
    let points = batches(table, seq, false, rng);
    assert_eq!(points, batches(table, seq, true, rng), "{hint}");
    assert_eq!(lay(&points, &deletes), map, "{hint} at {seq}");
    let range = any_range(rng);
    for deleted in table.delete_ranges(&range, seq) {
        assert!(
            range.covers(&deleted) && !deleted.is_empty(),
            "{hint}: {deleted:?} in {range:?}"
        );
    }
    for key in (0..40).map(key).filter(|key| range.contains(key)) {
        let here = table
            .delete_ranges(&range, seq)
            .iter()
            .any(|r| r.contains(&key));
        assert_eq!(
            here,
            deletes.iter().any(|r| r.contains(&key)),
            "{hint}: {key:?}"
        );
    }
}

fn history(rng: &mut Rng) -> Vec<(u64, Vec<MemOp>)> {
    let mut seq = 0;
    (0..rng.usize(0..40))
        .map(|_| {
            seq += rng.u64(1..4);
            (seq, (0..rng.usize(1..6)).map(|_| any_op(rng)).collect())
        })
        .collect()
}

fn table_of(history: &[(u64, Vec<MemOp>)], rng: &mut Rng) -> Memtable {
    let table = Memtable::default();
    let mut order: Vec<usize> = (0..history.len()).collect();
    if rng.bool() {
        rng.shuffle(&mut order);
    }
    order
        .into_iter()
        .for_each(|i| table.insert(history[i].0, &history[i].1));
    table
}

#[test]
fn as_a_replayed_history() {
    for seed in 0..400 {
        let mut rng = Rng::with_seed(seed);
        let history = history(&mut rng);
        let table = table_of(&history, &mut rng);
        let newest = history.last().map_or(0, |(seq, _)| *seq);
        let changes: usize = history.iter().map(|(_, ops)| ops.len()).sum();
        assert_eq!(table.versions(), changes, "seed {seed}");
        for seq in [
            0,
            rng.u64(0..=newest),
            rng.u64(0..=newest),
            newest,
            u64::MAX,
        ] {
            check(&table, &history, seq, &mut rng, &format!("seed {seed}"));
        }
        let range = any_range(&mut rng);
        let touches = |op: &MemOp| match op {
            MemOp::Point(key, _) | MemOp::First(key, _) => range.contains(key),
            MemOp::DeleteRange(r) => !r.is_empty() && r.overlaps(&range),
        };
        let held = history.iter().flat_map(|(_, ops)| ops).any(touches);
        assert_eq!(table.holds(&range), held, "seed {seed}: {range:?}");
        let empty_range = |op: &MemOp| matches!(op, MemOp::DeleteRange(r) if r.is_empty());
        let empty = history.iter().flat_map(|(_, ops)| ops).all(empty_range);
        assert_eq!(
            (table.is_empty(), table.bytes() == 0),
            (empty, empty),
            "seed {seed}"
        );
    }
}

/// The smallest range around all that a run says; no end as a key above all others.
fn span(run: &MemRun) -> KeyRange {
    let above = |key: &Key| Key::from([key, &[0][..]].concat());
    let points = run
        .points()
        .iter()
        .map(|(key, _)| (key.clone(), above(key)));
    let end = |range: &KeyRange| range.hi.clone().unwrap_or(Key::from_static(&[0xff]));
    let ranges = run
        .ranges()
        .iter()
        .map(|range| (range.lo.clone(), end(range)));
    let all: Vec<_> = points.chain(ranges).collect();
    let (lo, hi) = (
        all.iter().map(|(lo, _)| lo).min(),
        all.iter().map(|(_, hi)| hi).max(),
    );
    KeyRange {
        lo: lo.unwrap().clone(),
        hi: hi.cloned(),
    }
}

#[test]
fn frozen_runs_are_the_newest_state() {
    for seed in 0..400 {
        let mut rng = Rng::with_seed(seed);
        let history = history(&mut rng);
        let table = table_of(&history, &mut rng);
        let mut bounds: Vec<Key> = (0..rng.usize(0..6)).map(|_| any_key(&mut rng)).collect();
        bounds.sort();
        let target_bytes = rng.u64(0..300);
        let cuts = Cuts {
            target_bytes,
            bounds: &bounds,
            bound_min_bytes: rng.u64(0..100),
        };
        let runs: Vec<MemRun> = table.freeze(cuts);
        let points: Vec<_> = runs.iter().flat_map(|run| run.points().to_vec()).collect();
        assert!(points.windows(2).all(|w| w[0].0 < w[1].0), "seed {seed}");
        let deletes: Vec<_> = runs
            .iter()
            .flat_map(|run| run.ranges().iter().cloned())
            .collect();
        assert!(
            deletes
                .windows(2)
                .all(|w| w[0].hi.as_ref().is_some_and(|hi| *hi <= w[1].lo))
        );
        assert_eq!(
            lay(&points, &deletes),
            replay(&history, u64::MAX),
            "seed {seed}"
        );
        // Runs do not reach into each other, points and delete-ranges together.
        let spans: Vec<KeyRange> = runs.iter().map(span).collect();
        assert!(
            spans.windows(2).all(|w| w[0].hi <= Some(w[1].lo.clone())),
            "seed {seed}: {spans:?}"
        );
        assert!(runs.iter().all(|run| !run.is_empty()), "seed {seed}");
        // No run has more than one point beyond the target.
        let most = target_bytes.max(1) + 100 + 40 * deletes.len() as u64;
        assert!(runs.iter().all(|run| run.bytes() <= most), "seed {seed}");
    }
}

#[test]
fn runs_end_at_bounds_once_they_are_long_enough() {
    let table = Memtable::default();
    let put = |n: u8| MemOp::Point(vec![n].into(), Message::Put(vec![n; 83].into()));
    table.insert(1, &(0..100).map(put).collect::<Vec<_>>());
    table.insert(2, &[MemOp::DeleteRange(KeyRange::new(vec![5], vec![95]))]);
    table.insert(3, &(10..90).map(put).collect::<Vec<_>>());
    let bounds = [
        Key::from(vec![12]),
        Key::from(vec![30, 1]),
        Key::from(vec![80]),
    ];
    let cuts = Cuts {
        target_bytes: 4000,
        bounds: &bounds,
        bound_min_bytes: 1000,
    };
    let runs = table.freeze(cuts);
    let firsts: Vec<u8> = runs.iter().map(|run| run.points()[0].0[0]).collect();
    // Too little for a cut at 12, and too late at 15; enough at 30.1 and 80, and at 71 the target.
    assert_eq!(firsts, [0, 31, 71], "{firsts:?}");
    let ranges: Vec<_> = runs
        .iter()
        .flat_map(|run| run.ranges().iter().cloned())
        .collect();
    let cut = [
        KeyRange::new(vec![5], vec![30, 1]),
        KeyRange::new(vec![30, 1], vec![71]),
        KeyRange::new(vec![71], vec![95]),
    ];
    assert_eq!(ranges, cut);
}

/// Others insert while it is frozen, before and behind what was looked at: none of that is in the runs, and all of it in the next one.
#[test]
fn what_comes_while_it_is_frozen_goes_to_the_next() {
    for seed in 0..20 {
        let mut rng = Rng::with_seed(seed);
        let key = |n: u32| Key::from(format!("{n:04}"));
        let put = |rng: &mut Rng, n: u64| {
            let value = Message::Put(n.to_string().into());
            MemOp::Point(key(rng.u32(0..2000)), value)
        };
        let (table, mut naive) = (Memtable::default(), BTreeMap::new());
        for n in 1..4000 {
            let op = put(&mut rng, n);
            table.insert(n, std::slice::from_ref(&op));
            if let MemOp::Point(key, message) = op {
                naive.insert(key, message);
            }
        }
        let next = table.begin_next().unwrap();
        assert!(table.begin_next().is_none(), "one at a time");
        let later = std::cell::RefCell::new((Vec::new(), rng));
        let insert = || {
            let (ops, rng) = &mut *later.borrow_mut();
            for _ in 0..50 {
                let n = 4000 + ops.len() as u64;
                let op = match rng.u8(0..20) {
                    0 => MemOp::DeleteRange(KeyRange::new(key(n as u32 % 2000), key(2000))),
                    _ => put(rng, n),
                };
                table.insert(n, std::slice::from_ref(&op));
                ops.push(op);
            }
            true
        };
        let cuts = Cuts {
            target_bytes: 2000,
            bounds: &[key(300), key(301), key(1200)],
            bound_min_bytes: 1000,
        };
        let runs = table.freeze_up_to(3999, cuts, 256, &insert).unwrap();
        table.end_next();
        table.insert(9999, &[MemOp::Point(key(0), Message::Delete)]);
        assert!(table.begin_next().is_some());
        let points = runs.iter().flat_map(|run| run.points().to_vec());
        assert!(points.eq(naive), "seed {seed}");
        assert!(runs.iter().all(|run| run.ranges().is_empty()) && runs.len() > 10);
        let (ops, _) = later.into_inner();
        assert!(ops.len() > 200, "it was interrupted");
        let twin = Memtable::default();
        (4000..)
            .zip(&ops)
            .for_each(|(n, op)| twin.insert(n, std::slice::from_ref(op)));
        let all = |table: &Memtable| {
            let points = table.next_batch(Bound::Unbounded, Bound::Unbounded, false, 9999, 4000);
            (points, table.delete_ranges(&KeyRange::all(), 9999))
        };
        assert_eq!(all(&next), all(&twin), "seed {seed}");
    }
}

#[test]
fn odd_bounds_give_nothing() {
    let table = Memtable::default();
    table.insert(1, &[MemOp::Point(Key::from("b"), Message::Delete)]);
    for (lo, hi) in [
        (Bound::Included(&b"c"[..]), Bound::Excluded(&b"b"[..])),
        (Bound::Excluded(&b"b"[..]), Bound::Excluded(&b"b"[..])),
        (Bound::Excluded(&b"b"[..]), Bound::Included(&b"b"[..])),
        (Bound::Included(&b"c"[..]), Bound::Included(&b"b"[..])),
    ] {
        assert_eq!(table.next_batch(lo, hi, false, 9, 9), []);
    }
    let only = (Bound::Included(&b"b"[..]), Bound::Included(&b"b"[..]));
    assert_eq!(table.next_batch(only.0, only.1, true, 9, 9).len(), 1);
    let backwards = KeyRange::new("c", "a");
    assert!(!table.holds(&backwards) && table.delete_ranges(&backwards, 9).is_empty());
}

/// What a memtable with these changes, a batch each, gives to the runs: keys with whether they are put, and delete-ranges.
fn frozen(ops: &[MemOp]) -> (Vec<(Key, bool)>, usize) {
    let table = Memtable::default();
    for (seq, op) in (1..).zip(ops) {
        table.insert(seq, std::slice::from_ref(op));
    }
    let cuts = Cuts {
        target_bytes: u64::MAX,
        bounds: &[],
        bound_min_bytes: 0,
    };
    let (mut points, mut ranges) = (Vec::new(), 0);
    for run in table.freeze(cuts) {
        let put = |(key, m): &(Key, Message)| (key.clone(), matches!(m, Message::Put(_)));
        points.extend(run.points().iter().map(put));
        ranges += run.ranges().len();
    }
    (points, ranges)
}

#[test]
fn what_came_where_nothing_was_and_went_leaves_nothing() {
    let (a, range) = (key(1), KeyRange::all());
    let value = || Message::Put(Bytes::from_static(b"value"));
    let first = || MemOp::First(a.clone(), value());
    let put = || MemOp::Point(a.clone(), value());
    let delete = || MemOp::Point(a.clone(), Message::Delete);
    let patch = || MemOp::Point(a.clone(), Message::patch(1, Bytes::from_static(b"x")));
    let cover = || MemOp::DeleteRange(range.clone());
    let (gone, kept) = ((vec![], 0), (vec![(a.clone(), true)], 0));
    let tombstone = (vec![(a.clone(), false)], 0);
    assert_eq!(frozen(&[first()]), kept);
    assert_eq!(frozen(&[first(), delete()]), gone);
    assert_eq!(frozen(&[first(), patch(), put(), delete()]), gone);
    assert_eq!(frozen(&[first(), delete(), first()]), kept);
    assert_eq!(frozen(&[first(), delete(), first(), delete()]), gone);
    assert_eq!(frozen(&[put(), delete()]), tombstone, "nobody said so");
    let older = [delete(), first(), delete()];
    assert_eq!(frozen(&older), tombstone, "there was something below");
    assert_eq!(frozen(&[cover(), first(), delete()]), (vec![], 1));
    assert_eq!(frozen(&[first(), cover()]), (vec![], 1));
    assert_eq!(frozen(&[first(), cover(), first(), delete()]), (vec![], 1));
}

#[test]
fn who_reads_an_older_state_sees_what_went_since() {
    let table = Memtable::default();
    let value = Message::Put(Bytes::from_static(b"value"));
    table.insert(1, &[MemOp::First(key(1), value.clone())]);
    table.insert(2, &[MemOp::Point(key(1), Message::Delete)]);
    assert_eq!(table.get(&key(1), 1), Lookup::Found(value));
    assert_eq!(table.get(&key(1), 2), Lookup::Found(Message::Delete));
}
