//! Ordinary work on a real mount.

use crate::site::{Site, USER, done};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::process::Command;

#[test]
fn files_are_what_was_written() {
    let site = Site::new();
    let path = site.path("file");
    fs::write(&path, b"hello world").unwrap();
    fs::write(&path, b"hi").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"hi");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    file.write_all_at(b"far", 200_000).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 200_003);
    file.seek(SeekFrom::Start(199_999)).unwrap();
    let mut tail = Vec::new();
    file.read_to_end(&mut tail).unwrap();
    assert_eq!(tail, b"\0far");
    file.set_len(1).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"h");
    OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap()
        .write_all(b"!")
        .unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"h!");
    file.sync_all().unwrap();
}

#[test]
fn a_large_file_comes_back_by_every_way_of_opening() {
    let site = Site::new();
    let content: Vec<u8> = (0..5_000_001_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let path = site.path("large");
    let mut write_only = File::create(&path).unwrap();
    for piece in content.chunks(777_777) {
        write_only.write_all(piece).unwrap();
    }
    assert!(fs::read(&path).unwrap() == content);
    let both = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    both.write_all_at(b"middle", 2_500_000).unwrap();
    write_only.write_all_at(b"MIDDLE", 1_000_000).unwrap();
    let mut found = [0; 6];
    both.read_exact_at(&mut found, 1_000_000).unwrap();
    assert_eq!(&found, b"MIDDLE");
    drop((write_only, both));
    site.remount();
    let again = fs::read(&path).unwrap();
    assert_eq!(&again[2_500_000..2_500_006], b"middle");
    assert!(again.len() == content.len() && again[3_000_000..] == content[3_000_000..]);
}

#[test]
fn names_come_and_go() {
    let site = Site::new();
    fs::create_dir_all(site.path("a/b/c")).unwrap();
    fs::write(site.path("a/b/c/leaf"), "leaf").unwrap();
    assert!(!site.path("moved").exists());
    fs::rename(site.path("a/b"), site.path("moved")).unwrap();
    assert_eq!(fs::read(site.path("moved/c/leaf")).unwrap(), b"leaf");
    assert!(!site.path("a/b").exists());
    fs::write(site.path("one"), "1").unwrap();
    fs::write(site.path("two"), "2").unwrap();
    fs::rename(site.path("one"), site.path("two")).unwrap();
    assert_eq!(fs::read(site.path("two")).unwrap(), b"1");
    symlink("moved/c/leaf", site.path("link")).unwrap();
    assert_eq!(fs::read(site.path("link")).unwrap(), b"leaf");
    assert!(fs::remove_dir(site.path("moved")).is_err());
    fs::remove_file(site.path("two")).unwrap();
    fs::remove_dir_all(site.path("moved")).unwrap();
    let mut names: Vec<_> = fs::read_dir(site.root())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["a", "link"]);
}

#[test]
fn exchange_and_noreplace() {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    let site = Site::new();
    fs::write(site.path("one"), "1").unwrap();
    fs::create_dir(site.path("two")).unwrap();
    let rename = |flags| renameat_with(CWD, site.path("one"), CWD, site.path("two"), flags);
    assert_eq!(
        rename(RenameFlags::NOREPLACE),
        Err(rustix::io::Errno::EXIST)
    );
    let whiteout = renameat_with(
        CWD,
        site.path("one"),
        CWD,
        site.path("three"),
        RenameFlags::WHITEOUT,
    );
    assert_eq!(whiteout, Err(rustix::io::Errno::INVAL));
    rename(RenameFlags::EXCHANGE).unwrap();
    assert!(site.path("one").is_dir());
    assert_eq!(fs::read(site.path("two")).unwrap(), b"1");
}

#[test]
fn a_large_directory_is_listed_whole() {
    let site = Site::new();
    for i in 0..3000 {
        File::create(site.path(format!("name-{i:05}"))).unwrap();
    }
    for _ in 0..2 {
        let mut names: Vec<_> = fs::read_dir(site.root())
            .unwrap()
            .map(|e| {
                let entry = e.unwrap();
                assert!(entry.metadata().unwrap().is_file());
                entry.file_name()
            })
            .collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 3000);
        site.remount();
    }
}

