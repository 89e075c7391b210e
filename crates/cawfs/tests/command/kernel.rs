//! What the kernel believes after changes that it did not make itself, and what it holds while we make them.

use crate::site::{Site, done, refused};
use rustix::mount::{MountFlags, UnmountFlags};
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, chown};
use std::time::Duration;

/// Something mounted on a directory, until this is dropped.
struct Mounted(std::path::PathBuf);

impl Mounted {
    fn on(dir: std::path::PathBuf) -> Self {
        rustix::mount::mount("none", &dir, "tmpfs", MountFlags::empty(), None).unwrap();
        Self(dir)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, UnmountFlags::DETACH);
    }
}

#[test]
fn a_tree_with_a_mount_point_inside_stays() {
    let site = Site::new();
    site.tree("new");
    fs::create_dir_all(site.path("tree/a b/c")).unwrap();
    fs::create_dir_all(site.path("tree2/a b/c")).unwrap();
    let inside = Mounted::on(site.path("tree/a b/c"));
    fs::write(site.path("tree/a b/c/file"), "x").unwrap();
    for tree in ["tree", "tree/a b"] {
        refused(site.run(&["rm", tree]), 1, "mounted in it");
        refused(
            site.run(&["clone", "--replace", "new", tree]),
            1,
            "mounted there",
        );
        assert_eq!(fs::read(site.path("tree/a b/c/file")).unwrap(), b"x");
    }
    done(site.run(&["rm", "tree2"]));
    drop(inside);
    done(site.run(&["clone", "--replace", "new", "tree/a b"]));
    done(site.run(&["rm", "tree"]));
    assert!(!site.path("tree").exists());
}

#[test]
fn looking_at_a_staged_clone_leaves_nothing_behind() {
    let site = Site::new();
    fs::create_dir(site.path("a")).unwrap();
    chown(site.path("a"), Some(1000), Some(1000)).unwrap();
    done(site.python(
        r#"
import fcntl, os, struct
os.chmod("a", 0o500)
source = os.open("a", os.O_RDONLY)
token = struct.unpack("<IIQ", fcntl.ioctl(source, 0xC010CA01, struct.pack("<IIQ", 1, 0, 0)))[2]
name = f".cawfs-stage-{token:016x}-0"
staged = os.open(name, os.O_PATH)
seen = os.fstat(staged)
assert (seen.st_uid, seen.st_mode & 0o700) == (0, 0o700), seen
os.rename(name, "b")
for seen in (os.fstat(staged), os.stat("b")):
    assert (seen.st_uid, seen.st_mode & 0o777) == (1000, 0o500), seen
"#,
    ));
}

