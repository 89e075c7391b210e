//! `cawfs umount`: sync, unmount, wait for the daemon to end.

use crate::Outcome;
use crate::args::Umount;
use crate::control::{self, Refusal};
use crate::failure::Failure;
use crate::{mounts, output, stuck, users};
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

/// Unmounts an absolute path; returns when everything is on disk and the store is free. A mount whose store takes no
/// more changes goes too, and that is the failure then.
pub fn unmount(dir: &Path) -> Result<(), Failure> {
    let entry = mounts::at(dir).map_err(|e| Failure::io(dir, "cannot read the mounts", e))?;
    let Some(entry) = entry else {
        return Err(Failure::at(dir, "nothing is mounted there")
            .hint("give the directory itself on which the store is mounted, see /proc/mounts"));
    };
    if stuck::release(&entry) {
        return clean_up("umount", dir);
    }
    let (daemon, failed) = match ask(dir) {
        Ok(asked) => asked,
        Err(Refusal::Stale) => return clean_up("umount", dir),
        Err(refusal) => {
            return Err(refusal.at(dir, |e| {
                Failure::io(dir, "cannot write everything to disk", e)
            }));
        }
    };
    cawfs_fuse::unmount(dir, false).map_err(|e| match e.kind() {
        io::ErrorKind::ResourceBusy => busy(dir),
        _ => Failure::io(dir, "cannot unmount it", e),
    })?;
    wait(&daemon, dir).map_err(|e| Failure::io(dir, "cannot wait for the daemon", e))?;
    match failed {
        None => Ok(()),
        Some(why) => Err(Failure::at(
            dir,
            format_args!("unmounted, but what was not synced is lost, because {why}"),
        )
        .hint("look at the store with cawfs check, and mount it again")),
    }
}

fn busy(dir: &Path) -> Failure {
    match users::of(dir) {
        Some(users) => Failure::at(dir, format_args!("it is in use by {users}"))
            .hint("close what is open in it, and leave it, then try again"),
        None => Failure::at(dir, "it is in use").hint(format!(
            "who uses it says, to root: fuser -vm {}",
            dir.display()
        )),
    }
}

/// Takes away a mount whose daemon has died. Nothing can be lost by that: nobody answers, and what was synced is in the
/// store. Who still has something of it open goes on to see errors, and does not hinder.
pub fn clean_up(verb: &str, dir: &Path) -> Result<(), Failure> {
    let users = users::of(dir);
    let still = users.map_or_else(String::new, |users| {
        format!("; still in use by {users}, to whom all of it is an error")
    });
    eprintln!(
        "cawfs {verb}: {}: its daemon has died; cleaning up{still}",
        dir.display()
    );
    cawfs_fuse::unmount(dir, true).map_err(|e| Failure::io(dir, "cannot clean up", e))
}

/// What unmounting must know of a daemon: a descriptor that no later process can have, and why it takes no more changes.
type Asked = (Option<OwnedFd>, Option<String>);

/// Syncs the mount and takes hold of its daemon.
fn ask(dir: &Path) -> Result<Asked, Refusal> {
    let root = File::open(dir).map_err(|e| match mounts::is_stale(&e) {
        true => Refusal::Stale,
        false => {
            Refusal::Error(rustix::io::Errno::from_io_error(&e).unwrap_or(rustix::io::Errno::IO))
        }
    })?;
    let stats = control::stats(&root)?;
    let failed = match control::sync(&root) {
        Ok(()) | Err(Refusal::Error(rustix::io::Errno::ROFS)) => None,
        Err(Refusal::Failed(why)) => Some(why),
        Err(e) => return Err(e),
    };
    let pid = stats["pid"]
        .as_i64()
        .and_then(|p| Pid::from_raw(i32::try_from(p).ok()?));
    let daemon = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    Ok((daemon, failed))
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
