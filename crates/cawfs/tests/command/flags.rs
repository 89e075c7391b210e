//! The flags of chattr(1) on a real mount, set and shown by the programs that people use.

use crate::site::{Site, USER, done, refused};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

fn run(program: &str, words: &[&str], path: &Path) -> Output {
    Command::new(program)
        .args(words)
        .arg(path)
        .output()
        .unwrap()
}

fn chattr(change: &str, path: &Path) {
    done(run("chattr", &[change], path));
}

/// The letters that lsattr shows, without dashes.
fn shown(path: &Path) -> String {
    let line = done(run("lsattr", &["-d"], path));
    line.split(' ').next().unwrap().replace('-', "")
}

/// Asserts that a change is forbidden by a guard.
#[track_caller]
fn forbidden<T>(result: std::io::Result<T>) {
    let kind = result.map(|_| ()).map_err(|e| e.raw_os_error());
    assert_eq!(kind, Err(Some(1)), "EPERM was expected");
}

/// Everything that may not happen to what has either guard.
#[track_caller]
fn is_guarded(site: &Site, path: &Path) {
    let other = site.path("other");
    forbidden(fs::rename(path, &other));
    forbidden(fs::set_permissions(path, fs::Permissions::from_mode(0o600)));
    forbidden(std::os::unix::fs::chown(path, Some(USER), None));
    forbidden(
        rustix::fs::setxattr(path, "user.x", b"1", rustix::fs::XattrFlags::empty())
            .map_err(Into::into),
    );
    forbidden(rustix::fs::removexattr(path, "user.kept").map_err(Into::into));
    if path.is_dir() {
        forbidden(fs::remove_dir(path));
        forbidden(fs::remove_file(path.join("name")));
        forbidden(fs::rename(path.join("name"), &other));
    } else {
        forbidden(fs::remove_file(path));
        forbidden(fs::hard_link(path, &other));
        forbidden(File::create(path));
        forbidden(OpenOptions::new().write(true).open(path));
        forbidden(fs::rename(site.path("plain"), path));
    }
    for parent in path.ancestors().take_while(|p| *p != site.root()) {
        let name = parent.strip_prefix(site.root()).unwrap().to_str().unwrap();
        refused(site.run(&["rm", name]), 1, "");
        assert!(path.exists());
    }
}

/// A directory with a file and another, each with an attribute, and a plain file.
fn fill(site: &Site) {
    fs::create_dir_all(site.path("top/dir")).unwrap();
    for name in ["top/dir/name", "top/file", "plain"] {
        fs::write(site.path(name), "content").unwrap();
    }
    for name in ["top/dir", "top/file"] {
        let none = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(site.path(name), "user.kept", b"1", none).unwrap();
    }
}

#[test]
fn flags_are_set_and_shown_by_chattr_and_lsattr() {
    let site = Site::new();
    fill(&site);
    let (file, dir) = (site.path("top/file"), site.path("top/dir"));
    for (letters, path) in [
        ("i", &file),
        ("a", &file),
        ("d", &file),
        ("A", &dir),
        ("adiA", &dir),
    ] {
        chattr(&format!("+{letters}"), path);
        let mut found: Vec<_> = shown(path).chars().collect();
        let mut expected: Vec<_> = letters.chars().collect();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected);
        chattr(&format!("-{letters}"), path);
        assert_eq!(shown(path), "");
    }
    for unknown in ["+c", "+C", "+j", "+S"] {
        assert!(
            !run("chattr", &[unknown], &file).status.success(),
            "{unknown}"
        );
    }
    chattr("+dA", &dir);
    fs::write(dir.join("new"), "").unwrap();
    assert_eq!(
        shown(&dir.join("new")),
        "dA",
        "new objects have those of their directory"
    );
    chattr("+i", &file);
    site.remount();
    assert_eq!(shown(&file), "i");
    forbidden(fs::write(&file, "x"));
    chattr("-i", &file);
    fs::write(&file, "x").unwrap();
}

#[test]
fn what_is_immutable_does_not_change() {
    let site = Site::new();
    fill(&site);
    let (file, dir) = (site.path("top/file"), site.path("top/dir"));
    let mut open = OpenOptions::new().write(true).open(&file).unwrap();
    chattr("+i", &file);
    chattr("+i", &dir);
    is_guarded(&site, &file);
    is_guarded(&site, &dir);
    forbidden(open.write_all(b"x"));
    forbidden(open.set_len(0));
    forbidden(OpenOptions::new().append(true).open(&file));
    forbidden(File::create(dir.join("new")));
    forbidden(fs::create_dir(dir.join("new")));
    forbidden(fs::rename(site.path("plain"), dir.join("new")));
    forbidden(fs::hard_link(site.path("plain"), dir.join("new")));
    forbidden(std::os::unix::fs::symlink("x", dir.join("new")));
    forbidden(filetime(&file, true));
    refused(site.run(&["clone", "plain", "top/dir/new"]), 1, "");
    refused(
        site.run(&["clone", "--replace", "plain", "top/file"]),
        1,
        "",
    );
    refused(site.run(&["clone", "--replace", "top/dir", "top"]), 1, "");
    assert_eq!(fs::read(&file).unwrap(), b"content");
    fs::write(dir.join("name"), "an entry itself is as free as ever").unwrap();
    fs::rename(site.path("top"), site.path("moved")).unwrap();
    refused(site.run(&["rm", "moved"]), 1, "");
    chattr("-i", &site.path("moved/file"));
    chattr("-i", &site.path("moved/dir"));
    done(site.run(&["rm", "moved"]));
}

