//! A request to read that goes on by itself, while the thread that made it does something else: the kernel's io_uring, for one request at a time.
//!
//! ```text
//!   this thread   begin ─┬─ verifies, copies, answers ... ─┬─ land
//!   the medium           └── reads into the buffer ──┘     └── has it, or waits for the rest
//! ```
//! A thread of its own for that would have to be woken for each request, which on a virtual machine takes longer than what is won
//! (docs/decisions/0025-reads-under-way.md has the measurements).
//!
//! Invariants: the buffer belongs to the flight from `begin` on, and nobody looks at it before the kernel said that it is done with it; a flight that
//! nobody lands is waited for when it is dropped.

use io_uring::{IoUring, opcode, types};
use rustix::io::Errno;
use std::fs::File;
use std::io::ErrorKind;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::thread::ThreadId;
use std::time::{Duration, Instant};

/// Where a request is handed to the kernel, and comes back from it.
pub(super) struct Ring(IoUring);

/// A request under way.
pub(super) struct Flight {
    /// None once it has landed, or if the kernel does not say any more when it will.
    under_way: Option<(Ring, Vec<u8>)>,
    begun_by: ThreadId,
}

/// What came of one.
pub(super) struct Landed {
    pub ring: Ring,
    pub buffer: Vec<u8>,
    /// How many bytes came, from the start of the part that was asked for; none if it failed.
    pub came: Option<usize>,
}

impl Ring {
    /// None where there is none to be had: a kernel before 5.11, where nobody can wait for a while only, or one that was told to refuse.
    pub fn new() -> Option<Self> {
        let ring = IoUring::new(1).ok();
        let ring = ring.filter(|ring| ring.params().is_feature_ext_arg());
        ring.map(Self)
    }
}

/// # Safety of the request
///
/// The kernel writes into `part` of the buffer, which lies inside of it (asserted by slicing), until it posts the completion. Until then the buffer is owned by
/// [`Flight`], which does not give out a reference to it, and is neither moved in memory nor freed: a `Vec` that is moved leaves its bytes where they are;
/// [`Flight::finish`] returns the buffer only after the completion was seen, [`Drop`] goes through the same, and where the kernel refuses to wait the buffer is leaked. A
/// request that was not accepted is not known to the kernel, and its ring is dropped with it, so that it never will be. The kernel holds the file itself for as long as it reads.
/// `Vec<u8>` has no invalid values, and all of it is initialised before.
#[expect(
    unsafe_code,
    reason = "a request that outlives the call needs a buffer that does, which the compiler cannot see; see Safety above"
)]
fn push(
    ring: &mut Ring,
    file: &File,
    buffer: &mut [u8],
    part: Range<usize>,
    offset: u64,
) -> Option<()> {
    let part = buffer.get_mut(part)?;
    let len = u32::try_from(part.len()).ok()?;
    let read = opcode::Read::new(types::Fd(file.as_raw_fd()), part.as_mut_ptr(), len);
    let entry = read.offset(offset).build();
    // SAFETY: see above.
    unsafe { ring.0.submission().push(&entry) }.ok()?;
    (ring.0.submit().ok()? == 1).then_some(())
}

impl Flight {
    /// Begins to read into `part` of `buffer` from `offset` of `file` on.
    ///
    /// # Errors
    /// The buffer, if the kernel does not accept it.
    pub fn begin(
        mut ring: Ring,
        file: &File,
        mut buffer: Vec<u8>,
        part: Range<usize>,
        offset: u64,
    ) -> Result<Self, Vec<u8>> {
        match push(&mut ring, file, &mut buffer, part, offset) {
            Some(()) => Ok(Self {
                under_way: Some((ring, buffer)),
                begun_by: std::thread::current().id(),
            }),
            None => Err(buffer),
        }
    }

    /// Whether nobody would wait for it.
    pub fn is_down(&mut self) -> bool {
        let under_way = self.under_way.as_mut();
        under_way.is_none_or(|(ring, _)| !ring.0.completion().is_empty())
    }

    /// Whether this thread began it. Then it waits for the medium alone.
    pub fn is_own(&self) -> bool {
        self.begun_by == std::thread::current().id()
    }

