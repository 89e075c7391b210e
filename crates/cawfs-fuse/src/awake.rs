//! Keeps idle processors awake while requests come closely.
//!
//! ```text
//!   requests  ··· ·   ·|||||||||||||||||||||||||||||||||||   ·     ·
//!   held               └──────────────────────────────┴ LINGER ┘
//! ```
//! Client and daemon wait for each other in turn, so that a processor is idle during each trip. A virtual machine that has nothing to run
//! gives its processor back to the host, and to be woken from there takes 15 µs and more, twice a trip, where the trip itself takes 9. Linux has
//! a word for this: who writes 0 to `/dev/cpu_dma_latency` asks that processors wake without delay, for as long as the file is open.
//! So they wait awake, which costs processor time of the host (`docs/decisions/0014-awake.md`).
//!
//! Invariants: asked only while at least [`FEW`] requests come in a window, and [`LINGER`] windows longer; never after the daemon has ended, as the kernel
//! forgets with the file.

use std::fs::{File, OpenOptions, read_to_string};
use std::io;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// Over how long requests are counted.
const WINDOW: Duration = Duration::from_millis(8);
/// From so many requests in a window on, processors are kept awake.
const MANY: u64 = 6;
/// With so many, they stay so.
const FEW: u64 = 3;
/// So many windows with less than that end it.
const LINGER: u32 = 5;

/// In µs: at once, and the kernel's "whenever it suits".
const AT_ONCE: i32 = 0;
const WHENEVER: i32 = 2_000_000_000;

/// Where Linux takes the longest time that a processor may take to wake, in µs.
pub const DEVICE: &str = "/dev/cpu_dma_latency";
const IDLE_DRIVER: &str = "/sys/devices/system/cpu/cpuidle/current_driver";

/// Counts requests, and asks for processors that stay awake.
#[derive(Debug)]
pub struct Awake {
    device: Option<File>,
    held: bool,
    few: u32,
    begun: Instant,
    counted: u64,
}

impl Awake {
    /// By what the user asked for; unless said otherwise (`None`) where idle processors leave a virtual machine, which is what the kernel has its
    /// idle driver `haltpoll` for.
    ///
    /// # Errors
    /// The device cannot be opened although the user asked for it.
    pub fn new(wanted: Option<bool>) -> io::Result<Self> {
        let leaves = || read_to_string(IDLE_DRIVER).is_ok_and(|name| name.trim() == "haltpoll");
        let device = match wanted.unwrap_or_else(leaves) {
            true => OpenOptions::new().write(true).open(DEVICE).map(Some),
            false => Ok(None),
        };
        match device {
            Err(e) if wanted == Some(true) => Err(e),
            device => Ok(Self::on(device.unwrap_or_default(), Instant::now())),
        }
    }

    /// An open device asks for nothing before the first word.
    fn on(device: Option<File>, now: Instant) -> Self {
        Self {
            device,
            held: false,
            few: 0,
            begun: now,
            counted: 0,
        }
    }

    /// To be told now and then, at least once a window, how many requests there were ever.
    pub fn tick(&mut self, requests: u64, now: Instant) {
        if self.device.is_none() || now.duration_since(self.begun) < WINDOW {
            return;
        }
        let windows = now.duration_since(self.begun).as_nanos() / WINDOW.as_nanos();
        let came = (requests - self.counted) / windows as u64;
        (self.begun, self.counted) = (now, requests);
        if came >= FEW {
            self.few = 0;
        } else {
            // Several at once where this thread did not get to run: it may sleep for long after this.
            let windows = u32::try_from(windows).unwrap_or(u32::MAX);
            self.few = self.few.saturating_add(windows);
        }
        if came >= MANY {
            self.set(true);
        } else if self.few >= LINGER {
            self.set(false);
        }
    }

    fn set(&mut self, held: bool) {
        if held != self.held {
            let how = if held { AT_ONCE } else { WHENEVER };
            self.device.take_if(|device| !say(device, how));
            self.held = held && self.device.is_some();
        }
    }
}

/// Whether the kernel heard it. Where it did not, the file is closed, which it cannot miss.
fn say(device: &File, latency: i32) -> bool {
    let said = device.write_all_at(&latency.to_ne_bytes(), 0);
    if let Err(e) = &said {
        tracing::warn!(error = %e, "{DEVICE} does not take a latency: idle processors sleep as they like");
    }
    said.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ticks twice a window; what the device was told last after each window.
    fn told(awake: &mut Awake, device: &File, came: u64, windows: usize) -> Vec<i32> {
        let (mut now, mut requests) = (awake.begun, awake.counted);
        let mut told = vec![];
        for _ in 0..windows {
            for part in [came / 2, came - came / 2] {
                now += WINDOW / 2;
                requests += part;
                awake.tick(requests, now);
            }
            let mut word = WHENEVER.to_ne_bytes();
            let _ = device.read_at(&mut word, 0).unwrap();
            told.push(i32::from_ne_bytes(word));
        }
        told
    }

    #[test]
    fn held_while_requests_come_closely_and_a_little_longer() {
        let file = tempfile::tempfile().unwrap();
        let mut awake = Awake::on(Some(file.try_clone().unwrap()), Instant::now());
        let mut of = |came: u64, windows: usize| told(&mut awake, &file, came, windows);
        assert_eq!(of(MANY - 1, 9), [WHENEVER; 9]);
        assert_eq!(of(MANY, 2), [AT_ONCE; 2]);
        assert_eq!(of(FEW, 9), [AT_ONCE; 9], "less is enough to stay");
        let mut pauses = of(FEW - 1, LINGER as usize - 1);
        pauses.extend(of(FEW, 1));
        pauses.extend(of(0, LINGER as usize - 1));
        assert_eq!(pauses, [AT_ONCE; 2 * LINGER as usize - 1]);
        assert_eq!(of(0, 2), [WHENEVER; 2]);
    }

    #[test]
    fn a_long_pause_counts_as_many_windows() {
        let file = tempfile::tempfile().unwrap();
        let now = Instant::now();
        let mut awake = Awake::on(Some(file), now);
        awake.tick(1000, now + Duration::from_secs(10));
        assert!(!awake.held, "100 requests a second are not close");
        let then = now + Duration::from_secs(10) + WINDOW;
        awake.tick(2000, then);
        assert!(awake.held);
        awake.tick(2000, then + LINGER * WINDOW);
        assert!(!awake.held, "or the watchdog would doze while it is");
    }

    #[test]
    fn a_device_that_fails_is_let_go() {
        let file = File::open("/dev/null").unwrap();
        let now = Instant::now();
        let mut awake = Awake::on(Some(file), now);
        awake.tick(1000, now + WINDOW);
        assert!(!awake.held && awake.device.is_none());
    }

    #[test]
    fn nothing_is_asked_of_the_kernel_if_the_user_said_so() {
        assert!(Awake::new(Some(false)).unwrap().device.is_none());
    }
}
