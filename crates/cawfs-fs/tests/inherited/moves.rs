//! What goes from one map to another, or must not.

use super::site::*;
use cawfs_fs::{Caller, CloneOptions, Kind, NO_ID, RenameMode, WriteFlags};

#[test]
fn files_that_move_out_or_in_are_shown_as_before() {
    let m = mount();
    tree(&m);
    m.clone("tree", "c", &shifted()).unwrap();
    m.clone("tree", "other", &mapped(0, 200_000, 65_536))
        .unwrap();
    let f = m.at("c/sub/f");
    let ino = m.getattr(f).unwrap().ino;
    m.mv("c/sub/f", "f").unwrap();
    assert_eq!((m.owner("f"), m.at("f")), ((100_005, 100_006), f));
    assert_eq!(m.getattr(f).unwrap().ino, ino);
    m.mv("f", "c/g").unwrap();
    assert_eq!(m.owner("c/g"), (100_005, 100_006));
    assert_eq!(kind(m.mv("c/g", "other/g")), Kind::CrossDevice);
    assert_eq!(kind(m.mv("tree/sub/f", "c/h")), Kind::CrossDevice);
    assert_eq!(kind(m.mv("c/sub/far", "far")), Kind::CrossDevice);
    m.mv("c/sub/far", "c/far").unwrap();
    assert_eq!(m.owner("c/far"), (NO_ID, 100_007));
    // With its list.
    let shown = m.acl("c/sub/l");
    m.mv("c/sub/l", "l").unwrap();
    assert_eq!(
        (m.owner("l"), m.acl("l")),
        ((100_000, 100_000), shown.clone())
    );
    // Exchanged, one file with another and with a directory.
    m.mv_as("l", "c/g", RenameMode::Exchange).unwrap();
    assert_eq!(
        (m.owner("l"), m.owner("c/g")),
        ((100_005, 100_006), (100_000, 100_000))
    );
    assert_eq!(m.acl("c/g"), shown);
    m.mv_as("l", "c/sub", RenameMode::Exchange).unwrap();
    assert_eq!(
        (m.owner("l"), m.owner("c/sub")),
        ((100_005, 100_005), (100_005, 100_006))
    );
    let refused = m.mv_as("tree/sub", "c/g", RenameMode::Exchange);
    assert_eq!(kind(refused), Kind::CrossDevice);
    let m = m.again();
    assert_eq!(
        (m.owner("l"), m.owner("c/sub"), m.owner("c/g")),
        ((100_005, 100_005), (100_005, 100_006), (100_000, 100_000))
    );
}

#[test]
fn directories_that_move_get_the_composed_map() {
    let m = mount();
    tree(&m);
    m.clone("tree", "c", &shifted()).unwrap();
    m.clone("tree", "twin", &shifted()).unwrap();
    m.mv("c/sub", "sub").unwrap();
    let far = (NO_ID, 100_007);
    assert_eq!(
        (m.owner("sub"), m.owner("sub/f"), m.owner("sub/far")),
        ((100_005, 100_005), (100_005, 100_006), far)
    );
    m.file(&Caller::user(100_001), "sub/new").unwrap();
    assert_eq!(kind(m.file(&ME, "sub/roots")), Kind::Overflow);
    // Into a tree that shows the same, and on into what it was.
    m.mv("sub", "twin/moved").unwrap();
    assert_eq!(
        (m.owner("twin/moved/f"), m.owner("twin/moved/far")),
        ((100_005, 100_006), far)
    );
    m.mv("twin/moved", "c/sub").unwrap();
    assert_eq!(
        (m.owner("c/sub/new"), m.owner("c/sub/far")),
        ((100_001, 100_001), far)
    );
    // What has no image there stays outside.
    assert_eq!(kind(m.mv("tree/sub", "c/second")), Kind::CrossDevice);
    m.clone("tree", "small", &mapped(0, 100_003, 10)).unwrap();
    m.mv("small", "c/small").unwrap();
    assert_eq!(
        (m.owner("c/small/sub/f"), m.owner("c/small")),
        ((100_008, 100_009), (100_003, 100_003))
    );
    assert_eq!(kind(m.mv("c/sub", "c/small/sub/x")), Kind::CrossDevice);
    let m = m.again();
    assert_eq!(
        (m.owner("c/small/sub/f"), m.owner("c/sub/f")),
        ((100_008, 100_009), (100_005, 100_006))
    );
    m.mv("c/small", "small").unwrap();
    assert_eq!(m.owner("small/sub/f"), (100_008, 100_009));
    // A clone goes where its ids can be shown, by a map of its own if need be.
    assert_eq!(
        kind(m.clone("tree", "c/t", &CloneOptions::default())),
        Kind::CrossDevice
    );
    m.clone("tree", "c/t", &shifted()).unwrap();
    is_shifted(&m, "c/t", 100_000);
}

