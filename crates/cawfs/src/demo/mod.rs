//! `cawfs demo`: the main job, on a real tree, with everything compared.
//!
//! ```text
//! mkfs ─ mount ─ copy TREE in ─ clone N times ─ change files in every clone ─ compare
//!      ─ remount ─ compare again ─ read original and clone ─ the same with cp -a ─ table
//! ```

mod edits;
mod pace;
mod scene;
mod table;
mod tree;

use crate::Outcome;
use crate::args::Demo;
use crate::failure::Failure;
use crate::{commands, output};
use edits::Changes;
use pace::Pace;
use scene::Scene;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use tree::Tree;

/// Clones that are compared as whole trees.
const SAMPLE: usize = 3;

/// Runs the demonstration.
pub fn run(args: &Demo) -> Outcome {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, stop.clone())
            .map_err(|e| Failure::new(format!("cannot watch for Ctrl-C: {e}")))?;
    }
    let tree = match &args.tree {
        Some(top) => tree::named(top)?,
        None => tree::find()?,
    };
    let room = enough_room(&tree)?;
    eprintln!(
        "\ncawfs demo: {}: {} files, {}\n",
        tree.top.display(),
        output::count(tree.files),
        output::bytes(tree.bytes)
    );
    let mut play = Play {
        scene: Scene::set_up(room)?,
        tree,
        stop,
        clones: Vec::new(),
    };
    let result = play.act(args.clones as usize)?;
    drop(play);
    match args.json {
        true => output::json(&result.json()),
        false => output::print(&result.table()),
    }
    Ok(0)
}

/// The size to give to the store, if the disk has room for it and an ordinary copy.
fn enough_room(tree: &Tree) -> Result<u64, Failure> {
    let place = std::env::temp_dir();
    let stat =
        rustix::fs::statvfs(&place).map_err(|e| Failure::io(&place, "cannot look at it", e))?;
    let (free, need) = (stat.f_bavail * stat.f_frsize, tree.bytes * 3 + (1 << 30));
    if free < need {
        let text = format!(
            "{} are free, {} are needed",
            output::bytes(free),
            output::bytes(need)
        );
        return Err(
            Failure::at(&place, text).hint("name another place with TMPDIR, or a smaller TREE")
        );
    }
    Ok(tree.bytes * 2 + (1 << 29))
}

struct Play {
    scene: Scene,
    tree: Tree,
    stop: Arc<AtomicBool>,
    clones: Vec<(PathBuf, Changes)>,
}

impl Play {
    fn act(&mut self, count: usize) -> Result<table::Result, Failure> {
        let original = self.scene.mount_point().join("original");
        let empty = self.used()?;
        let copy = self.copy_in(&original)?;
        let full = self.used()?;
        let clone = self.clone(&original, count)?;
        let cloned = self.used()?;
        self.change()?;
        let changed = self.used()?;
        self.compare("compare")?;
        let pace = self.begin("unmount and mount again", 1, false);
        self.scene.remount()?;
        pace.end("");
        self.compare("compare again")?;
        self.scene.remount()?;
        let first = self.read("read the original", &original)?;
        self.scene.remount()?;
        let last = self.clones.last().map_or(original.clone(), |c| c.0.clone());
        let second = self.read("read the last clone", &last)?;
        let plain = self.plain()?;
        let share = |bytes: u64| bytes / count as u64;
        Ok(table::Result {
            tree: self.tree.top.to_string_lossy().into_owned(),
            files: self.tree.files,
            bytes: self.tree.bytes,
            clones: count,
            copy,
            clone,
            tree_room: full.saturating_sub(empty),
            clone_room: share(cloned.saturating_sub(full)),
            changed_room: share(changed.saturating_sub(full)),
            changed: self.clones.first().map_or(0, |c| c.1.len()),
            read: [first, second],
            plain,
        })
    }

    fn begin(&self, what: &str, total: u64, bytes: bool) -> Pace {
        Pace::begin(what, total, bytes, &self.stop)
    }

