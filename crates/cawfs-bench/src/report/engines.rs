//! The targets of the engine: against the best of the other engines in the same run, and against itself when it was small.

use crate::report::markdown::seconds;
use crate::report::summary::Of;
use crate::report::targets::{Target, absolute, against_best, times};

/// Steps of `growth`, and how much the dearest round may cost against the first: a read may meet a level more.
pub const GROWING: [(&str, f64); 3] = [
    ("random puts + sync", 1.3),
    ("cold scans", 1.3),
    ("cold point reads", 2.0),
];

/// Those of `engine`.
pub fn engine(found: &mut Vec<Target>, of: Of) {
    for (step, limit) in [
        ("random puts + sync", 1.0),
        ("blind patches + sync", 1.0),
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
    for (step, limit) in GROWING {
        let rounds = of.rounds(of.ours(), &[step], |sample| sample.cost());
        let first = rounds.first().map(|(_, cost)| *cost);
        let worst = rounds.iter().map(|(_, cost)| *cost).reduce(f64::max);
        let ratio = worst.zip(first).map(|(worst, first)| worst / first);
        let what = format!("{step}, in the dearest round against the first");
        absolute(found, of, &what, ratio, limit, times);
    }
}
