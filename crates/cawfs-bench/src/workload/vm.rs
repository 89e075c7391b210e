//! The raw image of a virtual machine: cloned, written into at random, read from end to end; each a clone of the one before.

use crate::files::{self, random_block_writes, read_through};
use crate::session::Session;
use anyhow::Result;
use std::path::PathBuf;

const DISK: &str = "disk.raw";

/// Runs it.
pub fn run(session: &mut Session) -> Result<()> {
    let bytes = session.sizes.vm_bytes;
    let mut random = session.random.fork();
    session.measured("fill + sync", 0, mebibytes(bytes), |system| {
        system.new_tree("vm-0")?;
        files::random_file(&system.path("vm-0").join(DISK), bytes, &mut random)?;
        system.sync()
    })?;
    session.cold()?;
    session.measured("cold read of the original", 0, mebibytes(bytes), |system| {
        read_through(&system.path("vm-0").join(DISK))
    })?;
    for round in 1..=session.sizes.vm_rounds {
        // Some set aside more room than they need.
        if session.system.space()?.1 < bytes * 5 / 4 {
            session.note(&format!("the image is full before round {round}"));
            break;
        }
        one_round(session, round)?;
    }
    Ok(())
}

fn one_round(session: &mut Session, round: u32) -> Result<()> {
    let (source, name) = (format!("vm-{}", round - 1), format!("vm-{round}"));
    let (bytes, writes) = (session.sizes.vm_bytes, session.sizes.vm_writes);
    session.clone_step(round, &source, &name)?;
    session.step("clone: sync", round, |system| system.sync())?;
    let path: PathBuf = session.system.path(&name).join(DISK);
    session.cold()?;
    session.measured("cold read before", round, mebibytes(bytes), |_| {
        read_through(&path)
    })?;
    session.cold()?;
    let mut random = session.random.fork();
    let amount = Some((f64::from(writes), "writes"));
    session.measured("random 4-KiB writes + sync", round, amount, |system| {
        random_block_writes(&path, bytes, writes, 4096, &mut random).map(drop)?;
        system.sync()
    })?;
    session.cold()?;
    session.measured("cold read after", round, mebibytes(bytes), |_| {
        read_through(&path)
    })?;
    Ok(())
}

/// So many bytes, as the amount of a step.
pub fn mebibytes(bytes: u64) -> Option<(f64, &'static str)> {
    Some((bytes as f64 / 1048576.0, "MiB"))
}
