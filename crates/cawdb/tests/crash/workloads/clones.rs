//! Clones: into themselves, of clones, side by side, over one another, and away again.
use super::changes::now_and_then;
use crate::session::Session;
use cawfs_sim::{KvOp, Span};

/// A clone of all keys under one prefix to another.
fn clone(from: &str, to: &str) -> KvOp {
    KvOp::CloneRange {
        source: Span::prefix(from.as_bytes()),
        from: from.into(),
        to: to.into(),
    }
}

fn remove(prefix: &str) -> KvOp {
    KvOp::DeleteRange(Span::prefix(prefix.as_bytes()))
}

/// Some values under a prefix, in one batch.
fn plant(session: &mut Session, prefix: &str, count: usize) {
    let mut ops = Vec::new();
    for n in 0..count {
        let len = session.rng.usize(50..300);
        ops.push(KvOp::Put(
            format!("{prefix}{n:03}").into(),
            session.noise(len),
        ));
    }
    session.commit(&ops);
}

/// A small change under a prefix.
fn change(session: &mut Session, prefix: &str) {
    let key = format!("{prefix}{:03}", session.rng.u8(..20));
    session.put(key, 130);
}

/// A tree is cloned to a place in itself, and that is changed, and again.
pub fn into_own_subtree(session: &mut Session) {
    plant(session, "a/", 12);
    for depth in 0..3 {
        let inner = format!("a/{}", "b/".repeat(depth + 1));
        session.commit(&[clone("a/", &inner)]);
        change(session, &inner);
        now_and_then(session);
        change(session, "a/");
        session.sync();
        session.ticks(6);
        if session.model().len() > 150 {
            session.commit(&[remove("a/b/b/")]);
        }
    }
    session.checkpoint();
    session.commit(&[remove("a/b/")]);
    session.sync();
}

/// Each clone is cloned on; the oldest ones go.
pub fn chain(session: &mut Session) {
    plant(session, "c00/", 20);
    session.checkpoint();
    for n in 1..16 {
        let (last, next) = (format!("c{:02}/", n - 1), format!("c{n:02}/"));
        session.commit(&[clone(&last, &next)]);
        change(session, &next);
        now_and_then(session);
        session.ticks(4);
        if n >= 4 {
            session.commit(&[remove(&format!("c{:02}/", n - 4))]);
        }
    }
    session.sync();
}

/// Many clones of one tree, some of them changed.
pub fn fan(session: &mut Session) {
    plant(session, "a/", 20);
    session.settle();
    session.checkpoint();
    for n in 0..14 {
        let to = format!("f{n:02}/");
        session.commit(&[clone("a/", &to)]);
        if n % 3 == 0 {
            change(session, &to);
        }
        now_and_then(session);
    }
    change(session, "a/");
    session.settle();
    session.sync();
}

/// Clones onto what other clones made.
pub fn replace(session: &mut Session) {
    for tree in ["a/", "b/", "c/"] {
        plant(session, tree, 8);
    }
    for _ in 0..24 {
        let mut tree = || ["a/", "b/", "c/", "d/"][session.rng.usize(..4)];
        let (from, to) = (tree(), tree());
        session.commit(&[clone(from, to)]);
        change(session, to);
        now_and_then(session);
        session.ticks(2);
    }
    session.sync();
}

/// A tree moves: clone and removal in one batch, which must not come apart.
pub fn renames(session: &mut Session) {
    plant(session, "m0/", 15);
    session.sync();
    for n in 0..20 {
        let (from, to) = (format!("m{n}/"), format!("m{}/", n + 1));
        session.commit(&[clone(&from, &to), remove(&from)]);
        if n % 2 == 0 {
            change(session, &to);
        }
        now_and_then(session);
        session.ticks(2);
    }
}

/// Clones come and go, and their space with them.
pub fn removals(session: &mut Session) {
    plant(session, "a/", 25);
    session.checkpoint();
    for n in 0..8 {
        for side in ["x", "y"] {
            let to = format!("{side}{n}/");
            session.commit(&[clone("a/", &to)]);
            change(session, &to);
            session.ticks(3);
        }
        session.sync();
        session.commit(&[remove(&format!("x{n}/"))]);
        session.ticks(8);
        now_and_then(session);
    }
    session.commit(&[remove("a/"), remove("y")]);
    session.settle();
    session.checkpoint();
    session.settle();
}
