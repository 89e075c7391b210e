//! Everything a run can be asked but cursors.

use super::*;
use mem::{RANGE_BYTES, just_above, point_bytes};

fn probe(rng: &mut Rng, size: Size, model: &Model) -> Key {
    if model.points.is_empty() || rng.bool() {
        return random_key(rng, size.key + 1);
    }
    model
        .points
        .keys()
        .nth(rng.usize(..model.points.len()))
        .unwrap()
        .clone()
}

#[test]
fn get() {
    for_random_runs(|rng, name, size, model, memory, disk| {
        for _ in 0..200 {
            let key = probe(rng, size, model);
            let covered = model.ranges.covers_key(&key).then_some(Message::Delete);
            let want = model.points.get(&key).cloned().or(covered);
            assert_eq!(memory.get(&key).unwrap(), want, "{name}: {key:?}");
            assert_eq!(disk.get(&key).unwrap(), want, "{name}: {key:?}");
        }
    });
}

impl Model {
    fn within<'a>(&'a self, range: &'a KeyRange) -> impl Iterator<Item = (&'a Key, &'a Message)> {
        self.points.iter().filter(|(k, _)| range.contains(k))
    }
    fn bytes(&self, range: &KeyRange) -> u64 {
        let points: u64 = self.within(range).map(|(k, m)| point_bytes(k, m)).sum();
        points + self.ranges.overlapping(range).len() as u64 * RANGE_BYTES
    }
    fn span(&self, range: &KeyRange) -> Option<KeyRange> {
        let mut parts = self.ranges.clip(range);
        parts.extend(
            self.within(range)
                .map(|(k, _)| KeyRange::new(k.clone(), just_above(k))),
        );
        let lo = parts.iter().map(|r| r.lo.clone()).min()?;
        let open = parts.iter().any(|r| r.hi.is_none());
        let hi = parts.into_iter().filter_map(|r| r.hi).max();
        Some(KeyRange {
            lo,
            hi: hi.filter(|_| !open),
        })
    }
}

#[test]
fn totals() {
    for_random_runs(|_, name, _, model, memory, disk| {
        let deletes = model
            .points
            .values()
            .filter(|m| **m == Message::Delete)
            .count() as u64;
        for run in [memory, disk] {
            assert_eq!(run.bytes(), model.bytes(&KeyRange::all()), "{name}");
            assert_eq!(
                run.estimate(&KeyRange::all()).unwrap(),
                run.bytes(),
                "{name}"
            );
            assert_eq!(run.points(), model.points.len() as u64, "{name}");
            assert_eq!(run.deletes(), deletes, "{name}");
            assert_eq!(run.has_delete_ranges(), !model.ranges.is_empty(), "{name}");
        }
        assert!(memory.is_dirty() && !disk.is_dirty());
    });
}

#[test]
fn holds_and_delete_ranges() {
    for_random_runs(|rng, name, size, model, memory, disk| {
        for _ in 0..60 {
            let range = random_range(rng, size.key);
            let want = model.bytes(&range) > 0;
            for run in [memory, disk] {
                assert_eq!(run.holds(&range).unwrap(), want, "{name}: {range:?}");
                let ranges = run.delete_ranges(&range).unwrap();
                assert_eq!(ranges, model.ranges.clip(&range), "{name}: {range:?}");
            }
        }
    });
}

#[test]
fn deletes_are_counted_or_as_many_of_the_points_within_as_of_all() {
    for_random_runs(|rng, name, size, model, memory, disk| {
        for _ in 0..60 {
            let range = random_range(rng, size.key);
            let within = model.points.iter().filter(|(k, _)| range.contains(k));
            let want = within.filter(|(_, m)| **m == Message::Delete).count() as u64;
            assert_eq!(memory.deletes_within(&range).unwrap(), want, "{name}");
            let found = disk.deletes_within(&range).unwrap();
            assert!(segments(disk) > 1 || found == want, "{name}: {range:?}");
            assert!(found <= disk.deletes(), "{name}: {range:?}");
        }
        let all = disk.deletes_within(&KeyRange::all()).unwrap();
        assert_eq!(all, disk.deletes(), "{name}");
    });
}

#[test]
fn estimates_are_exact_or_monotone_and_never_zero_over_something() {
    for_random_runs(|rng, name, size, model, memory, disk| {
        for _ in 0..60 {
            let range = random_range(rng, size.key);
            let want = model.bytes(&range);
            assert_eq!(memory.estimate(&range).unwrap(), want, "{name}: {range:?}");
            let found = disk.estimate(&range).unwrap();
            assert!(segments(disk) > 1 || found == want, "{name}: {range:?}");
            assert!(found > 0 || want == 0, "{name}: {range:?}");
            let narrower = range.intersect(&random_range(rng, size.key));
            let less = disk.estimate(&narrower).unwrap();
            assert!(
                less <= found,
                "{name}: {narrower:?} in {range:?}: {less} in {found}"
            );
        }
    });
}

