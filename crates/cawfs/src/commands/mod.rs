//! The verbs, a file each.

pub mod check;
mod clone;
mod dump;
pub mod mkfs;
pub mod mount;
mod remount;
mod rm;
mod salvage;
mod scrub;
pub mod stats;
mod sync;
mod target;
pub mod umount;

pub use clone::{Wish, clone};
pub use sync::sync;

use crate::Outcome;
use crate::args::Command;

/// Runs a command.
pub fn run(command: Command) -> Outcome {
    match command {
        Command::Mkfs(args) => mkfs::run(&args),
        Command::Mount(args) => mount::run(&args),
        Command::Umount(args) => umount::run(&args),
        Command::Clone(args) => clone::run(&args),
        Command::Rm(args) => rm::run(&args),
        Command::Sync(args) => sync::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Scrub(args) => scrub::run(&args),
        Command::Stats(args) => stats::run(&args),
        Command::Dump(args) => dump::run(&args),
        Command::Demo(args) => crate::demo::run(&args),
        Command::Daemon(args) => crate::daemon::start::daemon(&args),
        Command::Watch(args) => crate::daemon::watcher::run(&args),
    }
}
