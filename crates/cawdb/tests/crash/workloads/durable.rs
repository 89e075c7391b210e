//! Ways to durability: journal, checkpoints, closing; and recovery.
use super::changes::key;
use crate::session::Session;
use cawfs_sim::{KvOp, Span};

/// A checkpoint after every few batches, with batches before, between and behind.
pub fn checkpoints(session: &mut Session) {
    for n in 0..16 {
        for _ in 0..3 {
            let key = key(session);
            session.put(key, 180);
        }
        if n % 4 == 1 {
            session.sync();
        }
        let key = key(session);
        session.put(key, 30);
        session.checkpoint();
    }
}

/// The journal goes around its ring several times.
pub fn ring_wraps(session: &mut Session) {
    for n in 0..110 {
        let (key, len) = (key(session), session.rng.usize(300..900));
        session.put(key, len);
        if n % 2 == 0 {
            session.sync();
        }
        if n % 13 == 12 {
            session.checkpoint();
        }
    }
}

/// Batches that the ring cannot hold, or not any more.
pub fn too_large(session: &mut Session) {
    for n in 0..24 {
        let key = key(session);
        let len = [40, 3000, 3900, 9000][n % 4];
        session.put(key, len);
        session.sync();
        session.ticks(1);
    }
}

/// More than the journal is for, so that a sync writes a checkpoint.
pub fn bulk(session: &mut Session) {
    for n in 0..10 {
        for _ in 0..6 {
            let (key, len) = (key(session), session.rng.usize(500..2500));
            session.put(key, len);
        }
        session.sync();
        session.put("small", 40);
        if n % 2 == 0 {
            session.sync();
        }
        session.ticks(4);
    }
}

/// The store is closed and opened between changes.
pub fn reopening(session: &mut Session) {
    for _ in 0..8 {
        for _ in 0..5 {
            let key = key(session);
            session.put(key, 220);
        }
        session.sync();
        session.ticks(5);
        let key = key(session);
        session.put(key, 90);
        session.commit(&[KvOp::CloneRange {
            source: Span::prefix(b"a"),
            from: b"a".to_vec(),
            to: b"e".to_vec(),
        }]);
        session.reopen();
    }
}

/// A journal with much to replay, of which each image is opened under fire.
pub fn recovery(session: &mut Session) {
    for n in 0..24 {
        let key = key(session);
        session.put(key, 160);
        if n % 6 == 5 {
            session.commit(&[KvOp::CloneRange {
                source: Span::prefix(b"a/"),
                from: b"a/".to_vec(),
                to: b"b/".to_vec(),
            }]);
        }
        if n % 3 == 2 {
            session.sync();
        }
    }
}

/// Checkpoints until the node table is written whole again, more than once.
pub fn table_bases(session: &mut Session) {
    for n in 0..56 {
        let key = key(session);
        session.put(key, 60);
        session.ticks(3);
        session.checkpoint();
        if n == 30 {
            session.commit(&[KvOp::DeleteRange(Span::prefix(b"a"))]);
            session.settle();
        }
    }
}
