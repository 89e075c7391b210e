//! The targets of the engine: against the best of the other engines in the same run, and against itself when it was small.

use crate::report::markdown::seconds;
use crate::report::summary::Of;
use crate::report::targets::{Target, absolute, against_best, times};
use crate::session::Sample;
use crate::system::Counts;

/// A step of `growth`.
pub struct Growing {
    /// Its name.
    pub step: &'static str,
    /// How much the dearest round may cost against the first: a read may meet a level more.
    limit: f64,
    /// What of the device the theory speaks of; unlike time, no other load changes it.
    pub counted: &'static str,
    count: fn(&Counts) -> u64,
}

impl Growing {
    /// What is counted, for each of what was done.
    pub fn count(&self, sample: &Sample) -> f64 {
        let count = sample.device.map_or(0, |counts| (self.count)(&counts));
        count as f64 / sample.amount.map_or(1.0, |(amount, _)| amount)
    }
}

/// All of them.
pub const GROWING: [Growing; 4] = [
    Growing {
        step: "random puts + sync",
        limit: 1.3,
        counted: "bytes written",
        count: |counts| counts.written_bytes,
    },
    Growing {
        step: "cold scans",
        limit: 1.3,
        counted: "bytes read",
        count: |counts| counts.read_bytes,
    },
    Growing {
        step: "cold point reads",
        limit: 2.0,
        counted: "read requests",
        count: |counts| counts.reads,
    },
    Growing {
        step: "more point reads",
        limit: 2.0,
        counted: "read requests",
        count: |counts| counts.reads,
    },
];

/// Those of `engine`.
pub fn engine(found: &mut Vec<Target>, of: Of) {
    for (step, limit) in [
        ("random puts + sync", 1.0),
        ("blind patches + sync", 1.0),
        ("durable puts", 1.0),
        ("cold scan", 1.0),
        ("cold scan after writes", 1.0),
        ("cold short scans", 1.0),
        ("cold short scans after writes", 1.0),
        ("range deletes + sync", 1.0),
        ("mixed load", 1.0),
        ("cold point reads", 1.5),
        ("cold point reads after writes", 1.5),
    ] {
        against_best(found, of, step, limit, |kind| of.cost(kind, step));
    }
    let step = "clone the prefix, in the engine";
    absolute(found, of, step, of.seconds(of.ours(), step), 1e-4, seconds);
}

/// Those of `growth`.
pub fn growth(found: &mut Vec<Target>, of: Of) {
    for growing in &GROWING {
        let (step, limit) = (growing.step, growing.limit);
        let mut dearest = |what: String, number: &dyn Fn(&Sample) -> f64| {
            let rounds = of.rounds(of.ours(), &[step], number);
            let first = rounds.first().map(|(_, cost)| *cost);
            let worst = rounds.iter().map(|(_, cost)| *cost).reduce(f64::max);
            // Small sizes may need nothing of the disk.
            let first = first.filter(|first| *first > 0.0);
            let ratio = worst.zip(first).map(|(worst, first)| worst / first);
            absolute(found, of, &what, ratio, limit, times);
        };
        let what = format!("{step}, in the dearest round against the first");
        dearest(what, &Sample::cost);
        let what = format!("{step}: {}, likewise", growing.counted);
        dearest(what, &|sample| growing.count(sample));
    }
}