#[test]
fn a_range_that_ends_where_a_segment_starts_does_not_weigh_it() {
    for_random_runs(|_, name, _, _, _, disk| {
        let Body::Disk(body) = disk.body() else {
            panic!("{name}")
        };
        let index = body.index().unwrap();
        let firsts: Vec<_> = (0..index.segments.len()).map(|i| index.first(i)).collect();
        let ranges = index.deletes.len() as u64 * RANGE_BYTES;
        if ranges == 0 && !firsts.is_empty() {
            let starts = std::iter::once(Key::new()).chain(firsts[1..].iter().cloned());
            let ends = firsts[1..].iter().cloned().map(Some).chain([None]);
            let parts = starts
                .zip(ends)
                .map(|(lo, hi)| disk.estimate(&KeyRange { lo, hi }).unwrap());
            assert_eq!(parts.sum::<u64>(), disk.bytes(), "{name}");
        }
        let damages = disk.verify(&mut |_| ());
        assert!(damages.is_empty(), "{name}: {damages:?}");
    });
}

#[test]
fn spans() {
    for_random_runs(|rng, name, size, model, memory, disk| {
        for _ in 0..60 {
            let range = random_range(rng, size.key);
            let want = model.span(&range);
            assert_eq!(memory.span(&range).unwrap(), want, "{name}: {range:?}");
            let found = disk.span(&range).unwrap();
            match (&found, &want) {
                _ if segments(disk) == 1 => assert_eq!(found, want, "{name}: {range:?}"),
                (Some(found), want) => {
                    assert!(range.covers(found), "{name}: {range:?}");
                    assert!(want.iter().all(|w| found.covers(w)), "{name}: {range:?}");
                }
                (None, want) => assert_eq!(*want, None, "{name}: {range:?}"),
            }
        }
    });
}

#[test]
fn split_keys_cut_even_pieces() {
    for_random_runs(|rng, name, size, model, memory, disk| {
        for _ in 0..20 {
            let range = random_range(rng, size.key);
            let total: u64 = model.within(&range).map(|(k, m)| point_bytes(k, m)).sum();
            let largest = model
                .within(&range)
                .map(|(k, m)| point_bytes(k, m))
                .max()
                .unwrap_or(0);
            let target = rng.u64(1..=memory.bytes().max(2));
            for run in [memory, disk] {
                let cuts = run.split_keys(&range, target).unwrap();
                let inside = cuts.iter().all(|k| range.contains(k) && *k > range.lo);
                assert!(inside && cuts.is_sorted(), "{name}: {range:?} {cuts:?}");
            }
            let cuts = memory.split_keys(&range, target).unwrap();
            assert!(
                cuts.len() as u64 <= total / target + 1,
                "{name}: {} cuts",
                cuts.len()
            );
            let ends = cuts.iter().cloned().map(Some).chain([range.hi.clone()]);
            let mut lo = range.lo.clone();
            for hi in ends {
                let piece = KeyRange { lo, hi: hi.clone() };
                let bytes: u64 = model.within(&piece).map(|(k, m)| point_bytes(k, m)).sum();
                assert!(
                    bytes <= target + target / 2 + largest + 1,
                    "{name}: {piece:?}: {bytes}"
                );
                lo = hi.unwrap_or_default();
            }
        }
    });
}

#[test]
fn full_file_blocks_lie_alone_in_their_segments_small_files_together_and_many_small_pairs_in_short_ones()
 {
    let build = |count: u32, len: usize| {
        let mut builder = MemRunBuilder::new();
        for i in 0..count {
            builder.push(
                i.to_be_bytes().to_vec().into(),
                Message::Put(vec![i as u8; len].into()),
            );
        }
        both_bodies(builder.finish(), Compression::Lz4, 1 << 20).1
    };
    assert_eq!(segments(&build(10, 64 << 10)), 10);
    assert_eq!(segments(&build(10, 200 << 10)), 10);
    assert_eq!(segments(&build(124, 4 << 10)), 4);
    assert_eq!(segments(&build(400, 400)), 10);
    assert_eq!(segments(&build(10_000, 10)), 9);
    assert_eq!(segments(&build(0, 0)), 0);
}
