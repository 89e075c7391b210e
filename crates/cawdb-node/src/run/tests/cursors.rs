//! Cursors in both directions, with seeks, against the sorted list.

use super::*;
use std::collections::VecDeque;

fn walk(rng: &mut Rng, name: &str, size: Size, model: &Model, run: &Arc<Run>) {
    let range = if rng.u8(..4) == 0 {
        KeyRange::all()
    } else {
        random_range(rng, size.key)
    };
    let direction = if rng.bool() {
        Direction::Forward
    } else {
        Direction::Backward
    };
    let forward = direction == Direction::Forward;
    let mut coming: VecDeque<_> = model
        .points
        .iter()
        .filter(|(k, _)| range.contains(k))
        .collect();
    if !forward {
        coming.make_contiguous().reverse();
    }
    let ahead = [ReadAhead::ADAPTIVE, ReadAhead::Full][rng.usize(..2)];
    let mut cursor = run.cursor(&range, direction, ahead).unwrap();
    let seeks = rng.u8(1..12);
    for _ in 0..400 {
        let want = coming.front().map(|(k, m)| ((*k).clone(), (*m).clone()));
        match rng.u8(..24) {
            0..8 => assert_eq!(
                cursor.peek().unwrap(),
                want,
                "{name}: {range:?} {direction:?}"
            ),
            n if n < 8 + seeks => {
                let key = match model.points.len() {
                    n if n > 0 && rng.bool() => {
                        model.points.keys().nth(rng.usize(..n)).unwrap().clone()
                    }
                    _ => random_key(rng, size.key),
                };
                // Mostly near by, so that blocks, segments and ends are all crossed.
                let near = coming.get(rng.usize(..40)).filter(|_| rng.u8(..4) > 0);
                let key = near.map_or(key, |(k, _)| (*k).clone());
                cursor.seek(&key).unwrap();
                let passed = |k: &Key| if forward { *k < key } else { *k > key };
                while coming.front().is_some_and(|(k, _)| passed(k)) {
                    coming.pop_front();
                }
            }
            _ => {
                assert_eq!(
                    cursor.next().unwrap(),
                    want,
                    "{name}: {range:?} {direction:?}"
                );
                coming.pop_front();
            }
        }
    }
}

#[test]
fn random_walks() {
    for_random_runs(|rng, name, size, model, memory, disk| {
        for _ in 0..6 {
            walk(rng, name, size, model, memory);
            walk(rng, name, size, model, disk);
        }
    });
}

#[test]
fn whole_runs_both_ways() {
    for_random_runs(|_, name, _, model, memory, disk| {
        for run in [memory, disk] {
            for direction in [Direction::Forward, Direction::Backward] {
                let mut cursor = run
                    .cursor(&KeyRange::all(), direction, ReadAhead::ADAPTIVE)
                    .unwrap();
                let mut found: Vec<_> = std::iter::from_fn(|| cursor.next().unwrap()).collect();
                if direction == Direction::Backward {
                    found.reverse();
                }
                assert!(
                    found.iter().map(|(k, m)| (k, m)).eq(model.points.iter()),
                    "{name}"
                );
            }
        }
    });
}
