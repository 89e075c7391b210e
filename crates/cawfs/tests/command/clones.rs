//! What a clone is, on a real mount: complete, independent, at once, and only where it may be.

use crate::site::{Site, USER, done, picture, refused};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown, symlink};

fn tree(site: &Site, name: &str) {
    let top = site.path(name);
    fs::create_dir_all(top.join("sub/deep")).unwrap();
    fs::write(top.join("file"), "content").unwrap();
    fs::write(top.join("sub/large"), vec![7; 300_000]).unwrap();
    fs::write(top.join("sub/deep/program"), "#!").unwrap();
    fs::set_permissions(
        top.join("sub/deep/program"),
        fs::Permissions::from_mode(0o751),
    )
    .unwrap();
    symlink("sub/large", top.join("link")).unwrap();
}

#[test]
fn a_clone_is_equal_and_then_independent() {
    let site = Site::new();
    tree(&site, "a");
    let before = picture(&site.path("a"));
    done(site.run(&["clone", "a", "b"]));
    assert_eq!(picture(&site.path("b")), before);
    fs::write(site.path("b/file"), "changed in b").unwrap();
    fs::remove_file(site.path("a/sub/deep/program")).unwrap();
    fs::write(site.path("a/new"), "new in a").unwrap();
    assert_eq!(fs::read(site.path("a/file")).unwrap(), b"content");
    assert!(site.path("b/sub/deep/program").exists());
    assert!(!site.path("b/new").exists());
    let (a, b) = (picture(&site.path("a")), picture(&site.path("b")));
    site.remount();
    assert_eq!((picture(&site.path("a")), picture(&site.path("b"))), (a, b));
}

#[test]
fn inode_numbers_differ_and_stay() {
    let site = Site::new();
    tree(&site, "a");
    done(site.run(&["clone", "a", "b"]));
    let ino = |name: &str| fs::symlink_metadata(site.path(name)).unwrap().ino();
    let names = [
        "a",
        "a/file",
        "a/sub/deep/program",
        "b",
        "b/file",
        "b/sub/deep/program",
    ];
    let mut all: Vec<_> = names.iter().map(|n| ino(n)).collect();
    let kept = all.clone();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), names.len());
    fs::rename(site.path("b"), site.path("c")).unwrap();
    fs::rename(site.path("c"), site.path("b")).unwrap();
    site.remount();
    assert_eq!(names.iter().map(|n| ino(n)).collect::<Vec<_>>(), kept);
}

#[test]
fn several_clones_show_one_instant() {
    let site = Site::new();
    tree(&site, "a");
    let out = done(site.run(&["clone", "--json", "a", "b", "a/inside", "c"]));
    let out: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(out["destinations"].as_array().unwrap().len(), 3);
    assert_eq!(picture(&site.path("b")), picture(&site.path("c")));
    assert_eq!(picture(&site.path("b")), picture(&site.path("a/inside")));
    assert!(!site.path("b/inside").exists());
}

#[test]
fn a_clone_into_its_own_source() {
    let site = Site::new();
    tree(&site, "a");
    let before = picture(&site.path("a"));
    done(site.run(&["clone", "a", "a/sub/self"]));
    assert_eq!(picture(&site.path("a/sub/self")), before);
    assert!(!site.path("a/sub/self/sub/self").exists());
}

#[test]
fn the_volume_root_is_cloned_into_itself() {
    let site = Site::new();
    tree(&site, "a");
    let before = picture(&site.root());
    done(site.run(&["clone", ".", "snapshot"]));
    assert_eq!(picture(&site.path("snapshot")), before);
}

#[test]
fn existing_destinations() {
    let site = Site::new();
    tree(&site, "a");
    fs::create_dir(site.path("empty")).unwrap();
    done(site.run(&["clone", "a", "empty"]));
    assert_eq!(picture(&site.path("empty")), picture(&site.path("a")));
    fs::create_dir(site.path("full")).unwrap();
    fs::write(site.path("full/mine"), "mine").unwrap();
    refused(site.run(&["clone", "a", "full"]), 1, "--replace");
    assert_eq!(fs::read(site.path("full/mine")).unwrap(), b"mine");
    fs::write(site.path("one"), "1").unwrap();
    fs::write(site.path("two"), "2").unwrap();
    refused(site.run(&["clone", "one", "two"]), 1, "--replace");
    assert_eq!(fs::read(site.path("two")).unwrap(), b"2");
    done(site.run(&["clone", "--replace", "one", "two"]));
    assert_eq!(fs::read(site.path("two")).unwrap(), b"1");
    // The kernel knows what was there before.
    assert!(site.path("full/mine").exists());
    done(site.run(&["clone", "--replace", "a", "full"]));
    assert!(!site.path("full/mine").exists());
    assert_eq!(picture(&site.path("full")), picture(&site.path("a")));
    refused(
        site.run(&["clone", "--replace", "one", "full"]),
        1,
        "directory",
    );
    refused(
        site.run(&["clone", "--replace", "a", "one"]),
        1,
        "directory",
    );
    refused(site.run(&["clone", "a", ".."]), 1, "end in a name");
}

