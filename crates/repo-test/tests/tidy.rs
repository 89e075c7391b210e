//! Every rule on the repository, where it must find nothing, and on a bad example, where it must find something.
use repo_test::*;
use std::path::Path;

fn repository() -> Repo {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let repo = Repo::read(&root).expect("the repository can be read");
    assert!(
        repo.rust().count() > 20 && repo.text("Cargo.toml").is_some(),
        "this is not the repository"
    );
    repo
}

/// The rule finds nothing in the repository, nothing in the good example, and each bad example bad.
fn holds(rule: impl Fn(&Repo) -> Vec<String>, good: &[(&str, &str)], bad: &[(&str, &str)]) {
    assert_eq!(
        rule(&Repo::of(good)),
        [] as [String; 0],
        "a good example is refused"
    );
    for example in bad {
        let complaints = rule(&Repo::of(&[*example]));
        assert_eq!(
            complaints.len(),
            1,
            "of the bad example {example:?}: {complaints:?}"
        );
    }
    let complaints = rule(&repository());
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn manifests_keep_to_the_floors() {
    let lints = "[lints]\nworkspace = true\n";
    let manifest =
        |name: &str, rest: &str| format!("[package]\nname = \"{name}\"\n{rest}\n{lints}");
    let good = manifest(
        "cawdb-tree",
        "[dependencies]\nbytes.workspace = true\ncawdb-node.workspace = true\n[dev-dependencies]\ncawfs-sim.workspace = true\n",
    );
    let upwards = manifest(
        "cawdb-node",
        "[dependencies]\ncawdb-tree.workspace = true\n",
    );
    let past = manifest(
        "cawfs-fs",
        "[dependencies]\ncawdb-node = { path = \"../cawdb-node\" }\n",
    );
    let kit = manifest("cawdb", "[dependencies]\ncawfs-sim.workspace = true\n");
    let dev = manifest("cawdb-disk", "[dev-dependencies]\ncawdb.workspace = true\n");
    let hidden = manifest("cawdb-disk", "[dependencies.cawdb]\nworkspace = true\n");
    let unknown = manifest("cawdb-extra", "");
    let path = "crates/x/Cargo.toml";
    holds(
        edges_in_manifests,
        &[(path, &good)],
        &[
            (path, &upwards),
            (path, &past),
            (path, &kit),
            (path, &dev),
            (path, &hidden),
            (path, &unknown),
            (path, "[package]\nname = \"cawdb\"\n"),
        ],
    );
}

#[test]
fn sources_keep_to_the_floors() {
    holds(
        edges_in_sources,
        &[
            (
                "crates/cawdb-tree/src/a.rs",
                "use cawdb_node::Key; // not cawdb::Store\n",
            ),
            (
                "crates/cawdb/tests/a.rs",
                "use cawdb::Store; use cawfs_sim::run;\n",
            ),
            ("crates/cawfs-fs/tests/a.rs", "use cawdb_disk::Faulty;\n"),
            (
                "crates/cawfs-fs/src/a.rs",
                "fn cawfs() -> &'static str { \"cawdb_node\" }\n",
            ),
        ],
        &[
            ("crates/cawdb-node/src/a.rs", "use cawdb_tree::Tree;\n"),
            (
                "crates/cawfs-fs/src/a.rs",
                "fn f() { cawdb_disk::open(); }\n",
            ),
            ("crates/cawdb-disk/tests/a.rs", "use cawdb::Store;\n"),
            (
                "crates/cawfs-fuse/src/a.rs",
                "use {cawdb::Store, cawfs_fs::Fs};\n",
            ),
        ],
    );
}

#[test]
fn fuser_stays_on_its_floor() {
    holds(
        fuser_outside_its_floor,
        &[
            ("crates/cawfs-fuse/src/a.rs", "use fuser::Session;\n"),
            ("crates/cawfs/src/a.rs", "// fuser\n"),
        ],
        &[
            ("crates/cawfs/src/a.rs", "fn f(r: fuser::ReplyData) {}\n"),
            (
                "crates/cawfs-fs/Cargo.toml",
                "[dependencies]\nfuser.workspace = true\n",
            ),
        ],
    );
}

#[test]
fn locks_come_through_one_door() {
    let inside = "use std::sync::{Arc, atomic::Ordering};\n#[cfg(test)]\nuse std::sync::Mutex;\n";
    let several = "use std::sync::{\n    Arc,\n    RwLock,\n};\n";
    holds(
        locks_past_the_door,
        &[
            ("crates/cawfs-fs/src/a.rs", inside),
            ("crates/cawfs-fuse/src/a.rs", several),
            ("crates/cawdb-disk/src/sync.rs", several),
        ],
        &[
            ("crates/cawfs-fs/src/a.rs", several),
            ("crates/cawdb/src/a.rs", "use std::sync::Mutex;\n"),
            (
                "crates/cawdb-tree/src/a.rs",
                "fn f(lock: &std::sync::Condvar) {}\n",
            ),
        ],
    );
}

#[test]
fn files_are_short() {
    let fits = "x\n".repeat(500);
    let long = "x\n".repeat(501);
    holds(
        long_files,
        &[("a.rs", &fits), ("a.md", &long)],
        &[("a.rs", &long)],
    );
}

#[test]
fn functions_fit_a_screen() {
    let function = |lines: usize| {
        format!(
            "impl A {{\n    pub fn f(a: [u8; 3]) {{\n{}    }}\n}}\n",
            "        a();\n".repeat(lines - 2)
        )
    };
    let (fits, long) = (function(70), function(71));
    let tricky = format!(
        "fn f() {{ let a = \"}}\"; // }}\n{}\n}}\n",
        "    let b = '}';\n".repeat(70)
    );
    let exceptions = include_str!("../ratchet.txt");
    holds(
        |repo| long_functions(repo, exceptions),
        &[
            ("a.rs", &fits),
            ("b.rs", "trait T {\n    fn f(&self);\n}\n"),
            ("c.md", &long),
        ],
        &[("a.rs", &long), ("a.rs", &tricky)],
    );
    assert!(long_functions(&Repo::of(&[("a.rs", &long)]), "a.rs f\n").is_empty());
    assert_eq!(
        stale_exceptions(&Repo::of(&[("a.rs", &fits)]), "# why\na.rs f\n").len(),
        1
    );
    assert_eq!(
        stale_exceptions(&repository(), exceptions),
        [] as [String; 0]
    );
}

#[test]
fn files_open_with_what_they_are() {
    holds(
        opening_comments,
        &[("a.rs", "//! What it is.\n"), ("a.sh", "x")],
        &[
            ("a.rs", "use std::fs;\n"),
            ("a.rs", "// What it is.\n"),
            ("a.rs", ""),
        ],
    );
}

#[test]
fn nothing_is_left_unfinished_or_silenced() {
    let bad: Vec<String> = [
        ["// TO", "DO later"],
        ["/// FIX", "ME"],
        ["unimple", "mented!()"],
        ["to", "do!()"],
        ["db", "g!(1)"],
        ["#[ign", "ore = \"slow\"]"],
        ["#[allow(", "dead_code)]"],
        ["#![allow(clippy::unwrap", "_used)]"],
    ]
    .map(|halves| halves.concat())
    .to_vec();
    let bad: Vec<(&str, &str)> = bad.iter().map(|text| ("a.rs", text.as_str())).collect();
    let in_string = ["\"to", "do!()\""].concat();
    let in_tests = ["#![allow(clippy::unwrap", "_used)]"].concat();
    holds(
        forbidden_words,
        &[
            ("a.rs", &in_string),
            ("crates/x/tests/a.rs", &in_tests),
            ("b.rs", "let ignored = methodology;"),
        ],
        &bad,
    );
}

#[test]
fn unsafe_code_has_rooms_of_its_own() {
    let block = ["fn f() { uns", "afe { g() } }"].concat();
    let leave = ["#[expect(\n    uns", "afe_code\n)]"].concat();
    let said = ["// uns", "afe\nfn f() {}"].concat();
    holds(
        unsafe_outside_its_rooms,
        &[("a.rs", &said), ("crates/cawfs/src/ioctl.rs", &block)],
        &[("a.rs", &block), ("crates/cawfs/src/a.rs", &leave)],
    );
}

#[test]
fn only_text_of_a_length_that_somebody_wrote() {
    let plot = "<svg/>".repeat(20_000);
    let archive = "!<arch>".repeat(100_000);
    holds(
        stray_files,
        &[("a.svg", &plot), ("a.md", "\u{e4}")],
        &[
            ("a.deb", &archive),
            ("a.png", "\u{fffd}PNG"),
            ("b.bin", "a\0"),
        ],
    );
}

#[test]
fn no_path_of_a_developers_machine() {
    let bad = [
        ["see /wo", "rk/x"].concat(),
        ["\"/ro", "ot/.cargo\""].concat(),
    ];
    let inside = ["$tmp/wo", "rk/x and a/ro", "ot/b"].concat();
    holds(
        machine_paths,
        &[("a.rs", &inside), ("a.md", "mounted at /mnt/x")],
        &[("a.md", &bad[0]), ("a.rs", &bad[1])],
    );
}

#[test]
fn links_lead_somewhere() {
    holds(
        dead_links,
        &[
            (
                "README.md",
                "[a](docs/a.md#part) [b](https://example.org) [c](#here) [d](docs/)",
            ),
            ("docs/a.md", "[up](../README.md)"),
        ],
        &[
            ("README.md", "[a](docs/lost.md)"),
            ("docs/b.md", "[a](README.md)"),
        ],
    );
}

#[test]
fn decisions_can_be_found() {
    holds(
        decisions_unlinked,
        &[
            ("ARCHITECTURE.md", "[one](docs/decisions/0001-a.md)"),
            ("docs/decisions/README.md", "[two](0002-b.md)"),
            ("docs/decisions/0001-a.md", ""),
            ("docs/decisions/0002-b.md", ""),
        ],
        &[("docs/decisions/0003-c.md", "")],
    );
}

#[test]
fn pages_can_be_found() {
    holds(
        pages_unlinked,
        &[
            ("README.md", "[a](docs/a.md)"),
            ("docs/a.md", "[b](b.md#x)"),
            ("docs/b.md", ""),
        ],
        &[("docs/a.md", "[myself](a.md)")],
    );
}

#[test]
fn promises_name_tests_that_exist() {
    let page = "docs/semantics.md";
    let test = (
        "crates/x/tests/a.rs",
        "#[test]\n#[should_panic]\nfn it_holds() {}\n",
    );
    let no_test = ("crates/x/src/a.rs", "fn helper() {}\n");
    holds(
        promises_without_test,
        &[
            (page, "### A\ntext\nTests: `it_holds`, `tests/a.sh`\n"),
            test,
            ("tests/a.sh", ""),
            no_test,
        ],
        &[
            (page, "### A\nTests: `lost`\n"),
            (page, "### A\ntext\n"),
            (page, "### A\nTests: none\n"),
            ("other.md", ""),
        ],
    );
    let named = Repo::of(&[(page, "### A\nTests: `helper`\n"), no_test]);
    assert_eq!(
        promises_without_test(&named).len(),
        1,
        "a function that is no test counts as one"
    );
}

#[test]
fn the_format_page_names_the_version() {
    let code = ("crates/x/src/a.rs", "pub const FORMAT_VERSION: u32 = 7;\n");
    let rule = format_version;
    assert!(
        rule(&Repo::of(&[
            code,
            ("docs/format.md", "This is format version 7.")
        ]))
        .is_empty()
    );
    assert_eq!(
        rule(&Repo::of(&[
            code,
            ("docs/format.md", "This is format version 6.")
        ]))
        .len(),
        1
    );
    assert_eq!(rule(&Repo::of(&[code])).len(), 1);
    assert_eq!(rule(&Repo::of(&[])).len(), 1);
    assert_eq!(rule(&repository()), [] as [String; 0]);
}
