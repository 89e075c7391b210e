//! Checksums of the pages of a large value, so that a part of it can be read, and believed, alone.
//!
//! ```text
//!   segment   │ head, key │ page 0 │ page 1 │ ... │ page n │ table of restarts │
//!   index               sums:  s0       s1     ...    sn         of each page the low half of its checksum
//!   checksum    of │ head, key │ c0 │ c1 │ ... │ cn │ table of restarts │       c: the checksum of a page, 8 bytes
//! ```
//! Pages begin where the value does, not where the segment does: who reads a page of a file verifies one of these.
//!
//! Invariants: the checksum of the segment stands for all its bytes with 64 bits, as that of any other; one that was read as a whole is verified
//! in one pass, of a part only whole pages are believed.

use super::segment::{RESTART_BYTES, TRAILER_BYTES};
use crate::Result;
use cawdb_disk::codec::varint_len;
use cawdb_disk::{Checksum, Error};
use std::ops::Range;

/// Bytes of a page; the last one of a value may be shorter.
pub(super) const PAGE: usize = 4 << 10;

/// The shortest value whose pages are summed, in bytes: of shorter ones all is read.
pub(super) const LEAST: usize = 16 << 10;

/// Some pages are read alone if they are no more than one in so many of all: else all of the value is hardly more to read.
const MOST: usize = 4;

/// A few pages of a value.
pub(super) struct FewPages<'a> {
    /// Where the value lies in its segment.
    pub(super) value: Range<usize>,
    /// Their numbers.
    pub(super) pages: Range<usize>,
    /// What the index holds of them.
    pub(super) sums: &'a [u32],
}

impl FewPages<'_> {
    /// Where they begin and end in the value.
    pub(super) fn bytes(&self) -> (usize, usize) {
        let at = |page: usize| (page * PAGE).min(self.value.len());
        (at(self.pages.start), at(self.pages.end))
    }

    /// Checks them.
    ///
    /// # Errors
    /// If they are not what was written; says which page.
    pub(super) fn verify(&self, bytes: &[u8]) -> Result<()> {
        let found: Vec<_> = bytes
            .chunks(PAGE)
            .map(|page| low(Checksum::of(page)))
            .collect();
        compare(&found, self.pages.start, self.sums)
    }
}

/// How many pages a value of so many bytes has.
pub(super) fn count(len: usize) -> usize {
    len.div_ceil(PAGE)
}

/// Where the value lies in a segment that holds nothing but one put, uncompressed, with a key and a value of so many bytes; and how long
/// the segment is.
pub(super) fn layout(key: usize, value: usize) -> (Range<usize>, usize) {
    // Before the key stand what it shares with none before it, its length, and the length of the value with its kind, 0.
    let head = 1 + varint_len(key as u64) + varint_len((value as u64) << 2) + key;
    (
        head..head + value,
        head + value + RESTART_BYTES + TRAILER_BYTES,
    )
}

/// The half of a page's checksum that the index holds.
fn low(page: Checksum) -> u32 {
    page.0 as u32
}

/// The checksum of a segment whose value is `value`; to `sums` is added what the index holds of each page. One pass.
pub(super) fn sum(stored: &[u8], value: &Range<usize>, sums: &mut Vec<u32>) -> Checksum {
    let (head, tail) = (&stored[..value.start], &stored[value.end..]);
    let pages = count(value.len()) * size_of::<u64>();
    let mut summed = Vec::with_capacity(head.len() + pages + tail.len());
    summed.extend_from_slice(head);
    for page in stored[value.clone()].chunks(PAGE) {
        let page = Checksum::of(page);
        sums.push(low(page));
        summed.extend_from_slice(&page.0.to_le_bytes());
    }
    summed.extend_from_slice(tail);
    Checksum::of(&summed)
}

/// The pages that hold bytes `want` of a value of `len` bytes; none if that is too much of it to read them alone.
pub(super) fn covering(len: usize, want: &Range<usize>) -> Option<Range<usize>> {
    let end = want.end.min(len);
    let start = want.start.min(end);
    let pages = start / PAGE..count(end).max(start / PAGE);
    let few = pages.len() * MOST <= count(len);
    few.then_some(match start < end {
        true => pages,
        false => pages.start..pages.start,
    })
}

/// Checks sums of pages that were made anew, from number `first` on.
///
/// # Errors
/// If they are not those that the index holds; says which page.
pub(super) fn compare(found: &[u32], first: usize, sums: &[u32]) -> Result<()> {
    let differs = |(found, sum): &(&u32, &u32)| found != sum;
    match found
        .iter()
        .zip(sums)
        .enumerate()
        .find(|(_, pair)| differs(pair))
    {
        None => Ok(()),
        Some((i, (found, sum))) => Err(Error::corrupt(
            format!("page {}", first + i),
            format!("checksum {sum:08x}"),
            format!("{found:08x}"),
        )
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_a_value_is_read_alone_and_no_more() {
        let len = 16 * PAGE;
        assert_eq!(covering(len, &(0..1)), Some(0..1));
        assert_eq!(covering(len, &(PAGE - 1..PAGE + 1)), Some(0..2));
        assert_eq!(covering(len, &(PAGE..5 * PAGE)), Some(1..5));
        assert_eq!(covering(len, &(PAGE..5 * PAGE + 1)), None);
        assert_eq!(covering(len, &(len - 1..usize::MAX)), Some(15..16));
        assert_eq!(covering(len + 1, &(len..len + 1)), Some(16..17));
        assert_eq!(covering(len, &crate::WHOLE), None);
        for beyond in [len..len + 5, len + PAGE..len + 2 * PAGE, 7..7] {
            let none = covering(len, &beyond).expect("little to read");
            assert!(none.is_empty(), "{none:?}");
        }
    }

    #[test]
    fn any_byte_that_changes_shows_in_the_checksum_and_those_of_the_value_in_their_page() {
        let mut rng = fastrand::Rng::with_seed(3);
        let value = 7..7 + 3 * PAGE + 100;
        let stored: Vec<u8> = (0..value.end + 12).map(|_| rng.u8(..)).collect();
        let mut sums = Vec::new();
        let checksum = sum(&stored, &value, &mut sums);
        assert_eq!(sums.len(), count(value.len()));
        for at in (0..stored.len())
            .step_by(97)
            .chain([0, 6, 7, stored.len() - 1])
        {
            let mut bad = stored.clone();
            bad[at] ^= 1 << rng.u32(..8);
            assert_ne!(sum(&bad, &value, &mut Vec::new()), checksum, "byte {at}");
            let all = FewPages {
                value: value.clone(),
                pages: 0..sums.len(),
                sums: &sums,
            };
            let result = all.verify(&bad[value.clone()]);
            assert_eq!(result.is_err(), value.contains(&at), "byte {at}");
        }
    }
}
