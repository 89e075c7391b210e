//! Turns: of those who read pieces of the same run side by side, one at a time goes to the disk, since he may bring what the next one wants.
//!
//! ```text
//!   file     ▕ piece of A ▕ piece of B ▕ ...             a kernel asks for two or more at once
//!   layer     s0    s1    s2    s3    s4    s5           A's turn brings s0 to s5; B, who waited, finds s2 and s3
//! ```
//! Invariants: a turn is for one run, and lasts for one segment, so that nobody who has one waits for another; it ends however its reader fares.

use crate::RunId;
use cawdb_disk::meter::{self, Reason};
use cawdb_disk::sync::{Condvar, Mutex, lock, wait, wake_all};

/// Whose turn it is.
#[derive(Default)]
pub(super) struct Turns {
    taken: Mutex<Vec<RunId>>,
    ended: Condvar,
}

/// A turn; it ends when this is dropped.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    run: RunId,
}

impl Turns {
    /// Waits for a turn at a run.
    pub(super) fn take(&self, run: RunId) -> Turn<'_> {
        let mut taken = lock(&self.taken);
        if taken.contains(&run) {
            taken = meter::wait(Reason::Lock, || {
                while taken.contains(&run) {
                    taken = wait(&self.ended, taken);
                }
                taken
            });
        }
        taken.push(run);
        Turn { turns: self, run }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        lock(&self.turns.taken).retain(|run| *run != self.run);
        wake_all(&self.turns.ended);
    }
}
