//! Progress of a step: a bar on a terminal, nothing elsewhere; and the place where Ctrl-C is noticed.

use crate::failure::Failure;
use crate::output;
use indicatif::{ProgressBar, ProgressStyle};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Exit code of a program ended by Ctrl-C.
const INTERRUPTED: u8 = 130;

/// A running step.
pub struct Pace {
    bar: ProgressBar,
    begun: Instant,
    stop: Arc<AtomicBool>,
}

impl Pace {
    /// Begins a step of `total` bytes, or things if `bytes` is false.
    pub fn begin(what: &str, total: u64, bytes: bool, stop: &Arc<AtomicBool>) -> Self {
        let bar = if output::watched() {
            ProgressBar::new(total)
        } else {
            ProgressBar::hidden()
        };
        let unit = if bytes {
            "{bytes:>10} of {total_bytes}"
        } else {
            "{pos:>10} of {len}"
        };
        let style = format!("  {{msg:<34}} {{bar:30}} {unit}  {{elapsed}}");
        if let Ok(style) = ProgressStyle::with_template(&style) {
            bar.set_style(style.progress_chars("━╸─"));
        }
        bar.set_message(what.to_owned());
        Self {
            bar,
            begun: Instant::now(),
            stop: stop.clone(),
        }
    }

    /// Goes on by so much; fails if Ctrl-C was pressed.
    pub fn step(&self, by: u64) -> Result<(), Failure> {
        self.bar.inc(by);
        if self.stop.load(Ordering::Relaxed) {
            self.bar.finish_and_clear();
            return Err(Failure::new("interrupted; nothing is left behind").code(INTERRUPTED));
        }
        Ok(())
    }

    /// Ends the step, leaves a line about it and gives its duration.
    pub fn end(self, result: &str) -> Duration {
        let took = self.begun.elapsed();
        let what = self.bar.message();
        self.bar.finish_and_clear();
        eprintln!("  {what:<34} {:>9}  {result}", output::time(took));
        took
    }
}
