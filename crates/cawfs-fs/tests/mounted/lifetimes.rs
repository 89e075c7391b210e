//! Objects outlive their names, listings their directories, and nothing outlives its holders.

use crate::mount::{ME, Mount, TOP, kind, mount, open};
use cawfs_fs::{AccessTimes, CloneOptions, Invalidation, Kind, NodeId, RenameMode, WriteFlags};

#[test]
fn access_times_wait_in_memory_until_sync() {
    let m = mount();
    let file = m.file(TOP, "f", b"x");
    let before = m.store.snapshot();
    let now = m.tick();
    m.content(file);
    assert_eq!(m.getattr(file).unwrap().atime, now);
    let keys = |s: &cawdb::Snapshot| {
        s.scan(cawdb::KeyRange::all())
            .map(|i| i.unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        keys(&before),
        keys(&m.store.snapshot()),
        "reading writes nothing"
    );
    m.sync_all().unwrap();
    let again = open(&m.store, &m.clock);
    assert_eq!(again.lookup(&ME, TOP, b"f").unwrap().attr.atime, now);
    m.tick();
    m.content(file);
    assert_eq!(
        m.getattr(file).unwrap().atime,
        now,
        "relative: not again before a change or a day"
    );
}

#[test]
fn access_times_are_renewed_as_asked() {
    let m = mount();
    let file = m.file(TOP, "f", b"x");
    m.set_access_times(AccessTimes::Always);
    for _ in 0..2 {
        let now = m.tick();
        m.content(file);
        assert_eq!(m.getattr(file).unwrap().atime, now);
    }
    let before = m.getattr(file).unwrap().atime;
    m.tick();
    m.peek_pieces(file, 0, 1).unwrap();
    assert_eq!(m.getattr(file).unwrap().atime, before, "O_NOATIME");
    m.set_access_times(AccessTimes::Never);
    m.write(file, 0, b"y", WriteFlags::default()).unwrap();
    m.tick();
    m.content(file);
    assert_eq!(m.getattr(file).unwrap().atime, before, "never");
}

#[test]
fn what_was_below_a_removed_tree_still_changes_what_it_shows() {
    let m = mount();
    let tree = m.mkdir(&ME, TOP, b"tree", 0o755).unwrap().node;
    let inner = m.mkdir(&ME, tree, b"inner", 0o755).unwrap().node;
    let mode = libc::S_IFIFO | 0o600;
    let pipe = m.mknod(&ME, inner, b"pipe", mode, 0).unwrap().node;
    m.remove_tree(&ME, TOP, b"tree").unwrap();
    for node in [tree, inner, pipe] {
        let change = cawfs_fs::SetAttr {
            mode: Some(0o700),
            ..Default::default()
        };
        assert_eq!(m.setattr(&ME, node, &change).unwrap().perm, 0o700);
        assert_eq!(m.getattr(node).unwrap().perm, 0o700);
    }
}

/// The names that the kernel is to ask for again when a tree goes, sorted.
fn expired(m: &Mount, tree: &[u8]) -> Vec<(NodeId, String)> {
    let told = m.remove_tree(&ME, TOP, tree).unwrap();
    let mut expired: Vec<_> = told
        .into_iter()
        .filter_map(|told| match told {
            Invalidation::Expired { parent, name } => {
                Some((parent, String::from_utf8(name.to_vec()).unwrap()))
            }
            _ => None,
        })
        .collect();
    expired.sort();
    expired
}

fn named(names: &[(NodeId, &str)]) -> Vec<(NodeId, String)> {
    names.iter().map(|&(dir, n)| (dir, n.to_owned())).collect()
}

/// More names than are told of where nothing is open.
fn fill(m: &Mount, dir: NodeId) {
    for number in 0..=256 {
        m.mknod(&ME, dir, format!("{number}").as_bytes(), libc::S_IFIFO, 0)
            .unwrap();
    }
}

#[test]
fn who_may_hold_a_directory_of_a_removed_tree_asks_anew_for_all_names_in_it() {
    let m = mount();
    let (tree, outside) = (m.folder(TOP, "tree"), m.folder(TOP, "outside"));
    let sub = m.folder(tree, "sub");
    m.folder(tree, "empty");
    let file = m.file(sub, "file", b"");
    // Names of these are not nodes. Homes: `sub`, `tree`, the root.
    m.link(&ME, file, sub, b"again").unwrap();
    let other = m.file(tree, "other", b"");
    m.link(&ME, other, sub, b"another").unwrap();
    let crossing = m.file(outside, "crossing", b"");
    m.link(&ME, crossing, sub, b"in").unwrap();
    m.opendir(outside).unwrap();
    let of_sub = ["again", "another", "file", "in"].map(|name| (sub, name));
    let of_tree = ["empty", "other", "sub"].map(|name| (tree, name));
    let names = named(&[&of_tree[..], &of_sub].concat());
    assert_eq!(expired(&m, b"tree"), names);
    m.well();
}

#[test]
fn who_holds_a_directory_of_a_large_removed_tree_open_asks_anew_for_all_names_in_it() {
    let m = mount();
    let tree = m.folder(TOP, "tree");
    let (held, many) = (m.folder(tree, "held"), m.folder(tree, "many"));
    fill(&m, many);
    let (one, inner) = (m.file(held, "one", b""), m.folder(held, "inner"));
    m.link(&ME, one, held, b"two").unwrap();
    m.link(&ME, one, many, b"three").unwrap();
    m.file(inner, "not told", b"");
    let used = m.file(inner, "used", b"");
    m.open(used, libc::O_RDONLY).unwrap();
    m.opendir(held).unwrap();
    let names = [
        (tree, "held"),
        (held, "inner"),
        (held, "one"),
        (held, "two"),
        (inner, "used"),
    ];
    assert_eq!(expired(&m, b"tree"), named(&names));
    // Once more, with nobody in it.
    let tree = m.folder(TOP, "tree");
    fill(&m, tree);
    assert_eq!(expired(&m, b"tree"), []);
    m.well();
}

#[test]
fn an_unlinked_or_replaced_file_lives_while_it_is_open() {
    let m = mount();
    let (a, b) = (m.file(TOP, "a", b"first"), m.file(TOP, "b", &[7; 200_000]));
    let handles = [a, b].map(|node| (node, m.open(node, libc::O_RDWR).unwrap()));
    let numbers = [a, b].map(|node| m.getattr(node).unwrap().ino);
    m.unlink(&ME, TOP, b"a").unwrap();
    m.file(TOP, "c", b"new");
    m.rename(&ME, TOP, b"c", TOP, b"b", RenameMode::Replace)
        .unwrap();
    m.write(a, 5, b" more", WriteFlags::default()).unwrap();
    assert_eq!(
        (m.content(a), m.content(b).len()),
        (b"first more".to_vec(), 200_000)
    );
    assert_eq!([a, b].map(|node| m.getattr(node).unwrap().ino), numbers);
    assert_eq!(m.getattr(a).unwrap().nlink, 0);
    let report = cawfs_fs::check(&m.store.snapshot(), true).unwrap();
    assert_eq!((report.orphans, report.findings), (2, vec![]));
    for (node, handle) in handles {
        m.release(node, handle);
        m.forget(node, 1);
        assert_eq!(kind(m.getattr(node)), Kind::Stale);
    }
    let report = cawfs_fs::check(&m.store.snapshot(), true).unwrap();
    assert_eq!((report.orphans, report.findings), (0, vec![]));
}

#[test]
fn content_goes_with_the_last_handle_even_if_the_node_is_remembered() {
    let m = mount();
    let tree = m.folder(TOP, "t");
    let (a, b) = (m.file(TOP, "a", b"x"), m.file(tree, "b", &[1; 300_000]));
    let keys = m.store.scan(cawdb::KeyRange::all()).count();
    let handles = [a, b, b].map(|node| (node, m.open(node, libc::O_RDWR).unwrap()));
    m.unlink(&ME, TOP, b"a").unwrap();
    let told = m.remove_tree(&ME, TOP, b"t").unwrap();
    assert!(
        told.contains(&Invalidation::Attributes(b)),
        "it has no link any more"
    );
    for (node, handle) in handles {
        assert!(!m.content(node).is_empty());
        m.release(node, handle);
    }
    assert!(m.store.scan(cawdb::KeyRange::all()).count() < keys - 5);
    for node in [a, b] {
        assert_eq!(m.getattr(node).unwrap().nlink, 0);
        assert_eq!(kind(m.open(node, libc::O_RDONLY)), Kind::Stale);
        m.forget(node, 1);
        assert_eq!(kind(m.getattr(node)), Kind::Stale);
    }
    m.well();
}

#[test]
fn a_stage_may_be_the_last_to_hold_its_source() {
    let m = mount();
    let file = m.file(TOP, "f", b"x");
    m.tick();
    m.content(file);
    let token = m
        .stage_clone(&ME, file, 1, &CloneOptions::default())
        .unwrap();
    m.forget(file, 1);
    let name = cawfs_fs::protocol::stage_name(token, 0);
    m.rename(&ME, TOP, name.as_bytes(), TOP, b"g", RenameMode::Replace)
        .unwrap();
    assert_eq!(kind(m.getattr(file)), Kind::Stale);
    assert_eq!(m.names(TOP), ["f", "g"]);
    m.well();
}

#[test]
fn orphans_and_stages_of_a_crash_are_swept_at_mount() {
    let m = mount();
    let file = m.file(TOP, "a", &[1; 300_000]);
    m.open(file, libc::O_RDWR).unwrap();
    m.unlink(&ME, TOP, b"a").unwrap();
    let dir = m.folder(TOP, "d");
    m.file(dir, "x", b"x");
    m.stage_clone(&ME, dir, 3, &CloneOptions::default())
        .unwrap();
    let keys = m.store.scan(cawdb::KeyRange::all()).count();
    let again = open(&m.store, &m.clock);
    assert!(m.store.scan(cawdb::KeyRange::all()).count() <= keys - 6 - 2);
    assert_eq!(again.lookup(&ME, TOP, b"d").unwrap().attr.nlink, 2);
    m.well();
}

#[test]
fn directories_that_were_removed_still_answer() {
    let m = mount();
    let (dir, tree) = (m.folder(TOP, "d"), m.folder(TOP, "t"));
    let (inner, file) = (m.folder(tree, "i"), m.file(tree, "f", b"x"));
    let handle = m.opendir(inner).unwrap();
    m.rmdir(&ME, TOP, b"d").unwrap();
    m.remove_tree(&ME, TOP, b"t").unwrap();
    assert_eq!(m.getattr(dir).unwrap().nlink, 0);
    for gone in [dir, tree, inner] {
        m.getattr(gone).unwrap();
        assert_eq!(kind(m.mkdir(&ME, gone, b"x", 0o755)), Kind::NotFound);
        assert_eq!(kind(m.lookup(&ME, gone, b"f")), Kind::NotFound);
    }
    assert_eq!(kind(m.open(file, libc::O_RDONLY)), Kind::Stale);
    let mut count = 0;
    m.readdir(handle, 0, &mut |_| {
        count += 1;
        true
    })
    .unwrap();
    assert_eq!(count, 2);
    m.well();
}

#[test]
fn open_files_below_a_moved_or_removed_tree_go_on() {
    let m = mount();
    let (tree, other) = (m.folder(TOP, "t"), m.folder(TOP, "o"));
    let deep = m.folder(tree, "deep");
    let file = m.file(deep, "f", &[3; 100_000]);
    let handle = m.open(file, libc::O_RDWR).unwrap();
    assert_eq!(m.writable_handles_below(tree), [file]);
    let listing = m.opendir(deep).unwrap();
    m.rename(&ME, TOP, b"t", other, b"moved", RenameMode::Replace)
        .unwrap();
    m.write(file, 0, b"new", WriteFlags::default()).unwrap();
    assert_eq!(m.writable_handles_below(other), [file]);
    let mut names = Vec::new();
    m.readdir(listing, 0, &mut |e| {
        names.push(e.name);
        true
    })
    .unwrap();
    assert_eq!(names.len(), 3, "a listing begun before the move");
    m.remove_tree(&ME, other, b"moved").unwrap();
    m.write(file, 3, b"er", WriteFlags::default()).unwrap();
    assert_eq!(&m.content(file)[..6], b"newer\x03");
    m.well();
    m.release(file, handle);
}

#[test]
fn a_listing_is_of_when_names_are_first_asked_for_and_one_may_be_remembered() {
    let m = mount();
    let dir = m.folder(TOP, "d");
    let first = m.opendir(dir).unwrap();
    let second = m.opendir(dir).unwrap();
    assert!(m.may_cache_names(first) && !m.may_cache_names(second));
    m.file(dir, "f", b"x");
    let mut names = Vec::new();
    m.readdir(first, 0, &mut |e| {
        names.push(e.name);
        true
    })
    .unwrap();
    assert_eq!(names, [&b"."[..], b"..", b"f"]);
    m.releasedir(first);
    let third = m.opendir(dir).unwrap();
    assert!(!m.may_cache_names(third), "the second is still open");
    m.releasedir(second);
    m.releasedir(third);
    let last = m.opendir(dir).unwrap();
    assert!(m.may_cache_names(last));
    m.releasedir(last);
}

#[test]
fn a_listing_ends_and_repeats_nothing_while_names_change() {
    let m = mount();
    let dir = m.folder(TOP, "d");
    for i in 0..1000 {
        m.mkdir(&ME, dir, format!("n{i:04}").as_bytes(), 0o755)
            .unwrap();
    }
    let handle = m.opendir(dir).unwrap();
    let (mut names, mut cookies, mut from) = (Vec::new(), Vec::new(), 0);
    loop {
        let mut batch = Vec::new();
        m.readdir(handle, from, &mut |e| {
            batch.len() < 7 && {
                batch.push(e);
                true
            }
        })
        .unwrap();
        let Some(last) = batch.last() else { break };
        cookies.push((from, batch[0].name.clone()));
        from = last.next;
        for entry in batch {
            let _ = m.rmdir(&ME, dir, &entry.name);
            let _ = m.mkdir(&ME, dir, &[b"z", &entry.name[..]].concat(), 0o755);
            names.push(entry.name);
        }
    }
    assert_eq!(names.len(), 1002);
    for (cookie, name) in cookies
        .into_iter()
        .skip(1)
        .step_by(11)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
    {
        let mut found = None;
        m.readdir(handle, cookie, &mut |e| {
            found = Some(e.name);
            false
        })
        .unwrap();
        assert_eq!(found, Some(name), "a seek back to {cookie}");
    }
    let mut renewed = 0;
    m.readdir(handle, 0, &mut |e| {
        renewed += usize::from(e.name.starts_with(b"zn"));
        true
    })
    .unwrap();
    assert_eq!(renewed, 1000);
    m.releasedir(handle);
}

#[test]
fn nameless_files_get_a_name_and_then_more() {
    let m = mount();
    let dir = m.folder(TOP, "d");
    m.file(TOP, "f", b"x");
    assert_eq!(kind(m.link(&ME, dir, dir, b"g")), Kind::NotPermitted);
    for size in [5, 300_000] {
        let (entry, handle) = m.tmpfile(&ME, dir, 0o600, libc::O_RDWR).unwrap();
        let node = entry.node;
        assert_eq!(entry.attr.nlink, 0);
        m.write(node, 0, &vec![7; size], WriteFlags::default())
            .unwrap();
        assert_eq!(kind(m.link(&ME, node, TOP, b"f")), Kind::Exists);
        let linked = m.link(&ME, node, dir, b"named").unwrap();
        assert_eq!((linked.node, linked.attr.nlink), (node, 1));
        assert_eq!(linked.attr.ino, entry.attr.ino);
        assert_eq!(m.link(&ME, node, TOP, b"again").unwrap().attr.nlink, 2);
        m.release(node, handle);
        assert_eq!(m.content(node), vec![7; size]);
        m.unlink(&ME, dir, b"named").unwrap();
        assert_eq!(m.content(node), vec![7; size]);
        assert_eq!(m.getattr(node).unwrap().nlink, 1);
        m.unlink(&ME, TOP, b"again").unwrap();
    }
    let (entry, handle) = m.tmpfile(&ME, dir, 0o600, libc::O_RDWR).unwrap();
    m.release(entry.node, handle);
    let late = m.link(&ME, entry.node, dir, b"late");
    assert_eq!(kind(late), Kind::NotFound);
    assert_eq!(m.names(dir).len(), 0);
    let report = cawfs_fs::check(&m.store.snapshot(), true).unwrap();
    assert_eq!((report.orphans, report.findings), (0, vec![]));
}

#[test]
fn the_nodes_of_a_removed_tree_come_in_pieces_from_the_leaves_up() {
    let m = mount();
    let tree = m.folder(TOP, "t");
    let mut above = vec![(tree, TOP)];
    for dir in 0..7 {
        let dir = m.folder(tree, &dir.to_string());
        above.push((dir, tree));
        above.extend((0..13).map(|file| (m.file(dir, &file.to_string(), b"x"), dir)));
    }
    m.file(TOP, "beside", b"x");
    m.remove_tree(&ME, TOP, b"t").unwrap();
    for most in [1, 10, 1000] {
        let pieces: Vec<_> = m.nodes_below(tree, most).collect();
        let (last, full) = pieces.split_last().unwrap();
        assert!(full.iter().all(|piece| piece.len() == most) && last.len() <= most);
        let found = pieces.concat();
        let at = |node| found.iter().position(|&n| n == node);
        assert_eq!(found.len(), above.len());
        for &(node, parent) in &above {
            let (node, parent) = (at(node).unwrap(), at(parent));
            assert!(parent.is_none_or(|parent| node < parent));
        }
    }
}
