//! Small cases, all of them: every clone, every pair in one batch, every row of three, over a key space of three
//! letters that holds 00 and FF; once with background work between, once without.
mod driven;

use cawfs_sim::{Engine, KvModel, KvOp, Span, fill, op_text};
use driven::{Driven, assert_met};

const LETTERS: [u8; 3] = [0x00, b'a', 0xff];

/// All byte strings of at most so many letters.
fn strings(most: usize) -> Vec<Vec<u8>> {
    let mut all = vec![Vec::new()];
    let mut longest = all.clone();
    for _ in 0..most {
        let longer = |s: &Vec<u8>| LETTERS.map(|letter| [&s[..], &[letter]].concat());
        longest = longest.iter().flat_map(longer).collect();
        all.extend(longest.clone());
    }
    all
}

/// All clones from one of the prefixes to another, or into or onto itself.
fn clones(prefixes: &[Vec<u8>]) -> Vec<KvOp> {
    let pair = |from: &Vec<u8>| {
        let clone = |to: &Vec<u8>| KvOp::CloneRange {
            source: Span::prefix(from),
            from: from.clone(),
            to: to.clone(),
        };
        prefixes.iter().map(clone).collect::<Vec<_>>()
    };
    prefixes.iter().flat_map(pair).collect()
}

/// Commits the batches above a state where every key of at most two letters but one lives, and compares.
fn check(batches: &[Vec<KvOp>], background: bool) {
    let (mut engine, mut model) = (Driven::open(0), KvModel::default());
    let living = strings(2)
        .into_iter()
        .filter(|key| key != b"a\xff")
        .zip(0_u8..);
    let first = living
        .map(|(key, tag)| KvOp::Put(key, fill(tag, u32::from(tag) % 3)))
        .collect();
    for batch in std::iter::once(&first).chain(batches) {
        engine.commit(batch).expect("a batch within the limits");
        model.apply(batch);
        while background && engine.tick().expect("background work") {}
    }
    let now = engine.snapshot().expect("a snapshot");
    for down in [false, true] {
        let got = engine.scan_at(&now, &Span::all(), down).expect("a scan");
        let mut want = model.scan(&Span::all());
        if down {
            want.reverse();
        }
        let said = || {
            batches
                .iter()
                .flatten()
                .map(op_text)
                .collect::<Vec<_>>()
                .join("; ")
        };
        assert!(
            got == want,
            "background {background}, down {down}: after {}",
            said()
        );
    }
}

#[test]
fn every_clone() {
    for clone in clones(&strings(2)) {
        check(&[vec![clone.clone()]], false);
        check(&[vec![clone]], true);
    }
    assert_met(&["clones", "cuts", "equal_joins", "trims"]);
}

#[test]
fn every_pair_of_clones_in_one_batch() {
    let clones = clones(&strings(1));
    for first in &clones {
        for second in &clones {
            check(&[vec![first.clone(), second.clone()]], false);
        }
    }
}

#[test]
fn every_row_of_three_clones() {
    let clones = clones(&strings(1));
    for (number, first) in clones.iter().enumerate() {
        for second in &clones {
            for third in &clones {
                let row = [first, second, third].map(|clone| vec![clone.clone()]);
                check(&row, number % 2 == 0);
            }
        }
    }
}

#[test]
fn every_removal_beside_every_clone() {
    for clone in clones(&strings(1)) {
        for key in strings(2) {
            let removals = [
                KvOp::Delete(key.clone()),
                KvOp::DeleteRange(Span::prefix(&key)),
                KvOp::DeleteRange(Span {
                    lo: key.clone(),
                    hi: None,
                }),
                KvOp::Patch(key, 1, b"x".to_vec()),
            ];
            for removal in removals {
                check(&[vec![removal.clone()], vec![clone.clone()]], true);
                check(&[vec![removal, clone.clone()]], false);
            }
        }
    }
}