#[test]
fn an_unlinked_file_lives_while_it_is_open() {
    let site = Site::new();
    let path = site.path("file");
    fs::write(&path, "still here").unwrap();
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    fs::remove_file(&path).unwrap();
    file.write_all_at(b"STILL", 0).unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "STILL here");
    assert_eq!(file.metadata().unwrap().nlink(), 0);
}

#[test]
fn a_file_without_a_name_gets_one() {
    use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, open};
    let site = Site::new();
    let flags = OFlags::TMPFILE | OFlags::RDWR;
    let file = File::from(open(site.root(), flags, Mode::RUSR).unwrap());
    (&file).write_all(b"late").unwrap();
    use std::os::fd::AsRawFd;
    let way = format!("/proc/self/fd/{}", file.as_raw_fd());
    linkat(CWD, way, CWD, site.path("named"), AtFlags::SYMLINK_FOLLOW).unwrap();
    assert_eq!(fs::read(site.path("named")).unwrap(), b"late");
}

#[test]
fn times_owners_and_modes_survive_a_remount() {
    let site = Site::new();
    let path = site.path("file");
    fs::write(&path, "x").unwrap();
    std::os::unix::fs::chown(&path, Some(USER), Some(USER)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4755)).unwrap();
    let before_1970 = rustix::fs::Timespec {
        tv_sec: -2,
        tv_nsec: 800_000_000,
    };
    let far = rustix::fs::Timespec {
        tv_sec: 1 << 33,
        tv_nsec: 1,
    };
    let times = rustix::fs::Timestamps {
        last_access: far,
        last_modification: before_1970,
    };
    rustix::fs::utimensat(rustix::fs::CWD, &path, &times, rustix::fs::AtFlags::empty()).unwrap();
    let before = fs::metadata(&path).unwrap();
    site.remount();
    let after = fs::metadata(&path).unwrap();
    assert_eq!((after.mtime(), after.mtime_nsec()), (-2, 800_000_000));
    assert_eq!((after.atime(), after.atime_nsec()), (1 << 33, 1));
    assert_eq!((after.uid(), after.mode() & 0o7777), (USER, 0o4755));
    assert_eq!(after.ino(), before.ino());
    assert!(after.created().is_ok(), "no birth time");
}

#[test]
fn extended_attributes() {
    use rustix::fs::{XattrFlags, getxattr, listxattr, removexattr, setxattr};
    let site = Site::new();
    let path = site.path("file");
    File::create(&path).unwrap();
    let mut room = [0; 100];
    setxattr(&path, "user.colour", b"blue", XattrFlags::CREATE).unwrap();
    let again = setxattr(&path, "user.colour", b"red", XattrFlags::CREATE);
    assert_eq!(again, Err(rustix::io::Errno::EXIST));
    let n = getxattr(&path, "user.colour", &mut room).unwrap();
    assert_eq!(&room[..n], b"blue");
    assert_eq!(
        getxattr(&path, "user.colour", &mut room[..2]),
        Err(rustix::io::Errno::RANGE)
    );
    let n = listxattr(&path, &mut room).unwrap();
    assert_eq!(&room[..n], b"user.colour\0");
    removexattr(&path, "user.colour").unwrap();
    assert_eq!(
        getxattr(&path, "user.colour", &mut room),
        Err(rustix::io::Errno::NODATA)
    );
}

