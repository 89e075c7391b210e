//! Power is lost at every moment of a workload, in every way: what is left must be the file system after some operation,
//! at or after the last that was acknowledged as durable, and must go on as a file system.
//!
//! ```text
//!   steps ──► World ──► Fs ──► Store ──► recording disk ──► Outages ──► image ──► mounted, compared,
//!               └──► Versions: which operation was done and acknowledged when ────┘  changed, mounted
//!
//!  CAWFS_IMAGES=n    so many images in all workloads together, over as many seeds as that takes
//!  CAWFS_SECONDS=n   or fresh seeds for so long, each workload for itself
//!  CAWFS_SEED=n      or only this seed, every image of it
//! ```
//! A workload runs once; from what it asked of the disk every image is made that a loss of power may leave. Of some images
//! all images of their recovery are made in turn.

use crate::workloads::{WORKLOADS, Workload};
use crate::world::step::Step;
use crate::world::{Progress, Shape, Versions, World, caught, generate};
use cawdb::disk::{Fault, FaultyDisk, OpKind, Outages, Recording, Sampling};
use cawfs_sim::{Failure, Plan, search};
use std::collections::BTreeMap;
use std::sync::Arc;

const COMMAND: &str = "cargo test -p cawfs-fs --test model outages::";
/// Steps of a workload.
const STEPS: usize = 60;
/// Images of a seed: in an ordinary run, and in a long one, so that it meets several seeds.
const SLICE: usize = 25;
const PER_SEED: usize = 1500;
/// Seeds beyond those asked for, at most, until everything was met.
const MORE_SEEDS: u64 = 12;
/// The recovery of one image in so many is lost again, and so many images of it are tried.
const AGAIN_EVERY: usize = 25;
const PER_RECOVERY: usize = 12;
/// Inode numbers become known by comparing, which is done so often.
const COMPARE_EVERY: usize = 8;

/// What a workload left: all that is needed to judge images of it.
struct Trial {
    recording: Recording,
    versions: Versions,
    numbers: BTreeMap<u64, u64>,
}

impl World {
    fn trial(&self) -> Trial {
        Trial {
            recording: self.disk.recording(),
            versions: self.versions.clone(),
            numbers: self.numbers.clone(),
        }
    }
}

/// Takes the steps on a disk that records; `before` sees the disk first.
fn record(
    shape: Shape,
    steps: &[Step],
    before: impl Fn(&FaultyDisk<cawdb::disk::RamDisk>),
) -> Result<(World, Trial), Failure> {
    let mut world = World::new(shape);
    before(&world.disk);
    world.disk.record();
    world.versions.keep_all();
    for (at, step) in steps.iter().enumerate() {
        let outcome = caught(|| {
            world.take(step)?;
            match at % COMPARE_EVERY == 0 {
                true => world.compare(),
                false => Ok(()),
            }
        });
        outcome.map_err(|what| world.failure(at, what))?;
    }
    let left = caught(|| {
        world.leave()?;
        world.stop();
        Ok(())
    });
    left.map_err(|what| world.failure(steps.len().saturating_sub(1), what))?;
    let trial = world.trial();
    let discards = world.disk.count(OpKind::Discard);
    world.seen.insert("discards", discards);
    Ok((world, trial))
}

/// Judges about `wanted` images of a trial.
///
/// # Errors
/// The first that is wrong, and how.
fn enumerate(shape: Shape, trial: &Trial, wanted: usize, met: &mut Progress) -> Result<(), String> {
    // A checkpoint has many requests open, a journal record one: no moment may outweigh all others.
    let sampling = Sampling {
        by_chance: 12,
        ..Sampling::sparse(shape.seed, (wanted / 20).max(4))
    };
    let total = Outages::new(&trial.recording, sampling).count();
    let (one_in, mut rng) = (
        (total / wanted).max(1),
        fastrand::Rng::with_seed(shape.seed),
    );
    for (outage, image) in Outages::new(&trial.recording, sampling) {
        if rng.usize(..one_in) > 0 {
            continue;
        }
        let disk = Arc::new(FaultyDisk::of_image(image));
        let again = rng.usize(..AGAIN_EVERY) == 0;
        if again {
            disk.record();
        }
        let (position, seed) = (outage.position, rng.u64(..));
        let second = judge(shape, trial, position, disk, seed, met);
        let second = second.map_err(|what| format!("{outage}: {what}"))?;
        if !again {
            continue;
        }
        let sampling = Sampling::sparse(seed, 3);
        let total = Outages::new(&second.recording, sampling).count();
        let one_in = (total / PER_RECOVERY).max(1);
        for (next, image) in Outages::new(&second.recording, sampling) {
            if rng.usize(..one_in) > 0 {
                continue;
            }
            *met.seen.entry("images_of_recoveries").or_default() += 1;
            let disk = Arc::new(FaultyDisk::of_image(image));
            judge(shape, &second, next.position, disk, seed, met)
                .map_err(|what| format!("{outage}, and in its recovery {next}: {what}"))?;
        }
    }
    Ok(())
}

/// Opens what an outage left, compares, changes it, checks, mounts it once more. Returns what the recovery and the
/// changes asked of the disk.
fn judge(
    shape: Shape,
    trial: &Trial,
    position: usize,
    disk: Arc<FaultyDisk<cawdb::disk::RamDisk>>,
    seed: u64,
    met: &mut Progress,
) -> Result<Trial, String> {
    caught(|| {
        let versions = trial.versions.at(position);
        let numbers = trial.numbers.clone();
        let mut world = World::recovered(shape, disk, versions, numbers)?;
        for step in &generate(seed, 6, shape.mix()) {
            let mounts = matches!(step, Step::Crash(_) | Step::Remount(..) | Step::HandOver);
            if !mounts {
                world.take(step)?;
            }
        }
        world.check(false)?;
        let second = world.trial();
        world.remount(false, seed.is_multiple_of(2))?;
        world.stop();
        world.count("images");
        met.add(Progress {
            seen: std::mem::take(&mut world.seen),
            engine: std::mem::take(&mut world.engine),
            ..Progress::default()
        });
        Ok(second)
    })
}

