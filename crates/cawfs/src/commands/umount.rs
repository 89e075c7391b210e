//! `cawfs umount`: sync, unmount, wait for the daemon to end.

use crate::Outcome;
use crate::args::Umount;
use crate::control::{self, Refusal};
use crate::failure::Failure;
use crate::{mounts, output};
use indicatif::{ProgressBar, ProgressStyle};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// Unmounts.
pub fn run(args: &Umount) -> Outcome {
    let dir =
        mounts::absolute(&args.dir).map_err(|e| Failure::io(&args.dir, "cannot unmount it", e))?;
    unmount(&dir)?;
    Ok(0)
}

/// Unmounts an absolute path; returns when everything is on disk and the store is free.
pub fn unmount(dir: &Path) -> Result<(), Failure> {
    let entry = mounts::at(dir).map_err(|e| Failure::io(dir, "cannot read the mounts", e))?;
    if entry.is_none() {
        return Err(Failure::at(dir, "nothing is mounted there")
            .hint("give the directory itself on which the store is mounted, see /proc/mounts"));
    }
    let daemon = match ask(dir) {
        Ok(daemon) => daemon,
        Err(Refusal::Stale) => {
            eprintln!(
                "cawfs umount: {}: its daemon has died; cleaning up",
                dir.display()
            );
            return cawfs_fuse::unmount(dir, true)
                .map_err(|e| Failure::io(dir, "cannot clean up", e));
        }
        Err(refusal) => {
            return Err(refusal.at(dir, |e| {
                Failure::io(dir, "cannot write everything to disk", e)
            }));
        }
    };
    cawfs_fuse::unmount(dir, false).map_err(|e| match e.kind() {
        io::ErrorKind::ResourceBusy => Failure::at(dir, "it is in use")
            .hint(format!("who uses it says: fuser -vm {}", dir.display())),
        _ => Failure::io(dir, "cannot unmount it", e),
    })?;
    wait(&daemon, dir).map_err(|e| Failure::io(dir, "cannot wait for the daemon", e))
}

/// Syncs the mount and takes hold of its daemon, by a descriptor that no later process can have.
fn ask(dir: &Path) -> Result<Option<OwnedFd>, Refusal> {
    let root = File::open(dir).map_err(|e| match mounts::is_stale(&e) {
        true => Refusal::Stale,
        false => {
            Refusal::Error(rustix::io::Errno::from_io_error(&e).unwrap_or(rustix::io::Errno::IO))
        }
    })?;
    let stats = control::stats(&root)?;
    match control::sync(&root) {
        Ok(()) | Err(Refusal::Error(rustix::io::Errno::ROFS)) => {}
        Err(e) => return Err(e),
    }
    let pid = stats["pid"]
        .as_i64()
        .and_then(|p| Pid::from_raw(i32::try_from(p).ok()?));
    Ok(pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()))
}

fn wait(daemon: &Option<OwnedFd>, dir: &Path) -> io::Result<()> {
    let Some(daemon) = daemon else { return Ok(()) };
    let begun = Instant::now();
    let bar = ProgressBar::hidden();
    let mut told = false;
    loop {
        let mut polled = [PollFd::new(daemon, PollFlags::IN)];
        let step = Timespec {
            tv_sec: 0,
            tv_nsec: 100_000_000,
        };
        match rustix::event::poll(&mut polled, Some(&step)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => {
                bar.finish_and_clear();
                return Ok(());
            }
            Err(e) => return Err(e.into()),
        }
        if !told && begun.elapsed() > Duration::from_secs(1) {
            told = true;
            let text = format!("{}: writing what is left to the store", dir.display());
            if output::watched() {
                bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
                if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
                    bar.set_style(style);
                }
                bar.set_message(text);
                bar.enable_steady_tick(Duration::from_millis(100));
            } else {
                eprintln!("cawfs umount: {text} ...");
            }
        }
    }
}
