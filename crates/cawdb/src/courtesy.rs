//! Courtesy: where somebody waits for the disk and nobody writes much, background work takes a part of the time only, since it needs the same
//! disk and processors.
//!
//! ```text
//!   reads, syncs ─┤├─┤├─┤├─┤├─┤├─┤├─┤├─┤├─┤├─┤├─┤├─┤├─ ...      no more of them
//!   background   █ · · · · · · · █ · · · · · · · █ · · · · · · · ████████████████
//! ```
//! Reading 1 GiB in order right after 131,072 random writes of 4 KiB and a mount took three tenths less of the daemon's processor time (means of five, in turn); what
//! was merged meanwhile came too late for its reader. By the clock no difference could be told from the noise.
//! Single reads count where they waited for the disk, since it is the disk that both want: 20,000 of them right after 10,000 clones with a hundred patches
//! each had 12,000 requests and 1.6 s of processor time beside them, and have 2600 and 0.2 s.
//! Who makes each batch durable before the next writes slowly, and waits for the disk all the time: a thousand puts right after half a million patches took 0.36 to
//! 0.54 s, and since there are rests beside them, and between the parts of a merge, 0.19 to 0.40.
//!
//! Invariants: of one piece of background work the rests are together at most [`LONGEST`], and a rest ends when nobody waits any more, so that all work is done
//! in the end; nobody rests in the tenth of a second after a write was seen, since who writes needs the work done, unless nearly all that was written is durable, few
//! layers wait in the root, space is not short, and for less than [`PATIENCE`] there was something to do all the time; nor where a checkpoint is due; without
//! background threads nobody rests.

use crate::store::Inner;
use cawdb_disk::meter;
use cawdb_disk::sync::atomic::{AtomicU64, Ordering};
use cawdb_disk::sync::{Mutex, lock};
use std::time::{Duration, Instant};

/// A piece of work took so long; so many times as long is rested after it.
const REST: u32 = 7;
/// The longest rests of one piece of background work together.
const LONGEST: Duration = Duration::from_millis(500);
/// So often a rest looks whether somebody still waits.
const STEP: Duration = Duration::from_millis(20);
/// So long after somebody wrote nobody rests.
const AFTER_WRITE: Duration = Duration::from_millis(100);
/// Batches that are not durable yet, at most, where whoever writes waits for each.
const UNDER_WAY: u64 = 16;
/// Few layers are this part of those at which writers help.
const FEW_LAYERS: usize = 2;
/// Beside who writes there are rests until there was something to do for so long: else somebody who never ceases would make more than is worked off.
const PATIENCE: Duration = Duration::from_secs(10);

/// What background work does.
#[derive(Debug, Default)]
struct Work {
    /// Since when it has not rested.
    since: Option<Instant>,
    /// How long it may still rest before this piece of it is done.
    left: Duration,
    /// Since when there was something to do.
    busy: Option<Instant>,
}

/// Who waits for the disk, as background work sees it.
#[derive(Debug, Default)]
pub(crate) struct Courtesy {
    /// Walks begun, single reads that waited for the disk, and begins and ends of writing the journal.
    waits: AtomicU64,
    /// How many these were when last looked at.
    seen: AtomicU64,
    work: Mutex<Work>,
    /// The last batch when background work last looked, and when it found another than before.
    written: Mutex<Option<(u64, Option<Instant>)>>,
}

impl Courtesy {
    /// Says that somebody begins to walk over a range, or waits for the disk otherwise.
    pub(crate) fn wait(&self) {
        self.waits.fetch_add(1, Ordering::Relaxed);
    }

    /// Reads one value, and notes if that meant waiting for the disk.
    pub(crate) fn reading<T>(&self, read: impl FnOnce() -> T) -> T {
        let before = meter::spent().disk;
        let value = read();
        if meter::spent().disk != before {
            self.wait();
        }
        value
    }

    /// Whether somebody waited since this was last asked.
    fn is_wanted(&self) -> bool {
        let waits = self.waits.load(Ordering::Relaxed);
        self.seen.swap(waits, Ordering::Relaxed) != waits
    }

    /// A piece of work begins.
    pub(crate) fn begin(&self) {
        let (mut work, now) = (lock(&self.work), Instant::now());
        (work.since, work.left) = (Some(now), LONGEST);
        work.busy.get_or_insert(now);
    }

    /// There is nothing to do.
    pub(crate) fn all_done(&self) {
        lock(&self.work).busy = None;
    }

