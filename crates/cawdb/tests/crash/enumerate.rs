//! Runs a workload, makes its images, judges them: as many as the environment asks for.
//!
//! ```text
//!  CAWFS_IMAGES=n    so many images in all workloads together, over as many seeds as that takes
//!  CAWFS_SECONDS=n   or for so long, each workload for itself
//!  CAWFS_SEED=n      or only this seed, every image of it
//! ```
use crate::judge::{Met, judge, judge_recovery};
use crate::session::{Session, Trial, fresh, tiny};
use crate::workloads::{self, Workload};
use cawdb::Options;
use cawdb::disk::{Outage, Outages, RamImage, Sampling};
use cawfs_sim::catch;
use std::time::{Duration, Instant};

/// Images for each workload in an ordinary run.
const SLICE: usize = 60;
/// Images of one seed at most, so that a long run meets several.
const PER_SEED: usize = 2500;

/// About so many images of a recovery are judged for each image.
const PER_RECOVERY: usize = 12;

/// Runs a workload on a fresh store.
pub fn record(workload: &Workload, seed: u64) -> Trial {
    record_with(workload, seed, tiny(seed))
}

/// The same, opened with these options.
pub fn record_with(workload: &Workload, seed: u64, options: Options) -> Trial {
    let image = fresh(seed, workload.size);
    let mut session = Session::open(image, Vec::new(), options, seed).unwrap();
    (workload.run)(&mut session);
    session.finish()
}

/// Judges about `wanted` outages of a trial; the first failure ends it.
///
/// # Errors
/// The outage, and what is wrong with what it left.
pub fn enumerate(
    trial: &Trial,
    seed: u64,
    wanted: usize,
    recovery: bool,
    met: &mut Met,
) -> Result<(), String> {
    // A checkpoint has many requests open, a journal record one: no moment may outweigh all others.
    let all = Sampling {
        by_chance: 12,
        ..Sampling::sparse(seed, (wanted / 20).max(4))
    };
    let total = Outages::new(&trial.recording, all).remaining();
    let wanted = if recovery {
        wanted / PER_RECOVERY
    } else {
        wanted
    };
    let one_in = (total / wanted.max(1)).max(1);
    for (outage, image) in Outages::new(&trial.recording, Sampling { one_in, ..all }) {
        one(trial, &outage, image, recovery, met).map_err(|e| format!("{outage}: {e}"))?;
    }
    Ok(())
}

fn one(
    trial: &Trial,
    outage: &Outage,
    image: RamImage,
    recovery: bool,
    met: &mut Met,
) -> Result<(), String> {
    catch(|| {
        if recovery {
            judge_recovery(trial, outage, image.clone(), met)?;
        }
        judge(trial, outage, image, met)
    })?
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.trim()
            .parse()
            .unwrap_or_else(|e| panic!("{name}={text} is no number: {e}")),
    )
}

/// The test of a workload.
pub fn survives_every_outage(name: &str) {
    let workload = workloads::all().find(|w| w.name == name).unwrap();
    let (mut met, begun) = (Met::new(), Instant::now());
    let time = number("CAWFS_SECONDS").map(Duration::from_secs);
    let images = number("CAWFS_IMAGES").map(|n| n as usize / workloads::all().count() + 1);
    let only = number("CAWFS_SEED");
    let wanted = images.unwrap_or(if time.is_some() { usize::MAX } else { SLICE });
    let mut seeds = 0;
    for seed in 0.. {
        let seed = only.unwrap_or(if time.is_some() {
            fastrand::u64(..)
        } else {
            seed
        });
        let trial = record(&workload, seed);
        for (name, n) in &trial.counters {
            *met.entry(name).or_default() += n;
        }
        let left = wanted.saturating_sub(met.get("images").map_or(0, |n| *n as usize));
        let some = if only.is_some() {
            usize::MAX
        } else {
            left.min(PER_SEED)
        };
        if let Err(failure) = enumerate(&trial, seed, some, workload.recovery, &mut met) {
            panic!(
                "{name}, seed {seed}, {failure}\nreplay with: CAWFS_SEED={seed} cargo test -p cawdb --test crash {name}"
            );
        }
        seeds += 1;
        let judged = met.get("images").map_or(0, |n| *n as usize);
        let enough = judged * 10 >= wanted * 9 || only.is_some();
        if time.map_or(enough, |time| begun.elapsed() >= time) {
            break;
        }
    }
    let (images, seconds) = (met["images"], begun.elapsed().as_secs_f64());
    println!(
        "{name}: {images} images of {seeds} seeds in {seconds:.1} s; {}",
        shown(&met, &workload)
    );
    for what in workload.meets {
        assert!(
            met.get(what).is_some_and(|n| *n > 0),
            "{name} never met {what}: {met:?}"
        );
    }
}

/// What was met in images, and what the workload is there for.
fn shown(met: &Met, workload: &Workload) -> String {
    let wanted = |name: &&'static str| name.contains(' ') || workload.meets.contains(name);
    let shown = met.iter().filter(|(name, n)| wanted(name) && **n > 0);
    let shown: Vec<_> = shown.map(|(name, n)| format!("{name} {n}")).collect();
    shown.join(", ")
}
