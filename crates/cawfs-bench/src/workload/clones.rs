//! What a clone takes, of a small tree and of a big one, with nothing cold: beside a snapshot, beside copies that share, and beside the
//! making of an empty folder, which is what starting a program takes.
//!
//! Systems that walk the tree for each clone make one: what it takes is told by that.

use crate::files;
use crate::process;
use crate::session::{Session, Steps};
use crate::system::Kind;
use anyhow::Result;

/// Files of the small tree.
const FEW: u32 = 10;

/// Cloning the small tree.
pub const SMALL: Steps = Steps {
    whole: "clone of 10 files",
    program: "clone of 10 files, without starting the program",
    calls: "clone of 10 files, its two calls",
};
/// Cloning the big one.
pub const BIG: Steps = Steps {
    whole: "clone of many files",
    program: "clone of many files, without starting the program",
    calls: "clone of many files, its two calls",
};
/// Making a folder.
pub const MKDIR: &str = "mkdir";
/// Starting the program that clones, for nothing.
pub const START: &str = "start the cloning program";

/// Runs it.
pub fn run(session: &mut Session) -> Result<()> {
    session.system.new_tree("small")?;
    let mut random = session.random.fork();
    files::small_files(&session.system.path("small"), FEW, &mut random)?;
    let files = session.sizes.clones_files;
    session.measured(
        "fill + sync",
        0,
        Some((f64::from(files), "files")),
        |system| {
            system.new_tree("big")?;
            files::small_files(&system.path("big"), files, &mut random)?;
            system.sync()
        },
    )?;
    let at_once = matches!(session.system.kind(), Kind::Cawfs | Kind::BtrfsSnap);
    let rounds = if at_once { session.sizes.clones } else { 1 };
    for round in 1..=rounds {
        session.step(MKDIR, round, |system| {
            process::run("mkdir", [system.path(&format!("new-{round}"))])
        })?;
        if session.system.kind() == Kind::BtrfsSnap {
            session.step(START, round, |_| process::run("btrfs", ["--version"]))?;
        }
        for (step, tree) in [(SMALL, "small"), (BIG, "big")] {
            let name = format!("{tree}-{round}");
            session.told_step(step, round, |system| system.clone_tree(tree, &name))?;
        }
    }
    Ok(())
}
