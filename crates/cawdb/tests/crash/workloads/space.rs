//! Space: given back, held back, used again; and the background work that moves it.
use super::changes::{key, now_and_then};
use crate::session::Session;
use cawfs_sim::{KvOp, Span};

fn remove(prefix: &[u8]) -> KvOp {
    KvOp::DeleteRange(Span::prefix(prefix))
}

/// A store is filled, emptied and filled again, so that new data lies where old data was.
pub fn nearly_full(session: &mut Session) {
    for round in 0..3_u8 {
        let dir = [b'a' + round, b'/'];
        for n in 0..200_u8 {
            let (key, value) = ([&dir[..], &[n]].concat(), session.noise(9000));
            if !session.try_commit(&[KvOp::Put(key, value)]) {
                break;
            }
            if n % 8 == 0 {
                session.sync();
            }
            session.ticks(2);
        }
        session.checkpoint();
        session.commit(&[remove(&dir[..1])]);
        session.settle();
        session.checkpoint();
        session.settle();
    }
}

/// Old versions are held while what they show is removed and its space is asked for again.
pub fn snapshots(session: &mut Session) {
    for round in 0..5 {
        for _ in 0..20 {
            let (key, len) = (key(session), session.rng.usize(100..500));
            session.put(key, len);
        }
        session.settle();
        session.checkpoint();
        session.hold();
        session.commit(&[remove(&[b'a' + round])]);
        session.settle();
        session.checkpoint();
        if round % 2 == 1 {
            session.let_go();
            session.ticks(3);
            session.sync();
        }
    }
}

/// Flushes, merges, rebases and joins between all changes, with clones to keep them busy.
pub fn background(session: &mut Session) {
    for n in 0..60_u8 {
        for _ in 0..3 {
            let (key, len) = (key(session), session.rng.usize(200..700));
            session.put(key, len);
        }
        session.ticks(3);
        if n % 9 == 8 {
            session.commit(&[KvOp::CloneRange {
                source: Span::prefix(b"a/"),
                from: b"a/".to_vec(),
                to: vec![b'p' + n % 5, b'/'],
            }]);
        }
        if n % 20 == 19 {
            session.commit(&[remove(&[b'p' + n % 4])]);
        }
        now_and_then(session);
    }
}

/// Freed space goes back to the medium while other work goes on.
pub fn punching(session: &mut Session) {
    for round in 0..6_u8 {
        let dir = [b'a' + round, b'/'];
        for n in 0..12_u8 {
            session.put([&dir[..], &[n]].concat(), 2500);
        }
        session.checkpoint();
        session.settle();
        if round > 0 {
            session.commit(&[remove(&[dir[0] - 1])]);
            session.ticks(6);
            session.sync();
        }
        session.settle();
        session.checkpoint();
        session.settle();
    }
}

/// A tree of some height loses all but a few keys.
pub fn shrinking(session: &mut Session) {
    for n in 0..240_u32 {
        session.put(format!("{:04}", n * 37 % 240), 300);
        session.ticks(2);
    }
    session.settle();
    session.checkpoint();
    for n in 0..23_u32 {
        session.commit(&[remove(format!("{n:03}").as_bytes())]);
        session.ticks(12);
        if n % 3 == 0 {
            session.sync();
        }
    }
    session.checkpoint();
    session.settle();
    session.checkpoint();
}
