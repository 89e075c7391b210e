//! Seeds: every random test is a function of one number, and says how to run that number again.
//!
//! Invariants:
//! 1. without environment a test runs the same few seeds every time, so a red build is red for everyone;
//! 2. a failure prints the seed and the command that replays it, before anything else is lost;
//! 3. long runs (`CAWFS_SECONDS`) take fresh seeds, because old ones have nothing left to tell.
//!
//! ```text
//!  CAWFS_SEED=n      only this seed
//!  CAWFS_STEPS=n     so many steps for each seed, instead of the test's own number
//!  CAWFS_SECONDS=n   fresh seeds until so many seconds have passed
//! ```
use std::time::{Duration, Instant};

/// What a random test is to do: which seeds, and how many steps for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The one seed to replay, if asked for.
    pub seed: Option<u64>,
    /// How many seeds to run otherwise, counted from 0.
    pub seeds: u64,
    /// Steps for each seed.
    pub steps: usize,
    /// Run fresh seeds for this time instead.
    pub time: Option<Duration>,
}

impl Plan {
    /// The test's own numbers, overruled by the environment.
    ///
    /// # Panics
    /// When a variable is set to something that is no number: a typing error must not pass for a test.
    pub fn from_env(seeds: u64, steps: usize) -> Self {
        Self::from_lookup(seeds, steps, |name| std::env::var(name).ok())
    }

    /// Whether it takes the seeds that are always the same.
    pub fn is_fixed(&self) -> bool {
        self.seed.is_none() && self.time.is_none()
    }

    fn from_lookup(seeds: u64, steps: usize, lookup: impl Fn(&str) -> Option<String>) -> Self {
        let number = |name: &str| {
            lookup(name).map(|text| match text.trim().parse::<u64>() {
                Ok(number) => number,
                Err(error) => panic!("{name}={text} is no number: {error}"),
            })
        };
        Self {
            seed: number("CAWFS_SEED"),
            seeds,
            steps: number("CAWFS_STEPS")
                .map_or(steps, |n| usize::try_from(n).unwrap_or(usize::MAX)),
            time: number("CAWFS_SECONDS").map(Duration::from_secs),
        }
    }
}

/// Runs `test` for each seed of the plan. If it panics, the seed and the command that replays it are
/// printed; `command` is that command without the seed, such as `cargo test -p cawdb --test model small`.
pub fn for_each_seed(plan: &Plan, command: &str, mut test: impl FnMut(u64, usize)) {
    let mut one = |seed: u64| {
        let _guard = Announce {
            line: replay_line(plan, command, seed),
        };
        test(seed, plan.steps);
    };
    if let Some(seed) = plan.seed {
        one(seed);
    } else if let Some(time) = plan.time {
        let start = Instant::now();
        while start.elapsed() < time {
            one(fastrand::u64(..));
        }
    } else {
        (0..plan.seeds).for_each(one);
    }
}

/// The command that runs one seed again with the steps of this plan.
fn replay_line(plan: &Plan, command: &str, seed: u64) -> String {
    format!("CAWFS_SEED={seed} CAWFS_STEPS={} {command}", plan.steps)
}

/// Prints its line when it is dropped by a panic.
struct Announce {
    line: String,
}

impl Drop for Announce {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("replay with: {}", self.line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(vars: &[(&str, &str)]) -> Plan {
        Plan::from_lookup(3, 100, |name| {
            vars.iter()
                .find(|(n, _)| *n == name)
                .map(|(_, v)| (*v).to_string())
        })
    }

    #[test]
    fn own_numbers_without_environment() {
        assert!(plan(&[]).is_fixed());
        assert!(
            !plan(&[("CAWFS_SEED", "1")]).is_fixed() && !plan(&[("CAWFS_SECONDS", "1")]).is_fixed()
        );
        let mut seen = Vec::new();
        for_each_seed(&plan(&[]), "x", |seed, steps| seen.push((seed, steps)));
        assert_eq!(seen, [(0, 100), (1, 100), (2, 100)]);
    }

    #[test]
    fn one_seed_is_replayed_with_its_steps() {
        let plan = plan(&[
            ("CAWFS_SEED", "77"),
            ("CAWFS_STEPS", "5"),
            ("CAWFS_SECONDS", "9"),
        ]);
        let mut seen = Vec::new();
        for_each_seed(&plan, "x", |seed, steps| seen.push((seed, steps)));
        assert_eq!(seen, [(77, 5)]);
        assert_eq!(
            replay_line(&plan, "cargo test t", 77),
            "CAWFS_SEED=77 CAWFS_STEPS=5 cargo test t"
        );
    }

    #[test]
    fn timed_runs_end_and_take_fresh_seeds() {
        let mut plan = plan(&[("CAWFS_SECONDS", "1")]);
        plan.time = Some(Duration::from_millis(20));
        let mut seen = Vec::new();
        for_each_seed(&plan, "x", |seed, _| {
            seen.push(seed);
            std::thread::sleep(Duration::from_millis(1));
        });
        assert!(!seen.is_empty() && seen != [0, 1, 2]);
    }

    #[test]
    #[should_panic(expected = "no number")]
    fn a_typing_error_is_not_a_test() {
        plan(&[("CAWFS_SEED", "many")]);
    }
}
