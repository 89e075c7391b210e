//! Runs the seeds of a plan, and reports a failure as the shortest list of steps that still fails.
//!
//! Invariant: the report holds all that is needed to replay: the seed, and the steps as readable calls.
use crate::generate::{Mix, generate};
use crate::harness::{Engine, Failure, Progress, replay};
use crate::ops::{Limits, Step};
use crate::seed::{Plan, for_each_seed};
use crate::shrink::shrink;
use crate::text::step_text;
use std::fmt;

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
    for_each_seed(plan, command, |seed, steps| {
        let list = generate(seed, steps, mix);
        match replay(&mut open(seed), &list, limits) {
            Ok(progress) => {
                total.operations += progress.operations;
                total.clones += progress.clones;
                total.comparisons += progress.comparisons;
                total.crashes += progress.crashes;
            }
            Err(first) => {
                let report = Report::shortest(list, &first, limits, || open(seed));
                panic!("seed {seed}, step {}: {}\n{report}", first.step, first.what);
            }
        }
    });
    total
}

/// The shortest failing list that was found.
struct Report {
    lines: Vec<String>,
    what: String,
}

const SHRINK_REPLAYS: usize = 3000;

impl Report {
    fn shortest<E: Engine>(
        mut list: Vec<Step>,
        first: &Failure,
        limits: Limits,
        mut open: impl FnMut() -> E,
    ) -> Self {
        list.truncate(first.step + 1);
        let mut last = first.clone();
        let list = shrink(list, Step::simpler, SHRINK_REPLAYS, |steps| {
            match replay(&mut open(), steps, limits) {
                Ok(_) => false,
                Err(failure) => {
                    last = failure;
                    true
                }
            }
        });
        let mut batches = last.batches.iter();
        let mut batch_of = |step: &Step| match step {
            Step::Commit(_) => batches.next().map_or(&[][..], Vec::as_slice),
            _ => &[],
        };
        let lines = list
            .iter()
            .map(|step| step_text(step, batch_of(step)))
            .collect();
        Self {
            lines,
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
