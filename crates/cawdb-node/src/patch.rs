//! Patches: blind writes into a value, kept as an overlay.
//!
//! ```text
//!   newer        [=====]      [==]
//!   older    [======]   [====]     [===]
//!   overlay  [==][=====][====][==] [===]       pieces sorted, none overlaps another
//! ```
//!
//! Invariants:
//! - pieces ascend, do not overlap and are not empty; what a newer piece hides is dropped, so that an overlay
//!   is never longer than the bytes it writes;
//! - touching pieces are joined while that copies little ([`JOIN_BYTES`]), so that many small appends stay few pieces;
//! - a piece ends at or below [`MAX_VALUE`].

use crate::part::{Part, WHOLE};
use bytes::{Bytes, BytesMut};

/// The longest value, in bytes; also the highest end of a patch.
pub const MAX_VALUE: usize = 1 << 28;

/// Touching pieces are joined up to this many bytes; longer ones stay slices of what they came from.
const JOIN_BYTES: usize = 4 << 10;

/// Bytes that a piece counts beside its content.
const PIECE_OVERHEAD: usize = 8;

/// Bytes written over a value at given offsets; a value too short is first extended with zeros.
#[derive(Debug, Clone, Default)]
pub struct Patch {
    pieces: Vec<(u32, Bytes)>,
}

fn end_of(piece: &(u32, Bytes)) -> usize {
    piece.0 as usize + piece.1.len()
}

impl Patch {
    /// Writes `bytes` at `offset`. No bytes write nothing, and extend nothing.
    ///
    /// # Panics
    /// If the end lies beyond [`MAX_VALUE`].
    pub fn new(offset: u32, bytes: Bytes) -> Self {
        assert!(
            offset as usize + bytes.len() <= MAX_VALUE,
            "a patch may not end beyond {MAX_VALUE}"
        );
        let pieces = if bytes.is_empty() {
            Vec::new()
        } else {
            vec![(offset, bytes)]
        };
        Self { pieces }
    }

    /// An overlay of given pieces; none if they are not as the invariants demand.
    pub fn from_pieces(pieces: Vec<(u32, Bytes)>) -> Option<Self> {
        let sorted = pieces.windows(2).all(|w| end_of(&w[0]) <= w[1].0 as usize);
        let fit = pieces
            .iter()
            .all(|p| !p.1.is_empty() && end_of(p) <= MAX_VALUE);
        (sorted && fit).then_some(Self { pieces })
    }

    /// The pieces, as offset and bytes, in order of offset.
    pub fn pieces(&self) -> &[(u32, Bytes)] {
        &self.pieces
    }

    /// The value reaches at least to here once the patch is applied.
    pub fn end(&self) -> usize {
        self.pieces.last().map_or(0, end_of)
    }

    /// Bytes of the pieces and of what describes them.
    pub fn bytes(&self) -> usize {
        self.pieces
            .iter()
            .map(|(_, b)| b.len() + PIECE_OVERHEAD)
            .sum()
    }

    /// This patch and an older one as one. O(pieces of both), plus at most 4 KiB copied at each seam.
    #[must_use]
    pub fn over(self, older: Self) -> Self {
        let mut out = Self {
            pieces: Vec::with_capacity(self.pieces.len() + older.pieces.len()),
        };
        let mut newer = self.pieces.into_iter().peekable();
        for old in older.pieces {
            let (end, mut at) = (end_of(&old), old.0 as usize);
            while let Some(new) = newer.next_if(|new| (new.0 as usize) < end && end_of(new) <= end)
            {
                out.push_part(&old, at, new.0 as usize);
                at = at.max(end_of(&new));
                out.push(new);
            }
            // The next newer piece may still hide the end of this one; it is taken with a later one.
            let hidden_from = newer.peek().map_or(end, |new| end.min(new.0 as usize));
            out.push_part(&old, at, hidden_from);
        }
        newer.for_each(|new| out.push(new));
        out
    }

    /// Appends what `piece` writes from `at` to `end`, if anything.
    fn push_part(&mut self, piece: &(u32, Bytes), at: usize, end: usize) {
        let start = piece.0 as usize;
        if at < end {
            self.push((at as u32, piece.1.slice(at - start..end - start)));
        }
    }

    fn push(&mut self, piece: (u32, Bytes)) {
        if let Some(last) = self.pieces.last_mut()
            && end_of(last) == piece.0 as usize
            && last.1.len() + piece.1.len() <= JOIN_BYTES
        {
            let mut joined = BytesMut::with_capacity(last.1.len() + piece.1.len());
            joined.extend_from_slice(&last.1);
            joined.extend_from_slice(&piece.1);
            last.1 = joined.freeze();
            return;
        }
        self.pieces.push(piece);
    }

    /// The value that results on `base`, or on nothing.
    pub fn on(&self, base: Option<&Bytes>) -> Bytes {
        let base = base.map(|value| Part::whole(value.clone()));
        self.within(base.as_ref(), &WHOLE)
    }
}

impl PartialEq for Patch {
    /// Whether both write the same bytes at the same places, however they are cut in pieces.
    fn eq(&self, other: &Self) -> bool {
        self.joined() == other.joined()
    }
}

impl Eq for Patch {}

impl Patch {
    /// The pieces with all touching ones joined.
    fn joined(&self) -> Vec<(u32, Vec<u8>)> {
        let mut joined: Vec<(u32, Vec<u8>)> = Vec::new();
        for (offset, bytes) in &self.pieces {
            match joined
                .last_mut()
                .filter(|(o, b)| *o as usize + b.len() == *offset as usize)
            {
                Some((_, last)) => last.extend_from_slice(bytes),
                None => joined.push((*offset, bytes.to_vec())),
            }
        }
        joined
    }
}
