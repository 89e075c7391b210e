//! The n-th request to the disk fails, for every n, until a run makes fewer: every answer is right or says EIO or EROFS,
//! an operation that failed did nothing, and what was acknowledged is there when the store is opened again.
//!
//! A short run takes some of the requests, from other seeds where `CAWFS_SECONDS` asks for that; with ten seconds and more it is every single
//! one.

use crate::workloads::Workload;
use crate::world::step::Step;
use crate::world::{Outcome, Progress, Shape, Trouble, World, caught};
use cawdb::disk::{FaultyDisk, OpKind, RamDisk};
use cawfs_sim::{Failure, Plan, search};
use std::sync::Arc;
use std::time::Duration;

const COMMAND: &str = "cargo test -p cawfs-fs --test model faults::";
const STEPS: usize = 120;
/// A run of so long takes every request.
const LONG: Duration = Duration::from_secs(10);

/// Takes steps on a disk of which one request fails, or all from it on. What happened, with the failures counted, and
/// whether there was such a request.
fn try_one(
    shape: Shape,
    steps: &[Step],
    (kind, nth, forever): (OpKind, u64, bool),
) -> Result<(Progress, bool), Failure> {
    let mut world = World::new(shape);
    let before = world.disk.count(kind);
    match forever {
        true => world.disk.fail_from(kind, nth),
        false => world.disk.fail_nth(kind, nth),
    }
    world.failing = true;
    for (at, step) in steps.iter().enumerate() {
        let outcome = caught(|| match world.take(step) {
            Err(Trouble::Failed(_)) => {
                world.count("failed_steps");
                Ok(())
            }
            other => other.map(|_| ()),
        });
        let name =
            |what| format!("after {kind:?} {nth} failed (all later ones: {forever}): {what}");
        outcome.map_err(|what| world.failure(at, name(what)))?;
    }
    let hit = world.disk.count(kind) - before > nth;
    let outcome = caught(|| afterwards(&mut world, nth));
    let name = |what| {
        format!("after {kind:?} {nth} failed (all later ones: {forever}), in the end: {what}")
    };
    outcome.map_err(|what| world.failure(steps.len().saturating_sub(1), name(what)))?;
    let failed = world.seen.get("failed_steps").is_some_and(|n| *n > 0);
    assert!(hit || !failed, "an error without a failure");
    let (seen, engine) = (world.seen, world.engine);
    let met = Progress {
        seen,
        engine,
        ..Progress::default()
    };
    Ok((met, hit))
}

/// The disk is well again: what runs still shows what it should, and so does what a loss of power leaves, and what is
/// opened again.
fn afterwards(world: &mut World, seed: u64) -> Outcome {
    world.disk.heal();
    world.compare()?;
    world.check(true)?;
    let image = world.disk.crash(seed);
    world.stop();
    let disk = Arc::new(FaultyDisk::new(image).unwrap());
    let (versions, numbers) = (world.versions.clone(), world.numbers.clone());
    let mut left = World::recovered(world.shape, disk, versions.clone(), numbers.clone())?;
    left.remount(true, false)?;
    left.stop();
    let mut opened = World::recovered(world.shape, world.disk.clone(), versions, numbers)?;
    opened.remount(false, true)?;
    opened.finish()
}

fn every_one_fails(name: &str, kind: OpKind, forever: bool, stride: u64) {
    // Few lists give room back to the disk.
    let seeds = if kind == OpKind::Discard { 8 } else { 2 };
    let plan = Plan::from_env(seeds, STEPS);
    let long = plan.seed.is_some() || plan.time.is_some_and(|time| time >= LONG);
    let stride = if long { 1 } else { stride };
    // The second gives room back.
    let workload = |seed: u64| {
        let names = ["everything", "room_given_back"];
        Workload::named(names[seed as usize % 2])
    };
    let replayed = |seed, steps: &[Step]| {
        let mut total = Progress::default();
        // Another first one for each seed, so that a stride leaves none out for ever.
        for nth in (seed % stride..).step_by(stride as usize) {
            let (met, hit) = try_one(workload(seed).uncached(seed), steps, (kind, nth, forever))?;
            total.add(met);
            total.add(Progress {
                seen: [("faults", u64::from(hit))].into(),
                ..Progress::default()
            });
            if !hit {
                break;
            }
        }
        Ok(total)
    };
    let mut total = Progress::default();
    let list = |seed, steps| workload(seed).steps(seed, steps);
    search(
        &plan,
        &format!("{COMMAND}{name}"),
        list,
        Step::simpler,
        replayed,
    )
    .into_iter()
    .for_each(|met| total.add(met));
    let [faults, steps] = ["faults", "failed_steps"].map(|what| total.met(what));
    println!("{name}: {faults} faults, {steps} steps failed");
    assert!(faults > 0, "no request of this kind");
}

#[test]
fn every_write_fails_once() {
    every_one_fails("every_write_fails_once", OpKind::Write, false, 3);
}

#[test]
fn every_write_and_all_later_ones_fail() {
    every_one_fails(
        "every_write_and_all_later_ones_fail",
        OpKind::Write,
        true,
        5,
    );
}

#[test]
fn every_sync_fails_once() {
    every_one_fails("every_sync_fails_once", OpKind::Sync, false, 1);
}

#[test]
fn every_sync_and_all_later_ones_fail() {
    every_one_fails("every_sync_and_all_later_ones_fail", OpKind::Sync, true, 1);
}

#[test]
fn every_read_fails_once() {
    every_one_fails("every_read_fails_once", OpKind::Read, false, 17);
}

#[test]
fn every_read_and_all_later_ones_fail() {
    every_one_fails("every_read_and_all_later_ones_fail", OpKind::Read, true, 29);
}

#[test]
fn every_reservation_fails_once() {
    every_one_fails("every_reservation_fails_once", OpKind::Reserve, false, 2);
}

#[test]
fn every_discard_fails_once() {
    every_one_fails("every_discard_fails_once", OpKind::Discard, false, 1);
}

/// Opening and mounting read everything that they need: they fail, or what is mounted is right.
#[test]
fn every_request_of_opening_fails_once() {
    let workload = Workload::named("everything");
    for (seed, kind) in [(0, OpKind::Read), (1, OpKind::Write), (2, OpKind::Sync)] {
        let mut world = World::new(workload.uncached(seed));
        for step in &workload.steps(seed, STEPS) {
            caught(|| world.take(step)).unwrap();
        }
        let image = world.disk.crash(seed).image();
        let opened = |plan: Option<u64>| {
            let disk = Arc::new(FaultyDisk::new(RamDisk::from_image(image.clone())).unwrap());
            if let Some(nth) = plan {
                disk.fail_nth(kind, nth);
            }
            let (versions, numbers) = (world.versions.clone(), world.numbers.clone());
            let begun = World::recovered_by_chance(
                world.shape,
                disk.clone(),
                versions.clone(),
                numbers.clone(),
            );
            let (requests, begun) = (disk.count(kind), begun.map(|mut world| world.stop()));
            disk.heal();
            // Whatever came of it: the next one finds what there is.
            caught(|| World::recovered(world.shape, disk, versions, numbers).map(|_| ())).unwrap();
            (requests, begun)
        };
        let (requests, begun) = opened(None);
        assert!(begun.is_ok());
        for nth in 0..requests {
            if let (_, Err(Trouble::Wrong(what))) = opened(Some(nth)) {
                panic!("{kind:?} {nth} of {requests} failed: {what}");
            }
        }
    }
}
