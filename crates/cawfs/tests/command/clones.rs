//! What a clone is, on a real mount: equal to its source, and then independent.

use crate::site::{Site, done, picture};
use std::fs;
use std::os::unix::fs::MetadataExt;

#[test]
fn a_clone_is_equal_and_then_independent() {
    let site = Site::new();
    site.tree("a");
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
    site.tree("a");
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
    site.tree("a");
    let out = done(site.run(&["clone", "--json", "a", "b", "a/inside", "c"]));
    let out: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(out["destinations"].as_array().unwrap().len(), 3);
    let time = |name: &str| out[name].as_f64().unwrap();
    let times = ["ioctl_seconds", "calls_seconds", "seconds"].map(time);
    assert!(0.0 < times[0] && times.is_sorted(), "{times:?}");
    assert_eq!(picture(&site.path("b")), picture(&site.path("c")));
    assert_eq!(picture(&site.path("b")), picture(&site.path("a/inside")));
    assert!(!site.path("b/inside").exists());
    let out = done(site.run(&["rm", "-f", "--json", "b", "missing", "c"]));
    let out: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(out["removed"].as_array().unwrap().len(), 2);
    assert!(out["seconds"].as_f64().unwrap() > 0.0 && !site.path("b").exists());
}

#[test]
fn a_clone_into_its_own_source() {
    let site = Site::new();
    site.tree("a");
    let before = picture(&site.path("a"));
    done(site.run(&["clone", "a", "a/sub/self"]));
    assert_eq!(picture(&site.path("a/sub/self")), before);
    assert!(!site.path("a/sub/self/sub/self").exists());
}

#[test]
fn the_volume_root_is_cloned_into_itself() {
    let site = Site::new();
    site.tree("a");
    let before = picture(&site.root());
    done(site.run(&["clone", ".", "snapshot"]));
    assert_eq!(picture(&site.path("snapshot")), before);
}
