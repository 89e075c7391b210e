//! The engine against its specification: random steps on a store and on an ordered map with clone.
//!
//! Replays, longer runs: see `docs/testing.md`. Every bug found here becomes a test of its own.
mod driven;

use cawdb::{Options, Policy};
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

/// Runs of many segments, whose sizes are known from an index only, and roughly.
#[test]
fn runs_of_many_segments() {
    let options = |seed: u64| {
        let fanout = [8, 16][seed as usize % 2];
        let policy = Policy {
            run_bytes: 512 << 10,
            flush_bytes: 400 << 10,
            hidden_bytes: 8 << 10,
            small_shared: 8 << 10,
            small_own: 60 << 10,
            trim_least: 4 << 10,
            delete_weight: 512,
            job_bytes: 2 << 20,
            ..Policy::tiny(fanout)
        };
        Options {
            cache_bytes: [0, 4 << 20][seed as usize / 2 % 2],
            memtable_bytes: 2 << 20,
            policy,
            ..Options::tiny(fanout)
        }
    };
    let mix = Mix {
        value_bytes: 60 << 10,
        tick_every: 3,
        reopen_every: 80,
        crash_every: 150,
    };
    let limits = Limits {
        bytes: 6 << 20,
        ..Limits::default()
    };
    let plan = Plan::from_env(8, 400);
    let command = format!("{COMMAND} runs_of_many_segments");
    let progress = run(&plan, &command, (mix, limits), |seed| {
        Driven::with(seed, options(seed))
    });
    assert!(
        progress.operations > 0 && progress.comparisons > 0,
        "{progress:?}"
    );
}

/// Merges come so rarely, and so few layers are many, that narrow children wait for them before they are joined.
#[test]
fn joins_that_wait_for_merges() {
    let options = |seed: u64| {
        let fanout = [4, 8][seed as usize % 2];
        let policy = Policy {
            merge_layers: 2,
            max_layers: 3,
            crowded_layers: 40,
            root_max_layers: 40,
            flush_bytes: 100,
            ..Policy::tiny(fanout)
        };
        Options {
            policy,
            ..Options::tiny(fanout)
        }
    };
    let mix = Mix {
        value_bytes: 64,
        tick_every: 20,
        reopen_every: 80,
        crash_every: 150,
    };
    let plan = Plan::from_env(16, 600);
    let command = format!("{COMMAND} joins_that_wait_for_merges");
    let progress = run(&plan, &command, (mix, Limits::default()), |seed| {
        Driven::with(seed, options(seed))
    });
    assert!(
        progress.operations > 0 && progress.comparisons > 0,
        "{progress:?}"
    );
    assert_met(&["clones", "joins", "merges_shared"]);
    // Not every seed meets it.
    if plan.time.is_none() && plan.seed.is_none() {
        assert_met(&["joins_late"]);
    }
}

/// All that can happen to a tree and its store, as the counters call it.
const EVERYTHING: [&str; 30] = [
    "absorbed",
    "checkpoints",
    "clones",
    "clones_into_own_subtree",
    "coalesces",
    "cuts",
    "delete_cuts",
    "equal_joins",
    "flushes",
    "flushes_shared",
    "free_cuts",
    "inserts",
    "joins",
    "journal_groups",
    "memo_hits",
    "merges",
    "merges_shared",
    "narrowed",
    "nodes_read",
    "range_deletes",
    "range_drops",
    "reaped",
    "rebases",
    "rebases_shared_tail",
    "replayed_batches",
    "root_collapses",
    "root_splits",
    "shared_children",
    "splits",
    "trims",
];

/// Values and background work in such proportions that every path is met often.
const RICH: Mix = Mix {
    value_bytes: 300,
    tick_every: 3,
    reopen_every: 90,
    crash_every: 90,
};

/// With `CAWFS_OPERATIONS` it goes on, seed after seed, until so many operations are done.
#[test]
fn everything_happens() {
    let plan = Plan::from_env(30, 600);
    let least = std::env::var("CAWFS_OPERATIONS").map_or(0, |n| n.parse().expect("a number"));
    let command = format!("{COMMAND} everything_happens");
    let limits = Limits::default();
    let mut total = run(&plan, &command, (RICH, limits), Driven::open);
    for seed in plan.seeds.. {
        if total.operations >= least {
            break;
        }
        let one = Plan {
            seed: Some(seed),
            time: None,
            ..plan.clone()
        };
        let progress = run(&one, &command, (RICH, limits), Driven::open);
        total.operations += progress.operations;
        total.clones += progress.clones;
        total.comparisons += progress.comparisons;
        total.crashes += progress.crashes;
    }
    println!("{total:?}");
    if plan.seed.is_none() {
        assert_met(&EVERYTHING);
    }
}
