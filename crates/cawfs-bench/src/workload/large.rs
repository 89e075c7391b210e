//! One large file: written and read in order, read at random, written at random in pieces of 4 KiB and of four bytes, and read in order after each.
//!
//! `large` makes one that is larger than the memory of the machine, so that no cache holds it; `baseline` a smaller one, beside a file system in memory.
//! Each step begins cold, and ends when what it wrote is durable.

use crate::files::{self, random_block_reads, random_block_writes, read_through};
use crate::session::Session;
use crate::workload::vm::mebibytes;
use anyhow::Result;

/// Runs it, if there is room.
pub fn run(session: &mut Session) -> Result<()> {
    session.system.new_tree("base")?;
    let bytes = session.sizes.larger_bytes;
    // What is written at random lies beside it for a while.
    if session.system.space()?.1 < bytes + bytes / 4 {
        session.note(&format!("{} MiB do not fit into the image", bytes >> 20));
        return Ok(());
    }
    steps(session, bytes)
}

/// Makes a file of so many bytes in the tree `base`, which is there.
pub fn steps(session: &mut Session, bytes: u64) -> Result<()> {
    let blocks = session.sizes.large_writes;
    let path = session.system.path("base").join("large");
    let mut random = session.random.fork();
    session.measured("sequential write + sync", 0, mebibytes(bytes), |system| {
        files::random_file(&path, bytes, &mut random)?;
        system.sync()
    })?;
    session.cold()?;
    session.measured("cold sequential read", 0, mebibytes(bytes), |_| {
        read_through(&path)
    })?;
    session.cold()?;
    let reads = blocks / 8;
    session.measured(
        "cold random 4-KiB reads",
        0,
        Some((f64::from(reads), "reads")),
        |_| random_block_reads(&path, bytes, reads, &mut random),
    )?;
    for (step, after, size) in [
        (
            "random 4-KiB writes + fsync",
            "cold sequential read after 4-KiB writes",
            4096,
        ),
        (
            "random 4-byte writes + fsync",
            "cold sequential read after 4-byte writes",
            4,
        ),
    ] {
        session.cold()?;
        session.measured(step, 0, Some((f64::from(blocks), "writes")), |_| {
            let file = random_block_writes(&path, bytes, blocks, size, &mut random)?;
            Ok(file.sync_all()?)
        })?;
        session.cold()?;
        session.measured(after, 0, mebibytes(bytes), |_| read_through(&path))?;
    }
    Ok(())
}
