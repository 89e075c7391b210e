//! `cawfs scrub`: has the daemon of a mount verify its store, part by part, at the pace of this end.
//!
//! The bar, the rate and Ctrl-C live here: the daemon only ever does a part, and forgets a scrub that nobody goes on with.

use crate::args::Scrub;
use crate::control::{self, Refusal};
use crate::failure::Failure;
use crate::finding::{CANCELLED, DAMAGED, Finding, UNCHECKED};
use crate::{Outcome, output};
use cawdb::Fault;
use rustix::io::Errno;
use serde_json::{Value, json};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Bytes in a part, at most.
const PART_BYTES: u64 = 4 << 20;
/// Parts in a second, at least, if there is a rate.
const PARTS: u64 = 20;
/// Longest sleep between two looks at whether Ctrl-C was pressed.
const NAP: Duration = Duration::from_millis(50);

/// How long between two looks at whether the daemon lives.
const LOOK: Duration = Duration::from_secs(1);

/// What was seen.
#[derive(Default)]
struct Seen {
    verified: u64,
    left: u64,
    findings: Vec<Finding>,
    cancelled: bool,
}

/// Scrubs the mount of a directory or file.
pub fn run(args: &Scrub) -> Outcome {
    let (dir, begun, mut seen) = (&args.dir, Instant::now(), Seen::default());
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, stop.clone())
            .map_err(|e| Failure::new(format!("cannot watch for Ctrl-C: {e}")).code(UNCHECKED))?;
    }
    let object =
        File::open(dir).map_err(|e| Failure::io(dir, "cannot open it", e).code(UNCHECKED))?;
    let walked = walk(&object, args.rate, &stop, &mut seen);
    let failure = walked.err().map(|refusal| {
        let failure = refusal.at(dir, |e| refused(dir, e));
        let damaged = if seen.findings.is_empty() { 0 } else { DAMAGED };
        failure.code(UNCHECKED | damaged)
    });
    if let Some(failure) = failure.clone().filter(|_| seen.verified == 0) {
        return Err(failure);
    }
    let complete = failure.is_none() && !seen.cancelled;
    match args.json {
        true => output::json(&seen.json(dir, complete, begun.elapsed())),
        false => output::print(&seen.text(dir, complete, begun.elapsed())),
    }
    if let Some(failure) = failure {
        return Err(failure);
    }
    let damaged = if seen.findings.is_empty() { 0 } else { DAMAGED };
    Ok(damaged | if seen.cancelled { CANCELLED } else { 0 })
}

fn refused(dir: &Path, e: Errno) -> Failure {
    match e {
        Errno::PERM => Failure::at(dir, "only root and whoever mounted it may scrub it"),
        Errno::NOENT => Failure::at(dir, "too many others scrub it at the same time")
            .hint("begin again when they are done"),
        _ => Failure::io(dir, "cannot scrub it", e),
    }
}

/// Goes from part to part, until all is read or `stop` says so.
fn walk(
    object: &File,
    rate: Option<u64>,
    stop: &AtomicBool,
    seen: &mut Seen,
) -> Result<(), Refusal> {
    let budget = rate.map_or(PART_BYTES, |rate| (rate / PARTS).clamp(1, PART_BYTES));
    let (mut token, mut due) = (0, Instant::now());
    let mut bar = None;
    loop {
        let part = control::scrub(object, token, budget)?;
        let number = |name: &str| part[name].as_u64().unwrap_or(0);
        let findings = part["findings"].as_array().into_iter().flatten();
        let read = number("read_bytes");
        (token, seen.left) = (number("token"), number("left_bytes"));
        seen.verified += read;
        seen.findings
            .extend(findings.filter_map(Finding::from_json));
        let bar = bar.get_or_insert_with(|| output::bar("reading", seen.verified + seen.left));
        bar.set_position(bar.length().unwrap_or(0).saturating_sub(seen.left));
        if part["done"] == true {
            bar.finish_and_clear();
            return Ok(());
        }
        if let Some(rate) = rate {
            let took = Duration::from_secs_f64(read as f64 / rate as f64);
            // What was slower than it might be is not made up for.
            due = (due + took).max(Instant::now());
            wait_until(object, due, stop)?;
        }
        if stop.load(Ordering::Relaxed) {
            bar.finish_and_clear();
            seen.cancelled = true;
            // So that its memory is free at once; if that fails, it is so later.
            let _ = control::scrub(object, token, 0);
            return Ok(());
        }
    }
}

