//! How mounts begin and end: they come back, wait for the store, survive the death of a daemon.

use crate::site::{Site, cawfs, done, refused};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn umount_leaves_the_store_free_and_complete() {
    let site = Site::unmounted();
    let (store, root) = (site.store(), site.root());
    let (store, root) = (store.to_str().unwrap(), root.to_str().unwrap());
    for round in 0..5 {
        site.mount("");
        fs::write(site.path(format!("file-{round}")), vec![round; 100_000]).unwrap();
        site.umount();
        File::open(store)
            .unwrap()
            .try_lock()
            .expect("the store is still in use");
        done(cawfs(["check", store]));
    }
    site.mount("");
    for round in 0..5 {
        assert_eq!(
            fs::read(site.path(format!("file-{round}"))).unwrap(),
            vec![round; 100_000]
        );
    }
    site.umount();
    assert_eq!(site.shown(), None);
    refused(cawfs(["umount", root]), 1, "nothing is mounted");
}

#[test]
fn a_busy_mount_is_not_torn_away() {
    let site = Site::new();
    fs::write(site.path("file"), "x").unwrap();
    let open = File::open(site.path("file")).unwrap();
    let root = site.root();
    refused(cawfs(["umount".as_ref(), root.as_os_str()]), 1, "in use");
    assert!(site.path("file").exists());
    drop(open);
    site.umount();
}

#[test]
fn the_mount_shows_its_store_and_type() {
    let site = Site::unmounted();
    let store = site
        .store()
        .canonicalize()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    site.mount("nofail,_netdev,x-systemd.automount,noauto,user");
    assert_eq!(site.shown(), Some((store.clone(), "fuse".into())));
    site.umount();
    site.mount("subtype=cawfs");
    assert_eq!(site.shown(), Some((store.clone(), "fuse.cawfs".into())));
    let stats = site.stats();
    assert_eq!(stats["store"], store);
    let text = done(cawfs(["stats".as_ref(), site.root().as_os_str()]));
    assert!(text.contains("\nspace\n"), "{text}");
}

#[test]
fn it_is_a_mount_helper() {
    let site = Site::unmounted();
    for name in ["mount.fuse.cawfs", "mount.cawfs"] {
        let helper = site.folder().join(name);
        symlink(site.program(), &helper).unwrap();
        let mut command = Command::new(&helper);
        command
            .arg(site.store())
            .arg(site.root())
            .args(["-o", "rw,subtype=cawfs,nosuid"]);
        done(command.output().unwrap());
        assert_eq!(site.shown().unwrap().1, "fuse.cawfs");
        fs::write(site.path(name), "x").unwrap();
        site.umount();
    }
    let mut command = Command::new(site.program());
    command
        .arg(site.store())
        .arg(site.root())
        .args(["-o", "ro"]);
    done(command.output().unwrap());
    assert!(site.path("mount.cawfs").exists());
}

