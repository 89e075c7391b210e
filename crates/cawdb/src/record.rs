//! What a journal record says: one batch.
//!
//! ```text
//!  record = varint number of changes, then the changes
//!  change = tag (1 byte), then
//!      0 put          bytes key, bytes value
//!      1 delete       bytes key
//!      2 patch        bytes key, varint offset, bytes content
//!      3 delete range range
//!      4 clone range  range, bytes from, bytes to
//!  range  = bytes lo, 0 (no end) or 1 and bytes hi
//!  bytes  = varint length, then the bytes
//! ```
//!
//! Invariants: one batch has one encoding; decoding never panics and checks the form only: whether
//! the batch is admissible is for the ordinary path to say, which replays it.

use crate::{Batch, Op};
use bytes::Bytes;
use cawdb_disk::Result;
use cawdb_disk::codec::{Reader, Writer};
use cawdb_node::KeyRange;

const PUT: u8 = 0;
const DELETE: u8 = 1;
const PATCH: u8 = 2;
const DELETE_RANGE: u8 = 3;
const CLONE_RANGE: u8 = 4;

/// The bytes of a batch. O(bytes).
pub fn encode(batch: &Batch) -> Vec<u8> {
    let mut w = Writer::new();
    w.varint(batch.ops.len() as u64);
    for op in &batch.ops {
        match op {
            Op::Put { key, value } => {
                w.u8(PUT);
                w.bytes(key);
                w.bytes(value);
            }
            Op::Delete { key } => {
                w.u8(DELETE);
                w.bytes(key);
            }
            Op::Patch { key, offset, bytes } => {
                w.u8(PATCH);
                w.bytes(key);
                w.varint(u64::from(*offset));
                w.bytes(bytes);
            }
            Op::DeleteRange { range } => {
                w.u8(DELETE_RANGE);
                encode_range(&mut w, range);
            }
            Op::CloneRange { source, from, to } => {
                w.u8(CLONE_RANGE);
                encode_range(&mut w, source);
                w.bytes(from);
                w.bytes(to);
            }
        }
    }
    w.into_vec()
}

/// The batch of some bytes; keys and values are slices of them. O(changes).
///
/// # Errors
/// [`cawdb_disk::Error::Corrupt`] if they are not what [`encode`] makes.
pub fn decode(payload: &Bytes) -> Result<Batch> {
    let mut r = Reader::new("batch in the journal", payload);
    let count = r.varint()?;
    let mut batch = Batch::new();
    for _ in 0..count {
        batch.ops.push(decode_op(&mut r, payload)?);
    }
    r.finish()?;
    Ok(batch)
}

fn decode_op(r: &mut Reader<'_>, payload: &Bytes) -> Result<Op> {
    Ok(match r.u8()? {
        PUT => Op::Put {
            key: bytes(r, payload)?,
            value: bytes(r, payload)?,
        },
        DELETE => Op::Delete {
            key: bytes(r, payload)?,
        },
        PATCH => {
            let (key, offset) = (bytes(r, payload)?, r.varint()?);
            let offset = u32::try_from(offset)
                .map_err(|_| r.corrupt("an offset of 32 bits", offset.to_string()))?;
            Op::Patch {
                key,
                offset,
                bytes: bytes(r, payload)?,
            }
        }
        DELETE_RANGE => Op::DeleteRange {
            range: decode_range(r, payload)?,
        },
        CLONE_RANGE => Op::CloneRange {
            source: decode_range(r, payload)?,
            from: bytes(r, payload)?,
            to: bytes(r, payload)?,
        },
        tag => return Err(r.corrupt("the tag of a change", tag.to_string())),
    })
}

fn encode_range(w: &mut Writer, range: &KeyRange) {
    w.bytes(&range.lo);
    w.u8(u8::from(range.hi.is_some()));
    if let Some(hi) = &range.hi {
        w.bytes(hi);
    }
}

fn decode_range(r: &mut Reader<'_>, payload: &Bytes) -> Result<KeyRange> {
    let lo = bytes(r, payload)?;
    let hi = match r.u8()? {
        0 => None,
        1 => Some(bytes(r, payload)?),
        flag => return Err(r.corrupt("0 or 1", flag.to_string())),
    };
    Ok(KeyRange { lo, hi })
}

fn bytes(r: &mut Reader<'_>, payload: &Bytes) -> Result<Bytes> {
    Ok(payload.slice_ref(r.bytes()?))
}