#[test]
fn a_missing_source_or_place() {
    let site = Site::new();
    tree(&site, "a");
    refused(site.run(&["clone", "missing", "b"]), 1, "no such file");
    refused(
        site.run(&["clone", "a", "no/such/place"]),
        1,
        "no such place",
    );
    assert_eq!(fs::read_dir(site.root()).unwrap().count(), 1);
}

#[test]
fn a_negative_name_in_the_cache_is_forgotten() {
    let site = Site::new();
    tree(&site, "a");
    for i in 0..5 {
        let name = format!("b{i}");
        assert!(!site.path(&name).exists());
        assert!(!site.path(&name).join("file").exists());
        done(site.run(&["clone", "a", &name]));
        assert_eq!(fs::read(site.path(&name).join("file")).unwrap(), b"content");
    }
}

#[test]
fn files_links_and_special_sources() {
    let site = Site::new();
    tree(&site, "a");
    done(site.run(&["clone", "a/sub/large", "copy"]));
    assert_eq!(fs::read(site.path("copy")).unwrap(), vec![7; 300_000]);
    done(site.run(&["clone", "a/link", "through"]));
    assert!(
        fs::symlink_metadata(site.path("through"))
            .unwrap()
            .is_file()
    );
    symlink("a", site.path("to-a")).unwrap();
    done(site.run(&["clone", "to-a", "tree-through"]));
    assert_eq!(
        picture(&site.path("tree-through")),
        picture(&site.path("a"))
    );
    rustix::fs::mknodat(
        rustix::fs::CWD,
        site.path("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    refused(
        site.run(&["clone", "pipe", "pipe2"]),
        1,
        "only files and directories",
    );
}

#[test]
fn across_mounts() {
    let (one, two) = (Site::new(), Site::new());
    tree(&one, "a");
    let there = two.path("a");
    refused(
        one.run(&["clone", "a", there.to_str().unwrap()]),
        1,
        "another mount",
    );
    assert!(!there.exists());
}

#[test]
fn a_clone_contains_every_write_before_it() {
    let site = Site::new();
    tree(&site, "a");
    let path = site.path("a/file");
    let plain = OpenOptions::new().write(true).open(&path).unwrap();
    let both = OpenOptions::new()
        .read(true)
        .write(true)
        .open(site.path("a/sub/large"))
        .unwrap();
    for i in 0..20_u8 {
        plain.write_all_at(&[i; 7], 0).unwrap();
        both.write_all_at(&[i; 3], 100_000).unwrap();
        let name = format!("at-{i}");
        done(site.run(&["clone", "a", &name]));
        assert_eq!(fs::read(site.path(&name).join("file")).unwrap(), [i; 7]);
        assert_eq!(
            fs::read(site.path(&name).join("sub/large")).unwrap()[100_000..100_003],
            [i; 3]
        );
    }
}

#[test]
fn a_clone_contains_what_was_written_through_a_mapping() {
    let site = Site::new();
    fs::create_dir(site.path("a")).unwrap();
    let path = site.path("a/mapped");
    fs::write(&path, vec![b'.'; 100_000]).unwrap();
    let map = mmap_io::MemoryMappedFile::open_rw(&path).unwrap();
    for i in 0..5 {
        let text = format!("mapped {i}");
        map.update_region(50_000, text.as_bytes()).unwrap();
        let name = format!("at-{i}");
        done(site.run(&["clone", "a", &name]));
        let found = fs::read(site.path(&name).join("mapped")).unwrap();
        assert_eq!(&found[50_000..50_000 + text.len()], text.as_bytes());
    }
    drop(map);
    done(site.run(&["sync", "."]));
}

#[test]
fn inotify_tells_of_a_clone() {
    use rustix::fs::inotify;
    let site = Site::new();
    tree(&site, "a");
    let watch = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
    let what = inotify::WatchFlags::MOVED_TO | inotify::WatchFlags::CREATE;
    inotify::add_watch(&watch, site.root(), what).unwrap();
    done(site.run(&["clone", "a", "b"]));
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(&watch, &mut buffer);
    let mut names = Vec::new();
    while let Ok(event) = reader.next() {
        names.extend(event.file_name().map(|n| n.to_str().unwrap().to_owned()));
    }
    assert!(names.contains(&"b".to_owned()), "{names:?}");
}

#[test]
fn users_clone_what_is_theirs() {
    let site = Site::new();
    tree(&site, "roots");
    fs::create_dir(site.path("home")).unwrap();
    chown(site.path("home"), Some(USER), Some(USER)).unwrap();
    fs::write(site.path("readable"), "r").unwrap();
    fs::write(site.path("secret"), "s").unwrap();
    fs::set_permissions(site.path("secret"), fs::Permissions::from_mode(0o600)).unwrap();
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
    fs::set_permissions(site.path("home/tool"), fs::Permissions::from_mode(0o4755)).unwrap();
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
fn trees_are_removed_whole() {
    let site = Site::new();
    tree(&site, "a");
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
