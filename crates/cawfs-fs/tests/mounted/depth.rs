//! Trees that go ever deeper: what does not fit is refused before anything changes.

use crate::mount::{ME, Mount, TOP, kind, mount, open};
use cawfs_fs::{CloneOptions, Kind, NodeId, RenameMode};

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

fn longest(m: &Mount) -> usize {
    let keys = m.store.scan(cawdb::KeyRange::all());
    keys.map(|item| item.unwrap().0.len()).max().unwrap()
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
    assert!((32 * 1024..=cawdb::MAX_KEY_BYTES).contains(&longest(&m)));
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
    assert!(longest(&m) <= cawdb::MAX_KEY_BYTES);
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
    let mut keys = m.store.scan(cawdb::KeyRange::all()).map(Result::unwrap);
    let bounds = keys.find(|(key, _)| key.ends_with(b"xK")).unwrap().1;
    let any = u32::from_le_bytes(bounds[4..8].try_into().unwrap());
    assert!((8192..8192 + 40 * 3 + 1).contains(&any), "{any} bytes");
}
