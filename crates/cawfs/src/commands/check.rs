//! `cawfs check`: reads all of a store once and compares it with itself; mends it if asked to.

use super::salvage;
use crate::Outcome;
use crate::args::Check;
use crate::finding::{DAMAGED, Finding, MENDED, ORPHANS, UNCHECKED, UNCHECKED_NAMES};
use crate::{output, store};
use serde_json::{Value, json};

/// What both floors saw.
struct Seen {
    engine: cawdb::Report,
    files: cawfs_fs::Report,
    findings: Vec<Finding>,
    mended: Vec<Finding>,
}

/// Checks a store: the tree, then every node and run, then the file system in it.
pub fn run(args: &Check) -> Outcome {
    if let Some(dir) = &args.salvage {
        return salvage::run(&args.store, dir, args.json);
    }
    let how = store::Open {
        read_only: !args.repair,
        ..Default::default()
    };
    let opened = store::open(&args.store, &how, &output::note).map_err(|failure| {
        let code = if failure.damaged { DAMAGED } else { UNCHECKED };
        let hint = format!(
            "what can still be read is copied out by: cawfs check --salvage DIR {}",
            args.store.display()
        );
        let failure = failure.code(code);
        if code == DAMAGED {
            failure.hint(hint)
        } else {
            failure
        }
    })?;
    let mended = if args.repair {
        repair(&opened)
    } else {
        Vec::new()
    };
    let mut seen = look(&opened, args.deep);
    seen.mended = mended;
    let store = args.store.to_string_lossy();
    match args.json {
        true => output::json(&seen.json(&store)),
        false => output::print(&seen.text(&store)),
    }
    let left = if seen.findings.is_empty() { 0 } else { DAMAGED };
    Ok(left | if seen.mended.is_empty() { 0 } else { MENDED })
}

/// Mends what the engine can mend, then what follows from names that are whole, then what the file system does when it is
/// mounted: it buries orphans.
fn repair(store: &cawdb::Store) -> Vec<Finding> {
    let mut mended: Vec<_> = match store.repair() {
        Ok(mended) => mended.iter().map(Finding::of_engine).collect(),
        Err(e) => {
            output::note(&format!("not everything could be mended: {e}"));
            Vec::new()
        }
    };
    match cawfs_fs::repair_names(store) {
        Ok(names) => mended.extend(names.iter().map(Finding::of_files)),
        Err(e) => output::note(&format!("the names could not be mended: {e}")),
    }
    let orphans = cawfs_fs::check_names(&store.snapshot()).map_or(0, |r| r.orphans);
    let mount = || cawfs_fs::Fs::mount(store.clone(), cawfs_fs::MountOptions::default());
    if orphans > 0 && mount().is_ok() {
        mended.push(Finding {
            code: ORPHANS,
            what: format!("{orphans} objects were unlinked, and are removed now"),
            extent: None,
            hurt: Vec::new(),
            repairable: true,
        });
    }
    if let Err(e) = store.checkpoint() {
        output::note(&format!("what was mended is not on the disk: {e}"));
    }
    mended
}

fn look(store: &cawdb::Store, deep: bool) -> Seen {
    let mut findings = Vec::new();
    let mut failed = |what: String| {
        findings.push(Finding {
            code: UNCHECKED_NAMES,
            what,
            extent: None,
            hurt: Vec::new(),
            repairable: false,
        });
    };
    let mut engine = store.check(false).unwrap_or_else(|e| {
        failed(e.to_string());
        cawdb::Report::default()
    });
    let files = match deep {
        true => cawfs_fs::check(&store.snapshot(), true),
        false => cawfs_fs::check_names(&store.snapshot()),
    };
    let files = files.unwrap_or_else(|e| {
        let why = std::error::Error::source(&e).map_or(e.to_string(), ToString::to_string);
        failed(format!("the names could not all be checked: {why}"));
        cawfs_fs::Report::default()
    });
    let read = read_all(store, &mut engine);
    let unreadable = |f: &&cawdb::Finding| f.fault == cawdb::Fault::Node;
    let known = engine.findings.iter().filter(|f| !unreadable(f));
    let mut all: Vec<_> = known.chain(&read).map(Finding::of_engine).collect();
    if engine.leaked_bytes > 0 {
        let leak = output::bytes(engine.leaked_bytes);
        let what = format!("{leak} are allocated that nothing refers to");
        all.push(Finding {
            code: cawdb::Fault::Leak.code(),
            what,
            extent: None,
            hurt: Vec::new(),
            repairable: true,
        });
    }
    all.append(&mut findings);
    all.extend(files.findings.iter().map(Finding::of_files));
    Seen {
        engine,
        files,
        findings: all,
        mended: Vec::new(),
    }
}

