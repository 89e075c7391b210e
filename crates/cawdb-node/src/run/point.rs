//! What a run on disk says about one key: all of a message, or a few pages of a large value.
//!
//! ```text
//!   key ─► index ─► filter ─► segment ─────────────────► message
//!                        └──► a few pages of its value ─► part
//! ```
//! Invariant: pages that are read alone are what all of the segment would have said, or an error.

use super::bloom;
use super::disk::DiskRun;
use super::index::RunIndex;
use super::pages::FewPages;
use crate::{Found, Message, Part, Result};
use bytes::Bytes;
use std::ops::Range;

impl DiskRun {
    /// Reads some pages of a value, and nothing else of its segment.
    fn read_pages(&self, index: &RunIndex, i: usize, few: &FewPages<'_>) -> Result<Part> {
        let (from, to) = few.bytes();
        if from == to {
            return Ok(Part::new(few.value.len(), from, Bytes::new()));
        }
        let start = index.segments[i].offset + (few.value.start + from) as u64;
        let bytes = self.read_bulk(start, to - from)?;
        few.verify(&bytes).map_err(|e| self.damaged(index, i, e))?;
        self.cache.count_part();
        Ok(Part::new(few.value.len(), from, bytes))
    }

    /// What segment `i` says about a key, for who wants some bytes of a value. A few pages of one are read alone if nobody led there who may come back
    /// for more: who comes back, here or nearby, is taken for who goes on, and reads all. Where all of it cannot be had, the pages may be.
    fn point(
        &self,
        (index, i): (&RunIndex, usize),
        key: &[u8],
        want: &Range<usize>,
    ) -> Result<Option<Found>> {
        let few = index.few_pages(i, want);
        if let Some(few) = &few {
            let begins = |at: usize| self.cache.leads.begin(self.id, i, at == 0);
            if few.pages.is_empty() || !self.has(i) && begins(few.pages.start) {
                return Ok(Some(Found::Part(self.read_pages(index, i, few)?)));
            }
        }
        let segment = self.segment(index, i);
        let found = segment.and_then(|s| self.named(format_args!("segment {i}"), s.get(key)));
        match (found, few) {
            (Err(error), Some(few)) => match self.read_pages(index, i, &few) {
                Ok(part) => Ok(Some(Found::Part(part))),
                Err(_) => Err(error),
            },
            (found, _) => Ok(found?.map(Found::Message)),
        }
    }

    /// See [`crate::Run::get_part`].
    pub(super) fn get(
        &self,
        key: &[u8],
        want: &Range<usize>,
        before_reading: &mut dyn FnMut(),
    ) -> Result<Option<Found>> {
        let index = self.index_telling(before_reading)?;
        let i = index.first_reaching(key);
        let candidate = i < index.segments.len() && index.compare_first(i, key).is_le();
        if candidate
            && index.bloom.may_hold(bloom::hash(key))
            && let Some(found) = self.point((&index, i), key, want)?
        {
            return Ok(Some(found));
        }
        let deleted = index.deletes.covers_key(key);
        Ok(deleted.then_some(Found::Message(Message::Delete)))
    }
}
