//! Programs that are run and timed, what processor time they took, signals, and patience.
//!
//! Invariant: after SIGINT or SIGTERM the child that runs now is ended, every further step fails, and so all is unwound by
//! the destructors that also clean up after errors. Programs that clean up are run by `tidy_up`, which goes on then. The same holds
//! once patience has ended, until it begins anew.

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::ffi::OsStr;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// What is said of those that patience ended with.
pub const LATE: &str = "it was stopped for its time";

static STOPPED: AtomicBool = AtomicBool::new(false);
static TOO_LATE: AtomicBool = AtomicBool::new(false);
static CHILD: Mutex<Option<Pid>> = Mutex::new(None);

/// Starts the thread that waits for signals.
pub fn watch_signals() -> Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    std::thread::spawn(move || {
        for _ in signals.forever() {
            STOPPED.store(true, Ordering::SeqCst);
            end_child();
        }
    });
    Ok(())
}

fn end_child() {
    let child = CHILD.lock().ok().and_then(|child| *child);
    if let Some(pid) = child {
        let _ = rustix::process::kill_process(pid, Signal::TERM);
    }
}

/// Fails once a signal has come, or patience has ended.
pub fn go_on() -> Result<()> {
    ensure!(!STOPPED.load(Ordering::SeqCst), "interrupted");
    ensure!(!TOO_LATE.load(Ordering::SeqCst), LATE);
    Ok(())
}

/// As long as it is kept, what runs may take so long; without a limit, as long as it likes.
pub struct Patience {
    over: Option<Sender<()>>,
    watch: Option<JoinHandle<()>>,
}

impl Patience {
    /// Begins now.
    pub fn new(limit: Option<Duration>) -> Self {
        let (over, ended) = channel();
        let watch = limit.map(|limit| {
            std::thread::spawn(move || {
                if ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                    TOO_LATE.store(true, Ordering::SeqCst);
                    end_child();
                }
            })
        });
        Self {
            over: Some(over),
            watch,
        }
    }
}

impl Drop for Patience {
    fn drop(&mut self) {
        self.over = None;
        if let Some(watch) = self.watch.take() {
            let _ = watch.join();
        }
        TOO_LATE.store(false, Ordering::SeqCst);
    }
}

/// From now on a signal also ends this child; none: no child.
pub fn tie(child: Option<u32>) {
    if let Ok(mut running) = CHILD.lock() {
        *running = child.and_then(|id| Pid::from_raw(id.cast_signed()));
    }
}

/// Runs a program; what it prints is dropped. A failure tells what it said.
pub fn run<A: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = A>) -> Result<()> {
    run_with(program, args, &[0]).map(drop)
}

/// Runs a program, for which these exit codes are good; what it printed.
pub fn run_with<A: AsRef<OsStr>>(
    program: &str,
    args: impl IntoIterator<Item = A>,
    good: &[i32],
) -> Result<String> {
    go_on()?;
    let mut command = Command::new(program);
    command.args(args);
    let child = command
        .env("LC_ALL", "C") // or grep would look for characters in what is none
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {program}"))?;
    tie(Some(child.id()));
    let output = child.wait_with_output();
    tie(None);
    go_on()?;
    let output = output?;
    if !output
        .status
        .code()
        .is_some_and(|code| good.contains(&code))
    {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim().lines().last().unwrap_or("it said nothing");
        bail!("{program}: {}: {said}", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a program that cleans up, also after a signal; whether it did.
pub fn tidy_up<A: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = A>) -> bool {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null());
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Whether there is such a program.
pub fn exists(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/sbin"].map(Into::into);
    std::env::split_paths(&path)
        .chain(usual)
        .any(|folder| folder.join(program).is_file())
}

/// Seconds of processor time of a process (`"self"` or a number), and of its children that have ended.
pub fn seconds_of(process: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    ticks(&text) as f64 / rustix::param::clock_ticks_per_second() as f64
}

/// Seconds of processor time that the host of a virtual machine gave to others while something here wanted to run, since the start.
pub fn taken_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    taken(&text) as f64 / rustix::param::clock_ticks_per_second() as f64
}

/// Memory of this machine, in bytes; none where it cannot be told.
pub fn memory_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kibibytes = text.split_whitespace().nth(1)?;
    Some(kibibytes.parse::<u64>().ok()? << 10)
}

/// The largest resident size of a process so far.
pub fn peak_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kibibytes.unwrap_or_default() << 10
}

/// Bytes that a process has caused to be written.
pub fn written_bytes(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|bytes| bytes.parse().ok())
        .unwrap_or_default()
}

/// utime, stime, cutime and cstime of a line of `/proc/PID/stat`, where the name may hold anything.
fn ticks(stat: &str) -> u64 {
    let behind_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let fields = behind_name.split(' ').skip(11).take(4);
    fields.filter_map(|field| field.parse::<u64>().ok()).sum()
}

/// What was stolen from all processors: the eighth number of the first line of `/proc/stat`.
fn taken(stat: &str) -> u64 {
    let all = stat.lines().next().unwrap_or_default();
    let stolen = all.split_whitespace().nth(8);
    stolen.and_then(|ticks| ticks.parse().ok()).unwrap_or(0)
}

/// The process whose arguments hold all of these.
pub fn find(args: &[&OsStr]) -> Option<u32> {
    let entries = std::fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .find(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let has = |arg: &&OsStr| line.split(|b| *b == 0).any(|a| a == arg.as_encoded_bytes());
            args.iter().all(has)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_shift_the_fields() {
        let stat = "12 (a ) b (c) S 1 1 1 0 -1 4194304 1 2 3 4 100 20 3 1 20 0 9 7 5";
        assert_eq!(ticks(stat), 124);
    }

    #[test]
    fn what_the_host_took_is_that_of_all_processors() {
        let stat = "cpu  10 20 30 40 50 60 70 18664 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n";
        assert_eq!(taken(stat), 18664);
        assert_eq!(taken(""), 0);
    }

    /// One test of all programs that run, because patience is that of the whole process.
    #[test]
    fn a_failing_program_is_quoted_and_a_slow_one_is_ended() {
        let error = run("sh", ["-c", "echo why >&2; exit 3"]).unwrap_err();
        assert!(error.to_string().contains("why"), "{error}");
        run_with("sh", ["-c", "exit 3"], &[0, 3]).unwrap();

        let patience = Patience::new(Some(Duration::from_millis(20)));
        let start = std::time::Instant::now();
        let error = run("sleep", ["60"]).unwrap_err();
        assert!(error.to_string().contains(LATE), "{error}");
        assert!(start.elapsed() < Duration::from_secs(30));
        drop(patience);
        let _patience = Patience::new(Some(Duration::from_secs(60)));
        go_on().unwrap();
    }

    #[test]
    fn this_process_is_found_by_its_arguments() {
        let own = std::env::args_os().next().unwrap();
        assert!(find(&[&own]).is_some());
        assert!(find(&[OsStr::new("no such argument anywhere")]).is_none());
    }
}
