//! Batches that are committed but not yet in the journal.
//!
//! Nothing is encoded or written before somebody asks for durability: a checkpoint often overtakes it. When too
//! many bytes are pending, the list is dropped altogether; from then on only a checkpoint can make what was
//! dropped durable, and the journal goes on after that checkpoint.

use crate::batch::{Batch, Op};
use std::sync::Arc;

/// Bytes that an operation takes in a record beside key and value, about.
const OP_OVERHEAD: usize = 16;

/// The list of batches that the journal does not hold yet.
#[derive(Default)]
pub struct Pending {
    batches: Vec<(u64, Arc<Batch>)>,
    bytes: u64,
    dropped: bool,
    /// The journal may be written only once a checkpoint that holds this batch is durable.
    after: u64,
}

/// What a sync has to do.
pub enum Due {
    /// Write these batches to the journal.
    Journal(Vec<(u64, Arc<Batch>)>),
    /// Wait for the checkpoint that holds this batch, which is at work, and ask again.
    After(u64),
    /// Write a checkpoint.
    Checkpoint,
}

impl Pending {
    /// Adds the batch numbered `seq`; beyond `limit` bytes the list is dropped.
    pub fn push(&mut self, seq: u64, batch: Arc<Batch>, limit: u64) {
        if self.dropped {
            return;
        }
        self.bytes += batch_bytes(&batch) as u64;
        self.batches.push((seq, batch));
        if self.bytes > limit {
            *self = Self {
                dropped: true,
                after: self.after,
                ..Self::default()
            };
        }
    }

    /// Bytes of the batches in the list.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What must be done so that all of it becomes durable, given that a checkpoint with the batches up to
    /// `checkpointed` is. Takes the batches out.
    pub fn take(&mut self, checkpointed: u64) -> Due {
        if self.dropped {
            Due::Checkpoint
        } else if self.after > checkpointed {
            Due::After(self.after)
        } else {
            self.bytes = 0;
            Due::Journal(std::mem::take(&mut self.batches))
        }
    }

    /// What was taken could not be written to the journal: only a checkpoint can make it durable now.
    pub fn give_up(&mut self) {
        *self = Self {
            dropped: true,
            after: self.after,
            ..Self::default()
        };
    }

    /// A checkpoint that will hold everything up to `seq` is being written. If batches were dropped, the journal
    /// goes on after it.
    pub fn cut(&mut self, seq: u64) {
        if self.dropped {
            *self = Self {
                after: seq,
                ..Self::default()
            };
        }
    }

    /// That checkpoint was not written: what it should have held is lost for the journal again.
    pub fn cut_failed(&mut self, seq: u64) {
        if self.after == seq {
            *self = Self {
                dropped: true,
                ..Self::default()
            };
        }
    }

    /// A checkpoint that holds everything up to `seq` is durable.
    pub fn durable(&mut self, seq: u64) {
        self.batches.retain(|(s, _)| *s > seq);
        self.bytes = self
            .batches
            .iter()
            .map(|(_, b)| batch_bytes(b) as u64)
            .sum();
    }
}

fn batch_bytes(batch: &Batch) -> usize {
    let op = |op: &Op| match op {
        Op::Put { key, value } => key.len() + value.len(),
        Op::Delete { key } => key.len(),
        Op::Patch { key, bytes, .. } => key.len() + bytes.len(),
        Op::DeleteRange { range } => range.lo.len() + range.hi.as_ref().map_or(0, |h| h.len()),
        Op::CloneRange { source, from, to } => source.lo.len() * 2 + from.len() + to.len(),
    };
    batch.ops.iter().map(|o| op(o) + OP_OVERHEAD).sum()
}
