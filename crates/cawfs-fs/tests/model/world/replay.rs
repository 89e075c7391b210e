//! Replays a list of steps on the file system and on the model, and compares.
//!
//! Invariants:
//! 1. the checkers of the engine and of files run after every step, over all there is;
//! 2. every 16 steps, and at the end, everything is read and compared, and the engine reads every key;
//! 3. an error or a panic that the model does not foresee is a failure like a difference, and is shrunk like one.

use super::names::Removal;
use super::step::Step;
use super::{Outcome, Shape, Trouble, World};
use cawfs_sim::{Failure, catch};
use std::collections::BTreeMap;

const COMPARE_EVERY: usize = 16;

/// What replays did.
#[derive(Debug, Default)]
pub struct Progress {
    /// Steps.
    pub steps: u64,
    /// Of these, calls of the file system (background work, reading and mounting are none).
    pub operations: u64,
    /// What happened to files.
    pub seen: BTreeMap<&'static str, u64>,
    /// What happened in the engine.
    pub engine: BTreeMap<&'static str, u64>,
}

impl Progress {
    pub fn add(&mut self, other: Self) {
        self.steps += other.steps;
        self.operations += other.operations;
        let add = |all: &mut BTreeMap<_, u64>, more: BTreeMap<_, u64>| {
            more.into_iter()
                .for_each(|(name, n)| *all.entry(name).or_default() += n);
        };
        add(&mut self.seen, other.seen);
        add(&mut self.engine, other.engine);
    }
    /// How often this happened.
    pub fn met(&self, name: &str) -> u64 {
        let times = self.seen.get(name).or_else(|| self.engine.get(name));
        times.copied().unwrap_or(0)
    }
    /// Asserts that each of these happened: a test that never meets a path says nothing about it.
    pub fn assert_met(&self, names: &[&str]) {
        let missing: Vec<_> = names.iter().filter(|name| self.met(name) == 0).collect();
        assert!(
            missing.is_empty(),
            "never happened: {missing:?} in {self:#?}"
        );
    }
}

/// Replays the steps on a fresh file system.
///
/// # Errors
/// The first difference, error or panic.
pub fn replay(shape: Shape, steps: &[Step]) -> Result<Progress, Failure> {
    let mut world = World::new(shape);
    let mut progress = Progress::default();
    for (at, step) in steps.iter().enumerate() {
        let full = at % COMPARE_EVERY == COMPARE_EVERY - 1;
        let outcome = caught(|| {
            progress.operations += u64::from(world.take(step)?);
            world.check(full)?;
            if full { world.compare() } else { Ok(()) }
        });
        outcome.map_err(|what| world.failure(at, what))?;
    }
    let outcome = caught(|| world.finish());
    outcome.map_err(|what| world.failure(steps.len().saturating_sub(1), what))?;
    progress.steps = steps.len() as u64;
    (progress.seen, progress.engine) = (world.seen, world.engine);
    Ok(progress)
}

/// Runs work; a panic or trouble is text.
pub fn caught<T>(work: impl FnOnce() -> Outcome<T>) -> Result<T, String> {
    match catch(work)? {
        Ok(value) => Ok(value),
        Err(Trouble::Wrong(what) | Trouble::Failed(what)) => Err(what),
    }
}

impl World {
    /// The failure of a step; the world is of no use any more.
    pub fn failure(&mut self, step: usize, what: String) -> Failure {
        let calls = std::mem::take(&mut self.calls);
        Failure { step, what, calls }
    }

    /// Takes a step, or a removal if there is too much already. Whether it was an operation on files.
    pub fn take(&mut self, step: &Step) -> Outcome<bool> {
        let before = self.calls.len();
        let step = match step.grows() && self.model.objects.len() >= self.shape.objects {
            true => Step::RemoveTree(before as u32, super::step::PickName::Known(before as u32)),
            false => *step,
        };
        let outcome = self.act(step);
        if let Err(Trouble::Failed(_)) = outcome {
            self.model = self.versions.newest().clone();
        }
        outcome?;
        let no_operation = matches!(
            step,
            Step::Tick(_) | Step::Forget(_) | Step::Checkpoint | Step::Crash(_)
        );
        Ok(self.calls.len() > before && !no_operation)
    }

    fn act(&mut self, step: Step) -> Outcome {
        match step {
            Step::Make(dir, name, made) => self.make(dir, name, made),
            Step::Write(file, offset, fill, append) => self.write(file, offset, fill, append),
            Step::Truncate(file, size) => self.truncate(file, size),
            Step::Allocate(file, what, keep, offset, len) => {
                self.allocate(file, (what, keep), (offset, len))
            }
            Step::Copy(from, source, to, target, len) => {
                self.copy_range((from, source), (to, target), len)
            }
            Step::Seek(file, offset) => self.seek(file, offset),
            Step::Unlink(dir, name) => self.remove(dir, name, Removal::Unlink),
            Step::Rmdir(dir, name) => self.remove(dir, name, Removal::Rmdir),
            Step::RemoveTree(dir, name) => self.remove(dir, name, Removal::Tree),
            Step::Rename(from, name, to, new, mode) => self.rename((from, name), (to, new), mode),
            Step::SetXattr(at, name, fill, mode) => self.set_xattr(at, name, fill, mode),
            Step::RemoveXattr(at, name) => self.remove_xattr(at, name),
            Step::Chmod(at, mode) => self.chmod(at, mode),
            Step::Chown(at, user, group) => self.chown(at, (user, group)),
            Step::Guard(at, bits) => self.guard(at, bits),
            Step::Unguard(at) => self.unguard(at),
            Step::Clone(from, dir, name, replace, way, look) => {
                self.clone(from, (dir, name), replace, way, look)
            }
            Step::Nest(dir, name) => self.nest(dir, name),
            Step::Stage(at, count, replace, look) => self.stage(at, count, replace, look),
            Step::Complete(at, dir, name, way) => self.complete(at, (dir, name), way),
            Step::Open(at) => self.open(at),
            Step::Close(at) => self.close(at),
            Step::Tmpfile(dir, name, fill) => self.tmpfile(dir, name, fill),
            Step::Link(from, dir, name) => self.link(from, (dir, name)),
            Step::Forget(all) => self.forget(all),
            Step::Fsync(file) => self.fsync(file),
            Step::FsyncDir(at) => self.fsync_dir(at),
            Step::SyncAll => self.sync_all(),
            Step::Checkpoint => self.checkpoint(),
            Step::Tick(count) => self.tick(count),
            Step::HandOver => self.hand_over(),
            Step::Remount(settled, checkpoint) => self.remount(settled, checkpoint),
            Step::Crash(fate) => self.crash(fate),
        }
    }

    /// The invariants of the engine and of files; with `data` the engine reads every key.
    pub fn check(&self, data: bool) -> Outcome {
        let report = self.must(self.store().check(data).map_err(Into::into))?;
        if !report.findings.is_empty() {
            return Err(Trouble::Wrong(format!("{:?}", report.findings)));
        }
        let report = self.must(cawfs_fs::check(&self.store().snapshot(), true))?;
        match report.findings.is_empty() {
            true => Ok(()),
            false => Err(Trouble::Wrong(format!("{:?}", report.findings))),
        }
    }
}
