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
//! are one, and no page is written both ways at the same time; where a direct request fails once, whatever the reason, none is tried again: what
//! is the medium's fault, the other way and the next sync hear too.

use super::stats::{Clocks, Counters};
use crate::sync::{Mutex, lock};
use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};

/// No page of the kernel's is larger, in bytes.
pub(super) const PAGE: u64 = 64 << 10;
/// Where direct requests begin and end: at this all media and file systems are content, and what is written through the cache beside them,
/// by others at the same time, lies in pages of its own.
const BLOCK: usize = PAGE as usize;
/// Where they begin in memory.
const ALIGNED: usize = 4096;
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
    pub fn write(
        &self,
        cached: &File,
        bytes: &[u8],
        offset: u64,
        (counters, clocks): (&Counters, &Clocks),
    ) -> bool {
        let mut state = lock(&self.0);
        if matches!(*state, State::Untried) {
            *state = State::open(cached);
        }
        let State::Open { file, buffer } = &mut *state else {
            return false;
        };
        let start = buffer.as_ptr().align_offset(ALIGNED);
        let mut at = offset;
        for part in bytes.chunks(REQUEST) {
            let room = buffer.get_mut(start..start + part.len());
            let written = room.is_some_and(|room| {
                room.copy_from_slice(part);
                clocks.write(|| file.write_all_at(room, at)).is_ok()
            });
            if !written {
                *state = State::Refused;
                return false;
            }
            counters.write(part.len());
            counters.past_cache(part.len());
            at += part.len() as u64;
        }
        true
    }
}

/// Opens the file itself, whatever became of its name, once more: for direct requests.
pub(super) fn reopen(cached: &File, how: &mut OpenOptions) -> std::io::Result<File> {
    let name = format!("/proc/self/fd/{}", cached.as_raw_fd());
    let direct = rustix::fs::OFlags::DIRECT.bits() as i32;
    how.custom_flags(direct).open(name)
}

impl State {
    fn open(cached: &File) -> Self {
        match reopen(cached, OpenOptions::new().write(true)) {
            Ok(file) => Self::Open {
                file,
                buffer: vec![0; REQUEST + ALIGNED],
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
        let b = BLOCK;
        for (offset, len, expected) in [
            (0, 2 * b, 0..2 * b),
            (0, b - 1, 0..0),
            (512, b, b - 512..b - 512),
            (512, 2 * b + 5, b - 512..2 * b - 512),
            (b as u64 - 1, 1, 1..1),
            (b as u64, 0, 0..0),
            (b as u64 + 1, 9, 9..9),
            (u64::MAX, b + 1, 1..b + 1),
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
        if write(0) && !write(1) {
            assert_eq!(clocks.times().writes.count, 2);
        }
        if matches!(*lock(&direct.0), State::Refused) {
            let (asked, written) = (clocks.times().writes.count, counters.snapshot());
            assert!(!write(0), "a place that was good before");
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
        assert!(!written && matches!(*lock(&direct.0), State::Refused));
    }
}
