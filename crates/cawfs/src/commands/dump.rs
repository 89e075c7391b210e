//! `cawfs dump`: how a store is built, for people who look into it.

use crate::Outcome;
use crate::args::Dump;
use crate::failure::Failure;
use crate::{output, store};
use std::path::Path;

/// Prints the DAG as text, or writes a picture of it.
pub fn run(args: &Dump) -> Outcome {
    let how = store::Open {
        read_only: true,
        ..Default::default()
    };
    let store = store::open(&args.store, &how, &output::note)?;
    let failed = |e| Failure::at(&args.store, e);
    match args.dot.as_deref() {
        None => output::print(&store.dump_text().map_err(failed)?),
        Some(file) => {
            let picture = store.dump_dot().map_err(failed)?;
            match file == Path::new("-") {
                true => output::print(&picture),
                false => std::fs::write(file, picture)
                    .map_err(|e| Failure::io(file, "cannot write it", e))?,
            }
        }
    }
    Ok(0)
}
