//! Where readers go on from segment to segment, and from run to run, as who reads the files of a tree one after the other: what they read ahead
//! outlives each of them.
//!
//! ```text
//!   read, by keys   s3   s3   s4   s4   s9   s5   s6 ...
//!   leads           [ s3 ─► s4 ───────────── s5 ─► s6 ]     [ s9 ─► ]
//! ```
//! A point read follows a lead for one segment, a cursor as long as it goes on. Who leaves what was read ahead for what lies behind it begins a lead
//! of his own: a directory is listed before what is in its subdirectories, and read with them in between. Who reads a little of a large point begins
//! one that read nothing yet: it tells who comes back, and reads all of it, from who reads here and there ([`Leads::begin`]).
//!
//! Invariants: a lead belongs to one reader at a time, and no lock is held while it reads; at most [`LEADS`] wait, with [`HELD`] bytes, and those go first of
//! which nothing is left that nobody asked for, then those that were followed longest ago, but not the one that came last; who takes a lead does not come into what another one, which
//! waits, has read; who reads here and there reads no more than what is asked for.

use super::ahead::{Ahead, Reader};
use super::disk::DiskRun;
use super::index::RunIndex;
use super::segment::Segment;
use super::turns::Turns;
use crate::{Result, RunId};
use cawdb_disk::sync::{Mutex, MutexGuard, lock};
use std::ops::Range;
use std::sync::Arc;

/// Leads that wait to be followed: of all layers of some large files.
const LEADS: usize = 32;
/// Bytes that they hold: sixteen of the longest windows, about.
pub(super) const HELD: usize = 16 << 20;
/// Segments that may be passed over: cached ones, and those of files that nobody reads.
const SKIP: usize = 2;

/// Where reads may go on, in all runs.
#[derive(Default)]
pub(crate) struct Leads {
    /// The last followed last.
    waiting: Mutex<Vec<Lead>>,
    /// Of those who read side by side.
    pub(super) turns: Turns,
}

/// Where one reader goes on.
pub(crate) struct Lead {
    run: RunId,
    /// The first segment that was read, or part of one.
    from: usize,
    /// The segment after the last that was read whole; `from` if none was.
    next: usize,
    /// Whether that is none any more.
    ended: bool,
    /// Segments that it may read; none if those that its only reader wants.
    rest: Option<Range<usize>>,
    ahead: Ahead,
}

impl Leads {
    /// The lead that leads to segment `number`, or a new one.
    pub(super) fn take(&self, run: RunId, index: &RunIndex, number: usize) -> Lead {
        let mut leads = lock(&self.waiting);
        let mut lead = take(&mut leads, run, number);
        let others = leads.iter().filter(|l| l.run == run && l.ahead.bytes() > 0);
        let ahead = others.map(|lead| lead.from).filter(|&from| from > number);
        lead.rest = Some(number..ahead.min().unwrap_or(index.segments.len()));
        lead
    }

    /// Whether nobody led to segment `number`. Then a lead that read nothing begins there, so that whoever comes back is known.
    /// `at_start` says that the start of it is wanted: there may go on who came to the end of another run.
    pub(super) fn begin(&self, run: RunId, number: usize, at_start: bool) -> bool {
        let leads = lock(&self.waiting);
        let goes_on = |lead: &Lead| lead.ended && number == 0 && at_start;
        if leads.iter().any(|l| l.leads_to(run, number) || goes_on(l)) {
            return false;
        }
        let mut lead = Lead::new(run, number, Ahead::default());
        lead.next = number;
        add(leads, lead);
        true
    }

    /// Gives a lead back.
    pub(super) fn put(&self, lead: Lead) {
        add(lock(&self.waiting), lead);
    }

    /// How many wait.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        lock(&self.waiting).len()
    }

    /// How many bytes they hold.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        let leads = lock(&self.waiting);
        leads.iter().map(|lead| lead.ahead.bytes()).sum()
    }

    /// Forgets those of a run that is gone.
    pub(crate) fn forget(&self, run: RunId) {
        // What they read goes outside of the lock.
        let _gone: Vec<_> = lock(&self.waiting)
            .extract_if(.., |lead| lead.run == run)
            .collect();
    }
}

