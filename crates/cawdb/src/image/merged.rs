//! What a merge came to, as an entry of the node table: of use to versions that share what was merged and are looked at in a later session.
//!
//! ```text
//!   n, per input, newest first: run id, from, to │ lo │ end │ bottom u8 │ n, per piece: run id or 0, and its end if another follows
//!                                                      end: 0, or 1 and the key
//! ```
//! Invariant: decoded pieces cover the range, in order, so that a merge which is found to be known hides nothing; and their runs are younger
//! than those that were merged, so that nothing is replaced by itself.

use crate::error::Result;
use cawdb_disk::codec::{Reader, Writer};
use cawdb_node::{Key, KeyRange, RunId, Translation, hi_less};
use cawdb_tree::{Known, MergeKey};

/// The fields after the tag.
pub fn put(w: &mut Writer, known: &Known) {
    let MergeKey {
        inputs,
        range,
        bottom,
    } = &known.key;
    w.varint(inputs.len() as u64);
    for (id, tr) in inputs {
        w.varint(id.0);
        w.bytes(tr.from());
        w.bytes(tr.to());
    }
    w.bytes(&range.lo);
    put_end(w, range.hi.as_ref());
    w.u8(u8::from(*bottom));
    w.varint(known.pieces.len() as u64);
    for (i, (piece, run)) in known.pieces.iter().enumerate() {
        w.varint(run.map_or(0, |id| id.0));
        if i + 1 < known.pieces.len() {
            put_end(w, piece.hi.as_ref());
        }
    }
}

/// The same, read; none if it cannot be what a merge came to, as it is of no use then.
///
/// # Errors
/// If fields are not what [`put`] writes.
pub fn get(r: &mut Reader<'_>) -> Result<Option<Known>> {
    let mut inputs = Vec::new();
    for _ in 0..r.varint()? {
        let id = RunId(r.varint()?);
        inputs.push((id, Translation::new(key(r)?, key(r)?)));
    }
    let range = KeyRange {
        lo: key(r)?,
        hi: get_end(r)?,
    };
    let bottom = match r.u8()? {
        0 => false,
        1 => true,
        flag => return Err(r.corrupt("0 or 1", format!("{flag}")).into()),
    };
    let pieces = get_pieces(r, &range)?;
    let key = MergeKey {
        inputs,
        range,
        bottom,
    };
    let known = Known { key, pieces };
    Ok(makes_sense(&known).then_some(known))
}

fn get_pieces(r: &mut Reader<'_>, range: &KeyRange) -> Result<Vec<(KeyRange, Option<RunId>)>> {
    let (mut pieces, mut lo) = (Vec::new(), range.lo.clone());
    let count = r.varint()?;
    for i in 0..count {
        let run = Some(r.varint()?).filter(|id| *id > 0).map(RunId);
        let hi = match i + 1 < count {
            true => get_end(r)?,
            false => range.hi.clone(),
        };
        let next = hi.clone().unwrap_or_default();
        pieces.push((KeyRange { lo, hi }, run));
        lo = next;
    }
    Ok(pieces)
}

/// Whether the pieces cover the range in order, each in a run that is younger than those that were merged.
fn makes_sense(known: &Known) -> bool {
    let Some((_, before)) = known.pieces.split_last() else {
        return false;
    };
    let Some(youngest) = known.key.inputs.iter().map(|(id, _)| *id).max() else {
        return false;
    };
    let end = known.key.range.hi.as_ref();
    before
        .iter()
        .all(|(piece, _)| hi_less(piece.hi.as_ref(), end))
        && known.pieces.iter().all(|(piece, _)| !piece.is_empty())
        && known
            .pieces
            .iter()
            .all(|(_, run)| run.is_none_or(|id| id > youngest))
}

fn put_end(w: &mut Writer, end: Option<&Key>) {
    w.u8(u8::from(end.is_some()));
    if let Some(end) = end {
        w.bytes(end);
    }
}

fn get_end(r: &mut Reader<'_>) -> Result<Option<Key>> {
    match r.u8()? {
        0 => Ok(None),
        1 => Ok(Some(key(r)?)),
        flag => Err(r.corrupt("0 or 1", format!("{flag}")).into()),
    }
}

fn key(r: &mut Reader<'_>) -> Result<Key> {
    Ok(Key::copy_from_slice(r.bytes()?))
}
