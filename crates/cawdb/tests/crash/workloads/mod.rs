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
    let themes = changes().into_iter().chain(clones());
    themes.chain(durable()).chain(space())
}

/// Unsynced batches are lost, and kept; some are replayed.
const BOTH: &[&str] = &["replayed", "unsynced lost", "unsynced kept"];
/// The journal ends in half a record.
const TORN: &[&str] = &["replayed", "journal torn"];

fn changes() -> [Workload; 8] {
    use changes as c;
    let mixed = &["clones", "unsynced lost"];
    let chance = &["clones", "joins", "replayed"];
    [
        of("puts", c::puts, BOTH),
        of("patches", c::patches, TORN),
        of("deletes", c::deletes, BOTH),
        of("range_deletes", c::range_deletes, BOTH),
        of("hot_keys", c::hot_keys, TORN),
        of("large_batches", c::large_batches, BOTH),
        of("batches_with_clones", c::batches_with_clones, mixed),
        of("everything_by_chance", c::everything, chance),
    ]
}

fn clones() -> [Workload; 6] {
    use clones as c;
    let (replayed, shared) = (&["clones", "replayed"], &["clones", "shared_children"]);
    let (lost, reaped) = (&["clones", "unsynced lost"], &["clones", "reaped"]);
    [
        of("clones_into_own_subtree", c::into_own_subtree, replayed),
        of("chain_of_clones", c::chain, shared),
        of("fan_of_clones", c::fan, shared),
        of("clones_that_replace", c::replace, replayed),
        of("renames", c::renames, lost),
        of("removals", c::removals, reaped),
    ]
}

fn durable() -> [Workload; 7] {
    use durable as d;
    let slots = &["slot A", "slot B", "superblock torn"];
    let large = &["checkpoints", "replayed", "ring wrapped"];
    let again = &["replayed", "crashes of recovery"];
    [
        of("checkpoints", d::checkpoints, slots),
        of("ring_wraps", d::ring_wraps, &["ring wrapped", "replayed"]),
        of("records_too_large_for_the_ring", d::too_large, large),
        of(
            "bulk_by_checkpoint",
            d::bulk,
            &["checkpoints", "unsynced lost"],
        ),
        of("reopening", d::reopening, &["replayed", "nodes_read"]),
        Workload {
            recovery: true,
            ..of("recovery_itself", d::recovery, again)
        },
        of("table_bases", d::table_bases, &["slot A", "slot B"]),
    ]
}

fn space() -> [Workload; 5] {
    use space as s;
    let busy = &["merges_shared", "rebases", "flushes", "joins"];
    [
        Workload {
            size: NARROW,
            ..of("nearly_full", s::nearly_full, &["checkpoints"])
        },
        of(
            "snapshots_over_release",
            s::snapshots,
            &["reaped", "checkpoints"],
        ),
        of("background_in_flight", s::background, busy),
        of("punching", s::punching, &["discards", "reaped"]),
        of("shrinking_tree", s::shrinking, &["joins", "splits"]),
    ]
}