/// Adds one, for which others go.
fn add(mut leads: MutexGuard<'_, Vec<Lead>>, lead: Lead) {
    leads.push(lead);
    // What goes, goes outside of the lock: it may be the last owner of what it read.
    let gone = too_many(&mut leads);
    drop(leads);
    drop(gone);
}

/// Those that are too many, and what some of those hold that stay. Of whom something goes that nobody asked for, he begins anew with short windows: so what is
/// read in vain is not much more than what is not.
fn too_many(leads: &mut Vec<Lead>) -> (Option<Lead>, Vec<Ahead>) {
    let one = (leads.len() > LEADS).then(|| {
        // Not the one that came last: who is about to follow it would find none.
        let others = &leads[..leads.len() - 1];
        let read = others.iter().position(|lead| !lead.ahead.waits());
        leads.remove(read.unwrap_or(0))
    });
    let held: usize = leads.iter().map(|lead| lead.ahead.bytes()).sum();
    let mut over = held.saturating_sub(HELD);
    let mut gone = Vec::new();
    for waits in [false, true] {
        for lead in leads.iter_mut().filter(|l| l.ahead.waits() == waits) {
            if over == 0 {
                break;
            }
            let now = match waits {
                true => Ahead::default(),
                false => lead.ahead.elsewhere(),
            };
            over = over.saturating_sub(lead.ahead.bytes());
            gone.push(std::mem::replace(&mut lead.ahead, now));
        }
    }
    (one, gone)
}

/// The lead that holds a segment; or one that goes on from where one ended: near the segment, or at the end of its run if this is the first of
/// another. What waits in that one stays there.
fn take(leads: &mut Vec<Lead>, run: RunId, number: usize) -> Lead {
    if let Some(i) = leads.iter().rposition(|lead| lead.holds(run, number)) {
        return leads.remove(i);
    }
    let near = leads.iter().rposition(|lead| lead.is_near(run, number));
    let before = || leads.iter().rposition(|lead| lead.ended && number == 0);
    let Some(i) = near.or_else(before) else {
        return Lead::new(run, number, Ahead::default());
    };
    match leads[i].ahead.waits() {
        true => Lead::new(run, number, leads[i].ahead.elsewhere()),
        false => leads.remove(i).onto(run, number),
    }
}

impl Lead {
    fn new(run: RunId, from: usize, ahead: Ahead) -> Self {
        Self {
            run,
            from,
            next: 0,
            ended: false,
            rest: None,
            ahead,
        }
    }

    /// The same for who goes on at another place.
    fn onto(mut self, run: RunId, number: usize) -> Self {
        if self.run != run {
            (self.run, self.from) = (run, number);
            self.ahead = self.ahead.elsewhere();
        }
        self
    }

    /// One that nobody else follows: it reads no more than what its reader is known to want.
    pub(super) fn alone(run: RunId, number: usize) -> Self {
        Self::new(run, number, Ahead::default())
    }

    fn holds(&self, run: RunId, number: usize) -> bool {
        self.run == run && self.ahead.holds(number)
    }

    /// Whether who goes on from here may mean this segment: of several who follow it side by side, the last one need not be who reads on.
    fn is_near(&self, run: RunId, number: usize) -> bool {
        let far = self.next.max(self.ahead.end()) + SKIP;
        self.run == run && (self.next..=far).contains(&number)
    }

    /// Whether who wants that segment may be who follows it, or who reads backwards.
    fn leads_to(&self, run: RunId, number: usize) -> bool {
        let comes_back = self.run == run && number + 1 == self.from;
        self.holds(run, number) || self.is_near(run, number) || comes_back
    }

    /// Whether who follows it to a segment further on leaves nothing behind.
    pub(super) fn may_go_to(&self, number: usize) -> bool {
        self.ahead.holds(number) || !self.ahead.waits()
    }

    /// Segment `number` of its run, which is not in the cache.
    pub(super) fn segment(
        &mut self,
        disk: &DiskRun,
        index: &RunIndex,
        number: usize,
        reader: &Reader,
    ) -> Result<Arc<Segment>> {
        self.next = number + 1;
        self.ended = self.next == index.segments.len();
        let rest = self.rest.as_ref().unwrap_or(&reader.among);
        self.ahead.segment(disk, index, number, rest, reader)
    }
}
