//! Clones that never change.

use super::site::*;
use cawfs_fs::{CloneOptions, Error, Kind, RenameMode, SetAttr, WriteFlags, XattrMode};

#[test]
fn nothing_changes_in_a_read_only_clone() {
    let m = mount();
    tree(&m);
    m.ln("tree/sub/f", "tree/sub/second").unwrap();
    m.clone("tree", "ro", &read_only()).unwrap();
    assert_eq!(
        kind(m.clone("tree/sub/f", "x", &read_only())),
        Kind::NotDirectory
    );
    let (top, sub, f) = (m.at("ro"), m.at("ro/sub"), m.at("ro/sub/f"));
    let erofs = |result: Result<(), Error>| assert_eq!(kind(result), Kind::ReadOnly);
    let any = RenameMode::Replace;
    for flags in [libc::O_RDWR, libc::O_WRONLY] {
        erofs(m.open(f, flags).map(|_| ()));
    }
    erofs(m.file(&ME, "ro/new").map(|_| ()));
    erofs(m.dir("ro/sub/new").map(|_| ()));
    erofs(m.symlink(&ME, top, b"l", b"x").map(|_| ()));
    erofs(m.tmpfile(&ME, top, 0o600, libc::O_RDWR).map(|_| ()));
    erofs(m.create(&ME, top, b"n", 0o600, libc::O_RDWR).map(|_| ()));
    erofs(m.ln("ro/sub/f", "out"));
    erofs(m.ln("tree/sub/f", "ro/in"));
    erofs(m.unlink(&ME, sub, b"f"));
    erofs(m.rmdir(&ME, top, b"sub"));
    erofs(m.remove_tree(&ME, top, b"sub").map(|_| ()));
    erofs(m.mv("ro/sub/f", "out"));
    erofs(m.mv("tree/sub/l", "ro/in"));
    erofs(m.mv_as("tree/sub/l", "ro/sub/l", RenameMode::Exchange));
    erofs(m.rename(&ME, top, b"sub", TOP, b"out", any));
    for path in ["ro", "ro/sub", "ro/sub/f"] {
        erofs(m.chmod(path, 0o700));
        erofs(m.chown(path, 1, 1));
        erofs(m.setxattr(&ME, m.at(path), b"user.a", b"v", XattrMode::Any));
        erofs(m.removexattr(&ME, m.at(path), b"user.a"));
    }
    let size = SetAttr {
        size: Some(1),
        ..SetAttr::default()
    };
    erofs(m.setattr(&ME, f, &size).map(|_| ()));
    erofs(m.write(f, 0, b"x", WriteFlags::default()).map(|_| ()));
    erofs(m.fallocate(f, 0, 0, 9, false));
    let (from, mask) = (m.at("tree/sub/f"), false);
    erofs(m.copy_file_range(from, 0, f, 0, 9, mask).map(|_| ()));
    erofs(m.clone("tree/sub", "ro/in", &CloneOptions::default()));
    // Reading is all there is, and leaves no trace.
    let before = m.getattr(f).unwrap();
    let handle = m.open(f, libc::O_RDONLY).unwrap();
    assert_eq!(&m.read(f, 0, 99).unwrap()[..], b"tree/sub/f");
    m.release(f, handle);
    let list = m.opendir(sub).unwrap();
    m.readdir(list, 0, &mut |_| true).unwrap();
    m.releasedir(list);
    m.sync_all().unwrap();
    assert_eq!(m.getattr(f).unwrap(), before);
    let m = m.again();
    assert_eq!(m.getattr(m.at("ro/sub/f")).unwrap(), before);
    assert_eq!(kind(m.chmod("ro/sub/f", 0o700)), Kind::ReadOnly);
}

#[test]
fn a_read_only_clone_is_moved_cloned_replaced_and_removed_as_a_whole() {
    let m = mount();
    tree(&m);
    let writable = CloneOptions::default();
    m.clone("tree", "ro", &read_only()).unwrap();
    m.clone("ro", "w", &writable).unwrap();
    m.chmod("w/sub/f", 0o600).unwrap();
    m.clone("ro/sub", "part", &writable).unwrap();
    m.chmod("part/f", 0o600).unwrap();
    m.clone("ro/sub/f", "f", &writable).unwrap();
    m.chmod("f", 0o600).unwrap();
    // Its name is its directory's, and it takes along what it is.
    m.dir("dir").unwrap();
    m.mv("ro", "dir/ro").unwrap();
    assert_eq!(kind(m.chmod("dir/ro/sub/f", 0o600)), Kind::ReadOnly);
    // In a clone of all it stays what it is; a clone of itself in its place ends it.
    m.clone("dir", "dir2", &writable).unwrap();
    assert_eq!(kind(m.chmod("dir2/ro/sub/f", 0o600)), Kind::ReadOnly);
    m.chmod("dir2", 0o700).unwrap();
    let open = m.at("dir/ro/sub/f");
    let handle = m.open(open, libc::O_RDONLY).unwrap();
    let over = CloneOptions {
        replace: true,
        ..CloneOptions::default()
    };
    m.clone("dir/ro", "dir/ro", &over).unwrap();
    m.chmod("dir/ro/sub/f", 0o600).unwrap();
    assert_eq!(&m.read(open, 0, 99).unwrap()[..], b"tree/sub/f");
    m.release(open, handle);
    m.remove_tree(&ME, m.at("dir2"), b"ro").unwrap();
    m.dir("empty").unwrap();
    m.clone("empty", "e", &read_only()).unwrap();
    m.rmdir(&ME, TOP, b"e").unwrap();
}
