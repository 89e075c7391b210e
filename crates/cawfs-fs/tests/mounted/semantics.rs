//! What POSIX and our design promise, one promise a test.

use crate::mount::{ME, TOP, kind, mount};
use cawfs_fs::{
    Caller, FormatOptions, Fs, Kind, MountOptions, RenameMode, SetAttr, SetTime, Time, Whence,
    WriteFlags, XattrMode, protocol,
};

#[test]
fn times_follow_every_change_of_object_and_parents() {
    let m = mount();
    let (a, b) = (m.folder(TOP, "a"), m.folder(TOP, "b"));
    let file = m.file(a, "f", b"one");
    let now = m.tick();
    m.rename(&ME, a, b"f", b, b"g", RenameMode::Replace)
        .unwrap();
    for dir in [a, b] {
        let attr = m.getattr(dir).unwrap();
        assert_eq!((attr.mtime, attr.ctime), (now, now));
    }
    let attr = m.getattr(file).unwrap();
    assert!(attr.mtime < now && attr.ctime == now);
    let now = m.tick();
    let same = SetAttr {
        size: Some(3),
        ..SetAttr::default()
    };
    let attr = m.setattr(&ME, file, &same).unwrap();
    assert_eq!(
        (attr.mtime, attr.ctime),
        (now, now),
        "truncation to the same size"
    );
    let old = Time {
        secs: -5_000_000_000,
        nanos: 1,
    };
    let set = SetAttr {
        atime: Some(SetTime::At(old)),
        mtime: Some(SetTime::Now),
        ..SetAttr::default()
    };
    let attr = m.setattr(&ME, file, &set).unwrap();
    assert_eq!((attr.atime, attr.mtime), (old, now));
    let now = m.tick();
    m.unlink(&ME, b, b"g").unwrap();
    assert_eq!(m.getattr(b).unwrap().mtime, now);
    m.well();
}

#[test]
fn an_access_list_of_the_parent_rules_who_removes_a_tree() {
    let m = mount();
    let user = Caller::user(7);
    let entry = |tag: u16, perm: u16, id: u32| {
        let (tag, perm) = (tag.to_le_bytes(), perm.to_le_bytes());
        [&tag[..], &perm, &id.to_le_bytes()].concat()
    };
    // The mode shows the mask as the rights of the group, which really are less.
    let list = |user: u16| {
        let parts = [
            (1, 7, 0),
            (2, user, 7),
            (4, 5, 0),
            (0x10, 7, 0),
            (0x20, 0, 0),
        ];
        let parts = parts.map(|(tag, perm, id)| entry(tag, perm, id));
        [&2u32.to_le_bytes()[..], &parts.concat()].concat()
    };
    let dir = m.folder(TOP, "d");
    let tree = m.folder(dir, "t");
    m.chown(&ME, tree, 7);
    let set = |list: &[u8]| {
        m.setxattr(&ME, dir, b"system.posix_acl_access", list, XattrMode::Any)
            .unwrap();
    };
    set(&list(5));
    assert_eq!(m.mode(dir), 0o770);
    let denied = m.remove_tree(&user, dir, b"t");
    assert_eq!(kind(denied), Kind::AccessDenied);
    set(&list(7));
    m.remove_tree(&user, dir, b"t").unwrap();
    m.well();
}

#[test]
fn set_id_bits_go_when_content_or_owner_changes() {
    let m = mount();
    let file = m.file(TOP, "f", b"x");
    let user = Caller::user(7);
    let source = m.file(TOP, "source", b"y");
    m.chmod(file, 0o6755);
    m.copy_file_range(source, 0, file, 0, 1, false).unwrap();
    assert_eq!(m.mode(file), 0o6755);
    m.copy_file_range(source, 0, file, 0, 1, true).unwrap();
    assert_eq!(m.mode(file), 0o755);
    m.chmod(file, 0o6755);
    m.write(file, 0, b"y", WriteFlags::default()).unwrap();
    assert_eq!(m.mode(file), 0o6755, "root keeps them");
    m.write(
        file,
        0,
        b"y",
        WriteFlags {
            append: false,
            kill_suidgid: true,
        },
    )
    .unwrap();
    assert_eq!(m.mode(file), 0o755);
    m.chmod(file, 0o6745);
    m.write(
        file,
        0,
        b"y",
        WriteFlags {
            append: false,
            kill_suidgid: true,
        },
    )
    .unwrap();
    assert_eq!(
        m.mode(file),
        0o2745,
        "set-gid without group execution is a lock, not a right"
    );
    m.chmod(file, 0o6755);
    m.chown(&user, file, 7);
    assert_eq!(m.mode(file), 0o755);
    m.chmod(file, 0o6755);
    m.setattr(&ME, file, &SetAttr::default()).unwrap();
    assert_eq!(m.mode(file), 0o755, "chown(-1, -1) is a chown");
    m.setxattr(&ME, file, b"security.capability", b"cap", XattrMode::Any)
        .unwrap();
    m.fallocate(file, 0, 0, 10, false).unwrap();
    assert_eq!(
        kind(m.getxattr(file, b"security.capability")),
        Kind::NoAttribute
    );
    m.chmod(file, 0o4755);
    let emptied = SetAttr {
        size: Some(0),
        kill_suidgid: true,
        ..SetAttr::default()
    };
    m.setattr(&user, file, &emptied).unwrap();
    assert_eq!((m.mode(file), m.getattr(file).unwrap().size), (0o755, 0));
}

