//! The order of everything: one image, each system made on it anew for each run of each workload, in turn.
//!
//! ```text
//! for each workload    for each run    for each system, the first another one each time    make, run, unmount
//! ```
//!
//! One image for all: what is written lies at the same place on the disk for each, and the disk needs the room once.
//! Invariant: whatever happens, mounts go before the device, the device before the file, the file with its folder: that is
//! the order in which they are dropped.

use crate::args::{Args, Sizes};
use crate::engine::{self, EngineOn};
use crate::floor::{self, Floor};
use crate::image::Image;
use crate::peer::{self, Peer};
use crate::process::{self, Patience};
use crate::report::{self, Results};
use crate::session::Session;
use crate::subject::Cawfs;
use crate::system::{Kind, System};
use crate::workload::Name;
use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

struct Stage {
    program: PathBuf,
    engines: PathBuf,
    floor: PathBuf,
    image: Option<Arc<Image>>,
    mount_dir: PathBuf,
    store: PathBuf,
    bytes: u64,
    cache: u64,
    patience: Option<Duration>,
}

/// Runs all that is asked for, and writes the results; also what was measured before a failure.
pub fn run(args: &Args) -> Result<()> {
    let sizes = args.sizes();
    if let Some(first) = args
        .first
        .filter(|first| args.systems().first() != Some(first))
    {
        bail!(
            "{} cannot be the first: it is not among the systems that are measured",
            first.label()
        );
    }
    let scratch = tempfile::Builder::new().prefix("cawfs-bench.").tempdir()?;
    let stage = Stage::new(args, &sizes, scratch.path())?;
    let mut results = Results::new(sizes);
    let kinds = stage.available(args.systems(), &mut results.notes);
    let outcome = stage.play(&args.workloads(), &kinds, &mut results);
    drop(stage);
    report::write(&args.out, &results)?;
    outcome?;
    // Only whole runs: half a one would take the place of a page that says more.
    if let Some(docs) = &args.docs {
        report::pages::write(docs, &results)?;
    }
    report::judge(&results)
}

impl Stage {
    fn new(args: &Args, sizes: &Sizes, scratch: &Path) -> Result<Self> {
        let mount_dir = scratch.join("mnt");
        std::fs::create_dir(&mount_dir)?;
        let image = Image::attach(
            &scratch.join("image"),
            sizes.image_bytes,
            sizes.image_written,
        );
        if process::go_on().is_err() {
            bail!("interrupted");
        }
        let image = image.inspect_err(|error| {
            eprintln!(
                "cawfs-bench: no loop device, so cawfs alone is measured, in a file: {error:#}"
            );
        });
        let program = program(args)?;
        Ok(Self {
            floor: program.with_file_name("examples").join("floor"),
            program,
            engines: engines(args),
            image: image.ok().map(Arc::new),
            mount_dir,
            store: scratch.join("store"),
            bytes: sizes.image_bytes,
            cache: sizes.engine_cache_bytes,
            patience: args.patience.map(Duration::from_secs),
        })
    }

    /// Those that can be made here; a line for each that cannot.
    fn available(&self, kinds: Vec<Kind>, notes: &mut Vec<String>) -> Vec<Kind> {
        let why_not = |kind: Kind| {
            let device = kind == Kind::Cawfs || self.image.is_some();
            let no_device = (!device).then(|| "there is no loop device".to_owned());
            no_device
                .or_else(|| peer::missing(kind))
                .or_else(|| floor::missing(kind, &self.floor))
                .or_else(|| engine::missing(kind, &self.engines))
        };
        let mut found = Vec::new();
        for kind in kinds {
            match why_not(kind) {
                None => found.push(kind),
                Some(reason) => {
                    let note = format!("{} is left out: {reason}", kind.label());
                    eprintln!("cawfs-bench: {note}");
                    notes.push(note);
                }
            }
        }
        found
    }

