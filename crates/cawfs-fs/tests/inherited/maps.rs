//! What a mapped clone shows, and what is made of what is done in it.

use super::site::*;
use cawfs_fs::{
    Caller, CloneOptions, Fs, Ids, Kind, MountOptions, NO_ID, RenameMode, Salvage, Salvaged,
    XattrMode, protocol,
};

#[test]
fn a_mapped_clone_shows_other_ids_all_the_way_down() {
    let m = mount();
    tree(&m);
    m.clone("tree", "c", &shifted()).unwrap();
    is_shifted(&m, "c", 100_000);
    assert_eq!(
        (m.owner("tree/sub/f"), m.owner("tree/sub/far")),
        ((5, 6), (70_000, 7))
    );
    assert_eq!(m.acl("tree/sub/l"), list_of(9, 70_001));
    // Clones of it, of what is in it, and of clones of it, through mounts and hand-overs.
    m.clone("c", "d", &CloneOptions::default()).unwrap();
    m.clone("c/sub", "e", &CloneOptions::default()).unwrap();
    m.clone("c/sub", "c/sub/again", &CloneOptions::default())
        .unwrap();
    m.clone("c", "g", &mapped(100_000, 300_000, 65_536))
        .unwrap();
    let m = m.again();
    let table = m.hand_over().unwrap();
    let fs = Fs::take_over(m.store.clone(), MountOptions::default(), &table).unwrap();
    let m = Mounted {
        store: m.store.clone(),
        fs,
    };
    is_shifted(&m, "c", 100_000);
    is_shifted(&m, "d", 100_000);
    is_shifted(&m, "g", 300_000);
    assert_eq!(m.owner("e"), (100_005, 100_005));
    assert_eq!(m.owner("e/f"), (100_005, 100_006));
    assert_eq!(m.owner("c/sub/again/f"), (100_005, 100_006));
    // A map that meets none of the ids shows no one's, and one back shows what it was.
    m.clone("c", "h", &mapped(0, 7, 10)).unwrap();
    assert_eq!(m.owner("h/sub/f"), (NO_ID, NO_ID));
    m.clone("c", "back", &mapped(100_000, 0, 65_536)).unwrap();
    assert_eq!(
        (m.owner("back/sub/f"), m.owner("back/sub/far")),
        ((5, 6), (NO_ID, 7))
    );
}

#[test]
fn several_ranges_and_one_kind_of_ids() {
    let m = mount();
    tree(&m);
    let users = [range(0, 1000, 1), range(5, 2005, 1), range(70_000, 3, 1)];
    let options = CloneOptions {
        ids: Ids::new(&users, &[]).unwrap(),
        ..CloneOptions::default()
    };
    m.clone("tree", "c", &options).unwrap();
    assert_eq!((m.owner("c"), m.owner("c/sub")), ((1000, 0), (2005, 5)));
    assert_eq!(m.owner("c/sub/far"), (3, 7));
    assert!(Ids::new(&[range(0, 0, 5), range(4, 9, 1)], &[]).is_err());
}

#[test]
fn maps_that_add_up_to_more_than_a_record_takes_are_refused() {
    let m = mount();
    tree(&m);
    let ranges = |from: u32, step: u32, to: u32, by: u32| {
        let many = (0..340).map(|i| range(from + i * step, to + i * by, 10));
        CloneOptions {
            ids: Ids::new(&many.collect::<Vec<_>>(), &[]).unwrap(),
            ..CloneOptions::default()
        }
    };
    m.clone("tree", "a", &ranges(0, 20, 100_000, 10)).unwrap();
    // Its ranges end in the middle of those, so that there would be twice as many.
    let halves = ranges(99_995, 10, 500_000, 20);
    assert_eq!(kind(m.clone("a", "b", &halves)), Kind::Invalid);
    let staged = m.stage_clone(&ME, m.at("a"), 1, &halves);
    assert_eq!(kind(staged), Kind::Invalid);
    m.clone("tree", "b", &halves).unwrap();
    let m = m.again();
    assert_eq!((m.owner("a"), m.owner("b/sub")), ((100_000, 0), (NO_ID, 5)));
}

