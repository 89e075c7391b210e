//! A panic in one request is an error of that request. The store takes no more changes then, but is read, and unmounted.
//!
//! The panic comes from the clock that the file system is given, in the middle of its operations, or from the disk that the
//! engine is given, in the middle of the engine's.

use cawdb::disk::{HookedDisk, OpKind, RamDisk};
use cawdb::{CreateOptions, Options, Store};
use cawfs_fs::{Caller, FormatOptions, Fs, MountOptions, NodeId, Time};
use cawfs_fuse::Mount;
use rustix::io::Errno;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// A store in memory, served by this process.
struct Served {
    /// What lies below the store, in memory.
    disk: Arc<RamDisk>,
    /// The requests to it that panic.
    trap: Trap,
    fs: Arc<Fs>,
    broken: Arc<AtomicBool>,
    dir: tempfile::TempDir,
    server: Option<JoinHandle<io::Result<()>>>,
}

type Trap = Arc<Mutex<Option<OpKind>>>;

/// Tells of itself no more than commands need.
struct Tells(Arc<Fs>);

impl cawfs_fuse::About for Tells {
    fn stats(&self, _: &[cawfs_fuse::RequestTimes]) -> String {
        serde_json::json!({"pid": 0, "failure": self.0.store().failure()}).to_string()
    }

    fn scrub(&self, _: u64, _: u64) -> Option<String> {
        None
    }
}

impl Served {
    fn new() -> Self {
        let disk = Arc::new(RamDisk::new());
        Store::create(disk.clone(), &CreateOptions::default()).unwrap();
        let store = Store::open(disk.clone(), Options::default()).unwrap();
        Fs::format(&store, &FormatOptions::default()).unwrap();
        drop(store);
        Self::on(disk)
    }

