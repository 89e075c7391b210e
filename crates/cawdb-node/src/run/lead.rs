//! Point reads that go on from segment to segment, as of who reads the files of a tree one after the other: they read ahead like a cursor.
//!
//! ```text
//!   read, by keys   s3   s3   s4   s4   s9   s5   s6 ...
//!   leads           [ s3 ─► s4 ───────────── s5 ─► s6 ]     [ s9 ─► ]
//! ```
//! Invariants: a lead belongs to one reader at a time, and no lock is held while it reads; at most [`LEADS`] wait, and those that were
//! followed last stay; who reads here and there reads no more than what is asked for.

use super::ahead::Ahead;
use super::cursor::Direction;
use super::disk::DiskRun;
use super::index::RunIndex;
use super::segment::Segment;
use crate::{Result, RunId};
use cawdb_disk::sync::{Mutex, lock};
use std::sync::Arc;

/// Leads that wait to be followed.
const LEADS: usize = 8;
/// Segments that may be passed over: of larger files, which are read by cursors.
const SKIP: usize = 2;

/// Where point reads may go on, in all runs; the last followed last.
#[derive(Default)]
pub(crate) struct Leads(Mutex<Vec<Lead>>);

/// Where one reader goes on.
pub(crate) struct Lead {
    run: RunId,
    /// The segment after the last that was read.
    next: usize,
    ahead: Ahead,
}

impl Leads {
    /// The lead that leads to segment `number`, or a new one.
    pub(super) fn take(&self, run: RunId, index: &RunIndex, number: usize) -> Lead {
        let mut leads = lock(&self.0);
        match leads.iter().rposition(|l| l.leads_to(run, index, number)) {
            Some(i) => leads.remove(i),
            None => Lead {
                run,
                next: 0,
                ahead: Ahead::of_points(),
            },
        }
    }

    /// Gives a lead back.
    pub(super) fn put(&self, lead: Lead) {
        let mut leads = lock(&self.0);
        // The oldest goes outside of the lock: it may be the last owner of what it read.
        let oldest = (leads.len() >= LEADS).then(|| leads.remove(0));
        leads.push(lead);
        drop(leads);
        drop(oldest);
    }

    /// How many wait.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        lock(&self.0).len()
    }

    /// Forgets those of a run that is gone.
    pub(crate) fn forget(&self, run: RunId) {
        // What they read goes outside of the lock.
        let _gone: Vec<_> = lock(&self.0)
            .extract_if(.., |lead| lead.run == run)
            .collect();
    }
}

impl Lead {
    fn leads_to(&self, run: RunId, index: &RunIndex, number: usize) -> bool {
        let near = (self.next..=self.next + SKIP).contains(&number);
        self.run == run && (near || self.ahead.holds(index, number))
    }

    /// Segment `number` of its run, which is not in the cache.
    pub(super) fn segment(
        &mut self,
        disk: &DiskRun,
        index: &RunIndex,
        number: usize,
    ) -> Result<Arc<Segment>> {
        let rest = number..index.segments.len();
        self.next = number + 1;
        self.ahead
            .segment(disk, index, number, &rest, Direction::Forward)
    }
}
