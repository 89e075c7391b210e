//! Power is lost at every moment of named workloads, in every way: see `docs/testing.md`.
//!
//! ```text
//!   workload ──► Session ──► store on a recording disk ──► Recording ──► Outages ──► image ──► judge
//!                   └──────► History: which version was handed in and acknowledged when ────────┘
//! ```
//! A workload runs once. From what it asked of the disk every image is made that a loss of power may leave, and each
//! must open as one of the versions that its moment allows, whole, and go on as a store.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod enumerate;
mod history;
mod judge;
mod session;
mod teeth;
mod workloads;

use enumerate::survives_every_outage;

/// A test for each workload, so that each has its name on the command line.
macro_rules! workloads {
    ($($name:ident),+ $(,)?) => {
        $(#[test] fn $name() { survives_every_outage(stringify!($name)); })+

        #[test]
        fn every_workload_has_its_test() {
            let tests = [$(stringify!($name)),+];
            let names: Vec<_> = workloads::all().map(|w| w.name).collect();
            assert_eq!(names, tests);
            assert!(names.len() >= 20);
        }
    };
}

workloads![
    puts,
    patches,
    deletes,
    range_deletes,
    hot_keys,
    large_batches,
    batches_with_clones,
    everything_by_chance,
    clones_into_own_subtree,
    chain_of_clones,
    fan_of_clones,
    clones_that_replace,
    renames,
    removals,
    checkpoints,
    ring_wraps,
    records_too_large_for_the_ring,
    bulk_by_checkpoint,
    reopening,
    recovery_itself,
    table_bases,
    nearly_full,
    snapshots_over_release,
    background_in_flight,
    punching,
    shrinking_tree,
];
