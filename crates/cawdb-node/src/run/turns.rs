//! Turns: of those who read pieces of a run side by side, one at a time goes to the disk, since he may bring what the next one wants.
//!
//! ```text
//!   file     ▕ piece of A ▕ piece of B ▕ ...             a kernel asks for two or more at once
//!   layer     s0    s1    s2    s3    s4    s5           A's turn brings s0 to s5; B, who waited, finds s2 and s3
//! ```
//! Invariants: a turn is for one place in one run, and lasts for one segment, so that nobody who has one waits for another; it ends however its reader fares;
//! nobody waits for who is so far away that one request does not reach from one to the other.

use super::ahead::MAX_WINDOW;
use crate::RunId;
use cawdb_disk::meter::{self, Reason};
use cawdb_disk::sync::{Condvar, Mutex, lock, wait, wake_all};

/// Whose turn it is.
#[derive(Default)]
pub(super) struct Turns {
    /// Runs, and where in their images.
    taken: Mutex<Vec<(RunId, u64)>>,
    ended: Condvar,
}

/// A turn; it ends when this is dropped.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    place: (RunId, u64),
}

impl Turns {
    /// Waits for a turn at a place of a run, from which one request may reach `MAX_WINDOW` far.
    pub(super) fn take(&self, run: RunId, offset: u64) -> Turn<'_> {
        let near = |other: &(RunId, u64)| other.0 == run && other.1.abs_diff(offset) < MAX_WINDOW;
        let mut taken = lock(&self.taken);
        if taken.iter().any(near) {
            taken = meter::wait(Reason::Lock, || {
                while taken.iter().any(near) {
                    taken = wait(&self.ended, taken);
                }
                taken
            });
        }
        let place = (run, offset);
        taken.push(place);
        Turn { turns: self, place }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        lock(&self.turns.taken).retain(|place| *place != self.place);
        wake_all(&self.turns.ended);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    #[test]
    fn who_is_far_away_waits_for_nobody() {
        let turns = Turns::default();
        let (done, ended) = channel();
        std::thread::scope(|scope| {
            let turn = turns.take(RunId(1), 2 * MAX_WINDOW);
            let places = [
                (1, MAX_WINDOW),
                (1, 3 * MAX_WINDOW),
                (2, 2 * MAX_WINDOW),
                (1, MAX_WINDOW + 1),
                (1, 3 * MAX_WINDOW - 1),
            ];
            for (run, offset) in places {
                let (turns, done) = (&turns, done.clone());
                scope.spawn(move || {
                    drop(turns.take(RunId(run), offset));
                    done.send((run, offset)).unwrap();
                });
            }
            let next = |time| ended.recv_timeout(Duration::from_millis(time)).ok();
            let mut first: Vec<_> = (0..3).filter_map(|_| next(10_000)).collect();
            first.sort_unstable();
            assert_eq!(first, [places[0], places[1], places[2]], "far away");
            assert_eq!(next(50), None, "near");
            drop(turn);
            assert!(next(10_000).is_some() && next(10_000).is_some());
        });
    }
}
