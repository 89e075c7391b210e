//! Durability on demand: group commit of the journal, or a checkpoint where that is less to write.
//!
//! ```text
//!   thread 1 ── sync ──► takes its turn, writes all that is pending, one flush ──► done, wakes all
//!   thread 2 ──── sync ──► waits ────────────────────────────────────────────────► already durable: done
//! ```
//! Who waits is woken by each flush and looks whether it was his. A lock would not do: whoever had it takes it again with
//! his next batch, and those who are long served stand in line for it.

use crate::error::{Error, Result};
use crate::pending::Due;
use crate::record;
use crate::store::{Inner, read_only};
use cawdb_disk::Journal;
use cawdb_disk::journal::Record;
use cawdb_disk::meter::{self, Reason};
use cawdb_disk::sync::{Condvar, Mutex};
use cawdb_disk::sync::{lock, wait, wake_all};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Whose turn it is to write the journal.
#[derive(Default)]
pub(crate) struct Turns {
    taken: Mutex<bool>,
    over: Condvar,
}

/// A turn; over when dropped.
struct Turn<'a>(&'a Turns);

impl Turns {
    /// Waits for a turn; none once it is not needed any more.
    fn take(&self, served: impl Fn() -> bool) -> Option<Turn<'_>> {
        let mut taken = lock(&self.taken);
        while *taken && !served() {
            taken = meter::wait(Reason::Durability, || wait(&self.over, taken));
        }
        if served() {
            return None;
        }
        *taken = true;
        Some(Turn(self))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *lock(&self.0.taken) = false;
        wake_all(&self.0.over);
    }
}

impl Inner {
    /// Makes every batch that is seen now durable.
    pub(crate) fn sync(&self) -> Result<()> {
        self.poison.check()?;
        if self.options.read_only {
            return Err(read_only());
        }
        let _guard = self.poison.guard();
        let target = self.published.seq();
        while self.durable.load(Ordering::Acquire) < target {
            let Some(turn) = self
                .turns
                .take(|| self.durable.load(Ordering::Acquire) >= target)
            else {
                break;
            };
            let mut journal = lock(&self.journal);
            let (due, newest) = {
                let mut writer = lock(&self.writer);
                let checkpointed = self.checkpointed.load(Ordering::Acquire);
                (writer.pending.take(checkpointed), writer.seq)
            };
            match due {
                Due::Journal(batches) => match self.write_journal(&mut journal, &batches) {
                    Ok(true) => {
                        self.durable.fetch_max(newest, Ordering::AcqRel);
                    }
                    Ok(false) => {
                        // No room: a checkpoint makes these batches durable, and frees the ring.
                        lock(&self.writer).pending.give_up();
                        drop((journal, turn));
                        self.checkpoint()?;
                    }
                    Err(error) => {
                        // Taken out and not written: whatever the error, nobody may think that they are.
                        lock(&self.writer).pending.give_up();
                        return Err(self.poison.note(error));
                    }
                },
                Due::After(seq) => {
                    drop((journal, turn));
                    self.wait_for_checkpoint(seq)?;
                }
                Due::Checkpoint => {
                    drop((journal, turn));
                    self.checkpoint()?;
                }
            }
        }
        self.poison.check()
    }

    /// Writes and flushes records; false if they do not fit into the ring.
    fn write_journal(
        &self,
        journal: &mut Journal,
        batches: &[(u64, Arc<crate::Batch>)],
    ) -> Result<bool> {
        if batches.is_empty() {
            return Ok(true);
        }
        let payloads: Vec<_> = batches
            .iter()
            .map(|(seq, b)| (*seq, record::encode(b)))
            .collect();
        let records: Vec<_> = payloads
            .iter()
            .map(|(seq, payload)| Record { seq: *seq, payload })
            .collect();
        self.courtesy.wait();
        let head = match journal.write_group(&records) {
            Ok(head) => head,
            Err(cawdb_disk::Error::Full { .. } | cawdb_disk::Error::Invalid(_)) => {
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        };
        self.disk.sync()?;
        self.courtesy.wait();
        journal.mark_durable(head);
        self.counters.journal_groups.fetch_add(1, Ordering::Relaxed);
        self.counters
            .journal_batches
            .fetch_add(records.len() as u64, Ordering::Relaxed);
        Ok(true)
    }

    /// Waits until a checkpoint that holds the batch `seq` is durable; writes one if the one at work failed.
    fn wait_for_checkpoint(&self, seq: u64) -> Result<()> {
        let anchors = lock(&self.anchors);
        drop(anchors);
        if self.checkpointed.load(Ordering::Acquire) < seq {
            self.checkpoint()?;
        }
        match self.checkpointed.load(Ordering::Acquire) < seq {
            true => Err(Error::Io("a checkpoint did not become durable".into())),
            false => Ok(()),
        }
    }
}
