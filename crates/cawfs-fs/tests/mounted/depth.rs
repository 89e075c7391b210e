//! Trees that go ever deeper: what does not fit is refused before anything changes.

use crate::mount::{ME, Mount, TOP, kind, mount, open, open_with};
use cawfs_fs::{CloneOptions, Kind, NodeId, RenameMode, XattrMode};

const NAME: [u8; 200] = [b'n'; 200];

/// Folders within each other, below `top`; the lowest.
fn chain(m: &Mount, top: NodeId, depth: usize) -> NodeId {
    (0..depth).fold(top, |dir, _| m.mkdir(&ME, dir, &NAME, 0o755).unwrap().node)
}

/// The lowest folder of a chain.
fn lowest(m: &Mount, top: NodeId) -> NodeId {
    let mut dir = top;
    while let Ok(entry) = m.lookup(&ME, dir, &NAME) {
        dir = entry.node;
    }
    dir
}

/// All keys and values but the bounds; the clock stands still.
fn state(m: &Mount) -> Vec<(bytes::Bytes, bytes::Bytes)> {
    let keys = m.store.scan(cawdb::KeyRange::all());
    let keys = keys.map(|item| item.unwrap());
    keys.filter(|(key, _)| !key.ends_with(b"xK")).collect()
}

#[test]
fn a_tree_cloned_into_its_own_depth_ends_before_keys_do() {
    let m = mount();
    let top = m.folder(TOP, "top");
    let end = chain(&m, top, 20);
    m.file(end, "f", b"x");
    let mut clones = 0;
    loop {
        let into = lowest(&m, top);
        let before = state(&m);
        match m.clone_tree(&ME, top, into, &NAME, false) {
            Ok(_) => clones += 1,
            Err(error) => {
                assert_eq!(error.kind(), Kind::NameTooLong);
                assert!(state(&m) == before, "a refused clone changes nothing");
                break;
            }
        }
    }
    assert_eq!(clones, 3, "4, 8, 16, 32 KiB, and what else fits");
    assert!((32 * 1024..=cawdb::MAX_KEY_BYTES).contains(&m.longest_key()));
    // In several destinations, by moving, by exchanging: the same answer.
    let deep = lowest(&m, top);
    let other = m.folder(TOP, "other");
    m.clone_tree(&ME, top, other, b"t", false).unwrap();
    let token = m
        .stage_clone(&ME, other, 2, &CloneOptions::default())
        .unwrap();
    let staged = cawfs_fs::protocol::stage_name(token, 0);
    let refused = m.rename(
        &ME,
        TOP,
        staged.as_bytes(),
        deep,
        b"c",
        RenameMode::NoReplace,
    );
    assert_eq!(kind(refused), Kind::NameTooLong);
    let refused = m.rename(&ME, TOP, b"other", deep, b"c", RenameMode::Replace);
    assert_eq!(kind(refused), Kind::NameTooLong);
    m.folder(deep, "c");
    let refused = m.rename(&ME, TOP, b"other", deep, b"c", RenameMode::Exchange);
    assert_eq!(kind(refused), Kind::NameTooLong);
    assert!(m.longest_key() <= cawdb::MAX_KEY_BYTES);
    m.well();
}

#[test]
fn the_bounds_outlive_a_mount() {
    let m = mount();
    let top = m.folder(TOP, "top");
    chain(&m, top, 120);
    let again = Mount {
        fs: open(&m.store, &m.clock),
        store: m.store.clone(),
        clock: m.clock.clone(),
    };
    let top = again.lookup(&ME, TOP, b"top").unwrap().node;
    let into = lowest(&again, top);
    again.clone_tree(&ME, top, into, b"1", false).unwrap();
    again.clone_tree(&ME, top, TOP, b"copy", false).unwrap();
    let refused = again.clone_tree(&ME, top, into, b"2", false);
    assert_eq!(
        kind(refused),
        Kind::NameTooLong,
        "it holds a clone of itself, 48 KiB long"
    );
    again.well();
}

