//! `cawfs stats`: what a store holds and what its engine has done.

use crate::Outcome;
use crate::args::Stats;
use crate::failure::Failure;
use crate::{control, output, report, store};
use serde_json::json;
use std::fs::File;

/// Shows the statistics of a mount, or of a store that is not mounted.
pub fn run(args: &Stats) -> Outcome {
    let path = &args.path;
    let meta = std::fs::metadata(path).map_err(|e| Failure::io(path, "cannot look at it", e))?;
    let mut value = if meta.is_dir() {
        let dir = File::open(path).map_err(|e| Failure::io(path, "cannot open it", e))?;
        control::stats(&dir)
            .map_err(|refusal| refusal.at(path, |e| Failure::io(path, "no answer", e)))?
    } else {
        let opened = store::open(
            path,
            &store::Open {
                read_only: true,
                ..Default::default()
            },
            &output::note,
        )?;
        let mut value = report::of_store(&opened);
        value["store"] = json!(path.to_string_lossy());
        value
    };
    match args.json {
        true => output::json(&value),
        false => {
            let times = value["latency"].take();
            let text = output::sections(&value) + &crate::latency::tables(&times);
            output::print(&text);
        }
    }
    Ok(0)
}
