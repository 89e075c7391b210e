//! One run of one workload on one system: steps that are timed and counted.
//!
//! Invariant: what the counting itself costs (reading the counters) lies outside the time of the step.

use crate::args::Sizes;
use crate::process;
use crate::system::{Counts, Kind, System, Told};
use anyhow::{Context, Result};
use fastrand::Rng;
use indicatif::ProgressBar;
use serde::Serialize;
use std::time::Instant;

/// A step whose program may tell how long it took: what the parts of it are called.
#[derive(Clone, Copy)]
pub struct Steps {
    /// As users have it.
    pub whole: &'static str,
    /// Without the start of the program.
    pub program: &'static str,
    /// Of that, the calls that do the work.
    pub calls: &'static str,
}

/// Cloning a tree.
pub const CLONE: Steps = Steps {
    whole: "clone",
    program: "clone, without starting the program",
    calls: "clone, its two calls",
};
/// Removing one.
pub const REMOVAL: Steps = Steps {
    whole: "remove the tree the quickest way",
    program: "remove the tree, without starting the program",
    calls: "remove the tree, its call",
};

/// What one step took.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    /// The workload.
    pub workload: &'static str,
    /// The step of it.
    pub step: &'static str,
    /// On which system.
    pub system: Kind,
    /// In which run, from 1.
    pub repeat: u32,
    /// In which round of the run, from 1; 0 before the first.
    pub round: u32,
    /// Seconds, as a clock on the wall shows them.
    pub seconds: f64,
    /// What passed through the device.
    pub device: Option<Counts>,
    /// Requests of the kernel to a server in user space.
    pub requests: Option<u64>,
    /// Bytes of keys and values that an engine was given; zero where files are written.
    pub payload_bytes: u64,
    /// Seconds of processor time of the programs that were run, and of this one.
    pub client_seconds: f64,
    /// Seconds of processor time of the server in user space.
    pub server_seconds: f64,
    /// Seconds of processor time that the host of a virtual machine gave to others.
    pub taken_seconds: f64,
    /// Largest resident size of the server until then.
    pub server_peak_bytes: u64,
    /// How many more bytes are in use after it.
    pub space_bytes: i64,
    /// How many are in use then.
    pub used_bytes: u64,
    /// How much was done, where a rate says more than a time; the unit.
    pub amount: Option<(f64, &'static str)>,
}

impl Sample {
    /// Seconds for each of what was done.
    pub fn cost(&self) -> f64 {
        self.seconds / self.amount.map_or(1.0, |(amount, _)| amount)
    }
}

/// The run.
pub struct Session<'a> {
    /// The system.
    pub system: &'a mut dyn System,
    /// How big everything is.
    pub sizes: &'a Sizes,
    /// The same for all systems in the same run.
    pub random: Rng,
    /// Where the samples go.
    pub samples: &'a mut Vec<Sample>,
    /// What was noticed beside the numbers.
    pub notes: &'a mut Vec<String>,
    /// The workload.
    pub workload: &'static str,
    /// Which run, from 1.
    pub repeat: u32,
    /// Shown meanwhile.
    pub bar: &'a ProgressBar,
}