    /// Bytes in use in the store. Mounted afresh, it has written everything and freed what it
    /// could, so that nothing is counted that only waits.
    fn used(&mut self) -> Result<u64, Failure> {
        self.scene.remount()?;
        let dir = self.scene.mount_point();
        let stat = rustix::fs::statvfs(&dir).map_err(|e| Failure::io(&dir, "no sizes", e))?;
        Ok((stat.f_blocks - stat.f_bfree) * stat.f_frsize)
    }

    fn copy_in(&self, original: &Path) -> Result<Duration, Failure> {
        let pace = self.begin("copy the tree in", self.tree.bytes, true);
        tree::copy(&self.tree, original, &pace)?;
        commands::sync(&self.scene.mount_point())?;
        Ok(pace.end(&output::bytes(self.tree.bytes)))
    }

    fn clone(&mut self, original: &Path, count: usize) -> Result<Vec<Duration>, Failure> {
        let pace = self.begin(&format!("clone it {count} times"), count as u64, false);
        let mut times = Vec::with_capacity(count);
        for number in 0..count {
            let clone = self.scene.mount_point().join(format!("clone-{number}"));
            let begun = Instant::now();
            let wish = commands::Wish::default();
            commands::clone(original, std::slice::from_ref(&clone), wish)?;
            times.push(begun.elapsed());
            self.clones.push((clone, Changes::default()));
            pace.step(1)?;
        }
        pace.end("");
        times.sort();
        Ok(times)
    }

    fn change(&mut self) -> Result<(), Failure> {
        let pace = self.begin(
            "change files in every clone",
            self.clones.len() as u64,
            false,
        );
        let mut total = 0;
        for (number, (at, changes)) in self.clones.iter_mut().enumerate() {
            *changes = edits::make(&self.tree, number, at, 0xca3f5)?;
            total += changes.len();
            pace.step(1)?;
        }
        pace.end(&format!("{} files", output::count(total as u64)));
        Ok(())
    }

    /// The original as a whole, the changed files of all clones, some clones as a whole.
    fn compare(&self, what: &str) -> Result<(), Failure> {
        let whole = SAMPLE.min(self.clones.len());
        let total = self.tree.bytes * (whole as u64 + 1);
        let pace = self.begin(what, total, true);
        let original = self.scene.mount_point().join("original");
        tree::compare(&self.tree, &original, &|_| false, 0, &pace)?;
        for (at, changes) in &self.clones {
            changes.compare(at, &pace)?;
        }
        let stride = (self.clones.len() / whole.max(1)).max(1);
        for (at, changes) in self.clones.iter().rev().step_by(stride).take(whole) {
            let changed = |name: &Path| changes.has(name);
            tree::compare(&self.tree, at, &changed, changes.extra, &pace)?;
        }
        pace.end("every byte as it should be");
        Ok(())
    }

    fn read(&self, what: &str, at: &Path) -> Result<Duration, Failure> {
        let pace = self.begin(what, self.tree.bytes, true);
        let bytes = tree::read(&self.tree, at, &pace)?;
        Ok(pace.end(&output::bytes(bytes)))
    }

    /// The same with `cp -a` on the disk below: time, bytes, time to read.
    fn plain(&self) -> Result<(Duration, u64, Duration), Failure> {
        let to = self.scene.path().join("plain");
        let pace = self.begin("cp -a on the disk below", 1, false);
        let status = Command::new("cp")
            .arg("-a")
            .arg("--")
            .arg(&self.tree.top)
            .arg(&to)
            .status();
        let status = status.map_err(|e| Failure::new(format!("cannot run cp: {e}")))?;
        pace.step(1)?;
        if !status.success() {
            return Err(Failure::new(format!("cp -a failed ({status})")));
        }
        let place = std::fs::File::open(&to).map_err(|e| Failure::io(&to, "lost", e))?;
        rustix::fs::syncfs(&place).map_err(|e| Failure::io(&to, "cannot sync", e))?;
        let room = tree::room(&self.tree, &to);
        let time = pace.end(&output::bytes(room));
        let read = self.read("read that copy", &to)?;
        Ok((time, room, read))
    }
}
