//! Messages: what a run says about one key. Newer messages lie over older ones.
//!
//! Invariants:
//! - laying messages over each other is associative, so that runs may be merged in any grouping;
//! - a patch above a delete starts from nothing, and so becomes a put at once; a patch on nothing extends with zeros.
//!
//! A message's payload as bytes (`kind`, and its length, are kept beside it):
//! put: the value; delete: nothing; patch: pieces n, then (offset, length) of each, then their bytes.

#[cfg(test)]
mod tests;

use crate::{Error, Patch, Result};
use bytes::Bytes;
use cawdb_disk::codec::{Reader, Writer, varint_len};

/// What is said about one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// The key has this value.
    Put(Bytes),
    /// The key does not exist.
    Delete,
    /// The value is the older one with these bytes written over it.
    Patch(Patch),
}

const PUT: u8 = 0;
const DELETE: u8 = 1;
const PATCH: u8 = 2;

impl Message {
    /// A patch of one piece. See [`Patch::new`].
    pub fn patch(offset: u32, bytes: Bytes) -> Self {
        Self::Patch(Patch::new(offset, bytes))
    }

    /// This message and an older one as one.
    #[must_use]
    pub fn over(self, older: Self) -> Self {
        match (self, older) {
            (Self::Patch(patch), Self::Put(value)) => Self::Put(patch.on(Some(&value))),
            (Self::Patch(patch), Self::Delete) => Self::Put(patch.on(None)),
            (Self::Patch(patch), Self::Patch(older)) => Self::Patch(patch.over(older)),
            (newer, _) => newer,
        }
    }

    /// The value, where nothing lies below; none if the key does not exist.
    pub fn resolve(self) -> Option<Bytes> {
        match self {
            Self::Put(value) => Some(value),
            Self::Delete => None,
            Self::Patch(patch) => Some(patch.on(None)),
        }
    }

    /// Payload bytes: of the value, or of the patch and what describes it.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Put(value) => value.len(),
            Self::Delete => 0,
            Self::Patch(patch) => patch.bytes(),
        }
    }

    /// The number by which bytes name this sort of message, below 4.
    pub fn kind(&self) -> u8 {
        match self {
            Self::Put(_) => PUT,
            Self::Delete => DELETE,
            Self::Patch(_) => PATCH,
        }
    }

    /// How many bytes [`Self::write_payload`] writes.
    pub fn payload_len(&self) -> usize {
        let Self::Patch(patch) = self else {
            return self.bytes();
        };
        let piece = |(offset, b): &(u32, Bytes)| {
            varint_len((*offset).into()) + varint_len(b.len() as u64) + b.len()
        };
        varint_len(patch.pieces().len() as u64) + patch.pieces().iter().map(piece).sum::<usize>()
    }

    /// Writes the payload, without kind or length.
    pub fn write_payload(&self, w: &mut Writer) {
        match self {
            Self::Put(value) => w.raw(value),
            Self::Delete => {}
            Self::Patch(patch) => {
                w.varint(patch.pieces().len() as u64);
                for (offset, bytes) in patch.pieces() {
                    w.varint((*offset).into());
                    w.varint(bytes.len() as u64);
                }
                patch.pieces().iter().for_each(|(_, bytes)| w.raw(bytes));
            }
        }
    }

    /// The message of this kind with this payload; values are slices of it.
    ///
    /// # Errors
    /// If there is no such kind, or it cannot have that payload.
    pub fn from_payload(kind: u8, payload: Bytes) -> Result<Self> {
        match kind {
            PUT => Ok(Self::Put(payload)),
            DELETE if payload.is_empty() => Ok(Self::Delete),
            PATCH => read_patch(&payload).map(Self::Patch),
            _ => Err(Error::mismatch(
                "kind and length of a message",
                "a known pair",
                (kind, payload.len()),
            )),
        }
    }
}

fn read_patch(payload: &Bytes) -> Result<Patch> {
    let mut r = Reader::new("patch", payload);
    let count = r.varint_usize()?;
    let mut spans = Vec::new();
    for _ in 0..count {
        let offset = r.varint()?;
        let offset = u32::try_from(offset)
            .map_err(|_| Error::mismatch("offset of a patch", "32 bits", offset))?;
        spans.push((offset, r.varint_usize()?));
    }
    let mut pieces = Vec::with_capacity(spans.len());
    for (offset, len) in spans {
        pieces.push((offset, payload.slice(r.span(len)?)));
    }
    r.finish()?;
    Patch::from_pieces(pieces)
        .ok_or_else(|| Error::Corrupt("pieces of a patch out of order".into()))
}
