//! Changes of keys: one, many, ranges, in batches of all sizes.
use crate::session::Session;
use cawfs_sim::{KvOp, Limits, Mix, Span, Step, generate, resolve};

/// A key of a small space, under one of four directories.
pub fn key(session: &mut Session) -> Vec<u8> {
    let (dir, name) = (session.rng.u8(b'a'..b'e') as char, session.rng.u8(..40));
    format!("{dir}/{name:02}").into_bytes()
}

/// Syncs or checkpoints or works in the background, by chance.
pub fn now_and_then(session: &mut Session) {
    match session.rng.u8(..12) {
        0..3 => session.sync(),
        3 => session.checkpoint(),
        4..7 => session.ticks(2),
        _ => {}
    }
}

/// Single values, of no byte to some hundred.
pub fn puts(session: &mut Session) {
    for _ in 0..60 {
        let (key, len) = (key(session), session.rng.usize(..400));
        session.put(key, len);
        now_and_then(session);
    }
}

/// Bytes laid over values, also beyond their end.
pub fn patches(session: &mut Session) {
    for _ in 0..60 {
        let key = key(session);
        let (len, offset) = (session.rng.usize(..200), session.rng.u32(..900));
        let bytes = session.noise(len);
        session.commit(&[KvOp::Patch(key, offset, bytes)]);
        now_and_then(session);
    }
}

/// As many removals as puts.
pub fn deletes(session: &mut Session) {
    for _ in 0..40 {
        for _ in 0..2 {
            let key = key(session);
            session.put(key, 150);
        }
        let key = key(session);
        session.commit(&[KvOp::Delete(key)]);
        now_and_then(session);
    }
}

/// Ranges removed while they are filled again.
pub fn range_deletes(session: &mut Session) {
    for _ in 0..30 {
        for _ in 0..3 {
            let key = key(session);
            session.put(key, 120);
        }
        let (mut one, mut other) = (key(session), key(session));
        if one > other {
            std::mem::swap(&mut one, &mut other);
        }
        session.commit(&[KvOp::DeleteRange(Span {
            lo: one,
            hi: Some(other),
        })]);
        now_and_then(session);
    }
}

/// Three keys that are written again and again.
pub fn hot_keys(session: &mut Session) {
    for n in 0..80_u8 {
        let (key, len) = ([b'a' + n % 3], session.rng.usize(1..1500));
        session.put(key, len);
        if n % 4 == 3 {
            session.sync();
        }
        if n % 25 == 24 {
            session.checkpoint();
        }
        session.ticks(1);
    }
}

/// Batches of many keys, each whole or not at all.
pub fn large_batches(session: &mut Session) {
    for _ in 0..14 {
        let count = session.rng.usize(20..60);
        let mut ops = Vec::new();
        for _ in 0..count {
            let key = key(session);
            ops.push(match session.rng.u8(..4) {
                0 => KvOp::Delete(key),
                _ => KvOp::Put(key, session.noise(60)),
            });
        }
        session.commit(&ops);
        now_and_then(session);
    }
}

/// Clones that read the state before their batch, with changes above them.
pub fn batches_with_clones(session: &mut Session) {
    for n in 0..30_u8 {
        let key = key(session);
        session.put(key.clone(), 200);
        let (from, to) = (vec![b'a' + n % 4, b'/'], vec![b'a' + n / 4 % 4, b'/']);
        let put = KvOp::Put(key, session.noise(100));
        let clone = KvOp::CloneRange {
            source: Span::prefix(&from),
            from,
            to: to.clone(),
        };
        let removal = KvOp::DeleteRange(Span::prefix(&[&to[..], b"1"].concat()));
        session.commit(&[put, clone, removal]);
        now_and_then(session);
    }
}

/// Everything that the test kit generates.
pub fn everything(session: &mut Session) {
    let mix = Mix {
        value_bytes: 500,
        tick_every: 3,
        reopen_every: 70,
        crash_every: 0,
    };
    let limits = Limits {
        keys: 100,
        bytes: 30 << 10,
        key_bytes: 120,
    };
    let seed = session.rng.u64(..);
    for step in generate(seed, 160, mix) {
        match step {
            Step::Commit(ops) => {
                let ops = resolve(&ops, session.model(), limits);
                session.commit(&ops);
            }
            Step::Tick(count) => session.ticks(count.into()),
            Step::Sync => session.sync(),
            Step::Checkpoint => session.checkpoint(),
            Step::Reopen => session.reopen(),
            _ => {}
        }
    }
}
