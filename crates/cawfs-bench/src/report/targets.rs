//! The targets of the project, as ratios within one run, and whether they are met.
//!
//! A target is judged only where its workload was run, and against the peers that were run. "The best peer" is the one
//! with the least median. Trends over rounds are those of medians of nine rounds, so that one busy moment is no trend.

use crate::report::markdown::{bytes, number, seconds};
use crate::report::summary::{Of, Spread, smooth};
use crate::report::{Results, engines};
use crate::session::{CLONE, REMOVAL, Sample};
use crate::system::Kind;
use crate::workload::clones::{BIG, MKDIR, SMALL, START};

/// One of them.
pub struct Target {
    /// What is to be reached.
    pub what: String,
    /// The limit.
    pub limit: String,
    /// What was measured.
    pub measured: String,
    /// Whether it is within the limit.
    pub met: bool,
}

/// All that can be judged of some workloads.
pub fn all(results: &Results, workloads: &[&str]) -> Vec<Target> {
    let mut found = Vec::new();
    for workload in workloads {
        let of = Of::new(&results.samples, workload);
        match *workload {
            "dooku-fan" | "dooku-long-fan" => dooku(&mut found, of, 1.2, 32.0),
            "dooku-chain" | "dooku-long-chain" => dooku(&mut found, of, 3.0, 48.0),
            "tree" => tree(&mut found, of),
            "vm" => vm(&mut found, of),
            "clones" => clones(&mut found, of),
            "agents" => agents(&mut found, of),
            "baseline" => {
                large(&mut found, of);
                baseline(&mut found, of);
            }
            "large" => {
                large(&mut found, of);
                ext4_or_floor(&mut found, of, RANDOM_READS);
            }
            "containers" => containers(&mut found, of),
            "engine" => engines::engine(&mut found, of),
            "growth" => engines::growth(&mut found, of),
            _ => {}
        }
    }
    found
}

/// A time that may be at most `limit` times that of the best peer.
pub fn against_best(
    found: &mut Vec<Target>,
    of: Of,
    what: &str,
    limit: f64,
    time: impl Fn(Kind) -> Option<f64>,
) {
    let peers = of.systems().into_iter().filter(|kind| kind.is_peer());
    let best = peers.filter_map(|kind| Some((kind, time(kind)?)));
    let best = best.min_by(|a, b| a.1.total_cmp(&b.1));
    let (Some(ours), Some((kind, theirs))) = (time(of.ours()), best) else {
        return;
    };
    found.push(Target {
        what: format!("{}: {what}", of.workload),
        limit: format!("{} x the best peer", number(limit)),
        measured: format!(
            "{} x ({} against {} of {})",
            number(ours / theirs),
            seconds(ours),
            seconds(theirs),
            kind.label()
        ),
        met: ours <= theirs * limit,
    });
}

/// A number with a limit of its own.
pub fn absolute(
    found: &mut Vec<Target>,
    of: Of,
    what: &str,
    measured: Option<f64>,
    limit: f64,
    show: fn(f64) -> String,
) {
    if let Some(measured) = measured {
        found.push(Target {
            what: format!("{}: {what}", of.workload),
            limit: show(limit),
            measured: show(measured),
            met: measured <= limit,
        });
    }
}

/// The first of two numbers may be at most `limit` times the second.
fn against(found: &mut Vec<Target>, of: Of, what: &str, sides: [Option<f64>; 2], limit: f64) {
    let [ours, theirs] = sides;
    let ratio = ours.zip(theirs).map(|(ours, theirs)| ours / theirs);
    absolute(found, of, what, ratio, limit, times);
}

/// A ratio for people.
pub fn times(ratio: f64) -> String {
    format!("{} x", number(ratio))
}

const WRITE: [&str; 2] = ["write", "write: sync"];

