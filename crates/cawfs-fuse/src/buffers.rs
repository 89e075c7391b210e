//! Buffers for requests. A large one, a WRITE, stays in the buffer it was read into until what it says is on disk, so
//! that its data is not copied into fresh memory, which the kernel would have to clear.
//!
//! ```text
//!   reader ── read ──► buffer ── large? ──► lent as bytes ─► memtable ─► run ─► disk ─┐
//!     ▲                  └─ small: read into again                                    │ the last slice is dropped
//!     └──────────────────────────── spare ◄───────────────────────────────────────────┘
//! ```
//! Invariants: a buffer that is lent is written to by nobody; at most [`SPARE`] buffers wait.

use crate::wire::BUFFER;
use bytes::Bytes;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A message from this length on keeps its buffer: half of it, so that what is kept is at most twice what is counted.
const LARGE: usize = BUFFER / 2;
/// Buffers kept for later.
const SPARE: usize = 16;

/// Where buffers wait.
#[derive(Debug, Default)]
pub struct Buffers {
    spare: Mutex<Vec<Vec<u8>>>,
}

struct Lent {
    buffer: Vec<u8>,
    home: Arc<Buffers>,
}

impl Buffers {
    /// A buffer for the longest request.
    pub fn take(&self) -> Vec<u8> {
        let spare = self.spare().pop();
        spare.unwrap_or_else(|| vec![0; BUFFER])
    }

    /// Gives the first `length` bytes of a buffer away if they are many, and puts another in its place.
    pub fn lend(self: &Arc<Self>, buffer: &mut Vec<u8>, length: usize) -> Option<Bytes> {
        if length < LARGE {
            return None;
        }
        let buffer = std::mem::replace(buffer, self.take());
        let home = self.clone();
        Some(Bytes::from_owner(Lent { buffer, home }).slice(..length))
    }

    fn spare(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut spare = self.home.spare();
        if spare.len() < SPARE {
            spare.push(std::mem::take(&mut self.buffer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_messages_keep_their_buffer_until_the_last_slice_goes() {
        let buffers = Arc::new(Buffers::default());
        let mut buffer = buffers.take();
        buffer[LARGE - 1] = 7;
        assert_eq!(buffers.lend(&mut buffer, LARGE - 1), None);
        let lent = buffers.lend(&mut buffer, LARGE).unwrap();
        let slice = lent.slice(LARGE - 2..);
        drop(lent);
        assert_eq!((buffer.len(), buffers.spare().len()), (BUFFER, 0));
        assert_eq!(slice[..], [0, 7]);
        drop(slice);
        assert_eq!(buffers.take()[LARGE - 1], 7, "the same buffer, as it was");
        let many: Vec<_> = (0..2 * SPARE)
            .map(|_| buffers.lend(&mut buffer, BUFFER))
            .collect();
        drop(many);
        assert_eq!(buffers.spare().len(), SPARE);
    }
}
