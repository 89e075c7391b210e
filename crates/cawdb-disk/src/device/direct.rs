//! Writing past the page cache: bulk data on its way to the medium.
//!
//! ```text
//!   bytes      ▕▔▔head▔▔│▔▔▔▔▔▔▔▔▔▔▔▔▔ whole blocks ▔▔▔▔▔▔▔▔▔▔▔▔▔│▔tail▔▏
//!   goes by      cache     buffer that lies at a block ─► O_DIRECT    cache
//! ```
//! A page of the cache costs memory that somebody else had a use for, its copying, and its writing later, all of which is more than the medium
//! takes. Direct requests have to begin and end at blocks, in the file and in memory; so bytes pass through one buffer that does, which
//! stays warm.
//!
//! Invariants: what the page cache holds of the same place is dropped by the kernel before a direct request writes there, so that both views
//! are one; where direct requests are refused once (by the file system, or for their alignment), they are not tried again.

use super::stats::{Clocks, Counters};
use crate::sync::{Mutex, lock};
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};

/// At this all media and file systems are content.
const BLOCK: usize = 4096;
/// Bytes of one request.
const REQUEST: usize = 1 << 20;

/// The way past the cache to one file.
#[derive(Debug)]
pub(super) struct Direct(Mutex<State>);

#[derive(Debug)]
enum State {
    Untried,
    Refused,
    Open { file: File, buffer: Vec<u8> },
}

/// The whole blocks in `len` bytes at `offset`; where there are none, empty.
pub(super) fn blocks(offset: u64, len: usize) -> Range<usize> {
    let head = (offset.wrapping_neg() % BLOCK as u64) as usize;
    let whole = len.saturating_sub(head) / BLOCK * BLOCK;
    head.min(len)..head.min(len) + whole
}

impl Direct {
    /// The way to a file that may be written; else there is none, whatever the rights of the process.
    pub fn new(writable: bool) -> Self {
        Self(Mutex::new(match writable {
            true => State::Untried,
            false => State::Refused,
        }))
    }

    /// Writes whole blocks to the place of `cached`'s file, at an offset that is one's; false if this cannot be done here, and then some of it may
    /// be written. Requests that succeed are counted, and all are timed.
    ///
    /// # Errors
    /// Those of the medium.
    pub fn write(
        &self,
        cached: &File,
        bytes: &[u8],
        offset: u64,
        (counters, clocks): (&Counters, &Clocks),
    ) -> io::Result<bool> {
        let mut state = lock(&self.0);
        if matches!(*state, State::Untried) {
            *state = State::open(cached);
        }
        let State::Open { file, buffer } = &mut *state else {
            return Ok(false);
        };
        let start = buffer.as_ptr().align_offset(BLOCK);
        let mut at = offset;
        for part in bytes.chunks(REQUEST) {
            let Some(room) = buffer.get_mut(start..start + part.len()) else {
                *state = State::Refused;
                return Ok(false);
            };
            room.copy_from_slice(part);
            match clocks.write(|| file.write_all_at(room, at)) {
                Ok(()) => {
                    counters.write(part.len());
                    counters.past_cache(part.len());
                    at += part.len() as u64;
                }
                Err(e) if is_refusal(&e) => {
                    *state = State::Refused;
                    return Ok(false);
                }
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }
}

/// Whether it is the way that is refused, not the bytes. What is left of a request that was cut short is no whole block: then the other way
/// hears why.
fn is_refusal(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
    )
}

impl State {
    fn open(cached: &File) -> Self {
        // The file itself, whatever became of its name.
        let name = format!("/proc/self/fd/{}", cached.as_raw_fd());
        let direct = rustix::fs::OFlags::DIRECT.bits() as i32;
        let mut how = OpenOptions::new();
        match how.write(true).custom_flags(direct).open(name) {
            Ok(file) => Self::Open {
                file,
                buffer: vec![0; REQUEST + BLOCK],
            },
            Err(_) => Self::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_blocks() {
        for (offset, len, expected) in [
            (0, 8192, 0..8192),
            (0, 4095, 0..0),
            (512, 4096, 3584..3584),
            (512, 3584 + 4096 + 5, 3584..7680),
            (4095, 1, 1..1),
            (4096, 0, 0..0),
            (4097, 9, 9..9),
        ] {
            assert_eq!(blocks(offset, len), expected, "{len} at {offset}");
        }
    }

    /// Where whole blocks are refused or not: what is none is refused, or goes.
    #[test]
    fn a_file_that_refuses_is_asked_once() {
        let file = tempfile::tempfile().unwrap();
        let (counters, clocks) = (Counters::default(), Clocks::default());
        let direct = Direct::new(true);
        let write = |offset| direct.write(&file, &[7; BLOCK], offset, (&counters, &clocks));
        if write(0).unwrap() && !write(1).unwrap() {
            assert_eq!(clocks.times().writes.count, 2);
        }
        if matches!(*lock(&direct.0), State::Refused) {
            let (asked, written) = (clocks.times().writes.count, counters.snapshot());
            assert!(!write(0).unwrap(), "a place that was good before");
            assert_eq!(clocks.times().writes.count, asked);
            assert_eq!(counters.snapshot(), written);
        }
    }

    #[test]
    fn devices_that_know_no_such_way_refuse() {
        let null = OpenOptions::new().write(true).open("/dev/null").unwrap();
        let (counters, clocks) = (Counters::default(), Clocks::default());
        let direct = Direct::new(true);
        let written = direct.write(&null, &[0; BLOCK], 0, (&counters, &clocks));
        assert!(!written.unwrap() && matches!(*lock(&direct.0), State::Refused));
    }
}