#[test]
fn names_of_one_file_stay_where_ids_are_shown_alike() {
    let m = mount();
    tree(&m);
    m.ln("tree/sub/f", "tree/name").unwrap();
    m.clone("tree", "c", &shifted()).unwrap();
    assert_eq!(
        (m.owner("c/name"), m.at("c/name")),
        ((100_005, 100_006), m.at("c/sub/f"))
    );
    m.ln("c/sub/l", "c/l").unwrap();
    m.chown("c/l", 100_004, 100_004).unwrap();
    assert_eq!(m.owner("c/sub/l"), (100_004, 100_004));
    // Across the boundary neither names nor directories that share.
    assert_eq!(kind(m.ln("c/name", "name")), Kind::CrossDevice);
    assert_eq!(kind(m.ln("tree/name", "c/third")), Kind::CrossDevice);
    assert_eq!(kind(m.mv("c/name", "name")), Kind::CrossDevice);
    assert_eq!(kind(m.mv("c/sub", "sub")), Kind::CrossDevice);
    m.file(&ME, "plain").unwrap();
    let exchange = |a, b| m.mv_as(a, b, RenameMode::Exchange);
    assert_eq!(kind(exchange("c/name", "plain")), Kind::CrossDevice);
    // What only it has names of goes along with a directory.
    let container = Caller::user(100_000);
    m.mkdir(&container, m.at("c"), b"alone", 0o755).unwrap();
    m.file(&container, "c/both").unwrap();
    m.ln("c/both", "c/alone/one").unwrap();
    m.mv("c/both", "c/alone/two").unwrap();
    let node = m.at("c/alone/two");
    m.mv("c/alone", "alone").unwrap();
    assert_eq!((m.at("alone/one"), m.at("alone/two")), (node, node));
    assert_eq!(m.getattr(node).unwrap().nlink, 2);
    m.file(&ME, "other").unwrap();
    let swap = m.mv_as("alone", "c/l", RenameMode::Exchange);
    assert_eq!(kind(swap), Kind::CrossDevice, "that one has another name");
    m.file(&container, "c/single").unwrap();
    m.mv_as("alone", "c/single", RenameMode::Exchange).unwrap();
    assert_eq!(
        (m.at("c/single/one"), m.owner("c/single/two")),
        (node, (100_000, 100_000))
    );
    // What of it is inside may move inside.
    m.mv("c/sub", "c/moved").unwrap();
    m.clone("c/moved", "c/part", &CloneOptions::default())
        .unwrap();
    assert_eq!(
        (
            m.owner("c/part/f"),
            m.getattr(m.at("c/part/f")).unwrap().nlink
        ),
        ((100_005, 100_006), 1)
    );
    m.clone("c/moved", "part", &mapped(100_000, 0, 70_000))
        .unwrap();
    assert_eq!(m.owner("part/f"), (5, 6));
}

#[test]
fn the_last_name_of_a_file_may_go_anywhere() {
    let m = mount();
    tree(&m);
    m.ln("tree/sub/f", "tree/name").unwrap();
    m.clone("tree", "c", &shifted()).unwrap();
    let exchange = |a, b| m.mv_as(a, b, RenameMode::Exchange);
    let (dir, name) = m.split("c/name");
    let node = m.at("c/sub/f");
    m.unlink(&ME, dir, name).unwrap();
    m.mv("c/sub/f", "f").unwrap();
    assert_eq!((m.owner("f"), m.at("f")), ((100_005, 100_006), node));
    m.mv("f", "c/f").unwrap();
    m.ln("c/f", "c/sub/f").unwrap();
    m.unlink(&ME, m.at("c"), b"f").unwrap();
    m.file(&Caller::user(100_002), "swap").unwrap();
    exchange("c/sub/f", "swap").unwrap();
    assert_eq!(
        (m.owner("swap"), m.owner("c/sub/f")),
        ((100_005, 100_006), (100_002, 100_002))
    );
    let text = m.read(m.at("swap"), 0, 99).unwrap();
    assert_eq!(&text[..], b"tree/sub/f");
}

#[test]
fn open_files_are_shown_as_before_wherever_they_go() {
    let m = mount();
    tree(&m);
    m.clone("tree", "c", &shifted()).unwrap();
    let f = m.at("c/sub/f");
    let handle = m.open(f, libc::O_RDWR).unwrap();
    let shown = || {
        let attr = m.getattr(f).unwrap();
        (attr.uid, attr.gid, attr.nlink)
    };
    m.mv("c/sub/f", "f").unwrap();
    m.write(f, 0, b"moved", WriteFlags::default()).unwrap();
    m.mv("f", "c/f").unwrap();
    assert_eq!(shown(), (100_005, 100_006, 1));
    m.unlink(&ME, m.at("c"), b"f").unwrap();
    assert_eq!(shown(), (100_005, 100_006, 0));
    assert_eq!(&m.read(f, 0, 5).unwrap()[..], b"moved");
    let l = m.at("c/sub/l");
    let (list, other) = (m.acl("c/sub/l"), m.open(l, libc::O_RDONLY).unwrap());
    m.remove_tree(&ME, TOP, b"c").unwrap();
    assert_eq!(m.getxattr(l, ACCESS).unwrap(), list);
    assert_eq!(shown(), (100_005, 100_006, 0));
    m.release(f, handle);
    m.release(l, other);
    assert_eq!(
        shown(),
        (100_005, 100_006, 0),
        "also when its content is gone"
    );
    // A file that is made without a name gets one where it was made.
    m.clone("tree", "c", &shifted()).unwrap();
    let container = Caller::user(100_003);
    let (dir, flags) = (m.at("c"), libc::O_RDWR);
    let (entry, handle) = m.tmpfile(&container, dir, 0o600, flags).unwrap();
    assert_eq!((entry.attr.uid, entry.attr.gid), (100_003, 100_003));
    m.link(&container, entry.node, dir, b"named").unwrap();
    assert_eq!(m.owner("c/named"), (100_003, 100_003));
    m.release(entry.node, handle);
    let (entry, handle) = m.tmpfile(&ME, TOP, 0o600, flags).unwrap();
    assert_eq!(kind(m.link(&ME, entry.node, dir, b"no")), Kind::CrossDevice);
    m.release(entry.node, handle);
}

