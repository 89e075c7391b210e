//! `cawfs check`: reads all of a store and compares it with itself; changes nothing.

use crate::Outcome;
use crate::args::Check;
use crate::{output, store};
use serde_json::json;

/// Exit code of fsck(8): errors are left.
const DAMAGED: u8 = 4;
/// Exit code of fsck(8): the check could not be done.
const UNCHECKED: u8 = 8;

/// What both floors saw.
struct Seen {
    engine: cawdb::Report,
    files: cawfs_fs::Report,
    findings: Vec<String>,
}

/// Checks a store: the tree, then every key and value, then the file system in it.
pub fn run(args: &Check) -> Outcome {
    let how = store::Open {
        read_only: true,
        ..Default::default()
    };
    let opened = store::open(&args.store, &how, &output::note).map_err(|failure| {
        let code = if failure.damaged { DAMAGED } else { UNCHECKED };
        failure.code(code)
    })?;
    let seen = look(&opened);
    let store = args.store.to_string_lossy();
    match args.json {
        true => output::json(&seen.json(&store)),
        false => output::print(&seen.text(&store)),
    }
    Ok(if seen.findings.is_empty() { 0 } else { DAMAGED })
}

fn look(store: &cawdb::Store) -> Seen {
    let mut findings = Vec::new();
    let engine = store.check(true).unwrap_or_else(|e| {
        findings.push(e.to_string());
        cawdb::Report::default()
    });
    findings.extend(engine.findings.iter().cloned());
    if engine.leaked_bytes > 0 {
        let leak = output::bytes(engine.leaked_bytes);
        findings.push(format!("{leak} are allocated that nothing refers to"));
    }
    let files = cawfs_fs::check(&store.snapshot(), true).unwrap_or_else(|e| {
        findings.push(e.to_string());
        cawfs_fs::Report::default()
    });
    findings.extend(
        files
            .findings
            .iter()
            .map(|f| format!("{}: {:?}", f.place, f.fault)),
    );
    Seen {
        engine,
        files,
        findings,
    }
}

impl Seen {
    fn json(&self, store: &str) -> serde_json::Value {
        let (engine, files) = (&self.engine, &self.files);
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
            "keys": engine.keys,
            "value_bytes": engine.value_bytes,
            "directories": files.directories,
            "files": files.files,
            "other_objects": files.others,
            "blocks": files.blocks,
            "orphans": files.orphans,
            "findings": self.findings,
        })
    }

    fn text(&self, store: &str) -> String {
        let (engine, files, count) = (&self.engine, &self.files, output::count);
        let verdict = if self.findings.is_empty() {
            "in order"
        } else {
            "DAMAGED"
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
        line(
            "content",
            format!(
                "{} keys, {}",
                count(engine.keys),
                output::bytes(engine.value_bytes)
            ),
        );
        let (dirs, regular) = (count(files.directories), count(files.files));
        let (others, orphans) = (count(files.others), count(files.orphans));
        line(
            "objects",
            format!(
                "{dirs} directories, {regular} files, {others} others, {orphans} unlinked but open"
            ),
        );
        line("leaks", output::bytes(engine.leaked_bytes));
        for finding in &self.findings {
            line("damage", finding.clone());
        }
        text
    }
}
