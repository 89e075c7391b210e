//! Running work under both schedulers: every choice by chance, and few changes of thread at places chosen by chance, which finds what
//! needs few of them. A seed makes all schedules of a run, and what the work itself leaves to chance.

use cawdb::shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use cawdb::shuttle::{Config, Runner};

const STACK: usize = 1 << 20;
/// Changes of thread beyond those that somebody who waits makes.
const DEPTH: usize = 3;

fn asked<N: std::str::FromStr>(name: &str) -> Option<N> {
    let text = std::env::var(name).ok()?;
    let number = text.parse().ok();
    Some(number.unwrap_or_else(|| panic!("{name}={text} is no number")))
}

fn run(scheduler: impl Scheduler + 'static, work: impl Fn() + Send + Sync + 'static) {
    let mut config = Config::new();
    config.stack_size = STACK;
    Runner::new(scheduler, config).run(work);
}

/// Runs under both schedulers, `slice` schedules each, or `CAWFS_SCHEDULES`.
pub fn explore(slice: usize, work: fn()) {
    let seed = asked("CAWFS_SEED").unwrap_or_else(|| fastrand::u64(..));
    let count = asked("CAWFS_SCHEDULES").unwrap_or(slice);
    println!("replay with: CAWFS_SEED={seed} CAWFS_SCHEDULES={count}");
    run(RandomScheduler::new_from_seed(seed, count), work);
    run(PctScheduler::new_from_seed(seed, DEPTH, count), work);
}

/// Runs by chance from one seed.
pub fn explore_seed(seed: u64, count: usize, work: fn()) {
    run(RandomScheduler::new_from_seed(seed, count), work);
}
