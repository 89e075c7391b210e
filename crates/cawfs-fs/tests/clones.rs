//! Clones and trees: rights, numbers, places, and what the kernel sees of the two steps.
#![allow(clippy::unwrap_used)] // A failed step is a failed test.

use cawdb::Store;
use cawfs_fs::{
    Attr, Caller, CloneOptions, FormatOptions, Fs, Invalidation, Kind, MountOptions, NodeId,
    RenameMode, SetAttr, WriteFlags, XattrMode, protocol,
};

const ME: Caller = Caller::ROOT;
const TOP: NodeId = NodeId::ROOT;

fn mount() -> (Store, Fs) {
    let store = Store::in_memory();
    Fs::format(
        &store,
        &FormatOptions {
            mode: 0o777,
            ..FormatOptions::default()
        },
    )
    .unwrap();
    (
        store.clone(),
        Fs::mount(
            store,
            MountOptions {
                seed: 3,
                ..MountOptions::default()
            },
        )
        .unwrap(),
    )
}

fn file(fs: &Fs, caller: &Caller, dir: NodeId, name: &str, mode: u32) -> NodeId {
    let (entry, handle) = fs
        .create(caller, dir, name.as_bytes(), 0o644, libc::O_RDWR)
        .unwrap();
    fs.write(entry.node, 0, name.as_bytes(), WriteFlags::default())
        .unwrap();
    fs.release(entry.node, handle);
    fs.setattr(
        &ME,
        entry.node,
        &SetAttr {
            mode: Some(mode),
            ..SetAttr::default()
        },
    )
    .unwrap();
    entry.node
}

fn folder(fs: &Fs, caller: &Caller, dir: NodeId, name: &str) -> NodeId {
    fs.mkdir(caller, dir, name.as_bytes(), 0o755).unwrap().node
}

fn at(fs: &Fs, path: &str) -> (NodeId, Attr) {
    let step = |(node, _): (NodeId, _), name: &str| {
        let entry = fs.lookup(&ME, node, name.as_bytes()).unwrap();
        (entry.node, entry.attr)
    };
    path.split('/').fold((TOP, fs.getattr(TOP).unwrap()), step)
}

fn kind<T: std::fmt::Debug>(result: Result<T, cawfs_fs::Error>) -> Kind {
    result.unwrap_err().kind()
}

fn well(store: &Store) {
    assert_eq!(
        cawfs_fs::check(&store.snapshot(), true).unwrap().findings,
        []
    );
}

#[test]
fn a_file_cloned_by_a_user_is_his() {
    let (store, fs) = mount();
    let user = Caller {
        umask: 0o022,
        ..Caller::user(5)
    };
    let source = file(&fs, &ME, TOP, "tool", 0o6775);
    fs.setxattr(&ME, source, b"user.note", b"n", XattrMode::Any)
        .unwrap();
    fs.setxattr(&ME, source, b"security.capability", b"c", XattrMode::Any)
        .unwrap();
    fs.clone_tree(&user, source, TOP, b"mine", false).unwrap();
    let (node, attr) = at(&fs, "mine");
    assert_eq!((attr.uid, attr.gid, attr.perm), (5, 5, 0o755));
    assert_eq!(fs.listxattr(&ME, node).unwrap(), b"user.note\0");
    fs.clone_tree(&ME, source, TOP, b"same", false).unwrap();
    let (node, attr) = at(&fs, "same");
    assert_eq!((attr.uid, attr.perm), (0, 0o6775), "root keeps all");
    assert_eq!(
        fs.listxattr(&ME, node).unwrap(),
        b"security.capability\0user.note\0"
    );
    well(&store);
}

