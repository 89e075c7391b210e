//! `cawfs dump`: how a store is built, for people who look into it.

use crate::Outcome;
use crate::args::Dump;
use crate::failure::Failure;
use crate::{output, store};
use cawdb::KeyRange;
use std::fmt::Write;
use std::path::Path;

/// Prints the store, or writes a picture of it.
pub fn run(args: &Dump) -> Outcome {
    let how = store::Open {
        read_only: true,
        ..Default::default()
    };
    let opened = store::open(&args.store, &how)?;
    let mut text = String::new();
    let mut nodes = String::new();
    for pair in opened.store.scan(KeyRange::prefix(Vec::new())) {
        let (key, value) = pair.map_err(|e| Failure::at(&args.store, e))?;
        let key = key.escape_ascii();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{key}  {}", output::bytes(value.len() as u64));
        let label = key.to_string().replace('\\', "\\\\").replace('"', "\\\"");
        let _ = writeln!(nodes, "  map -> \"{label}\"");
    }
    let picture = format!("digraph cawfs {{\n  rankdir=LR; node [shape=box]\n{nodes}}}\n");
    match args.dot.as_deref() {
        None => output::print(&text),
        Some(file) if file == Path::new("-") => output::print(&picture),
        Some(file) => {
            std::fs::write(file, picture).map_err(|e| Failure::io(file, "cannot write it", e))?;
        }
    }
    Ok(0)
}