#[test]
fn many_clones_that_go_deeper_do_not_use_up_the_room() {
    let m = mount();
    let plain = m.folder(TOP, "p");
    m.file(plain, "f", b"x");
    let home = chain(&m, TOP, 3);
    // From the one that was only made, and from one that holds clones: each goes 600 bytes deeper.
    let mixed = m.folder(TOP, "mixed");
    for i in 0..200 {
        let name = format!("{i}");
        m.clone_tree(&ME, plain, home, name.as_bytes(), false)
            .unwrap();
        m.clone_tree(&ME, plain, mixed, b"c", true).unwrap();
        m.clone_tree(&ME, mixed, home, format!("m{i}").as_bytes(), false)
            .unwrap();
    }
    m.well();
}

#[test]
fn many_mounts_do_not_use_up_the_room_for_looking_at_nothing() {
    let m = mount();
    let top = m.folder(TOP, "a");
    m.file(top, "f", b"x");
    for _ in 0..40 {
        // To a longer name, and back: each time a tree may have become three bytes longer.
        let again = Mount {
            fs: open(&m.store, &m.clock),
            store: m.store.clone(),
            clock: m.clock.clone(),
        };
        for (from, to) in [("a", "long"), ("long", "a")] {
            again
                .rename(
                    &ME,
                    TOP,
                    from.as_bytes(),
                    TOP,
                    to.as_bytes(),
                    RenameMode::Replace,
                )
                .unwrap();
        }
        again.well();
    }
    let any = m.bound_of_keys();
    assert!((8192..8192 + 40 * 3 + 1).contains(&any), "{any} bytes");
}

#[test]
fn a_tree_that_goes_to_and_fro_does_not_use_up_the_room() {
    let m = mount();
    let [a, b] = ["a", "b"].map(|name| m.folder(TOP, name));
    m.file(a, "f", b"x");
    let inner = m.folder(a, "d");
    let rename = |from: (NodeId, &str), to: (NodeId, &str), mode| {
        let names = (from.1.as_bytes(), to.1.as_bytes());
        m.rename(&ME, from.0, names.0, to.0, names.1, mode).unwrap();
    };
    let replace = RenameMode::Replace;
    for _ in 0..100 {
        rename((TOP, "a"), (TOP, "longer"), replace);
        rename((a, "d"), (a, "a longer one"), replace);
        rename((a, "a longer one"), (a, "d"), replace);
        rename((TOP, "longer"), (TOP, "a"), replace);
        rename((TOP, "a"), (b, "below"), replace);
        rename((b, "below"), (TOP, "a"), replace);
        rename((TOP, "a"), (TOP, "b"), RenameMode::Exchange);
        rename((TOP, "b"), (TOP, "a"), RenameMode::Exchange);
        // A clone of a clone of a clone, to ever other names.
        m.clone_tree(&ME, a, TOP, b"clone", true).unwrap();
        let clone = m.lookup(&ME, TOP, b"clone").unwrap().node;
        m.clone_tree(&ME, clone, TOP, b"of a clone", true).unwrap();
        m.clone_tree(&ME, clone, TOP, b"c", true).unwrap();
        m.well();
    }
    let any = m.bound_of_keys();
    assert!((8192..8192 + 100).contains(&any), "{any} bytes");
    // What comes below it counts again.
    let deep = chain(&m, inner, 30);
    m.clone_tree(&ME, inner, deep, b"x", false).unwrap();
    rename((TOP, "a"), (TOP, "of a longer name"), replace);
    m.well();
}

/// What the record of a folder of that name says of what came below it.
fn holds(m: &Mount, name: &[u8]) -> u64 {
    let keys = m.store.scan(cawdb::KeyRange::all()).map(Result::unwrap);
    let mut records = keys.filter(|(key, value)| key.ends_with(name) && value.len() == 109);
    let (_, record) = records.next().unwrap();
    u64::from_le_bytes(record[24..32].try_into().unwrap()) >> 32
}

