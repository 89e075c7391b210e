//! What was measured, as JSON, as a table, as plots; which targets are met; whether the counts make sense.

pub mod engines;
pub mod markdown;
pub mod pages;
pub mod plot;
pub mod sanity;
pub mod summary;
pub mod targets;

use crate::args::Sizes;
use crate::process;
use crate::session::Sample;
use anyhow::{Context, Result, bail};
use serde::Serialize;
use std::fs;
use std::path::Path;

/// Everything of one call of the program.
#[derive(Debug, Serialize)]
pub struct Results {
    /// The machine, in a line.
    pub machine: String,
    /// The command line.
    pub command: String,
    /// How big everything was.
    pub sizes: Sizes,
    /// What was noticed beside the numbers.
    pub notes: Vec<String>,
    /// The numbers.
    pub samples: Vec<Sample>,
}

impl Results {
    /// None yet.
    pub fn new(sizes: Sizes) -> Self {
        let mut command = std::env::args();
        let program = command.next().unwrap_or_default();
        let program = Path::new(&program).file_name().unwrap_or_default();
        let program = program.to_string_lossy().into_owned();
        Self {
            machine: machine(),
            command: [program]
                .into_iter()
                .chain(command)
                .collect::<Vec<_>>()
                .join(" "),
            sizes,
            notes: Vec::new(),
            samples: Vec::new(),
        }
    }

    /// The workloads there are samples of, in their order.
    pub fn workloads(&self) -> Vec<&'static str> {
        let mut found = Vec::new();
        for sample in &self.samples {
            if !found.contains(&sample.workload) {
                found.push(sample.workload);
            }
        }
        found
    }
}

fn machine() -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let memory = process::memory_bytes().unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    format!(
        "{model}, {cores} cores, {} GiB, Linux {}, load at the beginning {load}",
        memory >> 30,
        kernel.trim()
    )
}

/// Writes everything into `dir`, and prints the tables.
pub fn write(dir: &Path, results: &Results) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    fs::write(
        dir.join("results.json"),
        serde_json::to_string_pretty(results)?,
    )?;
    let plots = plot::all(dir, results, &results.workloads())?;
    let text = markdown::page(results, "cawfs-bench", &results.workloads(), &plots);
    fs::write(dir.join("results.md"), &text)?;
    println!("{text}");
    eprintln!(
        "cawfs-bench: results.json, results.md and {} plots are in {}",
        plots.len(),
        dir.display()
    );
    pictures(dir, &plots);
    Ok(())
}

/// The plots as PNG too, where there is a program for it.
fn pictures(dir: &Path, plots: &[String]) {
    if !process::exists("rsvg-convert") {
        eprintln!("cawfs-bench: the plots are SVG only, because there is no rsvg-convert here");
        return;
    }
    for plot in plots {
        let (svg, png) = (
            dir.join(format!("{plot}.svg")),
            dir.join(format!("{plot}.png")),
        );
        let args = ["-o".as_ref(), png.as_os_str(), svg.as_os_str()];
        if !process::tidy_up("rsvg-convert", args) {
            eprintln!("cawfs-bench: rsvg-convert made no {}", png.display());
        }
    }
}

/// Fails if the counts make no sense.
pub fn judge(results: &Results) -> Result<()> {
    let complaints = sanity::complaints(results);
    if complaints.is_empty() {
        return Ok(());
    }
    bail!("the counts make no sense:\n{}", complaints.join("\n"))
}
