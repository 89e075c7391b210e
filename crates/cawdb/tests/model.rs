//! The engine against its specification: random steps on a store and on an ordered map with clone.
//!
//! Replays, longer runs: see `docs/testing.md`. Every bug found here becomes a test of its own.
mod driven;

use cawfs_sim::{Limits, Mix, Plan, run};
use driven::{Driven, assert_met};

const COMMAND: &str = "cargo test -p cawdb --test model";

#[test]
fn small_values() {
    let mix = Mix {
        value_bytes: 64,
        ..Mix::default()
    };
    let plan = Plan::from_env(40, 600);
    let progress = run(
        &plan,
        &format!("{COMMAND} small_values"),
        (mix, Limits::default()),
        Driven::open,
    );
    assert!(
        progress.operations > 0 && progress.comparisons > 0,
        "{progress:?}"
    );
}

#[test]
fn values_of_some_kib() {
    let mix = Mix {
        value_bytes: 16 * 1024,
        ..Mix::default()
    };
    let limits = Limits {
        bytes: 2 * 1024 * 1024,
        ..Limits::default()
    };
    let plan = Plan::from_env(12, 500);
    let progress = run(
        &plan,
        &format!("{COMMAND} values_of_some_kib"),
        (mix, limits),
        Driven::open,
    );
    assert!(
        progress.operations > 0 && progress.comparisons > 0,
        "{progress:?}"
    );
}

#[test]
fn much_background_work() {
    let mix = Mix {
        value_bytes: 1024,
        tick_every: 2,
        reopen_every: 60,
        crash_every: 60,
    };
    let plan = Plan::from_env(20, 600);
    let command = format!("{COMMAND} much_background_work");
    let progress = run(&plan, &command, (mix, Limits::default()), Driven::open);
    assert!(
        progress.operations > 0 && progress.comparisons > 0,
        "{progress:?}"
    );
    assert_met(&[
        "clones",
        "flushes_shared",
        "merges",
        "memo_hits",
        "rebases",
        "joins",
        "trims",
        "reaped",
        "checkpoints",
        "journal_groups",
        "replayed_batches",
        "nodes_read",
    ]);
}