#[test]
fn what_was_looked_at_once_says_what_was_found() {
    let m = mount();
    let tree = m.folder(TOP, "snapped");
    m.file(tree, "f", b"x");
    let (mut before, mut looked) = (0, 0);
    for round in 0..700 {
        // Each clone holds one more of what is gone by then, as far as anybody knows.
        m.clone_tree(&ME, tree, tree, &NAME, false).unwrap();
        m.remove_tree(&ME, tree, &NAME).unwrap();
        if round % 10 > 0 {
            continue;
        }
        let now = holds(&m, b"snapped");
        looked += u32::from(now < before);
        before = now;
    }
    assert_eq!(looked, 2, "in 140,000 bytes");
    m.well();
}

#[test]
fn bodies_that_a_clone_gets_on_the_way_count() {
    let m = mount();
    let file = m.file(TOP, "f", b"x");
    let name = [&b"user."[..], &[b'a'; 250]].concat();
    m.setxattr(&ME, file, &name, b"x", XattrMode::Any).unwrap();
    let deep = m.folder(TOP, "deep");
    let tree = chain(&m, deep, 290);
    m.link(&ME, file, tree, b"x").unwrap();
    let token = m
        .stage_clone(&ME, tree, 250, &CloneOptions::default())
        .unwrap();
    let far = m.folder(TOP, "far");
    let far = chain(&m, far, 322);
    // With one of these names the key of the attribute ends where keys do.
    let mut refused = 0;
    for i in 0..250 {
        let staged = cawfs_fs::protocol::stage_name(token, i);
        let name = vec![b'y'; i as usize + 1];
        let moved = m.rename(
            &ME,
            TOP,
            staged.as_bytes(),
            far,
            &name,
            RenameMode::NoReplace,
        );
        if let Err(error) = moved {
            assert_eq!(error.kind(), Kind::NameTooLong);
            refused += 1;
        }
        let longest = m.longest_key();
        assert!(longest <= cawdb::MAX_KEY_BYTES, "{longest} bytes, {i}");
    }
    assert!((1..250).contains(&refused), "{refused} of 250");
    m.well();
}

/// A clone 20 KiB down, in it a folder that is 30 KiB deep, and a folder 38 KiB down.
fn far_down(m: &Mount) -> [NodeId; 3] {
    let [side, place] = ["side", "place"].map(|name| m.folder(TOP, name));
    let inner = m.folder(side, "inner");
    chain(m, inner, 150);
    let place = chain(m, place, 100);
    m.clone_tree(&ME, side, place, b"c", false).unwrap();
    let deep = m.folder(TOP, "deep");
    let deep = chain(m, deep, 190);
    let came = m.lookup(&ME, place, b"c").unwrap().node;
    [came, m.lookup(&ME, came, b"inner").unwrap().node, deep]
}

#[test]
fn what_lies_in_a_clone_counts_as_long_as_it_is() {
    let m = mount();
    let [came, inner, deep] = far_down(&m);
    for tree in [came, inner] {
        let refused = m.clone_tree(&ME, tree, deep, b"x", false);
        m.well();
        assert_eq!(kind(refused), Kind::NameTooLong, "68 KiB");
    }
    let into = m.folder(TOP, "into");
    m.clone_tree(&ME, inner, into, b"x", false).unwrap();
    m.well();
}

/// The flags of an earlier version, and of this one, for what came and what holds that.
const MOVED: u32 = 16;
const MARKS: u32 = 2048 | 4096;