#[test]
fn only_its_owner_clones_or_removes_a_tree() {
    let (store, fs) = mount();
    let (user, other) = (Caller::user(5), Caller::user(6));
    let tree = folder(&fs, &user, TOP, "tree");
    file(&fs, &ME, tree, "roots", 0o600);
    assert_eq!(
        kind(fs.clone_tree(&other, tree, TOP, b"copy", false)),
        Kind::NotPermitted
    );
    fs.clone_tree(&user, tree, TOP, b"copy", false).unwrap();
    assert_eq!(
        (at(&fs, "copy").1.uid, at(&fs, "copy/roots").1.uid),
        (5, 0),
        "owners stay"
    );
    assert_eq!(
        kind(fs.remove_tree(&other, TOP, b"copy")),
        Kind::NotPermitted
    );
    let told = fs.remove_tree(&user, TOP, b"copy").unwrap();
    assert!(told.contains(&Invalidation::Attributes(TOP)));
    let closed = folder(&fs, &ME, TOP, "closed");
    folder(&fs, &user, closed, "inner");
    assert_eq!(
        kind(fs.remove_tree(&user, closed, b"inner")),
        Kind::AccessDenied
    );
    assert_eq!(
        kind(fs.clone_tree(&user, tree, TOP, b"tree", false)),
        Kind::Exists
    );
    well(&store);
}

#[test]
fn set_id_of_others_is_powerless_in_a_users_clone_and_stays_so() {
    let (store, fs) = mount();
    let user = Caller::user(5);
    let tree = folder(&fs, &user, TOP, "tree");
    let inner = folder(&fs, &user, tree, "inner");
    let tool = file(&fs, &ME, inner, "tool", 0o4755);
    fs.setxattr(&ME, tool, b"security.capability", b"c", XattrMode::Any)
        .unwrap();
    file(&fs, &user, inner, "own", 0o4755);
    fs.clone_tree(&user, tree, TOP, b"copy", false).unwrap();
    let (hidden, attr) = at(&fs, "copy/inner/tool");
    assert_eq!((attr.uid, attr.perm), (0, 0o755));
    assert_eq!(
        kind(fs.getxattr(hidden, b"security.capability")),
        Kind::NoAttribute
    );
    assert_eq!(at(&fs, "copy/inner/own").1.perm, 0o4755);
    assert_eq!(
        at(&fs, "tree/inner/tool").1.perm,
        0o4755,
        "the original keeps it"
    );
    // Moved out as a file, as a directory, cloned again by root: still without effect.
    let (copy, _) = at(&fs, "copy");
    let (copy_inner, _) = at(&fs, "copy/inner");
    fs.clone_tree(&ME, copy, TOP, b"again", false).unwrap();
    assert_eq!(at(&fs, "again/inner/tool").1.perm, 0o755);
    fs.clone_tree(&ME, hidden, TOP, b"toolcopy", false).unwrap();
    assert_eq!(at(&fs, "toolcopy").1.perm, 0o755);
    fs.rename(&ME, copy_inner, b"tool", TOP, b"tool", RenameMode::Replace)
        .unwrap();
    assert_eq!(at(&fs, "tool").1.perm, 0o755);
    fs.rename(
        &ME,
        at(&fs, "again").0,
        b"inner",
        TOP,
        b"inner",
        RenameMode::Replace,
    )
    .unwrap();
    assert_eq!(at(&fs, "inner/tool").1.perm, 0o755);
    let again = Fs::mount(store.clone(), MountOptions::default()).unwrap();
    assert_eq!(at(&again, "inner/tool").1.perm, 0o755);
    well(&store);
}

#[test]
fn the_volume_root_clones_into_itself_once() {
    let (store, fs) = mount();
    let dir = folder(&fs, &ME, TOP, "d");
    file(&fs, &ME, dir, "f", 0o644);
    fs.setxattr(&ME, TOP, b"user.r", b"1", XattrMode::Any)
        .unwrap();
    fs.clone_tree(&ME, TOP, dir, b"all", false).unwrap();
    let (node, attr) = at(&fs, "d/all");
    assert_eq!(
        (attr.nlink, fs.getxattr(node, b"user.r").unwrap()),
        (3, "1".into())
    );
    assert_eq!(at(&fs, "d/all/d").1.nlink, 2, "without the clone itself");
    assert_eq!(&fs.read(at(&fs, "d/all/d/f").0, 0, 9).unwrap()[..], b"f");
    well(&store);
}