/// Reads everything on the disk once, with a bar on a terminal.
fn read_all(store: &cawdb::Store, report: &mut cawdb::Report) -> Vec<cawdb::Finding> {
    let mut scrub = store.scrub(0);
    let bar = output::bar("reading", scrub.bytes_left());
    let mut findings = Vec::new();
    while let Some(step) = scrub.step() {
        bar.inc(step.bytes);
        report.verified_bytes += step.bytes;
        findings.extend(step.findings);
    }
    bar.finish_and_clear();
    findings
}

impl Seen {
    fn json(&self, store: &str) -> Value {
        let (engine, files) = (&self.engine, &self.files);
        let list = |all: &[Finding]| all.iter().map(Finding::json).collect::<Vec<_>>();
        json!({
            "store": store,
            "clean": self.findings.is_empty(),
            "nodes": engine.nodes,
            "runs": engine.runs,
            "references": engine.references,
            "nodes_being_released": engine.releasing,
            "height": engine.height,
            "leaked_bytes": engine.leaked_bytes,
            "replayed_batches": engine.replayed_batches,
            "messages": engine.messages,
            "verified_bytes": engine.verified_bytes,
            "directories": files.directories,
            "files": files.files,
            "other_objects": files.others,
            "blocks": files.blocks,
            "orphans": files.orphans,
            "findings": list(&self.findings),
            "mended": list(&self.mended),
        })
    }

    fn text(&self, store: &str) -> String {
        let (engine, files, count) = (&self.engine, &self.files, output::count);
        let verdict = match (self.findings.is_empty(), self.mended.is_empty()) {
            (true, true) => "in order",
            (true, false) => "in order now",
            (false, _) => "DAMAGED",
        };
        let mut text = format!("{store}: {verdict}\n");
        let mut line = |name: &str, value: String| {
            text.push_str(&format!("  {name:<8} {value}\n"));
        };
        let (nodes, runs) = (count(engine.nodes), count(engine.runs));
        let references = count(engine.references);
        let height = engine.height;
        line(
            "tree",
            format!("{nodes} nodes, {runs} runs, {references} references, height {height}"),
        );
        let verified = output::bytes(engine.verified_bytes);
        let messages = count(engine.messages);
        line("content", format!("{messages} messages, {verified} read"));
        let (dirs, regular) = (count(files.directories), count(files.files));
        let (others, orphans) = (count(files.others), count(files.orphans));
        line(
            "objects",
            format!(
                "{dirs} directories, {regular} files, {others} others, {orphans} unlinked but open"
            ),
        );
        line("leaks", output::bytes(engine.leaked_bytes));
        for (name, list) in [("mended", &self.mended), ("damage", &self.findings)] {
            for finding in list {
                finding.lines(name, &mut line);
            }
        }
        if !self.findings.is_empty() {
            let some = self.findings.iter().any(|f| f.repairable);
            let hint = match some && self.mended.is_empty() {
                true => {
                    "cawfs check --repair mends what can be mended; docs/check.md says what each number means"
                }
                false => {
                    "what can still be read is copied out by cawfs check --salvage DIR; see docs/check.md"
                }
            };
            line("hint", hint.into());
        }
        text
    }
}
