//! Many threads on few names: no deadlock, no lost update, and a file system afterwards.
#![allow(clippy::unwrap_used)] // A failed step is a failed test.

use cawdb::Store;
use cawfs_fs::{
    Caller, FormatOptions, Fs, Kind, MountOptions, NodeId, RenameMode, SetAttr, WriteFlags,
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
    let result = match rng.u8(..16) {
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
            fs.setattr(
                &ME,
                a,
                &SetAttr {
                    size,
                    ..SetAttr::default()
                },
            )
            .map(|_| ())
        }
        14 => fs.copy_file_range(a, 0, b, 0, 1 << 30, false).map(|_| ()),
        _ => fs.opendir(a).and_then(|handle| {
            let listed = fs.readdirplus(handle, 0, &mut |entry| {
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