/// Record and place of a file change one after the other: nobody may see the one without the other.
#[test]
fn nobody_sees_a_file_between_two_maps() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let m = mount();
    tree(&m);
    m.clone("tree", "c", &shifted()).unwrap();
    let container = Caller::user(100_007);
    let (top, dir, done) = (TOP, m.at("c"), AtomicBool::new(false));
    let node = m.file(&container, "c/f").unwrap();
    let handle = m.open(node, libc::O_RDWR).unwrap();
    std::thread::scope(|scope| {
        let looks = || {
            let mut seen = 0u32;
            while !done.load(Ordering::Relaxed) {
                let attr = m.getattr(node).unwrap();
                assert_eq!((attr.uid, attr.gid), (100_007, 100_007));
                seen += 1;
            }
            seen
        };
        let threads = [scope.spawn(looks), scope.spawn(looks)];
        for _ in 0..300 {
            let go = |a, name: &[u8], b| m.rename(&ME, a, name, b, b"f", RenameMode::Replace);
            go(dir, b"f", top).unwrap();
            go(top, b"f", dir).unwrap();
            m.write(node, 0, b"x", WriteFlags::default()).unwrap();
        }
        m.unlink(&ME, dir, b"f").unwrap();
        m.release(node, handle);
        std::thread::sleep(std::time::Duration::from_millis(5));
        done.store(true, Ordering::Relaxed);
        for thread in threads {
            assert!(thread.join().unwrap() > 0);
        }
    });
}

#[test]
fn a_file_is_shown_right_to_its_maker_though_its_tree_goes_at_once() {
    let m = mount();
    tree(&m);
    m.clone("tree", "c", &shifted()).unwrap();
    let (maker, top) = (Caller::user(100_003), m.at("c"));
    let start = std::time::Instant::now();
    let made = std::sync::atomic::AtomicU32::new(0);
    let seen = || made.load(std::sync::atomic::Ordering::Relaxed);
    // A busy machine takes longer for what it is there for.
    let going =
        || start.elapsed().as_secs() < 1 || (seen() < 100 && start.elapsed().as_secs() < 60);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while going() {
                m.mkdir(&maker, top, b"d", 0o755).unwrap();
                std::thread::yield_now();
                m.remove_tree(&ME, top, b"d").unwrap();
            }
        });
        while going() {
            let Ok(dir) = m.lookup(&ME, top, b"d") else {
                continue;
            };
            let name = seen().to_string();
            let flags = libc::O_RDWR;
            if let Ok((entry, handle)) = m.create(&maker, dir.node, name.as_bytes(), 0o600, flags) {
                made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                assert_eq!((entry.attr.uid, entry.attr.gid), (100_003, 100_003));
                m.release(entry.node, handle);
            }
        }
    });
    assert!(seen() >= 100, "{}", seen());
}

#[test]
fn set_id_bits_of_an_open_file_are_shown_while_it_loses_its_name() {
    let m = mount();
    tree(&m);
    m.clone("tree", "c", &shifted()).unwrap();
    let owner = Caller::user(100_005);
    m.clone_tree(&owner, m.at("c/sub"), TOP, b"his", false)
        .unwrap();
    let dir = m.at("his");
    let until = std::time::Instant::now() + std::time::Duration::from_secs(1);
    let mut rounds = 0u32;
    while std::time::Instant::now() < until || rounds < 50 {
        let flags = libc::O_RDWR;
        let (entry, handle) = m.create(&owner, dir, b"own", 0o600, flags).unwrap();
        m.chmod("his/own", 0o4755).unwrap();
        let gone = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                m.unlink(&owner, dir, b"own").unwrap();
                gone.store(true, std::sync::atomic::Ordering::Relaxed);
            });
            while !gone.load(std::sync::atomic::Ordering::Relaxed) {
                assert_eq!(m.getattr(entry.node).unwrap().perm, 0o4755);
            }
        });
        m.release(entry.node, handle);
        rounds += 1;
    }
}
