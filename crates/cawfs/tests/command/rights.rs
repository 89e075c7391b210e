//! Who may clone and remove what, and what a clone gives away: nothing that its maker could not have had.

use crate::site::{Site, USER, done, refused};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown};
use std::time::{Duration, Instant};

#[test]
fn users_clone_what_is_theirs() {
    let site = Site::new();
    site.tree("roots");
    fs::create_dir(site.path("home")).unwrap();
    chown(site.path("home"), Some(USER), Some(USER)).unwrap();
    fs::write(site.path("readable"), "r").unwrap();
    fs::write(site.path("secret"), "s").unwrap();
    fs::set_permissions(site.path("secret"), Permissions::from_mode(0o600)).unwrap();
    // A file that he may read becomes his; one that he may not read stays hidden.
    done(site.run_as(USER, &["clone", "readable", "home/copy"]));
    assert_eq!(fs::metadata(site.path("home/copy")).unwrap().uid(), USER);
    refused(
        site.run_as(USER, &["clone", "secret", "home/stolen"]),
        1,
        "permission denied",
    );
    // A tree of others is not cloned, his own is; only to where he may write.
    refused(
        site.run_as(USER, &["clone", "roots", "home/tree"]),
        1,
        "cannot clone it",
    );
    done(site.run_as(USER, &["clone", "home", "home/again"]));
    refused(
        site.run_as(USER, &["clone", "home/copy", "elsewhere"]),
        1,
        "permission denied",
    );
    let mut names: Vec<_> = fs::read_dir(site.path("home"))
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["again", "copy"]);
    // The same for removal.
    refused(site.run_as(USER, &["rm", "roots"]), 1, "cannot remove it");
    done(site.run_as(USER, &["rm", "home/again"]));
    assert!(site.path("roots/file").exists() && !site.path("home/again").exists());
}

#[test]
fn a_tree_of_others_inside_keeps_its_owner_but_not_its_power() {
    let site = Site::new();
    fs::create_dir(site.path("home")).unwrap();
    fs::write(site.path("home/tool"), "x").unwrap();
    fs::set_permissions(site.path("home/tool"), Permissions::from_mode(0o4755)).unwrap();
    chown(site.path("home"), Some(USER), Some(USER)).unwrap();
    done(site.run_as(USER, &["clone", "home", "home/copy"]));
    let tool = fs::metadata(site.path("home/copy/tool")).unwrap();
    assert_eq!((tool.uid(), tool.mode() & 0o7777), (0, 0o755));
    assert_eq!(
        fs::metadata(site.path("home/tool")).unwrap().mode() & 0o7777,
        0o4755
    );
}

#[test]
fn a_clone_of_a_file_of_others_is_a_plain_file() {
    let site = Site::new();
    fs::create_dir(site.path("home")).unwrap();
    chown(site.path("home"), Some(USER), Some(USER)).unwrap();
    fs::write(site.path("tool"), "x").unwrap();
    fs::set_permissions(site.path("tool"), Permissions::from_mode(0o6755)).unwrap();
    let set = |name: &str, value: &[u8]| {
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(site.path("tool"), name, value, flags).unwrap();
    };
    set("user.note", b"for all");
    set("trusted.secret", b"for root");
    set(
        "security.capability",
        b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    );
    done(site.run_as(USER, &["clone", "tool", "home/tool"]));
    let meta = fs::metadata(site.path("home/tool")).unwrap();
    assert_eq!((meta.uid(), meta.gid()), (USER, USER));
    assert_eq!(meta.mode() & 0o7000, 0);
    let mut room = [0; 256];
    let n = rustix::fs::listxattr(site.path("home/tool"), &mut room).unwrap();
    assert_eq!(&room[..n], b"user.note\0");
    // Root's clone is as the original.
    done(site.run(&["clone", "tool", "copy"]));
    assert_eq!(
        fs::metadata(site.path("copy")).unwrap().mode() & 0o7777,
        0o6755
    );
}

#[test]
fn what_was_hidden_in_a_tree_stays_hidden() {
    let site = Site::new();
    fs::create_dir_all(site.path("home/private")).unwrap();
    fs::write(site.path("home/private/key"), "secret").unwrap();
    fs::write(site.path("home/key"), "secret").unwrap();
    let close = |name: &str, mode| {
        fs::set_permissions(site.path(name), Permissions::from_mode(mode)).unwrap();
    };
    close("home/private", 0o700);
    close("home/key", 0o600);
    chown(site.path("home"), Some(USER), Some(USER)).unwrap();
    done(site.run_as(USER, &["clone", "home", "home/copy"]));
    for name in ["copy/key", "copy/private"] {
        let meta = fs::metadata(site.path("home").join(name)).unwrap();
        assert_eq!(meta.uid(), 0, "{name}");
    }
    let mut cat = std::process::Command::new("cat");
    use std::os::unix::process::CommandExt;
    cat.arg(site.path("home/copy/key")).uid(USER).gid(USER);
    refused(cat.output().unwrap(), 1, "Permission denied");
    for name in ["key", "private"] {
        let words = ["clone", &format!("home/copy/{name}"), "home/mine"];
        refused(site.run_as(USER, &words), 1, "permission denied");
    }
    // His own tree he removes as a whole, with what others have in it.
    done(site.run_as(USER, &["rm", "home/copy"]));
    assert!(!site.path("home/copy").exists());
}