    fn system(&self, kind: Kind) -> Result<Box<dyn System>> {
        let dir = self.mount_dir.clone();
        Ok(match (kind, &self.image) {
            (Kind::Floor, _) => Box::new(Floor::new(&self.floor, dir)),
            (Kind::Cawfs, image) => {
                let (program, store) = (&self.program, self.store.clone());
                Box::new(Cawfs::new(program, dir, image.clone(), store, self.bytes))
            }
            (kind, Some(image)) if kind.is_engine() => {
                let ext4 = Peer::new(Kind::Ext4, dir, image.clone());
                Box::new(EngineOn::new(kind, ext4, &self.engines, self.cache))
            }
            (_, Some(image)) => Box::new(Peer::new(kind, dir, image.clone())),
            (_, None) => bail!("a peer without a device"),
        })
    }

    fn play(&self, workloads: &[Name], kinds: &[Kind], results: &mut Results) -> Result<()> {
        let runs = workloads.len() * kinds.len() * results.sizes.repeat as usize;
        let bar = ProgressBar::new(runs as u64);
        bar.set_style(
            ProgressStyle::with_template("{bar:24} {pos}/{len} {elapsed}  {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        let sizes = results.sizes.clone();
        let mut outcome = Ok(());
        for workload in workloads {
            if let Some(reason) = workload.missing() {
                let note = format!("{} is left out: {reason}", workload.label());
                eprintln!("cawfs-bench: {note}");
                results.notes.push(note);
                continue;
            }
            for repeat in 1..=sizes.repeat {
                for turn in 0..kinds.len() {
                    let kind = kinds[(turn + repeat as usize - 1) % kinds.len()];
                    if workload.suits(kind) {
                        let done = self.one(*workload, kind, repeat, &sizes, results, &bar);
                        process::go_on()?;
                        // The others go on, but all in all it is a failure.
                        outcome = outcome.and(done);
                    }
                    bar.inc(1);
                }
            }
        }
        bar.finish_and_clear();
        outcome
    }

    fn one(
        &self,
        workload: Name,
        kind: Kind,
        repeat: u32,
        sizes: &Sizes,
        results: &mut Results,
        bar: &ProgressBar,
    ) -> Result<()> {
        let mut system = self.system(kind)?;
        let patience = Patience::new(self.patience.filter(|_| !kind.is_ours()));
        let mut session = Session {
            system: &mut *system,
            sizes,
            random: fastrand::Rng::with_seed(sizes.seed ^ (u64::from(repeat) << 32)),
            samples: &mut results.samples,
            notes: &mut results.notes,
            workload: workload.label(),
            repeat,
            bar,
        };
        if let Some(lack) = session.system.lack() {
            session.note(&lack);
        }
        let outcome = session
            .system
            .make()
            .and_then(|()| workload.run(&mut session));
        drop(patience);
        let outcome = outcome.and_then(|()| session.system.unmount());
        if let Err(error) = &outcome {
            session.note(&format!("failed: {error:#}"));
        }
        match outcome {
            // A peer that fails is told of only.
            Err(_) if !kind.is_ours() => Ok(()),
            outcome => outcome.with_context(|| format!("{} on {}", workload.label(), kind.label())),
        }
    }
}

fn engines(args: &Args) -> PathBuf {
    let beside = || Some(std::env::current_exe().ok()?.parent()?.join("bench-engine"));
    args.engines.clone().or_else(beside).unwrap_or_default()
}

fn program(args: &Args) -> Result<PathBuf> {
    let beside = || Some(std::env::current_exe().ok()?.parent()?.join("cawfs"));
    let named = || std::env::var_os("CAWFS").map(PathBuf::from);
    let path = args
        .cawfs
        .clone()
        .or_else(named)
        .or_else(beside)
        .unwrap_or_default();
    std::fs::canonicalize(&path).with_context(|| {
        format!(
            "there is no program {}: name it with --cawfs",
            path.display()
        )
    })
}
