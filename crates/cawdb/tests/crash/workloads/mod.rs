//! The workloads by name: each is there for one thing, and says what must be met on the way.
//!
//! Rules: a workload is a function of the session's chance; it is short, because every moment of it is tried; it leaves
//! unsynced requests open at many moments.
mod changes;
mod clones;
mod durable;
mod space;

use crate::session::Session;

/// A named row of changes.
pub struct Workload {
    /// Its name, and its test's.
    pub name: &'static str,
    /// Does it.
    pub run: fn(&mut Session),
    /// Size of its store in bytes.
    pub size: u64,
    /// Whether power is lost again during recovery, for each image.
    pub recovery: bool,
    /// What must be met: counters of the engine, or what the judge says of images.
    pub meets: &'static [&'static str],
}

/// A store that is never full.
const ROOMY: u64 = 1 << 28;
/// A store that some hundred KiB fill.
const NARROW: u64 = (144 + 1024) << 10;

const fn of(name: &'static str, run: fn(&mut Session), meets: &'static [&'static str]) -> Workload {
    Workload {
        name,
        run,
        size: ROOMY,
        recovery: false,
        meets,
    }
}

/// All of them.
pub fn all() -> impl Iterator<Item = Workload> {
    use {changes as c, clones as k, durable as d, space as s};
    let both = &["replayed", "unsynced lost", "unsynced kept"];
    let torn = &["replayed", "journal torn"];
    [
        of("puts", c::puts, both),
        of("patches", c::patches, torn),
        of("deletes", c::deletes, both),
        of("range_deletes", c::range_deletes, both),
        of("hot_keys", c::hot_keys, torn),
        of("large_batches", c::large_batches, both),
        of(
            "batches_with_clones",
            c::batches_with_clones,
            &["clones", "unsynced lost"],
        ),
        of(
            "everything_by_chance",
            c::everything,
            &["clones", "joins", "replayed"],
        ),
        of(
            "clones_into_own_subtree",
            k::into_own_subtree,
            &["clones", "replayed"],
        ),
        of("chain_of_clones", k::chain, &["clones", "shared_children"]),
        of("fan_of_clones", k::fan, &["clones", "shared_children"]),
        of("clones_that_replace", k::replace, &["clones", "replayed"]),
        of("renames", k::renames, &["clones", "unsynced lost"]),
        of("removals", k::removals, &["clones", "reaped"]),
        of(
            "checkpoints",
            d::checkpoints,
            &["slot A", "slot B", "superblock torn"],
        ),
        of("ring_wraps", d::ring_wraps, &["ring wrapped", "replayed"]),
        of(
            "records_too_large_for_the_ring",
            d::too_large,
            &["checkpoints", "replayed"],
        ),
        of(
            "bulk_by_checkpoint",
            d::bulk,
            &["checkpoints", "unsynced lost"],
        ),
        of("reopening", d::reopening, &["replayed", "nodes_read"]),
        Workload {
            recovery: true,
            ..of(
                "recovery_itself",
                d::recovery,
                &["replayed", "crashes of recovery"],
            )
        },
        of("table_bases", d::table_bases, &["slot A", "slot B"]),
        Workload {
            size: NARROW,
            ..of("nearly_full", s::nearly_full, &["checkpoints"])
        },
        of(
            "snapshots_over_release",
            s::snapshots,
            &["reaped", "checkpoints"],
        ),
        of(
            "background_in_flight",
            s::background,
            &["merges_shared", "rebases", "flushes", "joins"],
        ),
        of("punching", s::punching, &["discards", "reaped"]),
        of("shrinking_tree", s::shrinking, &["joins", "splits"]),
    ]
    .into_iter()
}