#[test]
fn staged_names_show_themselves_to_their_owner_only() {
    let (store, fs) = mount();
    let user = Caller::user(5);
    let tree = folder(&fs, &ME, TOP, "tree");
    file(&fs, &ME, tree, "f", 0o644);
    let change = SetAttr {
        uid: Some(5),
        mode: Some(0o555),
        ..SetAttr::default()
    };
    fs.setattr(&ME, tree, &change).unwrap();
    let token = fs
        .stage_clone(&user, tree, 1, &CloneOptions::default())
        .unwrap();
    let name = protocol::stage_name(token, 0);
    assert_eq!(
        kind(fs.lookup(&Caller::user(6), TOP, name.as_bytes())),
        Kind::NotFound
    );
    let staged = fs.lookup(&user, TOP, name.as_bytes()).unwrap();
    assert_eq!(
        (staged.attr.uid, staged.attr.perm & 0o700, staged.cacheable),
        (5, 0o700, false)
    );
    assert_eq!(
        kind(fs.mkdir(&user, staged.node, b"x", 0o755)),
        Kind::NotPermitted
    );
    assert_eq!(kind(fs.opendir(staged.node)), Kind::NotPermitted);
    folder(&fs, &ME, TOP, "other");
    let over = fs.rename(
        &ME,
        TOP,
        b"other",
        TOP,
        name.as_bytes(),
        RenameMode::Replace,
    );
    assert_eq!(kind(over), Kind::NotPermitted);
    // The source may go meanwhile: nothing to clone is an error, and the name stays free.
    fs.rename(
        &user,
        TOP,
        name.as_bytes(),
        TOP,
        b"copy",
        RenameMode::NoReplace,
    )
    .unwrap();
    let found = fs.lookup(&ME, TOP, b"copy").unwrap();
    assert_eq!((found.node, found.attr.ino), (staged.node, staged.attr.ino));
    assert_eq!((found.attr.perm, found.cacheable), (0o555, true));
    assert_eq!(
        kind(fs.lookup(&user, TOP, name.as_bytes())),
        Kind::NotFound,
        "good for one rename"
    );
    well(&store);
}

#[test]
fn a_source_that_goes_between_the_steps_is_no_clone() {
    let (store, fs) = mount();
    let tree = folder(&fs, &ME, TOP, "tree");
    let staged = |count| {
        fs.stage_clone(&ME, tree, count, &CloneOptions::default())
            .unwrap()
    };
    let (single, several) = (staged(1), staged(2));
    fs.remove_tree(&ME, TOP, b"tree").unwrap();
    let rename = |token, to: &[u8]| {
        let name = protocol::stage_name(token, 0);
        fs.rename(&ME, TOP, name.as_bytes(), TOP, to, RenameMode::NoReplace)
    };
    assert_eq!(kind(rename(single, b"a")), Kind::NotFound);
    rename(several, b"b").unwrap();
    assert_eq!(at(&fs, "b").1.nlink, 2);
    well(&store);
}

#[test]
fn replacing_a_tree_is_one_step() {
    let (store, fs) = mount();
    let (old, new) = (folder(&fs, &ME, TOP, "old"), folder(&fs, &ME, TOP, "new"));
    let kept = file(&fs, &ME, old, "open", 0o644);
    folder(&fs, &ME, old, "more");
    file(&fs, &ME, new, "fresh", 0o644);
    let handle = fs.open(kept, libc::O_RDWR).unwrap();
    let over = CloneOptions {
        replace: true,
        ..CloneOptions::default()
    };
    let refused = fs
        .stage_clone(&ME, new, 1, &CloneOptions::default())
        .unwrap();
    let allowed = fs.stage_clone(&ME, new, 1, &over).unwrap();
    let over = |token| {
        let name = protocol::stage_name(token, 0);
        fs.rename(&ME, TOP, name.as_bytes(), TOP, b"old", RenameMode::Replace)
    };
    assert_eq!(kind(over(refused)), Kind::NotEmpty);
    over(allowed).unwrap();
    assert_eq!(
        &fs.read(at(&fs, "old/fresh").0, 0, 9).unwrap()[..],
        b"fresh"
    );
    assert_eq!(
        kind(fs.lookup(&ME, at(&fs, "old").0, b"more")),
        Kind::NotFound
    );
    assert_eq!(&fs.read(kept, 0, 9).unwrap()[..], b"open");
    assert_eq!(fs.getattr(kept).unwrap().nlink, 0);
    fs.release(kept, handle);
    well(&store);
}

