//! Where clones come from and where they may go: existing destinations, links, other mounts, special files.

use crate::site::{Site, done, picture, refused};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

#[test]
fn existing_destinations() {
    let site = Site::new();
    site.tree("a");
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
fn a_tree_may_replace_its_own_ancestor_or_descendant_or_itself() {
    let site = Site::new();
    site.tree("a");
    let (whole, sub) = (picture(&site.path("a")), picture(&site.path("a/sub")));
    done(site.run(&["clone", "a", "b"]));
    done(site.run(&["clone", "--replace", "a", "a"]));
    assert_eq!(picture(&site.path("a")), whole);
    done(site.run(&["clone", "--replace", "a", "a/sub/deep"]));
    assert_eq!(picture(&site.path("a/sub/deep")), whole);
    done(site.run(&["clone", "--replace", "b/sub", "b"]));
    assert_eq!(picture(&site.path("b")), sub);
    let root = picture(&site.root());
    done(site.run(&["clone", "--replace", ".", "b"]));
    assert_eq!(picture(&site.path("b")), root);
    refused(site.run(&["clone", "a", "a"]), 1, "--replace");
    refused(
        site.run(&["clone", "--replace", "a", "."]),
        1,
        "end in a name",
    );
    site.remount();
    assert_eq!(picture(&site.path("b")), root);
}

#[test]
fn a_destination_named_twice_is_made_once() {
    let site = Site::new();
    site.tree("a");
    refused(site.run(&["clone", "a", "b", "b"]), 1, "it exists");
    assert_eq!(picture(&site.path("b")), picture(&site.path("a")));
}

#[test]
fn a_missing_source_or_place() {
    let site = Site::new();
    site.tree("a");
    refused(site.run(&["clone", "missing", "b"]), 1, "no such file");
    refused(
        site.run(&["clone", "a", "no/such/place"]),
        1,
        "no such place",
    );
    assert_eq!(fs::read_dir(site.root()).unwrap().count(), 1);
}

#[test]
fn files_links_and_special_sources() {
    let site = Site::new();
    site.tree("a");
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
fn links_on_the_way_are_followed_and_at_the_destination_are_not() {
    let site = Site::new();
    site.tree("a");
    fs::create_dir(site.path("place")).unwrap();
    symlink("place", site.path("way")).unwrap();
    done(site.run(&["clone", "a", "way/b"]));
    assert_eq!(picture(&site.path("place/b")), picture(&site.path("a")));
    symlink("a/file", site.path("there")).unwrap();
    refused(site.run(&["clone", "a/sub/large", "there"]), 1, "it exists");
    refused(site.run(&["clone", "a", "way"]), 1, "it exists");
    done(site.run(&["clone", "--replace", "a/sub/large", "there"]));
    assert!(fs::symlink_metadata(site.path("there")).unwrap().is_file());
    assert_eq!(fs::read(site.path("a/file")).unwrap(), b"content");
    symlink("nowhere", site.path("dangling")).unwrap();
    refused(site.run(&["clone", "dangling", "c"]), 1, "no such file");
    symlink("nowhere", site.path("taken")).unwrap();
    refused(site.run(&["clone", "a", "taken"]), 1, "it exists");
}

#[test]
fn across_mounts() {
    let (one, two) = (Site::new(), Site::new());
    one.tree("a");
    let there = two.path("a");
    refused(
        one.run(&["clone", "a", there.to_str().unwrap()]),
        1,
        "another mount",
    );
    assert!(!there.exists());
}

#[test]
fn what_lies_elsewhere_is_not_cloned() {
    let site = Site::new();
    fs::write(site.folder().join("outside"), "x").unwrap();
    refused(site.run(&["clone", "../outside", "b"]), 1, "another mount");
    let (there, from) = (site.folder().join("b"), site.folder().join("outside"));
    let (there, from) = (there.to_str().unwrap(), from.to_str().unwrap());
    refused(site.run(&["clone", from, there]), 1, "not on a cawfs mount");
    assert!(!Path::new(there).exists());
    refused(site.run(&["rm", from]), 1, "not on a cawfs mount");
    refused(site.run(&["sync", ".."]), 1, "not on a cawfs mount");
    refused(site.run(&["stats", ".."]), 1, "not on a cawfs mount");
    assert!(Path::new(from).exists());
}

#[test]
fn a_second_way_to_the_same_mount_is_the_same_mount() {
    let site = Site::new();
    site.tree("a");
    let other = site.folder().join("other");
    fs::create_dir(&other).unwrap();
    let mut bind = Command::new("mount");
    bind.arg("--bind").arg(site.root()).arg(&other);
    done(bind.output().unwrap());
    let there = other.join("b");
    let cloned = site.run(&["clone", "a", there.to_str().unwrap()]);
    let pictures = (picture(&there), picture(&site.path("b")));
    done(
        Command::new("umount")
            .arg("--lazy")
            .arg(&other)
            .output()
            .unwrap(),
    );
    done(cloned);
    assert_eq!(pictures.0, picture(&site.path("a")));
    assert_eq!(pictures.0, pictures.1);
}
