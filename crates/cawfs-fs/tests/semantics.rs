//! What POSIX and our design promise, one promise a test.
#![allow(clippy::unwrap_used)] // A failed step is a failed test.

use cawdb::Store;
use cawfs_fs::{
    Caller, FormatOptions, Fs, Kind, MountOptions, NodeId, RenameMode, SetAttr, SetTime, Time,
    Whence, WriteFlags, XattrMode, protocol,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

const ME: Caller = Caller::ROOT;
const TOP: NodeId = NodeId::ROOT;

struct Mount {
    fs: Fs,
    store: Store,
    clock: Arc<AtomicI64>,
}

impl std::ops::Deref for Mount {
    type Target = Fs;
    fn deref(&self) -> &Fs {
        &self.fs
    }
}

fn mount() -> Mount {
    let store = Store::in_memory();
    Fs::format(
        &store,
        &FormatOptions {
            mode: 0o777,
            ..FormatOptions::default()
        },
    )
    .unwrap();
    let clock = Arc::new(AtomicI64::new(1_000_000));
    let fs = open(&store, &clock);
    Mount { fs, store, clock }
}

fn open(store: &Store, clock: &Arc<AtomicI64>) -> Fs {
    let clock = clock.clone();
    let clock = Box::new(move || Time {
        secs: clock.load(Ordering::Relaxed),
        nanos: 0,
    });
    Fs::mount(
        store.clone(),
        MountOptions {
            clock,
            seed: 1,
            ..MountOptions::default()
        },
    )
    .unwrap()
}

impl Mount {
    fn file(&self, dir: NodeId, name: &str, data: &[u8]) -> NodeId {
        let (entry, handle) = self
            .create(&ME, dir, name.as_bytes(), 0o644, libc::O_RDWR)
            .unwrap();
        self.write(entry.node, 0, data, WriteFlags::default())
            .unwrap();
        self.release(entry.node, handle);
        entry.node
    }
    fn folder(&self, dir: NodeId, name: &str) -> NodeId {
        self.mkdir(&ME, dir, name.as_bytes(), 0o755).unwrap().node
    }
    fn content(&self, node: NodeId) -> Vec<u8> {
        self.read(node, 0, 1 << 30).unwrap().to_vec()
    }
    fn tick(&self) -> Time {
        Time {
            secs: self.clock.fetch_add(10, Ordering::Relaxed) + 10,
            nanos: 0,
        }
    }
    fn chmod(&self, node: NodeId, mode: u32) {
        let change = SetAttr {
            mode: Some(mode),
            ..SetAttr::default()
        };
        self.setattr(&ME, node, &change).unwrap();
    }
    fn chown(&self, caller: &Caller, node: NodeId, uid: u32) {
        let change = SetAttr {
            uid: Some(uid),
            ..SetAttr::default()
        };
        self.setattr(caller, node, &change).unwrap();
    }
    fn mode(&self, node: NodeId) -> u16 {
        self.getattr(node).unwrap().perm
    }
    fn names(&self, dir: NodeId) -> Vec<String> {
        let handle = self.opendir(dir).unwrap();
        let mut names = Vec::new();
        let mut accept = |entry: cawfs_fs::DirEntry| {
            names.push(String::from_utf8(entry.name.to_vec()).unwrap());
            true
        };
        self.readdir(handle, 0, &mut accept).unwrap();
        self.releasedir(handle);
        names.split_off(2)
    }
    fn well(&self) {
        assert_eq!(
            cawfs_fs::check(&self.store.snapshot(), true)
                .unwrap()
                .findings,
            []
        );
    }
}

fn kind<T: std::fmt::Debug>(result: Result<T, cawfs_fs::Error>) -> Kind {
    result.unwrap_err().kind()
}

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
fn set_id_bits_go_when_content_or_owner_changes() {
    let m = mount();
    let file = m.file(TOP, "f", b"x");
    let user = Caller::user(7);
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
    m.setxattr(&ME, file, b"security.capability", b"cap", XattrMode::Any)
        .unwrap();
    m.fallocate(file, 0, 0, 10, false).unwrap();
    assert_eq!(
        kind(m.getxattr(file, b"security.capability")),
        Kind::NoAttribute
    );
    m.chmod(file, 0o4755);
    m.open(&user, file, libc::O_WRONLY | libc::O_TRUNC, true)
        .unwrap();
    assert_eq!((m.mode(file), m.getattr(file).unwrap().size), (0o755, 0));
}

#[test]
fn an_unlinked_or_replaced_file_lives_while_it_is_open() {
    let m = mount();
    let (a, b) = (m.file(TOP, "a", b"first"), m.file(TOP, "b", &[7; 200_000]));
    let handles = [a, b].map(|node| (node, m.open(&ME, node, libc::O_RDWR, false).unwrap()));
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
fn orphans_and_stages_of_a_crash_are_swept_at_mount() {
    let m = mount();
    let file = m.file(TOP, "a", &[1; 300_000]);
    m.open(&ME, file, libc::O_RDWR, false).unwrap();
    m.unlink(&ME, TOP, b"a").unwrap();
    let dir = m.folder(TOP, "d");
    m.file(dir, "x", b"x");
    m.stage_clone(&ME, dir, 3, 0).unwrap();
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
    assert_eq!(
        kind(m.open(&ME, file, libc::O_RDONLY, false)),
        Kind::NotFound
    );
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
    let handle = m.open(&ME, file, libc::O_RDWR, false).unwrap();
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
    assert_eq!(
        kind(fs.open(&ME, node, libc::O_RDWR, false)),
        Kind::ReadOnly
    );
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