#[test]
fn attributes_have_the_errors_that_they_have_elsewhere() {
    let m = mount();
    let made = m.create(&ME, TOP, b"file", 0o644, libc::O_RDWR);
    let file = made.unwrap().0.node;
    for (name, expected) in [
        (&b"user."[..], Kind::Invalid),
        (b"odd.x", Kind::NotSupported),
        (b"system.x", Kind::NotSupported),
    ] {
        assert_eq!(
            kind(m.setxattr(&ME, file, name, b"", XattrMode::Any)),
            expected
        );
        assert_eq!(kind(m.getxattr(file, name)), expected);
        assert_eq!(kind(m.removexattr(&ME, file, name)), expected);
    }
    assert_eq!(
        kind(m.setxattr(&ME, file, b"user.n", b"", XattrMode::Neither)),
        Kind::NoAttribute
    );
    m.setxattr(&ME, file, b"user.n", b"", XattrMode::Any)
        .unwrap();
    assert_eq!(
        kind(m.setxattr(&ME, file, b"user.n", b"", XattrMode::Neither)),
        Kind::Exists
    );
    m.setxattr(&ME, file, b"trusted.t", b"", XattrMode::Any)
        .unwrap();
    let other = Caller::user(7);
    assert_eq!(m.listxattr(&ME, file).unwrap(), b"trusted.t\0user.n\0");
    assert_eq!(m.listxattr(&other, file).unwrap(), b"user.n\0");
    for list in [b"system.posix_acl_access", &b"system.posix_acl_default"[..]] {
        m.removexattr(&ME, file, list).unwrap();
    }
}

#[test]
fn names_and_sizes_have_limits() {
    let m = mount();
    let long = [b'x'; 255];
    let file = m
        .create(&ME, TOP, &long, 0o644, libc::O_RDWR)
        .unwrap()
        .0
        .node;
    assert_eq!(
        kind(m.mkdir(&ME, TOP, &[b'x'; 256], 0o755)),
        Kind::NameTooLong
    );
    for bad in [&b""[..], b".", b"..", b"a/b", b"a\0b"] {
        assert_eq!(kind(m.mkdir(&ME, TOP, bad, 0o755)), Kind::Invalid);
    }
    let beyond = SetAttr {
        size: Some(u64::MAX),
        ..SetAttr::default()
    };
    assert_eq!(kind(m.setattr(&ME, file, &beyond)), Kind::FileTooBig);
    assert_eq!(
        kind(m.write(file, cawfs_fs::FILE_MAX, b"x", WriteFlags::default())),
        Kind::FileTooBig
    );
    m.write(file, cawfs_fs::FILE_MAX - 1, b"x", WriteFlags::default())
        .unwrap();
    let attr = m.getattr(file).unwrap();
    assert_eq!(
        (attr.size, attr.blocks),
        (cawfs_fs::FILE_MAX, 128),
        "sparse, and honest about it"
    );
    assert_eq!(
        m.lseek(file, 5, Whence::Data).unwrap(),
        cawfs_fs::FILE_MAX - 65536
    );
    assert_eq!(m.lseek(file, 5, Whence::Hole).unwrap(), 5);
    assert_eq!(
        kind(m.setxattr(&ME, file, b"user.x", &[0; 65537], XattrMode::Any)),
        Kind::TooBig
    );
    assert_eq!(
        kind(m.setxattr(&ME, file, &[b'u'; 256], b"", XattrMode::Any)),
        Kind::Range
    );
    assert_eq!(
        kind(m.fallocate(file, libc::FALLOC_FL_COLLAPSE_RANGE, 0, 65536, false)),
        Kind::NotSupported
    );
    let (mut deep, mut depth) = (TOP, 0);
    let error = loop {
        match m.mkdir(&ME, deep, &long[..200], 0o755) {
            Ok(entry) => (deep, depth) = (entry.node, depth + 1),
            Err(error) => break error,
        }
    };
    assert_eq!(
        (depth, error.kind()),
        (323, Kind::NameTooLong),
        "keys of up to 64 KiB"
    );
    m.well();
}

#[test]
fn a_read_only_mount_changes_nothing() {
    let m = mount();
    let file = m.file(TOP, "f", b"x");
    let options = MountOptions {
        read_only: true,
        ..MountOptions::default()
    };
    let fs = Fs::mount(m.store.clone(), options).unwrap();
    let node = fs.lookup(&ME, TOP, b"f").unwrap().node;
    assert_eq!(&fs.read(node, 0, 9).unwrap()[..], b"x");
    assert_eq!(
        kind(fs.write(node, 0, b"y", WriteFlags::default())),
        Kind::ReadOnly
    );
    assert_eq!(kind(fs.mkdir(&ME, TOP, b"d", 0o755)), Kind::ReadOnly);
    assert_eq!(kind(fs.open(node, libc::O_RDWR)), Kind::ReadOnly);
    fs.sync_all().unwrap();
    assert_eq!(m.content(file), b"x");
    assert_eq!(
        kind(Fs::format(&m.store, &FormatOptions::default())),
        Kind::Exists
    );
}