#[test]
fn the_umask_and_the_default_list_of_a_directory() {
    use rustix::fs::{XattrFlags, getxattr, setxattr};
    let site = Site::new();
    let made = Command::new("sh")
        .args(["-c", "umask 027; echo x > plain; mkdir dir"])
        .current_dir(site.root())
        .output();
    done(made.unwrap());
    let mode = |name: &str| fs::metadata(site.path(name)).unwrap().mode() & 0o7777;
    assert_eq!((mode("plain"), mode("dir")), (0o640, 0o750));
    // Version 2; owner rwx, user 1000 rwx, group r-x, mask rwx, others nothing.
    let mut list = 2_u32.to_le_bytes().to_vec();
    let none = u32::MAX;
    for (tag, perm, id) in [
        (1_u16, 7_u16, none),
        (2, 7, USER),
        (4, 5, none),
        (16, 7, none),
        (32, 0, none),
    ] {
        list.extend(tag.to_le_bytes());
        list.extend(perm.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    setxattr(
        site.path("dir"),
        "system.posix_acl_default",
        &list,
        XattrFlags::empty(),
    )
    .unwrap();
    fs::write(site.path("dir/file"), "for user 1000").unwrap();
    let mut room = [0; 200];
    getxattr(site.path("dir/file"), "system.posix_acl_access", &mut room).unwrap();
    assert_eq!(mode("dir/file"), 0o660);
    fs::set_permissions(site.path("dir"), fs::Permissions::from_mode(0o755)).unwrap();
    use std::os::unix::process::CommandExt;
    let read = |uid: u32| {
        let mut command = Command::new("cat");
        command
            .arg("dir/file")
            .current_dir(site.root())
            .uid(uid)
            .gid(uid)
            .output()
            .unwrap()
    };
    assert_eq!(done(read(USER)), "for user 1000");
    assert!(!read(USER + 1).status.success());
}

#[test]
fn users_have_their_rights() {
    let site = Site::new();
    fs::write(site.path("secret"), "x").unwrap();
    fs::set_permissions(site.path("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::create_dir(site.path("open")).unwrap();
    fs::set_permissions(site.path("open"), fs::Permissions::from_mode(0o1777)).unwrap();
    use std::os::unix::process::CommandExt;
    let shell = |script: &str| {
        let mut command = Command::new("sh");
        command
            .args(["-c", script])
            .current_dir(site.root())
            .uid(USER)
            .gid(USER);
        command.output().unwrap()
    };
    assert!(!shell("cat secret").status.success());
    assert!(!shell("echo x > here").status.success());
    done(shell("echo mine > open/file"));
    assert_eq!(fs::metadata(site.path("open/file")).unwrap().uid(), USER);
    fs::write(site.path("open/roots"), "x").unwrap();
    assert!(
        !shell("rm -f open/roots").status.success(),
        "the sticky bit does not hold"
    );
}

#[test]
fn two_programs_at_once() {
    let site = Site::new();
    let workers: Vec<_> = (0..4)
        .map(|w| {
            let dir = site.path(format!("worker-{w}"));
            std::thread::spawn(move || {
                fs::create_dir(&dir).unwrap();
                for i in 0..200 {
                    let path = dir.join(format!("{i}"));
                    fs::write(&path, format!("{w} {i}")).unwrap();
                    if i % 20 == 0 {
                        File::open(&path).unwrap().sync_all().unwrap();
                    }
                    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{w} {i}"));
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
    assert_eq!(fs::read_dir(site.path("worker-3")).unwrap().count(), 200);
}

#[test]
fn plain_cp_copies_inside() {
    let site = Site::new();
    let content: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 251) as u8).collect();
    fs::write(site.path("file"), &content).unwrap();
    let cp = Command::new("cp")
        .args(["file", "copy"])
        .current_dir(site.root())
        .output();
    done(cp.unwrap());
    assert!(fs::read(site.path("copy")).unwrap() == content);
    fs::write(site.path("file"), "changed").unwrap();
    assert!(fs::read(site.path("copy")).unwrap() == content);
}

#[test]
fn the_file_system_has_honest_sizes() {
    let site = Site::new();
    let s = rustix::fs::statvfs(site.root()).unwrap();
    assert!(s.f_blocks > 0 && s.f_bfree <= s.f_blocks && s.f_namemax == 255);
}

/// Whatever it is opened with: the content must be there for the pages that were not read yet.
#[test]
fn a_running_program_cannot_be_emptied() {
    let site = Site::new();
    let path = site.path("program");
    fs::copy("/bin/sleep", &path).unwrap();
    let content = fs::read(&path).unwrap();
    let mut running = Command::new(&path).arg("60").spawn().unwrap();
    let emptied = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_TRUNC)
        .open(&path);
    let left = fs::read(&path).unwrap();
    let alive = running.try_wait().unwrap();
    running.kill().unwrap();
    running.wait().unwrap();
    assert_eq!(emptied.unwrap_err().raw_os_error(), Some(libc::ETXTBSY));
    assert_eq!((left == content, alive), (true, None));
    File::create(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
}
