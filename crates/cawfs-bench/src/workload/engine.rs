//! Pairs of keys and values, ten times as many as the cache holds: put in order and at random, patched blindly, read, scanned,
//! deleted by ranges, mixed, made durable one by one, copied, and cloned where the engine can.
//!
//! `growth` asks our own engine the same questions as it grows, in bytes and then in clones.

use crate::session::Session;
use crate::system::Kind;
use anyhow::Result;

/// Bytes of a key and its value.
pub const PAIR_BYTES: u64 = 418;
/// Pairs of a short scan.
const SHORT: u64 = 100;
/// Ranges deleted, a tenth of a percent of all keys each.
const DELETED: u64 = 200;
/// Pairs of the scans of `growth`.
const LONG: u64 = 10_000;
/// Point reads that find what those before them left.
const MORE: &str = "more point reads";

/// Runs it.
pub fn run(session: &mut Session) -> Result<()> {
    let (keys, writes, reads) = (
        session.sizes.engine_keys,
        session.sizes.engine_writes,
        session.sizes.engine_reads,
    );
    let durable = u64::from(session.sizes.durable);
    let seed = session.random.u64(1..u64::MAX);
    let step = |session: &mut Session, step, count, unit, line: String| {
        let lines = [line, "sync a".to_owned()];
        session.ask(step, 0, Some((count as f64, unit)), &lines)
    };
    let puts = "puts";
    let line = format!("load a 0 {keys}");
    step(session, "sequential puts + sync", keys, puts, line)?;
    look(
        session,
        ["cold point reads", "cold scan", "cold short scans"],
    )?;
    session.cold()?;
    let line = format!("puts a {writes} {keys} {seed}");
    step(session, "random puts + sync", writes, puts, line)?;
    session.cold()?;
    let line = format!("patches a {writes} {keys} {seed}");
    step(session, "blind patches + sync", writes, "patches", line)?;
    let line = format!("durable a {durable} {keys} {seed}");
    step(session, "durable puts", durable, puts, line)?;
    look(
        session,
        [
            "cold point reads after writes",
            "cold scan after writes",
            "cold short scans after writes",
        ],
    )?;
    session.cold()?;
    let line = format!("mixed a {reads} {keys} {seed}");
    step(session, "mixed load", reads, "operations", line)?;
    session.cold()?;
    let line = format!("delete a {DELETED} {} {keys} {seed}", keys / 1000);
    step(session, "range deletes + sync", DELETED, "ranges", line)?;
    clones(session)
}

/// Reads, everything, and short scans, each cold.
fn look(session: &mut Session, steps: [&'static str; 3]) -> Result<()> {
    let (keys, reads) = (session.sizes.engine_keys, session.sizes.engine_reads);
    let seed = session.random.u64(1..u64::MAX);
    let short = reads / 10;
    let lines = [
        (reads, "reads", format!("reads a {reads} {keys} {seed}")),
        (keys, "pairs", "scan a".to_owned()),
        (
            short * SHORT,
            "pairs",
            format!("ranges a {short} {SHORT} {keys} {seed}"),
        ),
    ];
    for (step, (count, unit, line)) in steps.into_iter().zip(lines) {
        session.cold()?;
        session.ask(step, 0, Some((count as f64, unit)), &[line])?;
    }
    Ok(())
}

/// All keys of a prefix appear under others, by cloning where the engine can, by copying everywhere.
fn clones(session: &mut Session) -> Result<()> {
    let cloned = session.sizes.engine_cloned;
    let amount = Some((cloned as f64, "puts"));
    let lines = [format!("load p 0 {cloned}"), "sync p".to_owned()];
    session.ask("fill a prefix + sync", 0, amount, &lines)?;
    if session.system.kind() == Kind::Cawdb {
        for round in 1..=session.sizes.engine_clones {
            let seconds = session.ask(
                "clone the prefix",
                round,
                None,
                &[format!("clone p q{round}")],
            )?;
            session.told("clone the prefix, in the engine", round, seconds);
        }
    }
    let lines = ["copy p c".to_owned(), "sync p".to_owned()];
    session.ask("copy the prefix + sync", 0, amount, &lines)?;
    Ok(())
}

/// Our own engine as it grows. A round is a size, and then a number of clones of everything, each with a few patches.
pub fn growth(session: &mut Session) -> Result<()> {
    let (mut keys, mut round) = (0, 0);
    for bytes in session.sizes.growth_bytes.clone() {
        round += 1;
        // Background work needs room, too.
        if session.system.space()?.1 < (bytes - keys * PAIR_BYTES) * 3 / 2 {
            session.note(&format!("{} MiB do not fit into the image", bytes >> 20));
            continue;
        }
        let grown = bytes / PAIR_BYTES;
        let lines = [
            format!("load a {keys} {}", grown - keys),
            "sync a".to_owned(),
        ];
        let amount = Some(((grown - keys) as f64, "puts"));
        session.ask("sequential puts + sync", round, amount, &lines)?;
        keys = grown;
        questions(session, round, keys)?;
    }
    let mut made = 0;
    for clones in session.sizes.growth_clones.clone() {
        round += 1;
        let seed = session.random.u64(1..u64::MAX);
        let lines: Vec<String> = (made + 1..=clones)
            .flat_map(|clone| {
                let patches = format!("patches q{clone} 100 {keys} {}", seed ^ u64::from(clone));
                [format!("clone a q{clone}"), patches]
            })
            .collect();
        let amount = Some((f64::from(clones - made), "clones"));
        session.ask("clone all + 100 patches", round, amount, &lines)?;
        made = clones;
        questions(session, round, keys)?;
    }
    Ok(())
}

/// Writes, and then looks: cold, and once more at keys at random. The first look pays for the index of each run that it meets, once; the second for what it
/// looks at.
fn questions(session: &mut Session, round: u32, keys: u64) -> Result<()> {
    let (writes, reads) = (session.sizes.engine_writes, session.sizes.engine_reads / 5);
    let seed = session.random.u64(1..u64::MAX);
    let other = session.random.u64(1..u64::MAX);
    let scans = (reads / 100).max(1);
    let sync = || "sync a".to_owned();
    for (step, count, unit, lines) in [
        (
            "random puts + sync",
            writes,
            "puts",
            vec![format!("puts a {writes} {keys} {seed}"), sync()],
        ),
        (
            "cold scans",
            scans * LONG,
            "pairs",
            vec![format!("ranges a {scans} {LONG} {keys} {seed}")],
        ),
        (
            "cold point reads",
            reads,
            "reads",
            vec![format!("reads a {reads} {keys} {seed}")],
        ),
        (
            MORE,
            reads,
            "reads",
            vec![format!("reads a {reads} {keys} {other}")],
        ),
    ] {
        if step != MORE {
            session.cold()?;
        }
        session.ask(step, round, Some((count as f64, unit)), &lines)?;
    }
    Ok(())
}
