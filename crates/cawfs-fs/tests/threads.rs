//! Many threads on few names: no deadlock, no lost update, and a file system afterwards.
#![allow(clippy::unwrap_used)] // A failed step is a failed test.

use cawdb::Store;
use cawfs_fs::{
    Caller, FormatOptions, Fs, Kind, MountOptions, NodeId, RenameMode, SetAttr, With, WriteFlags,
};

const ME: Caller = Caller::ROOT;
const NAMES: [&[u8]; 4] = [b"a", b"b", b"c", b"d"];

/// What may come of racing operations.
fn allowed(kind: Kind) -> bool {
    use Kind::{Exists, Invalid, IsDirectory, NotDirectory, NotEmpty, NotFound, Stale};
    let all = [
        Exists,
        Invalid,
        IsDirectory,
        NotDirectory,
        NotEmpty,
        NotFound,
        Stale,
    ];
    all.contains(&kind)
}

/// Does something somewhere; every reference taken is given back.
fn act(fs: &Fs, rng: &mut fastrand::Rng) -> Result<(), cawfs_fs::Error> {
    let mut held = Vec::new();
    let mut dirs = [NodeId::ROOT; 2];
    for dir in &mut dirs {
        for _ in 0..rng.u8(..3) {
            match fs.lookup(&ME, *dir, rng.choice(NAMES).unwrap()) {
                Ok(entry) => {
                    held.push(entry.node);
                    *dir = entry.node;
                }
                Err(error) => assert!(allowed(error.kind()), "{error}"),
            }
        }
    }
    let ([a, b], x, y) = (dirs, rng.choice(NAMES).unwrap(), rng.choice(NAMES).unwrap());
    let result = match rng.u8(..20) {
        0..3 => fs
            .create(&ME, a, x, 0o644, libc::O_RDWR)
            .map(|(entry, handle)| {
                let size = rng.usize(1..150_000);
                let wrote = fs.write(
                    entry.node,
                    rng.u64(..100_000),
                    &vec![7; size],
                    WriteFlags::default(),
                );
                fs.release(entry.node, handle);
                fs.forget(entry.node, 1);
                assert!(wrote.is_ok(), "what is open lives, whatever is removed");
            }),
        3..6 => fs
            .mkdir(&ME, a, x, 0o755)
            .map(|entry| fs.forget(entry.node, 1)),
        6 => fs.unlink(&ME, a, x),
        7 => fs.rmdir(&ME, a, x),
        8..11 => {
            let modes = [
                RenameMode::Replace,
                RenameMode::NoReplace,
                RenameMode::Exchange,
            ];
            fs.rename(&ME, a, x, b, y, rng.choice(modes).unwrap())
        }
        11 => fs.clone_tree(&ME, a, b, x, true).map(|_| ()),
        12 => fs.remove_tree(&ME, a, x).map(|_| ()),
        13 => {
            let size = Some(rng.u64(..200_000));
            let none = SetAttr::default();
            let change = SetAttr { size, ..none };
            fs.setattr(&ME, a, &change).map(|_| ())
        }
        14 => fs.copy_file_range(a, 0, b, 0, 1 << 30, false).map(|_| ()),
        15..19 => match fs.link(&ME, a, b, y) {
            Err(error) if error.kind() == Kind::NotPermitted => Ok(()),
            other => other.map(|entry| fs.forget(entry.node, 1)),
        },
        _ => fs.opendir(a).and_then(|handle| {
            let listed = fs.readdirplus(handle, 0, With::All, &mut |entry| {
                held.extend(entry.entry.map(|entry| entry.node));
                true
            });
            fs.releasedir(handle);
            listed
        }),
    };
    held.into_iter().for_each(|node| fs.forget(node, 1));
    result
}

