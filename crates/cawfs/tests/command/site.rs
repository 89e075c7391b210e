//! A store in a temporary folder, mounted by the program itself; nothing is left behind.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// An unprivileged user.
pub const USER: u32 = 1000;

/// Runs the program.
pub fn cawfs<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cawfs"))
        .args(args)
        .output()
        .unwrap()
}

/// What a successful run printed.
#[track_caller]
pub fn done(output: Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {error}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// Asserts that a run failed with this exit code and said this.
#[track_caller]
pub fn refused(output: Output, code: i32, says: &str) {
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert!(error.contains(says), "`{says}` is not in: {error}");
}

/// Fails, with one clear line, where nothing can be mounted.
pub fn need_fuse() {
    let device = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/fuse");
    if let Err(e) = device {
        panic!("the mount tests need /dev/fuse, which cannot be opened here: {e}");
    }
    let root = rustix::process::geteuid().is_root();
    assert!(
        root,
        "the mount tests must run as root: they mount, and act as several users"
    );
}

/// A folder with a store, a mount point, and the program where every user can run it.
pub struct Site {
    folder: TempDir,
}

impl Site {
    /// A mounted, empty store.
    pub fn new() -> Self {
        let site = Self::unmounted();
        site.mount("");
        site
    }

    /// An empty store that is not mounted.
    pub fn unmounted() -> Self {
        need_fuse();
        let folder = tempfile::Builder::new()
            .prefix("cawfs-test-")
            .tempdir()
            .unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let site = Self { folder };
        fs::copy(env!("CARGO_BIN_EXE_cawfs"), site.program()).unwrap();
        fs::create_dir(site.root()).unwrap();
        done(cawfs([
            OsStr::new("mkfs"),
            "--size".as_ref(),
            "1G".as_ref(),
            site.store().as_ref(),
        ]));
        site
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The program.
    pub fn program(&self) -> PathBuf {
        self.folder().join("cawfs")
    }

    /// The store.
    pub fn store(&self) -> PathBuf {
        self.folder().join("store")
    }

    /// The mount's root.
    pub fn root(&self) -> PathBuf {
        self.folder().join("mnt")
    }

    /// A path on the mount.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root().join(name)
    }

    /// Mounts with options.
    pub fn mount(&self, options: &str) {
        let (store, root) = (self.store(), self.root());
        let mut args = vec![OsStr::new("mount"), store.as_ref(), root.as_ref()];
        if !options.is_empty() {
            args.extend([OsStr::new("-o"), options.as_ref()]);
        }
        done(cawfs(args));
    }

    /// Unmounts. Between fork and exec, a child of another test's thread holds what this one has just closed: so a busy
    /// mount is tried again for some seconds.
    pub fn umount(&self) {
        let begun = Instant::now();
        let output = loop {
            let output = cawfs([OsStr::new("umount"), self.root().as_ref()]);
            let busy = String::from_utf8_lossy(&output.stderr).contains("it is in use");
            if !busy || begun.elapsed() > Duration::from_secs(10) {
                break output;
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        done(output);
    }

    /// Unmounts and mounts again.
    pub fn remount(&self) {
        self.umount();
        self.mount("");
    }

    /// Runs a command whose words after the verb are names on the mount, or options.
    pub fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// The same as another user.
    pub fn run_as(&self, user: u32, words: &[&str]) -> Output {
        self.command(words).uid(user).gid(user).output().unwrap()
    }

    /// Runs a program in Python in the mount's root; its argument is the path of ours.
    pub fn python(&self, program: &str) -> Output {
        let mut python = Command::new("python3");
        python.args(["-c", program]).arg(self.program());
        let output = python.current_dir(self.root()).output();
        output.expect("the mount tests need python3, which cannot be run here")
    }

    /// Makes a small tree: files, a large one, directories, a link.
    pub fn tree(&self, name: &str) {
        let top = self.path(name);
        let program = top.join("sub/deep/program");
        fs::create_dir_all(top.join("sub/deep")).unwrap();
        fs::write(top.join("file"), "content").unwrap();
        fs::write(top.join("sub/large"), vec![7; 300_000]).unwrap();
        fs::write(&program, "#!").unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o751)).unwrap();
        symlink("sub/large", top.join("link")).unwrap();
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.program());
        command.args(words).current_dir(self.root());
        command
    }

    /// What the daemon tells about itself.
    pub fn stats(&self) -> serde_json::Value {
        let text = done(cawfs([
            OsStr::new("stats"),
            "--json".as_ref(),
            self.root().as_ref(),
        ]));
        serde_json::from_str(&text).unwrap()
    }

    /// The daemon.
    pub fn daemon(&self) -> rustix::process::Pid {
        let pid = self.stats()["pid"].as_i64().unwrap();
        rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
    }

    /// The mount as the kernel shows it: source and type.
    pub fn shown(&self) -> Option<(String, String)> {
        let text = fs::read_to_string("/proc/mounts").unwrap();
        let root = self.root();
        let words = text.lines().map(|l| l.split(' ').collect::<Vec<_>>());
        let line = words.into_iter().find(|w| Path::new(w[1]) == root)?;
        Some((line[0].to_owned(), line[2].to_owned()))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if self.shown().is_some() {
            let _ = cawfs([OsStr::new("umount"), self.root().as_ref()]);
        }
        if self.shown().is_some() {
            let _ = cawfs_fuse::unmount(&self.root(), true);
        }
    }
}

/// All files and links of a tree with mode and content, sorted.
pub fn picture(top: &Path) -> Vec<(PathBuf, u32, Vec<u8>)> {
    let mut out = Vec::new();
    let mut todo = vec![top.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let content = match meta.file_type() {
                kind if kind.is_dir() => {
                    todo.push(path.clone());
                    Vec::new()
                }
                kind if kind.is_symlink() => fs::read_link(&path)
                    .unwrap()
                    .into_os_string()
                    .into_encoded_bytes(),
                _ => fs::read(&path).unwrap(),
            };
            let name = path.strip_prefix(top).unwrap().to_owned();
            out.push((name, meta.permissions().mode(), content));
        }
    }
    out.sort();
    out
}