#[test]
fn an_open_file_of_a_removed_tree_has_no_link_and_its_content_goes_when_it_is_closed() {
    let site = Site::new();
    fs::create_dir_all(site.path("tree/sub")).unwrap();
    let file = fs::File::create_new(site.path("tree/sub/file")).unwrap();
    file.write_all_at(&[7; 300_000], 0).unwrap();
    assert_eq!(file.metadata().unwrap().nlink(), 1);
    done(site.run(&["rm", "tree"]));
    let found = file.metadata().unwrap();
    assert_eq!((found.nlink(), found.len()), (0, 300_000));
    drop(file);
    // The same below a tree that is replaced; the kernel hears of it a little later.
    fs::create_dir_all(site.path("old/sub")).unwrap();
    fs::create_dir(site.path("new")).unwrap();
    let other = fs::File::create_new(site.path("old/sub/file")).unwrap();
    assert_eq!(other.metadata().unwrap().nlink(), 1);
    done(site.run(&["clone", "--replace", "new", "old"]));
    for _ in 0..100 {
        if other.metadata().unwrap().nlink() == 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(other.metadata().unwrap().nlink(), 0);
    drop(other);
    // The kernel tells of the last close in its own time.
    let orphans = || {
        done(site.run(&["sync", "."]));
        site.umount();
        let checked = done(crate::site::cawfs([
            "check".as_ref(),
            "--json".as_ref(),
            site.store().as_os_str(),
        ]));
        site.mount("");
        checked
    };
    std::thread::sleep(Duration::from_millis(200));
    let report: serde_json::Value = serde_json::from_str(&orphans()).unwrap();
    assert_eq!(report["orphans"], 0, "{report}");
}

#[test]
fn copying_into_a_program_clears_its_set_id_bits() {
    let site = Site::new();
    fs::write(site.path("source"), "content").unwrap();
    done(site.python(
        r#"
import os
os.chmod(".", 0o777)
open("program", "w").close(); os.chmod("program", 0o6777)
def copy():
    with open("source", "rb") as a, open("program", "r+b") as b:
        assert os.copy_file_range(a.fileno(), b.fileno(), 7) == 7
copy()
assert os.stat("program").st_mode & 0o7777 == 0o6777
if os.fork() == 0:
    os.setgroups([]); os.setgid(1000); os.setuid(1000)
    copy()
    os._exit(0)
assert os.wait()[1] == 0
assert os.stat("program").st_mode & 0o7777 == 0o777, oct(os.stat("program").st_mode)
"#,
    ));
}

#[test]
fn names_that_the_kernel_remembers_are_those_that_are() {
    let site = Site::new();
    fs::create_dir(site.path("dir")).unwrap();
    done(site.python(
        r#"
import os
def make(name): open("dir/" + name, "w").close()
# Opened before a name was made, read after: what is remembered for others has the name.
opened = os.open("dir", os.O_RDONLY)
make("a")
os.listdir(opened)
assert os.listdir("dir") == ["a"]
os.close(opened)
# Read half, while another reads a listing that has one more name before: nothing comes twice.
for name in "bcz": make(name)
half = os.scandir("dir")
names = [next(half).name]
make("m")
assert sorted(os.listdir("dir")) == list("abcmz")
names += [entry.name for entry in half]
assert len(names) == len(set(names)), names
assert sorted(os.listdir("dir")) == list("abcmz")
"#,
    ));
}

#[test]
fn who_holds_a_directory_of_a_removed_tree_finds_nothing_in_it_at_once() {
    let site = Site::new();
    done(site.python(
        r#"
import os, subprocess, sys, time
top = os.getcwd()
places = ("open", "cwd", "path")
names = ("one", "two", "crossing", "inner", "inner/file", "inner/deeper")
def make(name): open(name, "w").close()
def gone(name, dir):
    try: os.stat(name, dir_fd=dir)
    except FileNotFoundError: return True
def remove(patience, *words):
    for place in places:
        os.makedirs(f"tree/{place}/inner/deeper")
        os.makedirs(f"outside/{place}", exist_ok=True)
        for name in ("one", "inner/file"): make(f"tree/{place}/{name}")
        os.link(f"tree/{place}/one", f"tree/{place}/two")
        make(f"outside/{place}/crossing")
        os.link(f"outside/{place}/crossing", f"tree/{place}/crossing")
    # What is in use the kernel does not forget.
    used = [os.open(f"tree/{place}/{name}", os.O_PATH) for place in places for name in names]
    used += [os.open(f"tree/{place}/two", os.O_RDWR) for place in places]
    os.chdir("tree/cwd")
    held = [os.open(f"{top}/tree/open", os.O_RDONLY), os.open(".", os.O_PATH), os.open(f"{top}/tree/path", os.O_PATH)]
    subprocess.run([sys.argv[1], *words], check=True, cwd=top)
    end = time.monotonic() + patience
    for place, dir in zip(places, held):
        for name in names:
            while not gone(name, dir):
                if time.monotonic() > end: raise SystemExit(f"{name} is still in {place}")
        assert os.stat(f"{top}/outside/{place}/crossing").st_nlink == 1
    for fd in used: os.fstat(fd)
    for fd in used[-3:]: os.write(fd, b"goes on")
    os.chdir(top)
remove(0, "rm", "tree")
# Of what a clone replaces the kernel hears a little later.
os.makedirs("new/open")
remove(5, "clone", "--replace", "new", "tree")
assert os.listdir("tree") == ["open"] and os.listdir("tree/open") == []
"#,
    ));
}

/// Names expire one by one: raising the kernel's epoch would take away what is mounted on other directories.
#[test]
fn what_is_mounted_elsewhere_stays_when_a_held_tree_goes() {
    let site = Site::new();
    fs::create_dir_all(site.path("elsewhere/a/b")).unwrap();
    fs::create_dir_all(site.path("tree/held")).unwrap();
    fs::write(site.path("tree/held/one"), "x").unwrap();
    fs::hard_link(site.path("tree/held/one"), site.path("tree/held/two")).unwrap();
    let mounted = Mounted::on(site.path("elsewhere/a/b"));
    fs::write(site.path("elsewhere/a/b/file"), "x").unwrap();
    let held = fs::File::open(site.path("tree/held")).unwrap();
    done(site.run(&["rm", "tree"]));
    assert_eq!(fs::read(site.path("elsewhere/a/b/file")).unwrap(), b"x");
    drop((held, mounted));
}