#[test]
fn numbers_stay_unique_over_chains_of_clones() {
    let (store, fs) = mount();
    let tree = folder(&fs, &ME, TOP, "t0");
    for i in 0..20 {
        file(&fs, &ME, tree, &format!("f{i}"), 0o644);
    }
    for i in 0..30 {
        let (source, _) = at(&fs, &format!("t{i}"));
        fs.clone_tree(&ME, source, TOP, format!("t{}", i + 1).as_bytes(), false)
            .unwrap();
        let (copy, _) = at(&fs, &format!("t{}", i + 1));
        file(&fs, &ME, copy, &format!("g{i}"), 0o644);
    }
    let report = cawfs_fs::check(&store.snapshot(), true).unwrap();
    assert_eq!(
        (report.findings, report.files),
        (vec![], 20 * 31 + 30 * 31 / 2)
    );
}

/// Options under which some MiB are a tree of several nodes.
fn small_runs() -> cawdb::Options {
    let policy = cawdb::Policy {
        fanout: 8,
        join: 6,
        root_slots: 32,
        run_bytes: 64 << 10,
        flush_bytes: 64 << 10,
        ..cawdb::Policy::default()
    };
    cawdb::Options {
        memtable_bytes: 256 << 10,
        policy,
        ..cawdb::Options::default()
    }
}

#[test]
fn the_first_clone_after_a_mount_reads_nothing() {
    let disk = std::sync::Arc::new(cawdb::disk::RamDisk::new());
    Store::create(disk.clone(), &cawdb::CreateOptions::default()).unwrap();
    let store = Store::open(disk.clone(), small_runs()).unwrap();
    Fs::format(&store, &FormatOptions::default()).unwrap();
    let fs = Fs::mount(store.clone(), MountOptions::default()).unwrap();
    for tree in ["a", "b", "tree"] {
        let dir = folder(&fs, &ME, TOP, tree);
        let inner = folder(&fs, &ME, dir, "inner");
        let mut random = fastrand::Rng::with_seed(7);
        for n in 0..300 {
            let made = file(&fs, &ME, inner, &format!("{tree}-{n}"), 0o600);
            let mut bytes = [0; 5000];
            random.fill(&mut bytes);
            fs.write(made, 0, &bytes, WriteFlags::default()).unwrap();
        }
    }
    while store.tick().unwrap() {}
    fs.sync_all().unwrap();
    drop((fs, store));
    for warm in [false, true] {
        let store = Store::open(disk.clone(), small_runs()).unwrap();
        let fs = std::sync::Arc::new(Fs::mount(store.clone(), MountOptions::default()).unwrap());
        let entrance = fs.clone();
        if warm {
            assert_eq!(fs.entrance().len(), 6, "two tables of each tree");
            cawdb::Warming::start(&store, move || entrance.entrance()).wait();
        }
        let before = store.stats().io.reads;
        let tree = at(&fs, "tree").0;
        let copy = format!("copy-{warm}");
        fs.clone_tree(&ME, tree, TOP, copy.as_bytes(), false)
            .unwrap();
        assert_eq!(store.stats().io.reads == before, warm);
        let inner = format!("{copy}/inner/tree-299");
        assert_eq!(at(&fs, &inner).1.size, 5000);
        fs.remove_tree(&ME, TOP, copy.as_bytes()).unwrap();
    }
}