/// Sets both times: to the present, or to something else.
fn filetime(path: &Path, present: bool) -> std::io::Result<()> {
    let nsec = if present { rustix::fs::UTIME_NOW } else { 5 };
    let time = rustix::fs::Timespec {
        tv_sec: 5,
        tv_nsec: nsec,
    };
    let times = rustix::fs::Timestamps {
        last_access: time,
        last_modification: time,
    };
    let flags = rustix::fs::AtFlags::empty();
    Ok(rustix::fs::utimensat(rustix::fs::CWD, path, &times, flags)?)
}

#[test]
fn what_is_only_appended_to_grows_at_its_end() {
    let site = Site::new();
    fill(&site);
    let (file, dir) = (site.path("top/file"), site.path("top/dir"));
    let mut open = OpenOptions::new().write(true).open(&file).unwrap();
    chattr("+a", &file);
    chattr("+a", &dir);
    is_guarded(&site, &file);
    is_guarded(&site, &dir);
    let append = || OpenOptions::new().append(true).open(&file);
    append().unwrap().write_all(b", more").unwrap();
    assert_eq!(fs::read(&file).unwrap(), b"content, more");
    forbidden(append().unwrap().set_len(0));
    forbidden(
        OpenOptions::new()
            .append(true)
            .custom_flags(0o1000)
            .open(&file),
    );
    forbidden(open.write_all(b"x"));
    filetime(&file, true).unwrap();
    forbidden(filetime(&file, false));
    fs::write(dir.join("new"), "").unwrap();
    fs::rename(site.path("plain"), dir.join("more")).unwrap();
    forbidden(fs::remove_file(dir.join("new")));
    done(site.run(&["clone", "top/file", "top/dir/clone"]));
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 4);
}

#[test]
fn a_clone_is_not_guarded_and_a_guard_is_not_got_around() {
    let site = Site::new();
    fill(&site);
    fs::create_dir(site.path("beside")).unwrap();
    fs::hard_link(site.path("top/file"), site.path("beside/link")).unwrap();
    chattr("+i", &site.path("beside/link"));
    assert_eq!(shown(&site.path("top/file")), "i", "all names share them");
    refused(site.run(&["rm", "top"]), 1, "");
    refused(site.run(&["rm", "beside"]), 1, "");
    chattr("+ad", &site.path("top/dir"));
    done(site.run(&["clone", "top", "copy"]));
    done(site.run(&["clone", "top/file", "single"]));
    assert_eq!(shown(&site.path("copy/file")), "");
    assert_eq!(shown(&site.path("copy/dir")), "d");
    fs::write(site.path("copy/file"), "x").unwrap();
    fs::write(site.path("single"), "x").unwrap();
    fs::remove_file(site.path("copy/dir/name")).unwrap();
    fs::create_dir(site.path("into")).unwrap();
    fs::rename(site.path("copy"), site.path("into/copy")).unwrap();
    done(site.run(&["rm", "into/copy/dir"]));
    site.remount();
    done(site.run(&["clone", "--replace", "top", "into/copy"]));
    done(site.run(&["rm", "into"]));
    assert_eq!(shown(&site.path("top/file")), "i");
    refused(site.run(&["clone", "--replace", "into", "top"]), 1, "");
}

#[test]
fn guards_come_and_go_by_root_only() {
    let site = Site::new();
    let file = site.path("file");
    fs::write(&file, "x").unwrap();
    std::os::unix::fs::chown(&file, Some(USER), Some(USER)).unwrap();
    let by_user = |words: &[&str]| {
        let mut command = Command::new("chattr");
        command
            .args(words)
            .arg(&file)
            .uid(USER)
            .gid(USER)
            .output()
            .unwrap()
    };
    assert!(!by_user(&["+i"]).status.success());
    done(by_user(&["+dA"]));
    assert_eq!(shown(&file), "dA");
    chattr("+a", &file);
    assert!(!by_user(&["-a"]).status.success());
    assert_eq!(shown(&file), "adA");
    std::os::unix::fs::chown(site.root(), Some(USER), Some(USER)).unwrap();
    let rm = site.run_as(USER, &["rm", "file"]);
    assert!(!rm.status.success() && file.exists());
    let refusal = fs::write(&file, "x").unwrap_err();
    assert_eq!(refusal.kind(), ErrorKind::PermissionDenied);
    chattr("-a", &file);
    let link = site.path("link");
    std::os::unix::fs::symlink("file", &link).unwrap();
    done(site.run(&["rm", "file"]));
}
