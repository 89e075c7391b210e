//! The command itself: what it says of itself, and of what it does not know. What it measures is run by `tests/acceptance/bench.sh`.

use std::process::{Command, Output};

fn run(args: &[&str]) -> Output {
    let command = Command::new(env!("CARGO_BIN_EXE_cawfs-bench"))
        .args(args)
        .output();
    command.expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn help_names_every_workload() {
    let help = run(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    let said = text(&help.stdout);
    for workload in [
        "dooku",
        "dooku-long",
        "tree",
        "vm",
        "clones",
        "agents",
        "baseline",
        "large",
        "containers",
        "engine",
        "growth",
    ] {
        assert!(said.contains(&format!("- {workload}:")), "{workload}");
    }
}

#[test]
fn what_is_not_known_is_wrong_usage() {
    for args in [
        &["nosuch"][..],
        &["vm", "--nosuch"],
        &["vm", "--repeat", "some"],
        &["vm", "--patience", "0"],
        &["vm", "--quick", "--docs", "docs"], // small sizes would mislead
        &[],
    ] {
        let refused = run(args);
        assert_eq!(refused.status.code(), Some(2), "{args:?}");
        assert!(!refused.stderr.is_empty(), "{args:?}");
    }
}