#[test]
fn default_access_lists_are_inherited_and_follow_the_mode() {
    let m = mount();
    let dir = m.folder(TOP, "d");
    let list = |entries: &[(u16, u16, u32)]| {
        let mut out = 2u32.to_le_bytes().to_vec();
        for (tag, perm, id) in entries {
            out.extend_from_slice(&[tag.to_le_bytes(), perm.to_le_bytes()].concat());
            out.extend_from_slice(&id.to_le_bytes());
        }
        out
    };
    let default = list(&[(1, 7, 0), (2, 6, 9), (4, 5, 0), (0x10, 7, 0), (0x20, 0, 0)]);
    m.setxattr(
        &ME,
        dir,
        b"system.posix_acl_default",
        &default,
        XattrMode::Any,
    )
    .unwrap();
    let masked = Caller {
        umask: 0o077,
        ..Caller::user(5)
    };
    let (file, _) = m.create(&masked, dir, b"f", 0o666, libc::O_RDWR).unwrap();
    assert_eq!(
        file.attr.perm, 0o660,
        "the default list stands in for the umask"
    );
    let access = list(&[(1, 6, 0), (2, 6, 9), (4, 5, 0), (0x10, 6, 0), (0x20, 0, 0)]);
    assert_eq!(
        m.getxattr(file.node, b"system.posix_acl_access").unwrap(),
        access
    );
    m.chmod(file.node, 0o604);
    let access = list(&[(1, 6, 0), (2, 6, 9), (4, 5, 0), (0x10, 0, 0), (0x20, 4, 0)]);
    assert_eq!(
        m.getxattr(file.node, b"system.posix_acl_access").unwrap(),
        access
    );
    let sub = m.mkdir(&masked, dir, b"s", 0o777).unwrap();
    assert_eq!(sub.attr.perm, 0o770);
    assert_eq!(
        m.getxattr(sub.node, b"system.posix_acl_default").unwrap(),
        default
    );
    let plain = m.mkdir(&masked, TOP, b"p", 0o777).unwrap();
    assert_eq!(plain.attr.perm, 0o700);
    m.setxattr(
        &ME,
        plain.node,
        b"system.posix_acl_access",
        &list(&[(1, 7, 0), (4, 1, 0), (0x20, 4, 0)]),
        XattrMode::Any,
    )
    .unwrap();
    assert_eq!(m.mode(plain.node), 0o714);
    assert_eq!(
        kind(m.getxattr(plain.node, b"system.posix_acl_access")),
        Kind::NoAttribute
    );
}

#[test]
fn groups_are_inherited_from_set_gid_directories() {
    let m = mount();
    let dir = m.folder(TOP, "d");
    let change = SetAttr {
        gid: Some(33),
        mode: Some(0o2777),
        ..SetAttr::default()
    };
    m.setattr(&ME, dir, &change).unwrap();
    let user = Caller::user(5);
    let file = m
        .mknod(&user, dir, b"f", libc::S_IFREG | 0o2755, 0)
        .unwrap()
        .attr;
    assert_eq!((file.uid, file.gid, file.perm), (5, 33, 0o755));
    let sub = m.mkdir(&user, dir, b"s", 0o755).unwrap().attr;
    assert_eq!((sub.gid, sub.perm), (33, 0o2755));
    let device = m
        .mknod(&ME, dir, b"n", libc::S_IFCHR | 0o600, 0x103)
        .unwrap()
        .attr;
    assert_eq!(
        (device.kind, device.rdev),
        (cawfs_fs::FileType::CharDevice, 0x103)
    );
}

#[test]
fn protocol_errors_are_told_apart() {
    let m = mount();
    let file = m.file(TOP, "f", b"x");
    let stage = protocol::Stage {
        count: 1,
        flags: 0,
        token: 0,
    };
    let write_only = Some(cawfs_fs::FileHandle::from_flags(libc::O_WRONLY));
    let ask = |handle, command, input: &[u8]| kind(m.ioctl(&ME, file, handle, command, input));
    assert_eq!(
        ask(write_only, protocol::CLONE_STAGE, &stage.encode()),
        Kind::BadHandle
    );
    assert_eq!(ask(None, protocol::CLONE_STAGE, b"short"), Kind::Invalid);
    let none = protocol::Stage { count: 0, ..stage }.encode();
    assert_eq!(ask(None, protocol::CLONE_STAGE, &none), Kind::Invalid);
    assert_eq!(ask(None, 0x1234, b""), Kind::UnknownIoctl);
    assert_eq!(m.names(TOP), ["f"]);
}
