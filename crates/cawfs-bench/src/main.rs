//! `cawfs-bench`: one workload on cawfs and on its peers in turn, in one run, several times.
//!
//! ```text
//! args ──► systems (each in a loop image of its own, made here) ◄── workload (steps) ──► samples
//!                                                                                         │
//!              results.json   results.md (medians, spread, ratios, targets)   *.svg  ◄────┘
//! ```
//!
//! Nothing of the workspace is linked in: cawfs is measured as its users have it, through its command and the kernel; engines are
//! served by a program of its own, `bench-engine`, in a package apart from the workspace.
//! Progress goes to standard error, the tables to standard output too. Exit codes: 0 done, 1 something of cawfs failed or
//! the counts make no sense, 2 wrong usage. Peers that cannot be made here are left out, and a line says which and why.

mod args;
mod engine;
mod files;
mod floor;
mod image;
mod overlay;
mod peer;
mod process;
mod report;
mod session;
mod stage;
mod subject;
mod system;
mod workload;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = args::Args::parse();
    let outcome = process::watch_signals().and_then(|()| stage::run(&args));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cawfs-bench: {error:#}");
            ExitCode::from(1)
        }
    }
}