/// A workload with one seed: taken, and judged.
fn try_one(shape: Shape, steps: &[Step], wanted: usize) -> Result<Progress, Failure> {
    let (mut world, trial) = record(shape, steps, |_| ())?;
    let mut met = Progress::default();
    let judged = enumerate(shape, &trial, wanted, &mut met);
    judged.map_err(|what| world.failure(steps.len().saturating_sub(1), what))?;
    let (seen, engine) = (world.seen, world.engine);
    met.add(Progress {
        seen,
        engine,
        ..Progress::default()
    });
    Ok(met)
}

fn survives_every_outage(name: &str) {
    let workload = Workload::named(name);
    let plan = Plan::from_env(3, STEPS);
    let images = std::env::var("CAWFS_IMAGES").map(|n| n.parse::<usize>().expect("a number"));
    let images = images.map_or(0, |n| n.div_ceil(WORKLOADS.len()));
    let wanted = match (plan.seed, images > 0 || plan.time.is_some()) {
        (Some(_), _) => usize::MAX,
        (None, true) => PER_SEED,
        (None, false) => SLICE,
    };
    let run = |plan: &Plan, wanted: usize, total: &mut Progress| {
        let list = |seed, steps| workload.steps(seed, steps);
        let replayed = |seed, steps: &[Step]| try_one(workload.shape(seed), steps, wanted);
        search(
            plan,
            &format!("{COMMAND}{name}"),
            list,
            Step::simpler,
            replayed,
        )
        .into_iter()
        .for_each(|met| total.add(met));
    };
    let mut total = Progress::default();
    run(&plan, wanted, &mut total);
    // On a busy machine the time may be over after a seed or two.
    let further = if images > 0 { wanted } else { SLICE };
    for seed in plan.seeds.. {
        // A few more where chance left out what the workload is there for.
        let met = workload.meets.iter().all(|what| total.met(what) > 0);
        let met = met || seed >= plan.seeds + MORE_SEEDS;
        let enough = met && total.seen["images"] as usize >= images;
        if enough || plan.seed.is_some() {
            break;
        }
        let one = Plan {
            seed: Some(seed),
            time: None,
            ..plan.clone()
        };
        run(&one, further, &mut total);
    }
    let met = |what: &&str| format!("{what} {}", total.met(what));
    let what: Vec<_> = INTERESTING.iter().chain(workload.meets).map(met).collect();
    println!("{name}: {}", what.join(", "));
    if plan.seed.is_none() && plan.steps >= STEPS {
        total.assert_met(workload.meets);
    }
}

const INTERESTING: [&str; 4] = [
    "images",
    "images_of_recoveries",
    "crashes_that_lost_something",
    "replayed_batches",
];

macro_rules! tests {
    ($($name:ident),+ $(,)?) => {
        $(#[test] fn $name() { survives_every_outage(stringify!($name)); })+

        #[test]
        fn every_workload_is_a_test() {
            let names = [$(stringify!($name)),+];
            assert_eq!(names.to_vec(), WORKLOADS.iter().map(|w| w.name).collect::<Vec<_>>());
        }
    };
}

tests!(
    contents,
    large_contents,
    renames_over_files,
    moved_directories,
    cloned_trees,
    nested_and_replaced_trees,
    removed_trees,
    room_given_back,
    open_files_without_names,
    files_with_several_names,
    attributes,
    staged_clones,
    seldom_synced,
    everything,
);

/// Every image there is, of workloads so short that this is possible.
#[test]
fn every_image_of_short_workloads() {
    let plan = Plan::from_env(2, 5);
    let list = |seed, steps| Workload::named("everything").steps(seed, steps);
    let shape = |seed| Workload::named("everything").shape(seed);
    let command = format!("{COMMAND}every_image_of_short_workloads");
    let replayed = |seed, steps: &[Step]| {
        let (mut world, trial) = record(shape(seed), steps, |_| ())?;
        let (mut images, mut met) = (0_u64, Progress::default());
        for (outage, image) in Outages::new(&trial.recording, Sampling::default()) {
            let disk = Arc::new(FaultyDisk::of_image(image));
            let judged = judge(shape(seed), &trial, outage.position, disk, images, &mut met);
            judged.map_err(|what| {
                world.failure(steps.len().saturating_sub(1), format!("{outage}: {what}"))
            })?;
            images += 1;
        }
        Ok(images)
    };
    let images: u64 = search(&plan, &command, list, Step::simpler, replayed)
        .iter()
        .sum();
    println!("{images} images");
    assert!(images > 20 || plan.seed.is_some());
}

/// The judge has teeth: where syncs are switched off below the store, it finds what is lost.
#[test]
fn syncs_that_do_nothing_are_caught() {
    let workload = Workload::named("contents");
    let caught = (0..6).filter(|&seed| {
        let (shape, steps) = (workload.shape(seed), workload.steps(seed, STEPS));
        let no_syncs = |disk: &FaultyDisk<_>| disk.inject(OpKind::Sync, 0, true, Fault::Lost);
        let Ok((_, trial)) = record(shape, &steps, no_syncs) else {
            panic!("a disk that loses syncs shows nothing of it while it has power");
        };
        enumerate(shape, &trial, 60, &mut Progress::default()).is_err()
    });
    assert_eq!(caught.count(), 6);
}
