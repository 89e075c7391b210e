//! The results in the documentation: a page with plots for each workload, and rows of the table of targets of all.
//!
//! ```text
//! DOCS/benchmarks.md          the rows of these workloads are replaced, all else stays as people wrote it
//! DOCS/benchmarks/PAGE.md     one for each workload, or group of workloads, that was run
//! DOCS/benchmarks/*.svg
//! ```
//!
//! Invariant: rows of workloads that were not run stay as they are, and all rows stand in the order of the workloads.

use crate::report::markdown::{self, TARGETS, target_row};
use crate::report::{Results, plot, targets};
use crate::workload::Name;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;

/// Writes the pages, and the rows into the table, which has to be there.
pub fn write(docs: &Path, results: &Results) -> Result<()> {
    let overview = docs.join("benchmarks.md");
    let text = fs::read_to_string(&overview)
        .with_context(|| format!("cannot read {}", overview.display()))?;
    let rows: Vec<String> = targets::all(results, &results.workloads())
        .iter()
        .map(target_row)
        .collect();
    let Some(text) = replaced(&text, &results.workloads(), rows) else {
        bail!(
            "{} has no table of targets, which begins with the line {}",
            overview.display(),
            TARGETS.lines().next().unwrap_or_default()
        );
    };
    let dir = docs.join("benchmarks");
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let mut pages: Vec<(&str, Vec<&str>)> = Vec::new();
    for workload in results.workloads() {
        let page = Name::page(workload);
        match pages.iter_mut().find(|(name, _)| *name == page) {
            Some((_, workloads)) => workloads.push(workload),
            None => pages.push((page, vec![workload])),
        }
    }
    for (page, workloads) in pages {
        let plots = plot::all(&dir, results, &workloads)?;
        let text = markdown::page(results, page, &workloads, &plots);
        fs::write(dir.join(format!("{page}.md")), text)?;
    }
    fs::write(&overview, text).with_context(|| format!("cannot write {}", overview.display()))
}

/// The text with the rows of these workloads in its table of targets replaced; none without such a table.
fn replaced(text: &str, workloads: &[&str], rows: Vec<String>) -> Option<String> {
    let from = text.find(TARGETS)? + TARGETS.len() + 1;
    let table = text.get(from..)?;
    let old = table.lines().take_while(|line| line.starts_with('|'));
    let length: usize = old.clone().map(|line| line.len() + 1).sum();
    let kept = old.filter(|row| !workloads.contains(&workload_of(row)));
    let mut all: Vec<String> = kept.map(str::to_owned).chain(rows).collect();
    let place = |row: &String| {
        let label = workload_of(row);
        Name::WORKLOADS
            .iter()
            .position(|name| name.label() == label)
    };
    all.sort_by_key(place); // stable: rows of one workload keep their order
    let all: String = all.iter().map(|row| format!("{row}\n")).collect();
    let rest = table.get(length.min(table.len())..)?;
    Some(format!("{}{all}{rest}", text.get(..from)?))
}

/// The workload that a row is about.
fn workload_of(row: &str) -> &str {
    let what = row.trim_start_matches(['|', ' ']);
    what.split(':').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_what_was_run_are_replaced_and_others_stay() {
        let text = format!(
            "before\n\n{TARGETS}\n| dooku-fan: a | 1 | 2 | met |\n| vm: b | 1 | 2 | met |\n| engine: c | 1 | 2 | met |\n\nafter\n"
        );
        let rows = vec!["| vm: new | 1 | 3 | met |".to_owned()];
        let expected = format!(
            "before\n\n{TARGETS}\n| dooku-fan: a | 1 | 2 | met |\n| vm: new | 1 | 3 | met |\n| engine: c | 1 | 2 | met |\n\nafter\n"
        );
        assert_eq!(replaced(&text, &["vm"], rows), Some(expected));
        assert_eq!(replaced("no table", &["vm"], Vec::new()), None);
    }

    #[test]
    fn rows_of_a_workload_that_is_new_come_in_their_place() {
        let text = format!("{TARGETS}\n| vm: b | 1 | 2 | met |");
        let rows = vec!["| tree: x | 1 | 3 | met |".to_owned()];
        let expected = format!("{TARGETS}\n| tree: x | 1 | 3 | met |\n| vm: b | 1 | 2 | met |\n");
        assert_eq!(replaced(&text, &["tree"], rows), Some(expected));
    }
}
