//! Parts of values: who wants some bytes of a long value need not have all of it.
//!
//! ```text
//!   value     [ . . . . . . . . . . . . . . . . ]      of so many bytes
//!   part              [ . . . . ]                      from here on, those that were read
//!   patch      [==]        [=]        [==]
//!   wanted              [ . . . ]                      answered from part and patch alone
//! ```
//! Invariant: a part holds all bytes of its value that were asked for, and the value is as long as it says.

use crate::{Message, Patch};
use bytes::Bytes;
use std::ops::Range;

/// All bytes of any value.
pub const WHOLE: Range<usize> = 0..usize::MAX;

/// Bytes of a value that lie next to each other, and how long the value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    len: usize,
    from: usize,
    bytes: Bytes,
}

/// What is said about a key, for who wants part of its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// All that is said.
    Message(Message),
    /// It has a value, of which this is what was asked for.
    Part(Part),
}

impl Part {
    /// The bytes of a value of `len` bytes that begin at `from`.
    pub(crate) fn new(len: usize, from: usize, bytes: Bytes) -> Self {
        Self { len, from, bytes }
    }

    /// All of a value.
    pub fn whole(value: Bytes) -> Self {
        Self::new(value.len(), 0, value)
    }

    /// What is held of the bytes `from..to` of the value.
    fn held(&self, from: usize, to: usize) -> Range<usize> {
        let within = |at: usize| at.saturating_sub(self.from).min(self.bytes.len());
        within(from)..within(to)
    }

    /// The bytes of `want`, which was asked for; fewer where the value ends.
    pub fn within(&self, want: &Range<usize>) -> Bytes {
        self.bytes.slice(self.held(want.start, want.end))
    }
}

impl Found {
    /// The message, for who asked for all of a value.
    pub fn into_message(self) -> Message {
        match self {
            Self::Message(message) => message,
            Self::Part(part) => Message::Put(part.bytes),
        }
    }
}

impl Patch {
    /// Whether it says all about the bytes of `want`, whatever lies below. O(pieces).
    pub fn covers(&self, want: &Range<usize>) -> bool {
        let mut at = want.start;
        for (offset, bytes) in self.pieces() {
            if (*offset as usize) > at || at >= want.end {
                break;
            }
            at = at.max(*offset as usize + bytes.len());
        }
        at >= want.end
    }

    /// The bytes of `want` of the value that results on `base`, or on nothing; fewer where that value ends. O(pieces + bytes of `want`).
    pub fn within(&self, base: Option<&Part>, want: &Range<usize>) -> Bytes {
        let len = base.map_or(0, |base| base.len).max(self.end());
        let (from, to) = (want.start.min(len), want.end.min(len));
        let mut out = Vec::new();
        for (offset, bytes) in self.pieces() {
            let start = *offset as usize;
            let shown = start.clamp(from, to)..(start + bytes.len()).clamp(from, to);
            if shown.is_empty() {
                continue;
            }
            let piece = bytes.slice(shown.start - start..shown.end - start);
            if shown == (from..to) {
                return piece;
            }
            if out.is_empty() {
                out.reserve_exact(to - from);
            }
            fill(&mut out, base, (from, shown.start));
            out.extend_from_slice(&piece);
        }
        if out.is_empty()
            && let Some(base) = base
            && base.held(from, to).len() == to - from
        {
            return base.within(&(from..to));
        }
        fill(&mut out, base, (from, to));
        out.into()
    }
}

/// Extends `out`, which begins at byte `from` of a value, up to byte `to` with what `base` has there, then zeros.
fn fill(out: &mut Vec<u8>, base: Option<&Part>, (from, to): (usize, usize)) {
    if let Some(base) = base {
        let held = base.held(from + out.len(), to);
        out.extend_from_slice(base.bytes.get(held).unwrap_or_default());
    }
    out.resize(to - from, 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastrand::Rng;

    /// A patch of some pieces, and some of what it may lie over.
    fn patch(rng: &mut Rng) -> Patch {
        let mut patch = Patch::default();
        for _ in 0..rng.usize(..4) {
            let bytes: Vec<u8> = (0..rng.usize(..12)).map(|_| rng.u8(..)).collect();
            patch = Patch::new(rng.u32(..40), bytes.into()).over(patch);
        }
        patch
    }

    #[test]
    fn a_part_of_what_a_patch_makes_is_that_part_of_all_of_it() {
        let mut rng = Rng::with_seed(1);
        let (mut covered, mut short) = (0, 0);
        for _ in 0..20_000 {
            let patch = patch(&mut rng);
            let value: Bytes = (0..rng.usize(..40)).map(|_| rng.u8(..)).collect();
            let base = rng.bool().then_some(value);
            let start = rng.usize(..50);
            let want = start..start + rng.usize(..20);
            let whole = patch.on(base.as_ref());
            let clipped =
                |all: &Bytes| all.slice(want.start.min(all.len())..want.end.min(all.len()));
            // Of the base, the wanted bytes and some around them.
            let part = base.map(|value| {
                let from = rng.usize(..=want.start).min(value.len());
                let to = (want.end + rng.usize(..5)).min(value.len()).max(from);
                Part::new(value.len(), from, value.slice(from..to))
            });
            let found = patch.within(part.as_ref(), &want);
            assert_eq!(found, clipped(&whole), "{patch:?} {part:?} {want:?}");
            short += usize::from(found.len() < want.len());
            if patch.covers(&want) {
                covered += usize::from(!want.is_empty());
                assert_eq!(patch.within(None, &want), clipped(&whole));
            }
        }
        assert!(covered > 500 && short > 500, "{covered} {short}");
    }

    #[test]
    fn all_of_a_value_is_a_part_of_it() {
        let value = Bytes::from_static(b"some value");
        let part = Part::whole(value.clone());
        assert_eq!(part.within(&WHOLE), value);
        assert_eq!(part.within(&(5..100)), value.slice(5..));
        assert_eq!(part.within(&(50..100)), Bytes::new());
        assert_eq!(Found::Part(part).into_message(), Message::Put(value));
    }
}