/// Waits, unless it is told to end, or the daemon dies meanwhile.
fn wait_until(object: &File, due: Instant, stop: &AtomicBool) -> Result<(), Refusal> {
    let mut looked = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        match due.saturating_duration_since(Instant::now()) {
            Duration::ZERO => break,
            left => std::thread::sleep(left.min(NAP)),
        }
        if looked.elapsed() >= LOOK {
            control::is_served(object)?;
            looked = Instant::now();
        }
    }
    Ok(())
}

impl Seen {
    fn json(&self, dir: &Path, complete: bool, took: Duration) -> Value {
        json!({
            "mounted_on": dir.to_string_lossy(),
            "clean": complete && self.findings.is_empty(),
            "complete": complete,
            "verified_bytes": self.verified,
            "left_bytes": self.left,
            "seconds": took.as_secs_f64(),
            "findings": self.findings.iter().map(Finding::json).collect::<Vec<_>>(),
        })
    }

    fn text(&self, dir: &Path, complete: bool, took: Duration) -> String {
        let verdict = match (self.findings.is_empty(), complete) {
            (true, true) => "in order",
            (true, false) => "not read to the end; in order so far",
            (false, true) => "DAMAGED",
            (false, false) => "DAMAGED, and not read to the end",
        };
        let mut text = format!("{}: {verdict}\n", dir.display());
        let mut line = |name: &str, value: String| {
            text.push_str(&format!("  {name:<8} {value}\n"));
        };
        let (read, time) = (output::bytes(self.verified), output::time(took));
        line("content", format!("{read} read and verified in {time}"));
        if !complete {
            line("left", output::bytes(self.left));
        }
        for finding in &self.findings {
            finding.lines("damage", &mut line);
        }
        if !self.findings.is_empty() {
            line("hint", hint(&self.findings));
        }
        text
    }
}

/// What to do, the most urgent first: what both copies have lost only the daemon still knows, until a checkpoint writes it anew.
fn hint(findings: &[Finding]) -> String {
    let urgent = [Fault::Table, Fault::Superblock].map(Fault::code);
    if let Some(lost) = findings.iter().find(|f| urgent.contains(&f.code)) {
        return format!(
            "do not unmount it, it would not open again: copy out what matters, then change files until C{} is gone; see docs/check.md",
            lost.code
        );
    }
    let hint = match findings.iter().all(|f| f.repairable) {
        true => "nothing is lost: unmount it, then cawfs check --repair STORE",
        false => "remove or restore what is named; docs/check.md says what each number means",
    };
    hint.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What people are told after a scrub that found these.
    fn told(faults: &[Fault]) -> String {
        let finding = |fault: &Fault| Finding {
            code: fault.code(),
            what: "what was expected and what was found".into(),
            extent: None,
            hurt: Vec::new(),
            repairable: fault.is_repairable(),
        };
        let seen = Seen {
            findings: faults.iter().map(finding).collect(),
            ..Seen::default()
        };
        seen.text(Path::new("/mnt"), true, Duration::from_secs(1))
    }

    #[test]
    fn nobody_is_told_to_unmount_what_does_not_open_again() {
        let beside: [&[Fault]; 3] = [&[], &[Fault::TableCopy], &[Fault::Segment]];
        for (fault, number) in [(Fault::Table, "C104"), (Fault::Superblock, "C105")] {
            for others in beside {
                let mut found = others.to_vec();
                found.push(fault);
                let text = told(&found);
                let hint = text.lines().next_back().unwrap();
                assert!(hint.contains("do not unmount it"), "{text}");
                assert!(hint.contains(number), "{text}");
            }
        }
    }

    #[test]
    fn one_lost_copy_is_mended_after_an_unmount() {
        let text = told(&[Fault::TableCopy, Fault::SuperblockCopy]);
        assert!(text.contains("nothing is lost: unmount it"), "{text}");
        let text = told(&[Fault::TableCopy, Fault::Segment]);
        assert!(text.contains("remove or restore what is named"), "{text}");
        assert!(!told(&[]).contains("hint"));
    }
}
