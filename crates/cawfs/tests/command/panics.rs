//! A panic in one request is an error of that request. The store takes no more changes then, but is read, and unmounted.
//!
//! The panic comes from the clock that the file system is given: it strikes in the middle of operations.

use cawdb::Store;
use cawfs_fs::{FormatOptions, Fs, MountOptions, Time};
use cawfs_fuse::Mount;
use rustix::io::Errno;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::JoinHandle;

/// A store in memory, served by this process.
struct Served {
    fs: Arc<Fs>,
    broken: Arc<AtomicBool>,
    dir: tempfile::TempDir,
    server: Option<JoinHandle<io::Result<()>>>,
}

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
        crate::site::need_fuse();
        let store = Store::in_memory();
        Fs::format(&store, &FormatOptions::default()).unwrap();
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
            subtype: None,
            read_only: false,
            nosuid: false,
            nodev: false,
            noexec: false,
            noatime: false,
            allow_other: true,
        };
        let mount = Mount::attach(dir.path(), &how).unwrap();
        let (served, about) = (fs.clone(), fs.clone());
        let server = std::thread::spawn(move || mount.serve(served, Box::new(Tells(about))));
        Self {
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