    fn on(disk: Arc<RamDisk>) -> Self {
        crate::site::need_fuse();
        // What is read comes from the disk.
        let options = Options {
            cache_bytes: 0,
            ..Options::default()
        };
        let trap = Trap::default();
        let trapped = trap.clone();
        let hooked = HookedDisk::new(disk.clone(), move |kind, _| {
            let strikes = *trapped.lock().unwrap() == Some(kind);
            assert!(!strikes, "the disk is broken");
        });
        let store = Store::open(Arc::new(hooked), options).unwrap();
        let broken = Arc::new(AtomicBool::new(false));
        let strikes = broken.clone();
        let options = MountOptions {
            clock: Box::new(move || {
                assert!(!strikes.load(SeqCst), "the clock is broken");
                Time::default()
            }),
            ..MountOptions::default()
        };
        let fs = Arc::new(Fs::mount(store, options).unwrap());
        let dir = tempfile::tempdir().unwrap();
        let how = cawfs_fuse::MountOptions {
            source: "memory".into(),
            allow_other: true,
            ..cawfs_fuse::MountOptions::default()
        };
        let mount = Mount::attach(dir.path(), &how).unwrap();
        let (served, about) = (fs.clone(), fs.clone());
        let server = std::thread::spawn(move || mount.serve(served, Box::new(Tells(about))));
        Self {
            disk,
            trap,
            fs,
            broken,
            dir,
            server: Some(server),
        }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = cawfs_fuse::unmount(self.dir.path(), true);
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}

#[track_caller]
fn fails<T: std::fmt::Debug>(result: io::Result<T>) {
    assert_eq!(
        result.unwrap_err().raw_os_error(),
        Some(Errno::IO.raw_os_error())
    );
}

#[test]
fn a_panic_in_a_request_stops_all_changes_and_nothing_else() {
    let mut served = Served::new();
    fs::create_dir(served.path("dir")).unwrap();
    fs::write(served.path("dir/file"), vec![7; 300_000]).unwrap();
    fs::write(served.path("synced"), "synced").unwrap();
    served.fs.sync_all().unwrap();
    fs::write(served.path("later"), "not synced").unwrap();

    served.broken.store(true, SeqCst);
    fails(fs::write(served.path("new"), "x"));
    served.broken.store(false, SeqCst);
    let why = served.fs.store().failure().unwrap();
    assert!(
        why.contains("a request (Create) panicked: the clock is broken"),
        "{why}"
    );

    // What is there is read; nothing is changed any more, although the clock is whole again.
    for _ in 0..3 {
        assert_eq!(fs::read(served.path("dir/file")).unwrap(), vec![7; 300_000]);
        assert_eq!(fs::read(served.path("later")).unwrap(), b"not synced");
        assert_eq!(fs::read_dir(served.dir.path()).unwrap().count(), 3);
        fails(fs::write(served.path("new"), "x"));
        fails(fs::write(served.path("synced"), "x"));
        fails(fs::remove_file(served.path("later")));
        fails(fs::rename(served.path("dir"), served.path("moved")));
        fails(fs::create_dir(served.path("other")));
    }
    fails(fs::File::open(served.path("synced")).unwrap().sync_all());
    says_why(&served, &["sync", "."]);
    says_why(&served, &["clone", "dir", "clone"]);
    says_why(&served, &["rm", "dir"]);

    // It unmounts, if not without a word. What was synced is there when the store is opened again.
    let output = crate::site::cawfs(["umount".as_ref(), served.dir.path().as_os_str()]);
    crate::site::refused(
        output,
        1,
        "unmounted, but what was not synced is lost, because a request (Create) panicked",
    );
    served.server.take().unwrap().join().unwrap().unwrap();
    let fs = opened_again(served);
    let read = |dir: NodeId, name: &[u8]| {
        let node = fs.lookup(&Caller::ROOT, dir, name).unwrap().node;
        fs.read(node, 0, 1 << 20).unwrap()
    };
    let dir = fs.lookup(&Caller::ROOT, NodeId::ROOT, b"dir").unwrap();
    assert_eq!(read(dir.node, b"file"), vec![7; 300_000]);
    assert_eq!(read(NodeId::ROOT, b"synced"), &b"synced"[..]);
    for name in [&b"new"[..], b"other", b"moved"] {
        let found = fs.lookup(&Caller::ROOT, NodeId::ROOT, name);
        assert_eq!(found.unwrap_err().errno(), libc::ENOENT);
    }
}

/// The store after its life on a mount, checked.
fn opened_again(served: Served) -> Fs {
    let disk = served.disk.clone();
    drop(served);
    let store = Store::open(disk, Options::default()).unwrap();
    let report = store.check(true).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    let names = cawfs_fs::check(&store.snapshot(), true).unwrap();
    assert!(names.findings.is_empty(), "{:?}", names.findings);
    Fs::mount(store, MountOptions::default()).unwrap()
}

/// In the middle of a read, of writing the journal or a checkpoint, with the engine's locks held.
#[test]
fn a_panic_in_the_engine_is_an_error_of_its_request() {
    let content: Vec<u8> = (0..3_000_000_u64).map(|n| ((n * n) >> 3) as u8).collect();
    for (kind, bytes) in [
        (OpKind::Read, 0),
        (OpKind::Write, 10),
        (OpKind::Write, 2_000_000),
        (OpKind::Sync, 10),
    ] {
        let first = Served::new();
        fs::write(first.path("file"), &content).unwrap();
        first.fs.sync_all().unwrap();
        first.fs.store().checkpoint().unwrap();
        let disk = first.disk.clone();
        drop(first);
        let served = Served::on(disk);
        fs::write(served.path("other"), "synced").unwrap();
        served.fs.sync_all().unwrap();
        *served.trap.lock().unwrap() = Some(kind);
        if kind == OpKind::Read {
            fails(fs::read(served.path("file")));
        } else {
            let file = fs::File::create(served.path("new")).unwrap();
            (&file).write_all(&content[..bytes]).unwrap();
            fails(file.sync_all());
            // Whoever comes next finds its locks in pieces, and gets an error, too.
            fails(file.sync_all());
        }
        *served.trap.lock().unwrap() = None;
        let why = served.fs.store().failure().unwrap();
        assert!(why.contains("panicked"), "{why}");
        for _ in 0..3 {
            assert!(fs::read(served.path("file")).unwrap() == content);
            fails(fs::write(served.path("other"), "x"));
            fails(fs::remove_file(served.path("other")));
            fails(fs::File::open(served.path("other")).unwrap().sync_all());
        }
        let fs = opened_again(served);
        let read = |name: &[u8]| {
            let node = fs.lookup(&Caller::ROOT, NodeId::ROOT, name).unwrap().node;
            fs.read(node, 0, 4 << 20).unwrap()
        };
        assert!(read(b"file")[..] == content[..]);
        assert_eq!(&read(b"other")[..], b"synced");
    }
}

/// A command fails and tells of the panic.
#[track_caller]
fn says_why(served: &Served, words: &[&str]) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_cawfs"));
    let output = command
        .args(words)
        .current_dir(served.dir.path())
        .output()
        .unwrap();
    let why =
        "the store takes no more changes, because a request (Create) panicked: the clock is broken";
    crate::site::refused(output, 1, why);
}

#[test]
fn panics_in_many_requests_at_once_hang_nobody() {
    let served = Served::new();
    for n in 0..8 {
        fs::write(served.path(&format!("file-{n}")), vec![n; 100_000]).unwrap();
    }
    served.broken.store(true, SeqCst);
    std::thread::scope(|scope| {
        for n in 0..8u8 {
            let served = &served;
            scope.spawn(move || {
                let file = served.path(&format!("file-{n}"));
                for round in 0..50 {
                    fails(fs::write(served.path(&format!("new-{n}-{round}")), "x"));
                    fails(fs::set_permissions(
                        &file,
                        std::os::unix::fs::PermissionsExt::from_mode(0o600),
                    ));
                }
            });
        }
    });
    served.broken.store(false, SeqCst);
    for n in 0..8 {
        assert_eq!(
            fs::read(served.path(&format!("file-{n}"))).unwrap(),
            vec![n; 100_000]
        );
    }
    assert!(exists(&served.path("file-0")) && !exists(&served.path("new-0-0")));
}

fn exists(path: &Path) -> bool {
    path.try_exists().unwrap()
}