fn dooku(found: &mut Vec<Target>, of: Of, requests: f64, kibibytes: f64) {
    let time = |sample: &Sample| sample.seconds;
    for steps in [&["clone"][..], &WRITE, &["cold grep"]] {
        let what = format!(
            "{} against that of the tenth round, in the worst round",
            steps[0]
        );
        absolute(found, of, &what, growth(of, steps, time), 1.1, times);
    }
    let read = |sample: &Sample| sample.device.map_or(0, |counts| counts.read_bytes) as f64;
    let what = "bytes read by the cold grep, likewise";
    let growth = growth(of, &["cold grep"], read);
    absolute(found, of, what, growth, 1.1, times);

    let reads = |sample: &Sample| sample.device.map(|counts| counts.reads as f64);
    let fresh = of.spread(Kind::Cawfs, "cold grep of the original", reads);
    let worn = of.rounds(Kind::Cawfs, &["cold grep"], |sample| {
        reads(sample).unwrap_or_default()
    });
    let worst = smooth(&worn)
        .into_iter()
        .map(|(_, reads)| reads)
        .reduce(f64::max);
    let what = "requests of the worst cold grep against a fresh copy's";
    let sides = [worst, fresh.map(|fresh| fresh.median)];
    against(found, of, what, sides, requests);

    dooku_peers(found, of);
    let space = of.space(Kind::Cawfs, "cold grep of the original", "cold grep");
    let mean = space.last().map(|(round, bytes)| bytes / f64::from(*round));
    let what = "space of a clone and its writes";
    absolute(found, of, what, mean, kibibytes * 1024.0, bytes);
}

fn dooku_peers(found: &mut Vec<Target>, of: Of) {
    let time = |sample: &Sample| sample.seconds;
    let of_rounds = |kind, steps: &[&str]| {
        Spread::of(
            of.rounds(kind, steps, time)
                .into_iter()
                .map(|(_, seconds)| seconds),
        )
    };
    let write = |kind| Some(of_rounds(kind, &WRITE)?.median);
    against_best(found, of, "write + sync", 0.5, write);
    let first = |kind| {
        let rounds = of.rounds(kind, &["cold grep"], time);
        match kind {
            Kind::Cawfs => Spread::of(smooth(&rounds).into_iter().map(|(_, s)| s)).map(|s| s.most),
            _ => rounds.first().map(|(_, seconds)| *seconds),
        }
    };
    against_best(
        found,
        of,
        "the worst cold grep against the first of the best peer",
        1.1,
        first,
    );
}

/// The greatest of the smoothed rounds from the tenth on, as a multiple of the tenth.
fn growth(of: Of, steps: &[&str], number: impl Fn(&Sample) -> f64) -> Option<f64> {
    let rounds = smooth(&of.rounds(Kind::Cawfs, steps, number));
    let tenth = rounds.iter().find(|(round, _)| *round == 10)?.1;
    let later = rounds.iter().filter(|(round, _)| *round >= 10);
    Some(later.map(|(_, number)| *number).reduce(f64::max)? / tenth)
}

fn tree(found: &mut Vec<Target>, of: Of) {
    let rows = [
        ("clone + edit + sync", 0.5),
        ("cold grep -r", 0.5),
        ("cold grep -r, clone", 0.5),
        ("cold tar c", 0.5),
        ("cold tar c, clone", 0.5),
        ("cold find", 1.0),
        ("cold find, clone", 1.0),
        ("cold du", 1.0),
        ("cold du, clone", 1.0),
    ];
    for (step, limit) in rows {
        against_best(found, of, step, limit, |kind| of.seconds(kind, step));
    }
    for (step, limit) in [
        ("copy in: tar x + sync", 1.3),
        ("copy in: cp -a + sync", 1.3),
        ("rm -r + sync", 1.5),
    ] {
        let what = format!("{step}, against ext4");
        let sides = [Kind::Cawfs, Kind::Ext4].map(|kind| of.seconds(kind, step));
        against(found, of, &what, sides, limit);
    }
    for step in [
        "rsync -a + sync",
        "rsync -a --inplace + sync",
        "git add + commit",
        "cold git status, edited clone",
        "cold git status again, edited clone",
        "cold git diff, edited clone",
    ] {
        ext4_or_floor(found, of, step);
    }
    for (what, step, limit) in [
        ("", REMOVAL.program, 0.001),
        ("", "rename the tree", 0.001),
        ("cold ", CLONE.calls, 0.0003),
    ] {
        let what = format!("{what}{step}");
        absolute(
            found,
            of,
            &what,
            of.seconds(Kind::Cawfs, step),
            limit,
            seconds,
        );
    }
}