#[test]
fn what_is_mounted_gets_other_options() {
    let site = Site::new();
    fs::write(site.path("file"), "x").unwrap();
    let (store, root) = (site.store().to_owned(), site.root().to_owned());
    let mount = |options: &str| {
        let words = ["mount".as_ref(), "-o".as_ref(), options.as_ref()];
        cawfs(
            words
                .into_iter()
                .chain([store.as_os_str(), root.as_os_str()]),
        )
    };
    done(mount("remount,ro,noexec"));
    let refusal = fs::write(site.path("file"), "y").unwrap_err();
    assert_eq!(refusal.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    refused(site.run(&["clone", "file", "copy"]), 1, "read-only");
    refused(site.run(&["rm", "file"]), 1, "read-only");
    done(mount("remount,rw"));
    fs::write(site.path("script"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(site.path("script"), fs::Permissions::from_mode(0o755)).unwrap();
    let forbidden = Command::new(site.path("script")).status().unwrap_err();
    assert_eq!(forbidden.kind(), std::io::ErrorKind::PermissionDenied);
    done(mount("remount,exec,user_id=0,group_id=0,allow_other"));
    assert!(
        Command::new(site.path("script"))
            .status()
            .unwrap()
            .success()
    );
    refused(mount("remount,cache=1G"), 2, "mount it again");
    site.umount();
    refused(mount("remount,rw"), 1, "no store is mounted");
    site.mount("ro");
    refused(mount("remount,rw"), 1, "without changes");
    assert_eq!(fs::read(site.path("file")).unwrap(), b"x");
}

#[test]
fn a_read_only_mount_changes_nothing() {
    let site = Site::new();
    fs::write(site.path("file"), "x").unwrap();
    site.umount();
    let before = fs::read(site.store()).unwrap();
    site.mount("ro");
    assert_eq!(fs::read(site.path("file")).unwrap(), b"x");
    let refusal = fs::write(site.path("file"), "y").unwrap_err();
    assert_eq!(refusal.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    refused(site.run(&["clone", "file", "copy"]), 1, "read-only");
    refused(site.run(&["rm", "file"]), 1, "read-only");
    site.umount();
    assert!(
        fs::read(site.store()).unwrap() == before,
        "the store was changed"
    );
}

#[test]
fn a_second_mount_waits_and_says_for_whom() {
    let site = Site::new();
    let other = site.folder().join("other");
    fs::create_dir(&other).unwrap();
    let mut second = Command::new(site.program());
    second.arg("mount").arg(site.store()).arg(&other);
    let mut second = second.stderr(Stdio::piped()).spawn().unwrap();
    // It says whom it waits for, while it waits.
    let mut said = String::new();
    let mut stderr = BufReader::new(second.stderr.take().unwrap());
    stderr.read_line(&mut said).unwrap();
    let holder = site.daemon().as_raw_nonzero();
    assert!(
        said.contains(&format!("in use by process {holder} (")),
        "{said}"
    );
    site.umount();
    done(second.wait_with_output().unwrap());
    done(cawfs(["umount".as_ref(), other.as_os_str()]));
}

/// Kills the daemon of a site and waits until the kernel has ended it, which takes a while on a busy machine.
fn kill(site: &Site) {
    let daemon = site.daemon();
    rustix::process::kill_process(daemon, rustix::process::Signal::KILL).unwrap();
    let (stat, begun) = (
        format!("/proc/{}/stat", daemon.as_raw_nonzero()),
        Instant::now(),
    );
    while fs::read_to_string(&stat).is_ok_and(|text| !text.contains(") Z ")) {
        assert!(begun.elapsed() < Duration::from_secs(20), "it does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(200));
}

#[test]
fn a_dead_daemon_is_explained_and_cleaned_up() {
    let site = Site::new();
    fs::write(site.path("file"), "x").unwrap();
    done(site.run(&["sync", "."]));
    kill(&site);
    let root = site.root();
    let root = root.to_str().unwrap();
    assert!(site.shown().is_some(), "a mount stays when its daemon dies");
    refused(cawfs(["stats", root]), 1, "has died");
    refused(cawfs(["sync", root]), 1, "has died");
    site.mount("");
    assert!(site.shown().is_some());
    kill(&site);
    site.umount();
    assert_eq!(site.shown(), None);
}

/// Else who goes on would write into the folder below it.
#[test]
fn a_mount_stays_when_its_connection_is_ended() {
    let site = Site::new();
    let daemon = site.daemon();
    rustix::process::kill_process(daemon, rustix::process::Signal::STOP).unwrap();
    cawfs_fuse::abort(&site.root(), "").unwrap();
    assert!(site.shown().is_some());
    let refused = fs::write(site.path("file"), "x").unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::ENOTCONN));
    rustix::process::kill_process(daemon, rustix::process::Signal::KILL).unwrap();
    site.umount();
}

#[test]
fn a_signal_ends_it_cleanly() {
    let site = Site::new();
    fs::write(site.path("file"), "written before the signal").unwrap();
    let daemon = site.daemon();
    rustix::process::kill_process(daemon, rustix::process::Signal::TERM).unwrap();
    let begun = Instant::now();
    while site.shown().is_some() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
    // The mount waits until the store is free.
    site.mount("");
    assert_eq!(
        fs::read(site.path("file")).unwrap(),
        b"written before the signal"
    );
}

#[test]
fn create_makes_the_store_and_foreground_stays() {
    let site = Site::unmounted();
    fs::remove_file(site.store()).unwrap();
    let mut command = Command::new(site.program());
    command
        .args(["mount", "--create", "--foreground"])
        .arg(site.store())
        .arg(site.root());
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while site.shown().is_none() {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "it does not mount"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    fs::write(site.path("file"), "x").unwrap();
    site.umount();
    assert!(child.wait().unwrap().success());
    done(cawfs(["check".as_ref(), site.store().as_os_str()]));
}
