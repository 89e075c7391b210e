//! Durability on demand: group commit of the journal, or a checkpoint where that is less to write.
//!
//! ```text
//!   thread 1 ── sync ──► takes the journal, writes all that is pending, one flush ──► done
//!   thread 2 ──── sync ──► waits for the journal ───────────────────────────────────► already durable: done
//! ```

use crate::error::{Error, Result};
use crate::pending::Due;
use crate::record;
use crate::store::{Inner, read_only};
use cawdb_disk::Journal;
use cawdb_disk::journal::Record;
use cawdb_disk::sync::lock;
use std::sync::Arc;
use std::sync::atomic::Ordering;

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
            let mut journal = lock(&self.journal);
            if self.durable.load(Ordering::Acquire) >= target {
                break;
            }
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
                        drop(journal);
                        self.checkpoint()?;
                    }
                    Err(error) => {
                        // Taken out and not written: whatever the error, nobody may think that they are.
                        lock(&self.writer).pending.give_up();
                        return Err(self.poison.note(error));
                    }
                },
                Due::After(seq) => {
                    drop(journal);
                    self.wait_for_checkpoint(seq)?;
                }
                Due::Checkpoint => {
                    drop(journal);
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
        let head = match journal.write_group(&records) {
            Ok(head) => head,
            Err(cawdb_disk::Error::Full { .. } | cawdb_disk::Error::Invalid(_)) => {
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        };
        self.disk.sync()?;
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