#[test]
fn only_root_maps_ids_and_files_take_them_at_once() {
    let m = mount();
    tree(&m);
    let (owner, user) = (m.at("tree/sub"), Caller::user(5));
    let refused = m.clone_tree_with(&user, owner, (TOP, b"c"), &shifted());
    assert_eq!(kind(refused), Kind::NotPermitted);
    let staged = m.stage_clone(&user, owner, 1, &shifted());
    assert_eq!(kind(staged), Kind::NotPermitted);
    m.clone("tree/sub/f", "f", &shifted()).unwrap();
    assert_eq!(m.owner("f"), (100_005, 100_006));
    m.clone("tree/sub/l", "l", &mapped(0, 50, 80_000)).unwrap();
    assert_eq!((m.owner("l"), m.acl("l")), ((50, 50), list_of(59, 70_051)));
    assert_eq!(
        kind(m.clone("tree/sub/far", "far", &shifted())),
        Kind::CrossDevice
    );
    // Out of a mapped tree a file is what it was there; in somebody's clone it is his.
    m.clone("tree", "c", &shifted()).unwrap();
    m.clone("c/sub/f", "out", &CloneOptions::default()).unwrap();
    assert_eq!(m.owner("out"), (100_005, 100_006));
    m.clone_tree(&user, m.at("c/sub/f"), TOP, b"his", false)
        .unwrap();
    assert_eq!(m.owner("his"), (5, 5));
    let into = m.clone_tree(&user, m.at("f"), m.at("c"), b"his", false);
    assert_eq!(kind(into), Kind::Overflow);
    let container = Caller::user(100_005);
    m.clone_tree(&container, m.at("f"), m.at("c"), b"his", false)
        .unwrap();
    assert_eq!(m.owner("c/his"), (100_005, 100_005));
    // The owner as he is shown may clone and remove.
    m.clone_tree(&container, m.at("c/sub"), TOP, b"mine", false)
        .unwrap();
    assert_eq!(m.owner("mine/f"), (100_005, 100_006));
    assert_eq!(kind(m.remove_tree(&user, TOP, b"mine")), Kind::NotPermitted);
    m.remove_tree(&container, TOP, b"mine").unwrap();
}

#[test]
fn what_is_made_or_given_away_there_is_kept_by_the_map() {
    let m = mount();
    tree(&m);
    m.clone("tree", "c", &shifted()).unwrap();
    let container = Caller::user(100_007);
    m.file(&container, "c/new").unwrap();
    assert_eq!(m.owner("c/new"), (100_007, 100_007));
    assert_eq!(kind(m.file(&ME, "c/roots")), Kind::Overflow);
    assert_eq!(kind(m.dir("c/roots")), Kind::Overflow);
    assert_eq!(kind(m.symlink(&ME, m.at("c"), b"l", b"x")), Kind::Overflow);
    assert_eq!(
        kind(m.tmpfile(&ME, m.at("c"), 0o600, libc::O_RDWR)),
        Kind::Overflow
    );
    assert_eq!(kind(m.chown("c/new", 5, 100_007)), Kind::Overflow);
    assert_eq!(kind(m.chown("c/new", 100_007, 65_534)), Kind::Overflow);
    m.chown("c/new", 100_009, 165_535).unwrap();
    assert_eq!(m.owner("c/new"), (100_009, 165_535));
    // What has no image keeps what it has, until it is given to somebody.
    m.chmod("c/sub/far", 0o600).unwrap();
    assert_eq!(m.owner("c/sub/far"), (NO_ID, 100_007));
    m.clone("c", "back", &mapped(100_000, 0, 65_536)).unwrap();
    m.chown("c/sub/far", 100_001, 100_001).unwrap();
    assert_eq!(m.owner("c/sub/far"), (100_001, 100_001));
    // Groups by set-gid, lists by default.
    m.chmod("c/sub", 0o2777).unwrap();
    let sub = m.at("c/sub");
    m.setxattr(
        &ME,
        sub,
        DEFAULT,
        &list_of(100_011, 100_012),
        XattrMode::Any,
    )
    .unwrap();
    m.file(&container, "c/sub/inherits").unwrap();
    assert_eq!(m.owner("c/sub/inherits"), (100_007, 100_005));
    let made = m.acl("c/sub/inherits");
    assert_eq!(
        (&made[16..20], &made[32..36]),
        (&100_011u32.to_le_bytes()[..], &100_012u32.to_le_bytes()[..])
    );
    let bad = m.setxattr(&ME, sub, ACCESS, &list_of(3, 100_000), XattrMode::Any);
    assert_eq!(kind(bad), Kind::Overflow);
    m.clone("c", "d", &mapped(100_000, 0, 65_536)).unwrap();
    let made = m.acl("d/sub/inherits");
    assert_eq!(
        (&made[16..20], &made[32..36]),
        (&11u32.to_le_bytes()[..], &12u32.to_le_bytes()[..])
    );
}