    /// Whether it may rest beside who writes: not if there was something to do for long.
    fn is_patient(&self, now: Instant) -> bool {
        let busy = lock(&self.work).busy;
        busy.is_none_or(|busy| now.saturating_duration_since(busy) < PATIENCE)
    }

    /// Rests after what was done since the last time.
    fn rest_after_work(&self, may: impl Fn() -> bool, nap: impl FnMut(Duration)) {
        let (took, left) = {
            let work = lock(&self.work);
            (
                work.since.map_or(Duration::ZERO, |s| s.elapsed()),
                work.left,
            )
        };
        let rested = self.rest((took * REST).min(left), may, nap);
        let mut work = lock(&self.work);
        work.since = Some(Instant::now());
        work.left = work.left.saturating_sub(rested);
    }

    /// Whether somebody wrote lately, if `seq` is the last batch `now`.
    fn is_written(&self, seq: u64, now: Instant) -> bool {
        let mut written = lock(&self.written);
        let (seen, at) = written.get_or_insert((seq, None));
        if *seen != seq {
            (*seen, *at) = (seq, Some(now));
        }
        at.is_some_and(|at| now.saturating_duration_since(at) < AFTER_WRITE)
    }

    /// Rests at most so long, by naps, for as long as somebody waits and it `may`; how long it did.
    fn rest(
        &self,
        most: Duration,
        may: impl Fn() -> bool,
        mut nap: impl FnMut(Duration),
    ) -> Duration {
        let mut left = most;
        while !left.is_zero() && self.is_wanted() && may() {
            let step = left.min(STEP);
            nap(step);
            left -= step;
        }
        most - left
    }
}

impl Inner {
    /// What the thread of background work does after a part of it.
    pub(crate) fn rest_for_others(&self) {
        // Who writes much needs the work done; and so does he who waits for memory or space, or for the thread to end.
        let hurries = || {
            let now = Instant::now();
            let calm = || self.is_written_durably() && self.courtesy.is_patient(now);
            let written = self.courtesy.is_written(self.published.seq(), now);
            written && (self.is_short_of_space() || !calm())
        };
        let may = || self.throttle.has_threads() && !self.checkpoint_due() && !hurries();
        let nap = |time| self.throttle.wait_until_freed(time);
        self.courtesy.rest_after_work(may, nap);
    }

    /// Whether what was written is durable, but for what is on its way, and few layers of it wait in the root.
    fn is_written_durably(&self) -> bool {
        let durable = self.durable.load(Ordering::Acquire);
        if self.published.seq().saturating_sub(durable) > UNDER_WAY {
            return false;
        }
        let few = self.options.policy.root_max_layers / FEW_LAYERS;
        self.published
            .with(|view| view.root.slots.iter().all(|slot| slot.layers.len() <= few))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Batch, Options, Store};
    use std::cell::Cell;

    /// How long it is rested after so many milliseconds of work, if somebody reads during the first naps, and it is allowed as long.
    fn rested(took: u64, reads: u32, allowed: u32) -> Duration {
        let (courtesy, naps, total) = (Courtesy::default(), Cell::new(0), Cell::default());
        let read = || {
            if naps.get() < reads {
                courtesy.wait();
            }
        };
        read();
        let took = Duration::from_millis(took);
        courtesy.rest(
            (took * REST).min(LONGEST),
            || naps.get() < allowed,
            |time| {
                naps.set(naps.get() + 1);
                total.set(total.get() + time);
                read();
            },
        );
        total.get()
    }

    #[test]
    fn work_rests_while_somebody_reads_and_not_for_long() {
        assert_eq!(rested(10, 0, 99), Duration::ZERO, "nobody reads");
        assert_eq!(rested(10, 99, 99), 10 * REST * Duration::from_millis(1));
        assert_eq!(rested(10_000, 99, 99), LONGEST);
        assert_eq!(rested(10_000, 3, 99), 3 * STEP, "reading ended");
        assert_eq!(rested(10_000, 99, 2), 2 * STEP, "somebody wrote");
        assert_eq!(rested(0, 99, 99), Duration::ZERO);
    }

    #[test]
    fn a_single_read_counts_if_it_waited_for_the_disk() {
        let courtesy = Courtesy::default();
        courtesy.reading(|| ());
        assert!(!courtesy.is_wanted());
        let wait = || std::thread::sleep(Duration::from_millis(1));
        courtesy.reading(|| meter::wait(meter::Reason::Lock, wait));
        assert!(!courtesy.is_wanted());
        courtesy.reading(|| meter::wait(meter::Reason::Disk, wait));
        assert!(courtesy.is_wanted());
        assert!(!courtesy.is_wanted(), "it was asked before");
    }

