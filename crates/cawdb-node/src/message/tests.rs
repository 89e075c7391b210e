//! Messages: all small triples, and long random piles of patches against an array.

use super::*;

fn bytes(letter: u8, len: usize) -> Bytes {
    vec![letter; len].into()
}

/// All small messages, marked by a letter so that it shows whose bytes survive.
fn messages(letter: u8) -> Vec<Message> {
    let mut all = vec![Message::Delete];
    all.extend((0..4).map(|len| Message::Put(bytes(letter, len))));
    for offset in 0..4 {
        all.extend((0..3).map(|len| Message::patch(offset, bytes(letter, len))));
    }
    let two = vec![(0, bytes(letter, 1)), (3, bytes(letter, 2))];
    all.push(Message::Patch(Patch::from_pieces(two).unwrap()));
    all
}

/// What a reader sees if `message` lies on `base`, worked out byte by byte.
fn apply(message: &Message, base: Option<Vec<u8>>) -> Option<Vec<u8>> {
    match message {
        Message::Put(value) => Some(value.to_vec()),
        Message::Delete => None,
        Message::Patch(patch) => {
            let mut value = base.unwrap_or_default();
            for (offset, piece) in patch.pieces() {
                for (i, byte) in piece.iter().enumerate() {
                    let at = *offset as usize + i;
                    value.resize(value.len().max(at + 1), 0);
                    value[at] = *byte;
                }
            }
            Some(value)
        }
    }
}

#[test]
fn merging_is_associative_for_all_small_triples() {
    for a in messages(b'A') {
        for b in messages(b'B') {
            let ab = a.clone().over(b.clone());
            for c in messages(b'C') {
                let left = ab.clone().over(c.clone());
                let right = a.clone().over(b.clone().over(c.clone()));
                assert_eq!(left, right, "{a:?} over {b:?} over {c:?}");
                for base in [
                    None,
                    Some(vec![]),
                    Some(b"xyz".to_vec()),
                    Some(b"0123456".to_vec()),
                ] {
                    let slowly = apply(&a, apply(&b, apply(&c, base.clone())));
                    assert_eq!(apply(&left, base), slowly, "{a:?} over {b:?} over {c:?}");
                }
                assert_eq!(
                    left.resolve().map(|v| v.to_vec()),
                    apply(&a, apply(&b, apply(&c, None)))
                );
            }
        }
    }
}

#[test]
fn random_piles_of_patches_against_an_array() {
    for seed in 0..300 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let room = if seed % 3 == 0 { 40_000 } else { 60 };
        let base = Bytes::from(vec![9_u8; rng.usize(..room)]);
        let (mut pile, mut want) = (Patch::default(), Some(base.to_vec()));
        let mut grouped = Message::Patch(Patch::default());
        for n in 0..rng.u8(1..60) {
            let offset = rng.u32(..room as u32);
            let patch = Patch::new(offset, bytes(n + 10, rng.usize(..room / 4)));
            want = apply(&Message::Patch(patch.clone()), want);
            grouped = Message::Patch(patch.clone()).over(grouped);
            pile = patch.over(pile);
            assert!(
                Patch::from_pieces(pile.pieces().to_vec()).is_some(),
                "seed {seed}: {pile:?}"
            );
        }
        assert_eq!(pile.on(Some(&base)), want.unwrap(), "seed {seed}");
        assert_eq!(Message::Patch(pile.clone()), grouped, "seed {seed}");
        let written = round_trip(&grouped);
        assert_eq!(written, grouped, "seed {seed}");
        assert_eq!(
            written.bytes(),
            grouped.bytes(),
            "seed {seed}: cut in the same pieces"
        );
    }
}

fn round_trip(message: &Message) -> Message {
    let mut w = Writer::new();
    message.write_payload(&mut w);
    assert_eq!(w.len(), message.payload_len());
    Message::from_payload(message.kind(), w.into_vec().into()).unwrap()
}

#[test]
fn payloads_round_trip() {
    for message in messages(b'A') {
        assert_eq!(round_trip(&message), message);
    }
}

#[test]
fn many_small_appends_stay_few_pieces_and_hidden_ones_go() {
    let mut pile = Patch::default();
    for i in 0..50_000 {
        pile = Patch::new(i, bytes(i as u8, 1)).over(pile);
    }
    assert!(
        pile.pieces().len() <= 50_000 / 2048 + 1,
        "{} pieces",
        pile.pieces().len()
    );
    for _ in 0..100 {
        pile = Patch::new(0, bytes(1, 60_000)).over(pile);
    }
    assert_eq!(pile.pieces().len(), 1);
}

#[test]
fn hostile_payloads_are_errors_or_messages() {
    assert!(Message::from_payload(3, Bytes::new()).is_err());
    assert!(Message::from_payload(DELETE, Bytes::from_static(b"x")).is_err());
    let message = Message::Patch(
        Patch::from_pieces(vec![
            (0, bytes(1, 3)),
            (200, bytes(2, 4)),
            (70_000, bytes(3, 5)),
        ])
        .unwrap(),
    );
    let mut w = Writer::new();
    message.write_payload(&mut w);
    let good = w.into_vec();
    let mut rng = fastrand::Rng::with_seed(3);
    for _ in 0..20_000 {
        let mut bad = good.clone();
        for _ in 0..rng.usize(1..4) {
            let at = rng.usize(..bad.len());
            bad[at] = rng.u8(..);
        }
        bad.truncate(rng.usize(..=good.len()));
        if let Ok(Message::Patch(patch)) = Message::from_payload(PATCH, bad.into()) {
            assert!(patch.end() <= crate::MAX_VALUE);
        }
    }
}
