//! The command line of cawfs: one program, its verbs are files of `commands`.
//!
//! ```text
//! args ── commands ──┬── daemon ── cawfs_fuse ── cawfs_fs        mount
//!                    ├── control ── ioctl ── (a mount)             clone rm sync stats scrub umount
//!                    ├── store ── cawdb                          mkfs check dump
//!                    └── demo ── (this program itself)
//! ```
//!
//! Results go to standard output, progress and errors to standard error. Exit codes: 0 done,
//! 1 failed, 2 wrong usage; `check` and `scrub` answer like fsck(8).

mod args;
mod commands;
mod control;
mod daemon;
mod demo;
mod failure;
mod finding;
#[doc(hidden)]
pub mod fuzz;
mod helper;
mod ioctl;
mod latency;
mod mounts;
mod occupant;
mod options;
mod output;
mod report;
mod store;
mod stuck;
mod users;

use clap::Parser;
use failure::Failure;
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the program with these arguments, the first of which is its own name.
pub fn run(args: Vec<OsString>) -> ExitCode {
    let args = match helper::rewrite(args) {
        Ok(args) => args,
        Err(failure) => return failure.report("mount"),
    };
    let cli = match args::Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(e) => {
            // A closed pipe behind --help is no error.
            let _ = e.print();
            let verb = args.get(1).and_then(|a| a.to_str());
            let usage = match verb {
                Some("check" | "scrub") => finding::USAGE,
                _ => failure::USAGE,
            };
            return ExitCode::from(if e.use_stderr() { usage } else { 0 });
        }
    };
    let verb = cli.command.verb();
    match commands::run(cli.command) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => failure.report(verb),
    }
}

/// What a command answers: its exit code, or what went wrong.
type Outcome = Result<u8, Failure>;
