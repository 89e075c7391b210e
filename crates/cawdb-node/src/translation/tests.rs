//! Translations against replacing prefixes by hand, for all short prefixes and keys over three letters.

use super::*;

const LETTERS: [u8; 3] = [0, b'a', 0xff];

/// All strings of at most `len` letters.
fn strings(len: usize) -> Vec<Vec<u8>> {
    let mut all = vec![vec![]];
    let mut start = 0;
    for _ in 0..len {
        let end = all.len();
        for i in start..end {
            all.extend(LETTERS.map(|c| [&all[i][..], &[c]].concat()));
        }
        start = end;
    }
    all
}

fn by_hand(key: &[u8], from: &[u8], to: &[u8]) -> Option<Vec<u8>> {
    key.strip_prefix(from).map(|rest| [to, rest].concat())
}

fn translation(from: &[u8], to: &[u8]) -> Translation {
    Translation::new(from.to_vec(), to.to_vec())
}

/// Ranges with all sorts of ends, successors and none among them.
fn ranges() -> Vec<KeyRange> {
    let mut ends: Vec<Option<Key>> = vec![None];
    for s in strings(3) {
        ends.extend(successor(&s).map(Some));
        ends.push(Some(s.into()));
    }
    ends.sort();
    ends.dedup();
    let starts = ends.iter().flatten();
    let pairs = starts.flat_map(|lo| {
        ends.iter().map(|hi| KeyRange {
            lo: lo.clone(),
            hi: hi.clone(),
        })
    });
    pairs.filter(|r| !r.is_empty()).collect()
}

#[test]
fn keys_translate_as_by_hand_both_ways() {
    for (from, to) in strings(2)
        .iter()
        .flat_map(|f| strings(2).into_iter().map(move |t| (f, t)))
    {
        let tr = translation(from, &to);
        assert_eq!(tr.is_identity(), *from == to);
        let ends = (tr.from().last(), tr.to().last());
        assert!(
            tr.is_identity() || ends.0 != ends.1,
            "not normalised: {tr:?}"
        );
        assert_eq!(tr.inverse(), translation(&to, from));
        for key in strings(4) {
            if let Some(below) = by_hand(&key, from, &to) {
                assert_eq!(tr.key_down(&key), below);
                assert_eq!(tr.key_up(below.into()), key);
            }
        }
    }
}

#[test]
fn equal_translations_look_equal() {
    assert_eq!(translation(b"a/f1\0", b"b/f1\0"), translation(b"a", b"b"));
    assert_eq!(translation(b"x/x", b"x/x"), Translation::identity());
    assert_eq!(translation(b"ab", b"b").to(), b"");
}

#[test]
fn ranges_hold_the_translations_of_their_keys_and_no_others() {
    let (keys, ranges) = (strings(5), ranges());
    for (from, to) in strings(2)
        .iter()
        .flat_map(|f| strings(2).into_iter().map(move |t| (f, t)))
    {
        let tr = translation(from, &to);
        for range in ranges.iter().filter(|r| tr.applies_to(r)) {
            let below = tr.range_down(range);
            assert!(
                tr.inverse().applies_to(&below),
                "{tr:?} {range:?} {below:?}"
            );
            assert_eq!(tr.range_up(&below), *range, "{tr:?} {below:?}");
            for key in keys.iter().filter(|k| k.starts_with(tr.from())) {
                let inside = below.contains(&tr.key_down(key));
                assert_eq!(
                    range.contains(key),
                    inside,
                    "{tr:?} {range:?} {below:?} {key:?}"
                );
            }
        }
    }
}

#[test]
fn a_translation_applies_only_where_every_key_carries_the_prefix() {
    let keys = strings(4);
    for from in strings(2) {
        let tr = translation(&from, b"other");
        assert!(tr.applies_to(&KeyRange::prefix(from.clone())));
        for range in ranges().iter().filter(|r| tr.applies_to(r)) {
            assert!(
                keys.iter()
                    .all(|k| !range.contains(k) || k.starts_with(&from)),
                "{range:?}"
            );
        }
        let wider = KeyRange {
            lo: from.clone().into(),
            hi: None,
        };
        assert_eq!(tr.applies_to(&wider), successor(&from).is_none());
    }
}

#[test]
fn composing_is_applying_twice() {
    let (keys, ranges) = (strings(4), ranges());
    let all: Vec<_> = strings(2)
        .iter()
        .flat_map(|f| {
            strings(2)
                .into_iter()
                .map(|t| translation(f, &t))
                .collect::<Vec<_>>()
        })
        .collect();
    let mut rng = fastrand::Rng::with_seed(7);
    for upper in &all {
        for lower in &all {
            let (a, b) = (upper.to(), lower.from());
            if !a.starts_with(b) && !b.starts_with(a) {
                continue;
            }
            let both = upper.then(lower);
            let passes = |k: &&Vec<u8>| {
                k.starts_with(upper.from()) && upper.key_down(k).starts_with(lower.from())
            };
            for key in keys.iter().filter(passes) {
                assert_eq!(both.key_down(key), lower.key_down(&upper.key_down(key)));
            }
            for _ in 0..20 {
                let range = &ranges[rng.usize(..ranges.len())];
                if upper.applies_to(range) && lower.applies_to(&upper.range_down(range)) {
                    let twice = lower.range_down(&upper.range_down(range));
                    assert!(both.applies_to(range), "{upper:?} {lower:?} {range:?}");
                    assert_eq!(
                        both.range_down(range),
                        twice,
                        "{upper:?} {lower:?} {range:?}"
                    );
                }
            }
        }
    }
}

#[test]
#[should_panic(expected = "does not start with")]
fn a_key_without_the_prefix_is_refused() {
    translation(b"a", b"b").key_down(b"c");
}

#[test]
#[should_panic(expected = "reaches beyond the prefix")]
fn a_range_beyond_the_prefix_is_refused() {
    translation(b"a", b"b").range_down(&KeyRange::new("a", "c"));
}
