//! Access times on a real mount: when reading renews them, and what the kernel's table says of it.

use crate::site::{Site, cawfs, done};
use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, symlink};
use std::path::Path;
use std::process::Command;

/// The access time of a name, which is not followed.
fn time(path: &Path) -> (i64, i64) {
    let meta = fs::symlink_metadata(path).unwrap();
    (meta.atime(), meta.atime_nsec())
}

/// How often reading an object, four times over, renewed its access time.
fn renewals(path: &Path, read: impl Fn(&Path)) -> usize {
    let times: Vec<_> = (0..5)
        .map(|round| {
            std::thread::sleep(std::time::Duration::from_millis(2));
            if round > 0 {
                read(path);
            }
            time(path)
        })
        .collect();
    times.windows(2).filter(|pair| pair[0] < pair[1]).count()
}

fn read_file(path: &Path) {
    assert_eq!(fs::read(path).unwrap(), b"content");
}

fn list(path: &Path) {
    assert_eq!(fs::read_dir(path).unwrap().count(), 1);
}

fn follow(path: &Path) {
    assert_eq!(fs::read_link(path).unwrap(), Path::new("file"));
}

fn peek(path: &Path) {
    let quiet = rustix::fs::OFlags::NOATIME.bits() as i32;
    let mut file = OpenOptions::new().read(true).custom_flags(quiet).open(path);
    let mut content = Vec::new();
    file.as_mut().unwrap().read_to_end(&mut content).unwrap();
    assert_eq!(content, b"content");
}

/// What the kernel's table says.
fn shown(site: &Site) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mounts").unwrap();
    let root = site.root();
    let line = table
        .lines()
        .find(|line| line.split(' ').nth(1) == root.to_str());
    let options = line.unwrap().split(' ').nth(3).unwrap();
    options
        .split(',')
        .map(str::to_owned)
        .filter(|o| o.contains("atime"))
        .collect()
}

fn fill(site: &Site) {
    fs::write(site.path("file"), "content").unwrap();
    fs::create_dir(site.path("dir")).unwrap();
    fs::write(site.path("dir/name"), "").unwrap();
    symlink("file", site.path("link")).unwrap();
}

/// Renewals of a file, a directory, a symbolic link, and a file that is read without being noticed.
fn counts(site: &Site) -> [usize; 4] {
    [
        renewals(&site.path("file"), read_file),
        renewals(&site.path("dir"), list),
        renewals(&site.path("link"), follow),
        renewals(&site.path("file"), peek),
    ]
}

#[test]
fn reading_renews_access_times_as_the_mount_says() {
    let site = Site::unmounted();
    site.mount("strictatime");
    fill(&site);
    assert_eq!(shown(&site), [""; 0]);
    assert_eq!(counts(&site), [4, 4, 4, 0], "strictatime");
    let kept = time(&site.path("file"));
    site.umount();
    site.mount("noatime");
    assert_eq!(shown(&site), ["noatime"]);
    assert_eq!(
        time(&site.path("file")),
        kept,
        "kept in memory, and written in the end"
    );
    fs::write(site.path("file"), "content").unwrap();
    assert_eq!(counts(&site), [0; 4], "noatime");
    site.umount();
    site.mount("");
    assert_eq!(shown(&site), ["relatime"]);
    fs::write(site.path("file"), "content").unwrap();
    fs::write(site.path("dir/name"), "").unwrap();
    assert_eq!(counts(&site)[0], 1, "relatime");
}

#[test]
fn a_remount_changes_access_times() {
    let site = Site::new();
    fill(&site);
    let remount = |options: &str| {
        let words = ["mount".as_ref(), "-o".as_ref(), options.as_ref()];
        let (store, root) = (site.store(), site.root());
        let places = [store.as_os_str(), root.as_os_str()];
        done(cawfs(words.into_iter().chain(places)));
    };
    remount("remount,strictatime");
    assert_eq!(shown(&site), [""; 0]);
    let [file, dir, _, peeked] = counts(&site);
    assert_eq!([file, dir, peeked], [4, 4, 0]);
    remount("remount,nosuid");
    assert_eq!(counts(&site)[0], 4, "what is not named stays");
    remount("remount,noatime");
    assert_eq!(
        (shown(&site), counts(&site)),
        (vec!["noatime".into()], [0; 4])
    );
    remount("remount,relatime");
    fs::write(site.path("file"), "content").unwrap();
    assert_eq!(shown(&site), ["relatime"]);
    assert_eq!(counts(&site)[0], 1);
}

#[test]
fn access_times_are_options_of_fstab() {
    let site = Site::unmounted();
    let helper = site.folder().join("mount.fuse.cawfs");
    symlink(site.program(), &helper).unwrap();
    let mut command = Command::new(helper);
    command.arg(site.store()).arg(site.root());
    done(
        command
            .args(["-o", "rw,nofail,strictatime"])
            .output()
            .unwrap(),
    );
    fill(&site);
    assert_eq!(renewals(&site.path("file"), read_file), 4);
    // Mapped, run and copied from as any other.
    fs::copy("/bin/true", site.path("true")).unwrap();
    assert!(Command::new(site.path("true")).status().unwrap().success());
}
