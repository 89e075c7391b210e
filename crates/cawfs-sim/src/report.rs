//! Runs the seeds of a plan, and reports a failure as the shortest list of steps that still fails.
//!
//! Invariant: the report holds all that is needed to replay: the seed, and the steps as readable calls.
use crate::generate::{Mix, generate};
use crate::harness::{Engine, Failure, Progress, replay};
use crate::ops::{Limits, Step};
use crate::seed::{Plan, for_each_seed};
use crate::shrink::shrink;
use std::fmt;
use std::time::{Duration, Instant};

/// Runs the seeds of a plan, each on a fresh engine from `open`; a failing list is shrunk and printed.
///
/// # Panics
/// On the first failure, with the seed, the shortest list found and what went wrong.
pub fn run<E: Engine>(
    plan: &Plan,
    command: &str,
    (mix, limits): (Mix, Limits),
    mut open: impl FnMut(u64) -> E,
) -> Progress {
    let mut total = Progress::default();
    let found = search(
        plan,
        command,
        |seed, steps| generate(seed, steps, mix),
        Step::simpler,
        |seed, steps| replay(&mut open(seed), steps, limits),
    );
    for progress in found {
        total.operations += progress.operations;
        total.clones += progress.clones;
        total.comparisons += progress.comparisons;
        total.crashes += progress.crashes;
    }
    total
}

/// Replays what `generate` makes of each seed of a plan; returns what each replay did. `simpler` gives simpler forms of
/// a step, best first. `replay` begins anew each time: it is called again and again to shorten a list that fails.
///
/// # Panics
/// On the first failure, with the seed, the shortest list found and what went wrong.
pub fn search<S: Clone, P>(
    plan: &Plan,
    command: &str,
    generate: impl Fn(u64, usize) -> Vec<S>,
    simpler: impl Fn(&S) -> Vec<S>,
    mut replay: impl FnMut(u64, &[S]) -> Result<P, Failure>,
) -> Vec<P> {
    let mut done = Vec::new();
    for_each_seed(plan, command, |seed, steps| {
        let list = generate(seed, steps);
        match replay(seed, &list) {
            Ok(progress) => done.push(progress),
            Err(first) => {
                let report = Report::shortest(list, &first, &simpler, |steps| replay(seed, steps));
                panic!("seed {seed}, step {}: {}\n{report}", first.step, first.what);
            }
        }
    });
    done
}

/// The shortest failing list that was found.
struct Report {
    lines: Vec<String>,
    what: String,
}

/// Replays and time after which shrinking ends: a list that takes long to replay must not take an hour to shorten.
const SHRINK_REPLAYS: usize = 3000;
const SHRINK_TIME: Duration = Duration::from_secs(120);

impl Report {
    fn shortest<S: Clone, P>(
        mut list: Vec<S>,
        first: &Failure,
        simpler: impl Fn(&S) -> Vec<S>,
        mut replay: impl FnMut(&[S]) -> Result<P, Failure>,
    ) -> Self {
        list.truncate(first.step + 1);
        let (mut last, start) = (first.clone(), Instant::now());
        shrink(list, simpler, SHRINK_REPLAYS, |steps| {
            if start.elapsed() > SHRINK_TIME {
                return false;
            }
            match replay(steps) {
                Ok(_) => false,
                Err(failure) => {
                    last = failure;
                    true
                }
            }
        });
        Self {
            lines: last.calls,
            what: last.what,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "the shortest list found ({} steps) ends with: {}",
            self.lines.len(),
            self.what
        )?;
        self.lines
            .iter()
            .try_for_each(|line| writeln!(f, "    {line}"))
    }
}