#[test]
fn a_handle_for_writing_only_clones_nothing() {
    let site = Site::new();
    let program = r#"
import fcntl, os
open("drop", "w").write("secret"); os.chmod("drop", 0o222)
os.setgid(1000); os.setuid(1000)
for flags in (os.O_WRONLY, os.O_PATH):
    try:
        fcntl.ioctl(os.open("drop", flags), 0xC010CA01, b"\1" + bytes(15))
        raise SystemExit("staged")
    except OSError as e:
        assert e.errno == 9, e
"#;
    done(site.python(program));
}

#[test]
fn removal_asks_for_the_place_and_for_the_tree() {
    let site = Site::new();
    for dir in ["sticky", "closed", "open"] {
        fs::create_dir(site.path(dir)).unwrap();
        site.tree(&format!("{dir}/roots"));
        site.tree(&format!("{dir}/his"));
        chown(site.path(dir).join("his"), Some(USER), Some(USER)).unwrap();
    }
    fs::set_permissions(site.path("sticky"), Permissions::from_mode(0o1777)).unwrap();
    fs::set_permissions(site.path("open"), Permissions::from_mode(0o777)).unwrap();
    for (name, may) in [
        ("sticky/his", true),
        ("sticky/roots", false),
        ("closed/his", false),
        ("closed/roots", false),
        ("open/his", true),
        ("open/roots", false),
    ] {
        let output = site.run_as(USER, &["rm", name]);
        assert_eq!(output.status.success(), may, "{name}: {output:?}");
        assert_eq!(site.path(name).exists(), !may, "{name}");
    }
    // The same for what a clone would replace.
    site.tree("mine");
    chown(site.path("mine"), Some(USER), Some(USER)).unwrap();
    for name in ["sticky/roots", "open/roots"] {
        let output = site.run_as(USER, &["clone", "--replace", "mine", name]);
        refused(output, 1, "not permitted");
        assert!(site.path(name).join("file").exists());
    }
}

#[test]
fn trees_are_removed_whole() {
    let site = Site::new();
    site.tree("a");
    done(site.run(&["clone", "a", "b"]));
    let open = File::open(site.path("a/file")).unwrap();
    done(site.run(&["rm", "a"]));
    assert!(!site.path("a").exists() && site.path("b/file").exists());
    let mut found = [0; 7];
    open.read_exact_at(&mut found, 0).unwrap();
    assert_eq!(&found, b"content");
    done(site.run(&["rm", "b/link", "b/sub"]));
    assert!(!site.path("b/sub").exists() && site.path("b/file").exists());
    refused(site.run(&["rm", "missing"]), 1, "does not exist");
    done(site.run(&["rm", "-f", "missing"]));
    refused(
        site.run(&["rm", site.root().to_str().unwrap()]),
        1,
        "mounted there",
    );
    let long = "n".repeat(255);
    fs::create_dir(site.path(&long)).unwrap();
    fs::write(site.path(&long).join("file"), "x").unwrap();
    done(site.run(&["rm", &long]));
    let names: Vec<_> = fs::read_dir(site.root())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(names, ["b"]);
}

/// The kernel drops what it knew below behind the caller's back. Who stands there keeps his place, and makes nothing in it.
#[test]
fn a_removed_tree_is_forgotten_by_and_by() {
    let site = Site::new();
    for number in 0..300 {
        let dir = site.path(format!("tree/{}/deep", number % 10));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(number.to_string()), "x").unwrap();
    }
    let handles = || site.stats()["memory"]["handles"].as_u64().unwrap();
    let (held, before) = (File::open(site.path("tree/0/deep")).unwrap(), handles());
    assert!(before > 300, "{before}");
    done(site.run(&["rm", "tree"]));
    assert!(!site.path("tree/1/deep/1").exists());
    let end = Instant::now() + Duration::from_secs(20);
    while handles() > before - 300 {
        assert!(Instant::now() < end, "{} of {before} are left", handles());
        std::thread::sleep(Duration::from_millis(20));
    }
    let made = OFlags::CREATE | OFlags::WRONLY;
    let made = rustix::fs::openat(&held, "new", made, Mode::RWXU);
    assert_eq!(made.unwrap_err(), Errno::NOENT);
    fs::create_dir_all(site.path("tree/0")).unwrap();
    assert_eq!(fs::read_dir(site.path("tree/0")).unwrap().count(), 0);
}

#[test]
fn a_default_list_leaves_the_set_group_bit() {
    let site = Site::new();
    let shared = site.path("shared");
    fs::create_dir(&shared).unwrap();
    // The owner is not in the directory's group; an access list of his would clear the bit.
    chown(&shared, Some(USER), Some(USER + 1)).unwrap();
    fs::set_permissions(&shared, Permissions::from_mode(0o2777)).unwrap();
    let set = |list: &str| {
        let program = "import os, struct, sys\n\
            acl = struct.pack('<I', 2) + b''.join(struct.pack('<HHI', t, 7, 0xffffffff) for t in (1, 4, 32))\n\
            os.setgroups([]); os.setgid(int(sys.argv[3])); os.setuid(int(sys.argv[3]))\n\
            os.setxattr(sys.argv[1], 'system.posix_acl_' + sys.argv[2], acl)";
        let status = std::process::Command::new("python3")
            .args(["-c", program])
            .arg(&shared)
            .args([list, &USER.to_string()])
            .status()
            .unwrap();
        assert!(status.success());
        fs::metadata(&shared).unwrap().mode() & 0o7777
    };
    assert_eq!((set("default"), set("access")), (0o2777, 0o777));
}
