//! An atomic group of changes.
//!
//! Meaning, fixed: every clone reads the state *before* the batch; then the other changes apply in the
//! order in which they were added, above what the clones wrote.

use bytes::Bytes;
use cawdb_node::KeyRange;

/// One change of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Sets the value of a key.
    Put {
        /// The key.
        key: Bytes,
        /// Its new value.
        value: Bytes,
    },
    /// Removes a key; a missing one is no error.
    Delete {
        /// The key.
        key: Bytes,
    },
    /// Overwrites bytes of a value from `offset` on, blindly; a missing or short value is extended with zeros.
    Patch {
        /// The key.
        key: Bytes,
        /// Offset into the value, in bytes.
        offset: u32,
        /// The bytes to lay there.
        bytes: Bytes,
    },
    /// Removes every key of a range.
    DeleteRange {
        /// The range.
        range: KeyRange,
    },
    /// Replaces the content of the range `source` translated (prefix `from` becomes `to`) by that of `source`
    /// as it was before the batch. Every key of `source` must carry the prefix `from`
    /// (`source.lo` starts with it, and `source.hi` does or is at most its successor).
    CloneRange {
        /// What is cloned.
        source: KeyRange,
        /// The prefix that all its keys carry.
        from: Bytes,
        /// What replaces that prefix.
        to: Bytes,
    },
}

/// A list of changes that become visible, and durable, all together or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// The changes, in the order in which they were added.
    pub ops: Vec<Op>,
    /// Which of the changes are puts where nothing is by then, ascending; see [`Batch::insert`].
    pub(crate) firsts: Vec<u32>,
    /// Whether it makes the content smaller although it deletes nothing; see [`Batch::shrink`].
    pub(crate) shrinks: bool,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }
    /// Says that the batch leaves less than there was, as one that replaces a value by a shorter one does: like one that
    /// deletes, it may then use the room that is set aside in a full store.
    pub fn shrink(&mut self) -> &mut Self {
        self.shrinks = true;
        self
    }
    /// Adds [`Op::Put`].
    pub fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> &mut Self {
        self.ops.push(Op::Put {
            key: key.into(),
            value: value.into(),
        });
        self
    }
    /// Adds [`Op::Put`] for a key of which the caller knows that it has no value by then. It does what a put does; but if the key is deleted
    /// again soon, nothing of either is ever written. In a batch with clones, and in the journal, it is a put: nothing depends on it.
    ///
    /// Where the key did have a value, a later delete may uncover that; builds with debug assertions look, and panic.
    pub fn insert(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> &mut Self {
        self.firsts.extend(u32::try_from(self.ops.len()));
        self.put(key, value)
    }
    /// Adds [`Op::Delete`].
    pub fn delete(&mut self, key: impl Into<Bytes>) -> &mut Self {
        self.ops.push(Op::Delete { key: key.into() });
        self
    }
    /// Adds [`Op::Patch`].
    pub fn patch(
        &mut self,
        key: impl Into<Bytes>,
        offset: u32,
        bytes: impl Into<Bytes>,
    ) -> &mut Self {
        self.ops.push(Op::Patch {
            key: key.into(),
            offset,
            bytes: bytes.into(),
        });
        self
    }
    /// Adds [`Op::DeleteRange`].
    pub fn delete_range(&mut self, range: KeyRange) -> &mut Self {
        self.ops.push(Op::DeleteRange { range });
        self
    }
    /// Adds [`Op::CloneRange`].
    pub fn clone_range(
        &mut self,
        source: KeyRange,
        from: impl Into<Bytes>,
        to: impl Into<Bytes>,
    ) -> &mut Self {
        self.ops.push(Op::CloneRange {
            source,
            from: from.into(),
            to: to.into(),
        });
        self
    }
    /// Adds a clone of every key that starts with `from` to the same keys with `to` in its place.
    pub fn clone_prefix(&mut self, from: impl Into<Bytes>, to: impl Into<Bytes>) -> &mut Self {
        let from = from.into();
        self.clone_range(KeyRange::prefix(from.clone()), from, to)
    }
    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }
}