/// Names of few files come and go in few directories, at and below their homes.
fn link_about(fs: &Fs, dirs: &[NodeId], rng: &mut fastrand::Rng) -> Result<(), cawfs_fs::Error> {
    let (a, b) = (*rng.choice(dirs).unwrap(), *rng.choice(dirs).unwrap());
    let mut name = || NAMES[rng.usize(..NAMES.len())].to_ascii_uppercase();
    let (x, y) = (name(), name());
    match rng.u8(..10) {
        0..4 => {
            let file = fs.lookup(&ME, a, &x)?.node;
            let linked = fs.link(&ME, file, b, &y);
            let linked = linked.map(|entry| fs.forget(entry.node, 1));
            fs.forget(file, 1);
            linked
        }
        4..6 => fs.unlink(&ME, a, &x),
        6 => fs.rename(&ME, a, &x, b, &y, RenameMode::Replace),
        7 => fs.rename(&ME, a, &x, b, &y, RenameMode::Exchange),
        8 => {
            let file = fs.lookup(&ME, a, &x)?.node;
            let flags = WriteFlags::default();
            let wrote = fs.write(file, rng.u64(..70_000), b"some bytes", flags);
            fs.forget(file, 1);
            wrote.map(|_| ())
        }
        _ => {
            let (entry, handle) = fs.create(&ME, a, &x, 0o644, libc::O_RDWR)?;
            fs.release(entry.node, handle);
            fs.forget(entry.node, 1);
            Ok(())
        }
    }
}

#[test]
fn racing_names_of_few_files_are_counted_right() {
    let store = Store::in_memory();
    Fs::format(&store, &FormatOptions::default()).unwrap();
    let fs = Fs::mount(store.clone(), MountOptions::default()).unwrap();
    let mut dirs = vec![NodeId::ROOT];
    for name in NAMES {
        let parent = dirs[dirs.len() / 2];
        dirs.push(fs.mkdir(&ME, parent, name, 0o755).unwrap().node);
    }
    for round in 0..40 {
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (fs, dirs) = (&fs, &dirs);
                scope.spawn(move || {
                    let mut rng = fastrand::Rng::with_seed(round * 10 + thread);
                    for _ in 0..100 {
                        if let Err(error) = link_about(fs, dirs, &mut rng) {
                            assert!(allowed(error.kind()), "round {round}: {error}");
                        }
                    }
                });
            }
        });
        let report = cawfs_fs::check(&store.snapshot(), true).unwrap();
        assert_eq!((report.findings, report.orphans), (vec![], 0), "{round}");
    }
    let made = |name| fs.counters().all().into_iter().find(|(n, _)| *n == name);
    for name in ["bodies_made", "bodies_unmade", "bodies_moved"] {
        assert!(made(name).unwrap().1 > 0, "{name} never happened");
    }
}

#[test]
fn racing_operations_leave_a_file_system() {
    let store = Store::in_memory();
    Fs::format(&store, &FormatOptions::default()).unwrap();
    let fs = Fs::mount(store.clone(), MountOptions::default()).unwrap();
    for round in 0..20 {
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let fs = &fs;
                scope.spawn(move || {
                    let mut rng = fastrand::Rng::with_seed(round * 10 + thread);
                    for _ in 0..60 {
                        if let Err(error) = act(fs, &mut rng) {
                            assert!(allowed(error.kind()), "round {round}: {error}");
                        }
                    }
                });
            }
        });
        let report = cawfs_fs::check(&store.snapshot(), true).unwrap();
        assert_eq!(
            (report.findings, report.orphans),
            (vec![], 0),
            "round {round}"
        );
        assert_eq!(fs.nodes(), 1, "round {round}: nodes that nobody holds");
        if report.files + report.directories > 300 {
            for name in NAMES {
                let _ = fs.remove_tree(&ME, NodeId::ROOT, name);
            }
        }
    }
}

#[test]
fn appends_of_many_threads_all_arrive() {
    let store = Store::in_memory();
    Fs::format(&store, &FormatOptions::default()).unwrap();
    let fs = Fs::mount(store.clone(), MountOptions::default()).unwrap();
    let (entry, _) = fs
        .create(&ME, NodeId::ROOT, b"log", 0o644, libc::O_RDWR)
        .unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            let (fs, node) = (&fs, entry.node);
            scope.spawn(move || {
                let flags = WriteFlags {
                    append: true,
                    kill_suidgid: false,
                };
                for _ in 0..500 {
                    fs.write(node, 0, &[thread; 100], flags).unwrap();
                }
            });
        }
    });
    let bytes = fs.read(entry.node, 0, 1 << 20).unwrap();
    assert_eq!(bytes.len(), 200_000);
    assert!(
        bytes
            .chunks(100)
            .all(|chunk| chunk.iter().all(|byte| *byte == chunk[0]))
    );
    assert_eq!(
        cawfs_fs::check(&store.snapshot(), true).unwrap().findings,
        []
    );
}
