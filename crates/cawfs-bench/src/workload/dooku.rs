//! DookuBench: a folder of incompressible files is cloned again and again, and 16 bytes change in each file of each clone.
//!
//! ```text
//! round:  clone, sync, write 16 bytes into every file of the clone, sync, [caches dropped], search the clone
//! fan:    orig ──► 1, orig ──► 2, …        chain:  orig ──► 1 ──► 2 ──► …
//! ```
//!
//! A system whose image is nearly full stops early, and a note tells.

use crate::files::{self, Patch};
use crate::process::run_with;
use crate::session::Session;
use anyhow::{Result, ensure};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes that change in each file.
pub const PATCH_BYTES: usize = 16;

/// Runs it.
pub fn run(session: &mut Session, chain: bool) -> Result<()> {
    let (files, bytes) = (session.sizes.dooku_files, session.sizes.dooku_file_bytes);
    let data_bytes = u64::from(files) * bytes as u64;
    let mut random = session.random.fork();
    session.step("fill + sync", 0, |system| {
        system.new_tree("orig")?;
        files::random_files(&system.path("orig"), files, bytes, &mut random)?;
        system.sync()
    })?;
    session.cold()?;
    session.step("cold grep of the original", 0, |system| {
        search(&system.path("orig"))
    })?;
    let mut last = "orig".to_owned();
    let mut rounds = 0;
    for round in 1..=session.sizes.rounds_of(session.workload) {
        if session.system.space()?.1 < data_bytes + data_bytes / 8 {
            session.note(&format!("the image is full before round {round}"));
            break;
        }
        let name = format!("clone-{round}");
        let source = if chain { &last } else { "orig" };
        one_round(session, round, source, &name)?;
        last = name;
        rounds = round;
    }
    session.step("remove all clones + sync", rounds, |system| {
        for round in 1..=rounds {
            system.remove_tree(&format!("clone-{round}"))?;
        }
        system.sync()
    })?;
    Ok(())
}

fn one_round(session: &mut Session, round: u32, source: &str, name: &str) -> Result<()> {
    session.clone_step(round, source, name)?;
    session.step("clone: sync", round, |system| system.sync())?;
    let bytes = session.sizes.dooku_file_bytes;
    let patches: Vec<Patch> = (0..session.sizes.dooku_files)
        .map(|file| Patch::random(file, bytes, PATCH_BYTES, &mut session.random))
        .collect();
    session.step("write", round, |system| {
        let dir = system.path(name);
        patches.iter().try_for_each(|patch| patch.write(&dir))
    })?;
    session.step("write: sync", round, |system| system.sync())?;
    session.cold()?;
    session.step("cold grep", round, |system| search(&system.path(name)))?;
    verify(&session.system.path(name), &patches)
}

/// Reads everything, as a person would who looks for something.
fn search(dir: &Path) -> Result<()> {
    let args = ["-r", "-F", "cawfs-bench looks for this line"].map(AsRef::as_ref);
    run_with("grep", args.into_iter().chain([dir.as_os_str()]), &[1]).map(drop)
}

fn verify(dir: &Path, patches: &[Patch]) -> Result<()> {
    for patch in patches {
        let mut found = vec![0; patch.bytes.len()];
        let file = std::fs::File::open(dir.join(files::random_name(patch.file)))?;
        file.read_exact_at(&mut found, patch.offset)?;
        ensure!(
            found == patch.bytes,
            "{}: what was written is not there",
            dir.display()
        );
    }
    Ok(())
}