#[test]
fn set_id_bits_are_hidden_for_whom_they_were() {
    let m = mount();
    tree(&m);
    let user = Caller::user(5);
    for (path, owner) in [("tree/sub/f", 5), ("tree/sub/l", 0)] {
        m.chown(path, owner, owner).unwrap();
        m.chmod(path, 0o4755).unwrap();
    }
    m.clone_tree(&user, m.at("tree/sub"), TOP, b"his", false)
        .unwrap();
    m.clone("his", "c", &shifted()).unwrap();
    let perm = |path: &str| m.getattr(m.at(path)).unwrap().perm;
    assert_eq!((perm("c/f"), perm("c/l")), (0o4755, 0o755));
    m.dir("c2").unwrap();
    m.clone("c", "c2/in", &mapped(100_000, 7, 99)).unwrap();
    assert_eq!((perm("c2/in/f"), perm("c2/in/l")), (0o4755, 0o755));
    m.mv("c/l", "l").unwrap();
    m.mv("c/f", "f").unwrap();
    assert_eq!(
        (perm("l"), perm("f"), m.owner("f")),
        (0o755, 0o4755, (100_005, 100_005))
    );
    let container = Caller::user(100_005);
    m.clone("tree/sub", "d", &shifted()).unwrap();
    m.clone_tree(&container, m.at("d"), TOP, b"e", false)
        .unwrap();
    assert_eq!(
        (perm("d/l"), perm("e/f"), perm("e/l")),
        (0o4755, 0o4755, 0o755)
    );
    let m = m.again();
    let perm = |path: &str| m.getattr(m.at(path)).unwrap().perm;
    assert_eq!(
        (perm("e/f"), perm("e/l"), perm("c2/in/f"), perm("c2/in/l")),
        (0o4755, 0o755, 0o4755, 0o755)
    );
}

#[test]
fn capabilities_are_those_of_whom_the_superuser_is_shown_as() {
    let m = mount();
    tree(&m);
    const CAPS: &[u8] = b"security.capability";
    let machines = [&0x0200_0001u32.to_le_bytes()[..], &[7; 16]].concat();
    let of = |root: u32| {
        let head = [&0x0300_0001u32.to_le_bytes()[..], &[7; 16]].concat();
        [&head[..], &root.to_le_bytes()].concat()
    };
    m.setxattr(&ME, m.at("tree/sub/f"), CAPS, &machines, XattrMode::Any)
        .unwrap();
    m.clone("tree", "c", &shifted()).unwrap();
    m.clone("tree", "d", &mapped(5, 5, 5)).unwrap();
    let caps = |path: &str| m.getxattr(m.at(path), CAPS).map(|value| value.to_vec());
    assert_eq!(caps("c/sub/f").unwrap(), of(100_000));
    assert_eq!(
        kind(caps("d/sub/f")),
        Kind::NoAttribute,
        "nobody is the superuser there"
    );
    assert_eq!(m.listxattr(&ME, m.at("d/sub/f")).unwrap(), b"");
    assert_eq!(
        m.listxattr(&ME, m.at("c/sub/f")).unwrap(),
        b"security.capability\0"
    );
    m.mv("c/sub/f", "f").unwrap();
    m.mv("d/sub/f", "g").unwrap();
    assert_eq!(
        (caps("f").unwrap(), kind(caps("g"))),
        (of(100_000), Kind::NoAttribute)
    );
    m.mv("f", "c/sub/f").unwrap();
    // Where that user is not shown they would be lost.
    m.clone("tree", "c/in", &mapped(0, 100_003, 10)).unwrap();
    assert_eq!(kind(m.mv("c/sub/f", "c/in/f")), Kind::CrossDevice);
    assert_eq!(caps("c/sub/f").unwrap(), of(100_000));
    m.clone("c", "back", &mapped(100_000, 0, 9)).unwrap();
    assert_eq!(caps("back/sub/f").unwrap(), machines);
    let set = |value: &[u8]| m.setxattr(&ME, m.at("c/sub/l"), CAPS, value, XattrMode::Any);
    assert_eq!(kind(set(&machines)), Kind::Overflow);
    set(&of(100_000)).unwrap();
    assert_eq!(caps("c/sub/l").unwrap(), of(100_000));
}