fn vm(found: &mut Vec<Target>, of: Of) {
    let told = CLONE.program;
    let rounds = of.rounds(Kind::Cawfs, &[told], |sample| sample.seconds);
    let worst = rounds.into_iter().map(|(_, s)| s).reduce(f64::max);
    let what = format!("{told}, in the slowest round");
    absolute(found, of, &what, worst, 0.001, seconds);
    // A peer that copies is no cloning peer.
    let cloning = |kind: Kind, step| of.cost(kind, step).filter(|_| kind.shares());
    let step = "random 4-KiB writes + sync";
    against_best(found, of, step, 1.0, |kind| cloning(kind, step));
    let (before, after) = ("cold read before", "cold read after");
    let ours = |step| of.cost(Kind::Cawfs, step);
    let what = "cold read after the writes";
    let sides = [ours(after), ours(before)];
    against(
        found,
        of,
        &format!("{what}, against before"),
        sides,
        1.0 / 0.9,
    );
    let sides = [ours(after), of.cost(Kind::Xfs, after)];
    against(found, of, &format!("{what}, against XFS"), sides, 1.0 / 0.9);
}

fn clones(found: &mut Vec<Target>, of: Of) {
    let ours = |step| of.seconds(Kind::Cawfs, step);
    // The ioctl fixes what is cloned, a rename makes it appear: both together do what one call of others does.
    absolute(found, of, BIG.calls, ours(BIG.calls), 0.0003, seconds);
    let what = "the same against a clone of 10 files";
    let sides = [BIG.calls, SMALL.calls].map(ours);
    against(found, of, what, sides, 1.5);
    // Others need one call for all that takes us several: our whole program, but for its start, stands beside them.
    let big = ours(BIG.program);
    let what = "a clone of many files against one of 10, without starting the program";
    against(found, of, what, [big, ours(SMALL.program)], 1.5);
    // What of a snapshot is not the start of its program.
    let start = of.seconds(Kind::BtrfsSnap, START);
    let snapshot = of.seconds(Kind::BtrfsSnap, BIG.whole).zip(start);
    let snapshot = snapshot.map(|(all, start)| all - start);
    let what = "a clone of many files, likewise, against a Btrfs snapshot";
    against(found, of, what, [big, snapshot], 0.1);
    for (kind, name) in [(Kind::Btrfs, "Btrfs"), (Kind::Xfs, "XFS")] {
        let what = format!("a clone of many files, likewise, against cp -a --reflink on {name}");
        against(found, of, &what, [big, of.seconds(kind, BIG.whole)], 1e-4);
    }
    let beyond = ours(BIG.whole).zip(ours(MKDIR));
    let beyond = beyond.map(|(clone, mkdir)| (clone - mkdir).max(0.0));
    let what = "cawfs clone of many files, beyond mkdir";
    absolute(found, of, what, beyond, 0.002, seconds);
}

fn agents(found: &mut Vec<Target>, of: Of) {
    let all = of.seconds(Kind::Cawfs, "clone all");
    absolute(found, of, "all clones", all, 0.1, seconds);
    let step = "load in one clone";
    let sides = [Kind::Cawfs, Kind::BtrfsSnap].map(|kind| of.seconds(kind, step));
    let what = "the load in a clone, against a Btrfs snapshot";
    against(found, of, what, sides, 1.0);
}