#[test]
fn what_an_earlier_version_marked_counts_as_long_as_it_may_be() {
    let m = mount();
    far_down(&m);
    m.sync_all().unwrap();
    let mut batch = cawdb::Batch::new();
    for item in m.store.scan(cawdb::KeyRange::all()) {
        let (key, value) = item.unwrap();
        let Some(flags) = value.get(4..8).filter(|_| value.len() == 109) else {
            continue;
        };
        let flags = u32::from_le_bytes(flags.try_into().unwrap());
        if flags & MARKS != 0 {
            let mut value = value.to_vec();
            value[4..8].copy_from_slice(&(flags & !MARKS | MOVED).to_le_bytes());
            value[24..32].fill(0);
            batch.put(key, value);
        }
    }
    assert!(!batch.is_empty());
    m.store.commit(batch).unwrap();
    let again = Mount {
        fs: open(&m.store, &m.clock),
        store: m.store.clone(),
        clock: m.clock.clone(),
    };
    let down = |name: &str, through: &[u8]| {
        let top = again.lookup(&ME, TOP, name.as_bytes()).unwrap().node;
        let end = lowest(&again, top);
        through.iter().fold(end, |dir, &name| {
            let name = if name == b'i' {
                &b"inner"[..]
            } else {
                &b"c"[..]
            };
            again.lookup(&ME, dir, name).unwrap().node
        })
    };
    for through in [&b"c"[..], b"ci"] {
        let tree = down("place", through);
        let refused = again.clone_tree(&ME, tree, down("deep", b""), b"x", false);
        again.well();
        assert_eq!(kind(refused), Kind::NameTooLong);
    }
    // What holds the clone, into one that is 16 KiB down.
    let place = again.lookup(&ME, TOP, b"place").unwrap().node;
    let into = again.folder(TOP, "into");
    let into = chain(&again, into, 80);
    let refused = again.clone_tree(&ME, place, into, b"x", false);
    again.well();
    assert_eq!(kind(refused), Kind::NameTooLong);
}

#[test]
fn whatever_goes_where_no_key_is_longer_than_is_known() {
    for seed in 0..8 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut m = mount();
        for name in ["a", "b", "c"] {
            m.folder(TOP, name);
        }
        let mut done = 0;
        for step in 0..60 {
            let [from, to] = [60; 2].map(|depth| somewhere(&m, &mut random, depth));
            // Few are made far down, as that raises the bound of all that is made.
            let near = somewhere(&m, &mut random, 2).2;
            let new = [b'n'; 200];
            let new = &new[..random.usize(150..200)];
            let moved = match random.u32(0..8) {
                0 | 1 => (0..random.u32(1..60))
                    .try_fold(near, |dir, _| {
                        let made = m.mkdir(&ME, dir, new, 0o755)?;
                        Ok(made.node)
                    })
                    .map(drop),
                2 | 3 => m.clone_tree(&ME, from.2, to.2, new, false).map(drop),
                4 => m.rename(&ME, from.0, &from.1, to.0, &to.1, RenameMode::Exchange),
                _ => m.rename(&ME, from.0, &from.1, to.2, new, RenameMode::NoReplace),
            };
            done += u32::from(moved.is_ok());
            if step % 25 == 24 {
                m.sync_all().unwrap();
                let (store, clock) = (m.store.clone(), m.clock.clone());
                drop(m);
                let fs = open_with(&store, &clock, 1 + step);
                m = Mount { fs, store, clock };
            }
            let (longest, known) = (m.longest_key(), m.bound_of_keys());
            assert!(
                longest <= known,
                "{longest} bytes, not {known}: seed {seed}, step {step}"
            );
        }
        m.well();
        assert!(done > 20, "{done} of 60 with seed {seed}");
    }
}

/// A folder at random, so deep at most: its parent, its name, itself.
fn somewhere(m: &Mount, random: &mut fastrand::Rng, depth: usize) -> (NodeId, Vec<u8>, NodeId) {
    let mut found = (TOP, Vec::new(), TOP);
    for _ in 0..random.usize(1..=depth) {
        let names = m.names(found.2);
        let Some(name) = random.choice(names) else {
            break;
        };
        let name = name.into_bytes();
        let node = m.lookup(&ME, found.2, &name).unwrap().node;
        found = (found.2, name, node);
    }
    found
}