#[test]
fn staged_clones_show_other_ids_too() {
    let m = mount();
    tree(&m);
    for count in [1, 2] {
        let stage = protocol::Stage {
            count,
            flags: protocol::CLONE_READ_ONLY,
            token: 0,
        };
        let ranges = [range(0, 100_000, 65_536)];
        let ask = protocol::encode_mapped(stage, &ranges, &ranges).unwrap();
        let command = protocol::CLONE_STAGE_MAPPED;
        let refused = m.ioctl(&Caller::user(5), m.at("tree"), None, command, &ask);
        assert_eq!(kind(refused), Kind::NotPermitted);
        let reply = m.ioctl(&ME, m.at("tree"), None, command, &ask).unwrap();
        let token = protocol::Stage::decode(&reply.data).unwrap().token;
        for i in 0..count {
            let (staged, name) = (protocol::stage_name(token, i), format!("c{count}{i}"));
            let entry = m.lookup(&ME, TOP, staged.as_bytes()).unwrap();
            assert_eq!(
                (entry.attr.uid, entry.attr.gid),
                (0, 0),
                "the caller's so far"
            );
            let (staged, name) = (staged.as_bytes(), name.as_bytes());
            m.rename(&ME, TOP, staged, TOP, name, RenameMode::NoReplace)
                .unwrap();
        }
    }
    for top in ["c10", "c20", "c21"] {
        is_shifted(&m, top, 100_000);
        assert_eq!(kind(m.chmod(&format!("{top}/sub"), 0o777)), Kind::ReadOnly);
    }
    let short = m.ioctl(
        &ME,
        m.at("tree"),
        None,
        protocol::CLONE_STAGE_MAPPED,
        &[0; 24],
    );
    assert_eq!(kind(short), Kind::Invalid);
}

#[test]
fn what_is_saved_has_the_ids_that_were_shown() {
    let m = mount();
    tree(&m);
    m.clone("tree", "c", &shifted()).unwrap();
    m.clone("c", "d", &mapped(100_000, 7, 100)).unwrap();
    let mut seen = std::collections::BTreeMap::new();
    Salvage::new(&m.store, Vec::new()).objects(&mut |found| {
        let Salvaged::Object(object) = found else {
            panic!("{found:?}");
        };
        let path: Vec<_> = object
            .path
            .iter()
            .map(|name| String::from_utf8_lossy(name))
            .collect();
        seen.insert(path.join("/"), object);
    });
    let owner = |path: &str| (seen[path].uid, seen[path].gid);
    assert_eq!((owner("c"), owner("d/sub")), ((100_000, 100_000), (12, 12)));
    assert_eq!(
        (owner("c/sub/f"), owner("d/sub/f")),
        ((100_005, 100_006), (12, 13))
    );
    assert_eq!(owner("c/sub/far"), (65_534, 100_007));
    assert_eq!(seen["c/sub/l"].xattrs[0].1, m.acl("c/sub/l"));
}