    #[test]
    fn nobody_rests_for_some_time_after_a_write() {
        let (courtesy, begun) = (Courtesy::default(), Instant::now());
        let is_written =
            |seq, millis| courtesy.is_written(seq, begun + Duration::from_millis(millis));
        assert!(!is_written(7, 0), "what a store begins with");
        assert!(is_written(8, 10));
        assert!(is_written(8, 109));
        assert!(!is_written(8, 110));
        assert!(is_written(9, 200));
    }

    #[test]
    fn who_makes_each_batch_durable_is_waited_for_unless_layers_pile_up() {
        let store = Store::in_memory();
        let inner = &store.0;
        let put = |n: u64| {
            let mut batch = Batch::new();
            batch.put(n.to_be_bytes().to_vec(), vec![7; 100]);
            store.commit(batch).unwrap();
        };
        (0..UNDER_WAY).for_each(put);
        assert!(inner.is_written_durably(), "a few are on their way");
        put(UNDER_WAY);
        assert!(!inner.is_written_durably());
        inner.courtesy.is_wanted();
        store.sync().unwrap();
        assert!(inner.is_written_durably());
        assert!(inner.courtesy.is_wanted(), "the sync waited for the disk");
        store.sync().unwrap();
        assert!(!inner.courtesy.is_wanted(), "this one had nothing to do");
        for layer in 0..=inner.options.policy.root_max_layers / FEW_LAYERS {
            assert!(inner.is_written_durably(), "{layer} layers");
            put(0);
            store.sync().unwrap();
            inner.seal(&lock(&inner.writer)).unwrap();
        }
        assert!(!inner.is_written_durably(), "layers pile up");
        while store.tick().unwrap() {}
        assert!(inner.is_written_durably());
    }

    /// How long background work rests with so much memory for changes, after one was made durable or none, while somebody waits.
    fn rests(memtable_bytes: u64, written: bool) -> Duration {
        let store = Store::in_memory_with(Options {
            memtable_bytes,
            ..Options::default()
        });
        let inner = &store.0;
        inner.throttle.set_threads(true);
        inner
            .courtesy
            .is_written(inner.published.seq(), Instant::now());
        if written {
            let mut batch = Batch::new();
            batch.put("key", "value");
            store.commit(batch).unwrap();
            store.sync().unwrap();
        }
        inner.courtesy.begin();
        lock(&inner.courtesy.work).since = Instant::now().checked_sub(Duration::from_millis(30));
        inner.courtesy.wait();
        inner.rest_for_others();
        inner.throttle.set_threads(false);
        LONGEST - lock(&inner.courtesy.work).left
    }

    #[test]
    fn who_writes_where_space_is_short_is_not_waited_for() {
        let (roomy, short) = (1 << 20, 1 << 40);
        for (memtable, written, expected) in [
            (roomy, false, STEP),
            (roomy, true, STEP),
            (short, false, STEP),
            (short, true, Duration::ZERO),
        ] {
            let rested = rests(memtable, written);
            assert_eq!(rested, expected, "{memtable} {written}");
        }
    }

    #[test]
    fn the_rests_of_one_piece_of_work_are_bounded_together() {
        let (courtesy, total) = (Courtesy::default(), Cell::new(Duration::ZERO));
        let work = |parts: u32| {
            courtesy.begin();
            for _ in 0..parts {
                // As if the part had taken 30 ms.
                lock(&courtesy.work).since = Instant::now().checked_sub(Duration::from_millis(30));
                courtesy.wait();
                let nap = |time| {
                    total.set(total.get() + time);
                    courtesy.wait();
                };
                courtesy.rest_after_work(|| true, nap);
            }
            total.take()
        };
        assert!(work(1) >= REST * Duration::from_millis(30));
        assert_eq!(work(10), LONGEST);
        assert_eq!(work(10), LONGEST, "the next piece");
    }

    #[test]
    fn patience_with_who_writes_ends_until_all_is_done() {
        let courtesy = Courtesy::default();
        let after = |time| courtesy.is_patient(Instant::now() + time);
        assert!(after(PATIENCE), "nothing to do");
        courtesy.begin();
        courtesy.begin();
        assert!(after(PATIENCE / 2) && !after(PATIENCE));
        courtesy.all_done();
        assert!(after(PATIENCE));
        courtesy.begin();
        assert!(!after(PATIENCE));
    }
}