const RANDOM_READS: &str = "cold random 4-KiB reads";

fn large(found: &mut Vec<Target>, of: Of) {
    let rows = [
        ("random 4-byte writes + fsync", 1.0 / 8.0),
        ("random 4-KiB writes + fsync", 1.0),
        ("sequential write + sync", 1.0 / 0.9),
        ("cold sequential read", 1.0 / 0.9),
    ];
    for (step, limit) in rows {
        against_best(found, of, step, limit, |kind| of.cost(kind, step));
    }
    let ours = |step| of.cost(Kind::Cawfs, step);
    for step in [
        "cold sequential read after 4-KiB writes",
        "cold sequential read after 4-byte writes",
    ] {
        let sides = [ours(step), ours("cold sequential read")];
        let what = format!("{step}, against before");
        against(found, of, &what, sides, 1.0 / 0.9);
    }
}

fn baseline(found: &mut Vec<Target>, of: Of) {
    let ours = |step| of.cost(Kind::Cawfs, step);
    for step in [
        "create small files + sync, 1 thread",
        "create small files + sync, 2 threads",
    ] {
        for (kind, name, limit) in [
            (Kind::Ext4, "ext4", 1.0 / 0.7),
            (Kind::Floor, "the FUSE floor", 1.25),
        ] {
            let sides = [ours(step), of.cost(kind, step)];
            against(found, of, &format!("{step}, against {name}"), sides, limit);
        }
    }
    for step in [
        RANDOM_READS,
        "cold rm -r + sync",
        "cold readdir + stat",
        "create 4 KiB + fsync",
        "write 4 KiB + fsync",
        "append 128 bytes",
        "mail: deliver",
        "mail: read or mark, cold at first",
        "SQLite transactions",
    ] {
        ext4_or_floor(found, of, step);
    }
}

fn containers(found: &mut Vec<Target>, of: Of) {
    // What creating takes beyond the start of a program that does nothing; not less than a clock can tell.
    let beyond = |kind| {
        let empty = of.seconds(kind, "start an empty program")?;
        Some((of.seconds(kind, "create")? - empty).max(1e-5))
    };
    for (kind, name, limit) in [
        (Kind::BtrfsSnap, "LXC on Btrfs", 1.0 / 3.0),
        (Kind::Overlay, "LXC with an overlay", 1.0 / 3.0),
        (Kind::Ext4, "LXC in a folder", 1.0 / 100.0),
    ] {
        let what = format!("creation beyond an empty program, against {name}");
        against(found, of, &what, [beyond(Kind::Cawfs), beyond(kind)], limit);
    }
    let sides = [
        "first write into the big file + fsync",
        "first write into a small file + fsync",
    ];
    let sides = sides.map(|step| of.seconds(Kind::Cawfs, step));
    let what = "first write into the big file against the small one";
    against(found, of, what, sides, 1.1);
}

/// At most 1.25 times what ext4 takes, or what FUSE takes by itself.
fn ext4_or_floor(found: &mut Vec<Target>, of: Of, step: &str) {
    let against = |kind| Some(of.cost(Kind::Cawfs, step)? / of.cost(kind, step)?);
    let ratios = [(Kind::Ext4, "ext4"), (Kind::Floor, "the FUSE floor")];
    let ratios = ratios.map(|(kind, name)| against(kind).map(|ratio| (ratio, name)));
    let ratios: Vec<_> = ratios.into_iter().flatten().collect();
    if ratios.is_empty() {
        return;
    }
    let shown: Vec<String> = ratios
        .iter()
        .map(|(ratio, name)| format!("{} {name}", times(*ratio)))
        .collect();
    found.push(Target {
        what: format!("{}: {step}", of.workload),
        limit: format!("{} ext4 or the FUSE floor", times(1.25)),
        measured: shown.join(", "),
        met: ratios.iter().any(|(ratio, _)| *ratio <= 1.25),
    });
}