impl Session<'_> {
    /// Does a step; the seconds it took.
    pub fn step(
        &mut self,
        step: &'static str,
        round: u32,
        work: impl FnOnce(&mut dyn System) -> Result<()>,
    ) -> Result<f64> {
        self.measured(step, round, None, work)
    }

    /// Does a step that deals with so much of something.
    pub fn measured(
        &mut self,
        step: &'static str,
        round: u32,
        amount: Option<(f64, &'static str)>,
        work: impl FnOnce(&mut dyn System) -> Result<()>,
    ) -> Result<f64> {
        process::go_on()?;
        self.bar.set_message(format!(
            "{} on {}, run {}, round {round}: {step}",
            self.workload,
            self.system.kind().label(),
            self.repeat
        ));
        let used = self.system.space()?.0;
        let requests = self.system.requests()?;
        let (device, server) = (self.system.counts()?, self.system.server());
        let (client, taken) = (process::seconds_of("self"), process::taken_seconds());
        let start = Instant::now();
        work(self.system).with_context(|| format!("{}: {step}", self.system.kind().label()))?;
        let seconds = start.elapsed().as_secs_f64();
        let client_seconds = process::seconds_of("self") - client;
        let taken_seconds = process::taken_seconds() - taken;
        let after = self.system.server();
        let device_after = self.system.counts()?;
        let requests_after = self.system.requests()?;
        let used_bytes = self.system.space()?.0;
        let sample = Sample {
            device: device.zip(device_after).map(|(a, b)| b.since(a)),
            // A step that mounts anew begins to count anew.
            requests: requests
                .zip(requests_after)
                .and_then(|(a, b)| b.checked_sub(a)),
            client_seconds,
            taken_seconds,
            // A step that mounts anew has a new server.
            server_seconds: (after.seconds - server.seconds).max(0.0),
            server_peak_bytes: after.peak_bytes,
            space_bytes: used_bytes.cast_signed() - used.cast_signed(),
            used_bytes,
            amount,
            ..self.sample(step, round, seconds)
        };
        self.samples.push(sample);
        Ok(seconds)
    }

    /// Has an engine do what some lines say; the seconds within the engine.
    pub fn ask(
        &mut self,
        step: &'static str,
        round: u32,
        amount: Option<(f64, &'static str)>,
        lines: &[String],
    ) -> Result<f64> {
        let (mut seconds, mut bytes) = (0.0, 0);
        self.measured(step, round, amount, |system| {
            for line in lines {
                let answer = system.ask(line)?;
                seconds += answer.seconds;
                bytes += answer.bytes;
            }
            Ok(())
        })?;
        if let Some(sample) = self.samples.last_mut() {
            sample.payload_bytes = bytes;
        }
        Ok(seconds)
    }

    /// Clones a tree, also without the start of the program, if it tells; the seconds of all.
    pub fn clone_step(&mut self, round: u32, source: &str, name: &str) -> Result<f64> {
        self.told_step(CLONE, round, |system| system.clone_tree(source, name))
    }

    /// A step, and what its program says of itself, without its start; the seconds of all.
    pub fn told_step(
        &mut self,
        steps: Steps,
        round: u32,
        work: impl FnOnce(&mut dyn System) -> Result<Told>,
    ) -> Result<f64> {
        let mut told = Told::default();
        let seconds = self.step(steps.whole, round, |system| {
            told = work(system)?;
            Ok(())
        })?;
        let parts = [(steps.program, told.program), (steps.calls, told.calls)];
        for (step, inner) in parts {
            if let Some(inner) = inner {
                self.told(step, round, inner);
            }
        }
        Ok(seconds)
    }

    /// Records a time that a program told of itself within the step before.
    pub fn told(&mut self, step: &'static str, round: u32, seconds: f64) {
        let sample = self.sample(step, round, seconds);
        self.samples.push(sample);
    }

    /// A time, with nothing counted.
    fn sample(&self, step: &'static str, round: u32, seconds: f64) -> Sample {
        Sample {
            workload: self.workload,
            step,
            system: self.system.kind(),
            repeat: self.repeat,
            round,
            seconds,
            device: None,
            requests: None,
            payload_bytes: 0,
            client_seconds: 0.0,
            server_seconds: 0.0,
            taken_seconds: 0.0,
            server_peak_bytes: 0,
            space_bytes: 0,
            used_bytes: 0,
            amount: None,
        }
    }

    /// Makes everything durable, unmounts, drops the caches, and mounts; not timed, because no workload of a user does it.
    pub fn cold(&mut self) -> Result<()> {
        self.system.sync()?;
        self.system.remount_cold()
    }

    /// Writes down what the numbers do not say.
    pub fn note(&mut self, text: &str) {
        let (workload, system) = (self.workload, self.system.kind().label());
        let note = format!("{workload}, {system}, run {}: {text}", self.repeat);
        self.bar.println(&note);
        self.notes.push(note);
    }
}
