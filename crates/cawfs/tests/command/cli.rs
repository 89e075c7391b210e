//! The contract of the command line: help, version, wrong usage and missing things, for every command.

use crate::site::{cawfs, done, refused};

const VERBS: &[&str] = &[
    "mkfs", "mount", "umount", "clone", "rm", "sync", "check", "scrub", "stats", "dump", "demo",
];

#[test]
fn help_names_every_command_and_the_exit_codes() {
    let help = done(cawfs(["--help"]));
    for verb in VERBS {
        assert!(
            help.contains(&format!("\n  {verb} ")),
            "{verb} is not in the help"
        );
    }
    assert!(help.contains("Exit codes:"));
    assert!(!help.contains("daemon"), "the hidden verb shows");
}

#[test]
fn every_command_has_a_help_that_fits_a_screen_width() {
    for verb in VERBS {
        let help = done(cawfs([verb, "--help"]));
        assert!(help.contains("Usage: cawfs"), "{verb}: {help}");
        for line in help.lines() {
            assert!(
                line.chars().count() <= 100,
                "{verb}: a line is too long: {line}"
            );
        }
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    assert_eq!(
        done(cawfs(["--version"])),
        format!("cawfs {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn wrong_usage_ends_with_2_and_of_checks_with_16() {
    for verb in VERBS {
        let code = if matches!(*verb, "check" | "scrub") {
            16
        } else {
            2
        };
        refused(
            cawfs([verb, "--no-such-option"]),
            code,
            "unexpected argument",
        );
        if *verb != "demo" {
            refused(cawfs([verb]), code, "required");
        }
    }
    refused(cawfs(["no-such-verb"]), 2, "unrecognized");
    refused(cawfs(["mkfs", "--size", "5X", "s"]), 2, "no unit");
    refused(cawfs(["demo", "--clones", "0"]), 2, "0 is not in");
}

#[test]
fn a_missing_store_is_named_with_what_to_do() {
    refused(cawfs(["mount", "no-such-store", "."]), 1, "mkfs");
    refused(cawfs(["check", "no-such-store"]), 8, "no such store");
    for verb in ["stats", "dump"] {
        refused(cawfs([verb, "no-such-store"]), 1, "no-such-store");
    }
}

#[test]
fn what_is_no_store_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("letter");
    std::fs::write(&file, "Dear reader, this is not a store.").unwrap();
    let dir = folder.path().join("dir");
    std::fs::create_dir(&dir).unwrap();
    let (name, there) = (file.to_str().unwrap(), dir.to_str().unwrap());
    refused(cawfs(["mount", name, there]), 1, "not a cawfs store");
    refused(cawfs(["check", name]), 8, "not a cawfs store");
    refused(cawfs(["stats", name]), 1, "not a cawfs store");
    refused(cawfs(["dump", name]), 1, "not a cawfs store");
    refused(cawfs(["mkfs", name]), 1, "--force");
    assert_eq!(
        std::fs::read(&file).unwrap(),
        b"Dear reader, this is not a store."
    );
}

#[test]
fn what_is_not_on_a_mount_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("file"), "x").unwrap();
    refused(
        cawfs(["clone", &path("file"), &path("copy")]),
        1,
        "not on a cawfs mount",
    );
    refused(cawfs(["rm", &path("file")]), 1, "not on a cawfs mount");
    refused(cawfs(["sync", &path("")]), 1, "not on a cawfs mount");
    refused(cawfs(["stats", &path("")]), 1, "not on a cawfs mount");
    refused(cawfs(["scrub", &path("")]), 8, "not on a cawfs mount");
    refused(cawfs(["umount", &path("")]), 1, "nothing is mounted");
    refused(
        cawfs(["clone", &path("missing"), &path("copy")]),
        1,
        "no such file",
    );
    refused(cawfs(["rm", &path("missing")]), 1, "does not exist");
    assert!(std::fs::exists(path("file")).unwrap());
}

#[test]
fn mount_options_are_checked_before_anything_happens() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let store = store.to_str().unwrap();
    refused(
        cawfs(["mount", "--create", "-o", "nonsense", store, "."]),
        2,
        "unknown option",
    );
    refused(
        cawfs(["mount", "--create", "-o", "remount,ro", store, "."]),
        1,
        "no store is mounted there",
    );
    assert!(!std::fs::exists(store).unwrap());
    refused(
        cawfs(["mount", "--create", store, "no-such-dir"]),
        1,
        "no such file",
    );
    refused(
        cawfs(["mount", "--create", store, "Cargo.toml"]),
        1,
        "not a directory",
    );
}

#[test]
fn a_new_store_is_in_order_and_describes_itself() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let store = store.to_str().unwrap();
    let made = done(cawfs([
        "mkfs",
        "--json",
        "--size",
        "1G",
        "--compression",
        "zstd",
        store,
    ]));
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    assert_eq!(made["compression"], "zstd");
    refused(cawfs(["mkfs", "--size", "1G", store]), 1, "--force");
    done(cawfs(["mkfs", "--size", "1G", "--force", store]));
    let check = done(cawfs(["check", "--json", store]));
    let check: serde_json::Value = serde_json::from_str(&check).unwrap();
    assert_eq!(check["clean"], true);
    assert!(done(cawfs(["check", store])).contains("in order"));
    let stats = done(cawfs(["stats", "--json", store]));
    let stats: serde_json::Value = serde_json::from_str(&stats).unwrap();
    assert!(
        stats["space"]["limit_bytes"]
            .as_u64()
            .is_some_and(|n| n > 0)
    );
    assert!(!done(cawfs(["dump", store])).is_empty());
    let picture = done(cawfs(["dump", "--dot", "-", store]));
    assert!(picture.starts_with("digraph"), "{picture}");
}