    /// Waits until it is down, or so long, or until the kernel refuses to wait; whether it is. What came is only told once the thread that began it is not busy in the kernel: who waits for ever
    /// waits for that, too.
    pub fn wait(&mut self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        while !self.is_down() {
            let left = until.saturating_duration_since(Instant::now());
            let Some((ring, _)) = self.under_way.as_ref().filter(|_| !left.is_zero()) else {
                return false;
            };
            let left = types::Timespec::from(left);
            let how = types::SubmitArgs::new().timespec(&left);
            match ring.0.submitter().submit_with_args(1, &how) {
                Err(e) if !is_late(&e) => return false,
                _ => {}
            }
        }
        true
    }

    /// Waits until it is down, however long. None if the kernel does not say when that is; then its buffer is left to the kernel for good.
    pub fn land(mut self) -> Option<Landed> {
        self.finish()
    }

    fn finish(&mut self) -> Option<Landed> {
        let (mut ring, buffer) = self.under_way.take()?;
        loop {
            let done = ring.0.completion().next();
            if let Some(done) = done {
                let came = usize::try_from(done.result()).ok();
                return Some(Landed { ring, buffer, came });
            }
            match ring.0.submit_and_wait(1) {
                Err(e) if e.kind() != ErrorKind::Interrupted => {
                    std::mem::forget(buffer);
                    return None;
                }
                _ => {}
            }
        }
    }
}

/// Whether waiting ended for the time, or for a signal.
fn is_late(error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::Interrupted
        || error.raw_os_error() == Some(Errno::TIME.raw_os_error())
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn ring() -> Option<Ring> {
        let ring = Ring::new();
        if ring.is_none() {
            println!("this kernel refuses io_uring: requests under way are not tested");
        }
        ring
    }

    #[test]
    fn what_was_begun_lands() {
        let Some(mut ring) = ring() else { return };
        let mut file = tempfile::tempfile().unwrap();
        let content: Vec<u8> = (0..3_000_000).map(|_| fastrand::u8(..)).collect();
        file.write_all(&content).unwrap();
        for (offset, len) in [
            (0, 1 << 20),
            (999, 2_000_000),
            (2_999_990, 100),
            (5_000_000, 9),
        ] {
            let buffer = vec![7; 2_000_010];
            let flight = Flight::begin(ring, &file, buffer, 5..5 + len, offset as u64).unwrap();
            let landed = flight.land().unwrap();
            let there = content.get(offset..).unwrap_or_default();
            let there = &there[..len.min(there.len())];
            assert_eq!(landed.came, Some(there.len()), "{len} at {offset}");
            assert!(landed.buffer[5..5 + there.len()] == *there);
            assert!(landed.buffer[5 + there.len()..].iter().all(|b| *b == 7));
            ring = landed.ring;
        }
    }

    /// The buffer is the kernel's until then.
    #[test]
    fn one_that_nobody_lands_is_waited_for() {
        let Some(ring) = ring() else { return };
        let (from, mut to) = std::io::pipe().unwrap();
        let from = File::from(std::os::fd::OwnedFd::from(from));
        let mut flight = Flight::begin(ring, &from, vec![0; 100], 0..100, 0).unwrap();
        assert!(!flight.is_down() && !flight.wait(Duration::from_millis(20)));
        let writer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            to.write_all(&[1; 100]).unwrap();
            Instant::now()
        });
        drop(flight);
        let dropped = Instant::now();
        assert!(dropped >= writer.join().unwrap());
    }

    #[test]
    fn what_cannot_be_read_says_so() {
        let Some(ring) = ring() else { return };
        let folder = tempfile::tempdir().unwrap();
        let file = File::open(folder.path()).unwrap();
        let mut flight = Flight::begin(ring, &file, vec![0; 100], 0..100, 0).unwrap();
        assert!(flight.wait(Duration::from_secs(10)) && flight.is_down());
        let landed = flight.land().unwrap();
        assert_eq!(landed.came, None);
        assert!(Flight::begin(landed.ring, &file, vec![0; 100], 50..101, 0).is_err());
    }
}
