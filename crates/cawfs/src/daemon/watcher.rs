//! A process of its own that ends the connection to the kernel if the daemon is killed and cannot end ([`crate::stuck`]), so
//! that whoever uses the mount gets an error and does not wait for ever.
//!
//! ```text
//! daemon (main thread) ──spawn──► watcher
//!    ├── ends: the pipe closes ─────────► the watcher ends
//!    └── is killed: the kernel sends SIGTERM, also while threads of the daemon wait in it ──► release, the watcher ends
//! ```
//!
//! It has nothing of the daemon open, neither store nor mount, and costs nothing while it waits.

use crate::args::Watch;
use crate::{Outcome, mounts, stuck};
use rustix::process::{Signal, set_parent_process_death_signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a killed daemon may take to end before it is looked at for the last time.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a signal may come before the death that it tells of.
const MOMENT: Duration = Duration::from_millis(500);

/// The running watcher of this process; it ends with this value.
pub struct Watcher(Child);

/// Starts the watcher of the mount on `dir`. To be called by the thread whose end is that of the daemon. Without a watcher,
/// commands still see what has happened.
pub fn start(dir: &Path) -> Option<Watcher> {
    let begun = std::env::current_exe().and_then(|program| {
        let mut command = Command::new(program);
        command
            .arg("watch")
            .arg(dir)
            .arg(std::process::id().to_string());
        command.current_dir("/").stdin(Stdio::piped());
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()
    });
    begun
        .inspect_err(|e| tracing::warn!(error = %e, "nobody watches the daemon"))
        .ok()
        .map(Watcher)
}

impl Drop for Watcher {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        if let Err(e) = self.0.wait() {
            tracing::warn!(error = %e, "the watcher did not end");
        }
    }
}

/// The watcher's life, called through the hidden verb.
pub fn run(args: &Watch) -> Outcome {
    // Those that a terminal or a shutdown sends to all processes are for the daemon.
    let signals = Signals::new([SIGTERM, SIGINT, SIGHUP]);
    let armed = set_parent_process_death_signal(Some(Signal::TERM));
    let (Ok(mut signals), Ok(())) = (signals, armed) else {
        return Ok(1);
    };
    std::thread::spawn(|| {
        let mut nothing = [0];
        // Closed, or an error: either way the daemon needs no watcher any more.
        let _ = std::io::stdin().read(&mut nothing);
        std::process::exit(0);
    });
    while !is_over(args) {
        signals.forever().next();
    }
    Ok(0)
}

/// Whether the daemon has ended, or was made to. The kernel sends its signal a moment before it counts as dead; any other
/// signal means nothing.
fn is_over(args: &Watch) -> bool {
    let begun = Instant::now();
    loop {
        let limit = match stuck::is_dead(args.daemon) {
            None => return true,
            Some(true) => PATIENCE,
            Some(false) => MOMENT,
        };
        if let Ok(Some(mount)) = mounts::at(&args.dir)
            && stuck::release(&mount)
        {
            return true;
        }
        if begun.elapsed() > limit {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
