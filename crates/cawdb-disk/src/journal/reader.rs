//! Reads the records of a ring in order, up to the end of what a crash left whole.
//!
//! At the first record that is not the next one the whole ring is searched, once, for later
//! records: one that proves the missing record to have been durable makes it corruption; the others
//! are noted, to be erased.

use super::record::{HEADER_BYTES, Header};
use super::ring::Ring;
use super::{record_bytes, salt_of};
use crate::{Disk, Error, Extent, Result};
use std::sync::Arc;

/// Bytes of the ring that a search reads at once.
const SEARCH_BYTES: usize = 256 << 10;

/// A record read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it begins.
    pub position: u64,
    /// Where the next one begins.
    pub end: u64,
    /// Sequence number of the first change in it.
    pub seq: u64,
    /// What it says.
    pub payload: Vec<u8>,
}

/// Where reading ended.
#[derive(Debug)]
pub(super) struct End {
    pub tail: u64,
    pub head: u64,
    /// Records after the head that never became part of the journal.
    pub rejected: Vec<u64>,
}

/// Iterates over the records from a position on; see [`Entry`]. After `None`, [`super::Journal::resume`]
/// takes it; after an error it yields nothing more.
#[derive(Debug)]
pub struct Reader {
    ring: Ring,
    salt: u64,
    tail: u64,
    head: u64,
    /// Smallest sequence number that the next record may have.
    next_seq: u64,
    /// Found at the end.
    rejected: Option<Vec<u64>>,
    /// Whether a part of a record lies at the end.
    torn: bool,
    failed: bool,
}

impl Reader {
    /// Reads from position `from` on; the first record there must have at least the sequence number
    /// `seq`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if `extent` is not a possible ring; [`Error::Corrupt`] if `from` cannot be
    /// a position.
    pub fn new(
        disk: Arc<dyn Disk>,
        extent: Extent,
        uuid: [u8; 16],
        from: u64,
        seq: u64,
    ) -> Result<Self> {
        let ring = Ring::new(disk, extent)?;
        if !from.is_multiple_of(8) || from > u64::MAX / 2 {
            return Err(Error::corrupt(
                "journal tail",
                "a multiple of 8",
                format!("{from}"),
            ));
        }
        Ok(Self {
            ring,
            salt: salt_of(uuid),
            tail: from,
            head: from,
            next_seq: seq,
            rejected: None,
            torn: false,
            failed: false,
        })
    }

    /// Position after the last record read.
    pub fn position(&self) -> u64 {
        self.head
    }

    /// How many records lie beyond the end, to be erased; 0 before the end is reached.
    pub fn rejected(&self) -> usize {
        self.rejected.as_ref().map_or(0, Vec::len)
    }

    /// Whether the end is torn: a record begins there and is not whole, or later ones are. False before
    /// the end is reached.
    pub fn is_torn(&self) -> bool {
        self.torn || self.rejected() > 0
    }

    pub(super) fn into_end(self) -> Result<(Ring, u64, End)> {
        let Some(rejected) = self.rejected.filter(|_| !self.failed) else {
            return Err(Error::Invalid("the journal was not read to its end".into()));
        };
        Ok((
            self.ring,
            self.salt,
            End {
                tail: self.tail,
                head: self.head,
                rejected,
            },
        ))
    }

    fn step(&mut self) -> Result<Option<Entry>> {
        let room = self.ring.len() - (self.head - self.tail);
        if room >= HEADER_BYTES as u64
            && let Some((header, payload)) = self.record_at(self.head)?
            && header.position == self.head
            && record_bytes(payload.len()) <= room
        {
            if header.seq < self.next_seq || header.seq == u64::MAX {
                return Err(Error::corrupt(
                    format!("journal record at position {}", self.head),
                    format!("a sequence number from {} on", self.next_seq),
                    format!("{}", header.seq),
                ));
            }
            let position = self.head;
            self.head += record_bytes(payload.len());
            self.next_seq = header.seq + 1;
            return Ok(Some(Entry {
                position,
                end: self.head,
                seq: header.seq,
                payload,
            }));
        }
        self.rejected = Some(self.search()?);
        self.torn = self.begun_at_head(room)?;
        Ok(None)
    }

    /// Whether the header of the next record stands at the head.
    fn begun_at_head(&self, room: u64) -> Result<bool> {
        let mut bytes = [0; HEADER_BYTES];
        if room < HEADER_BYTES as u64 {
            return Ok(false);
        }
        self.ring.read(self.head, &mut bytes)?;
        Ok(Header::decode(&bytes, self.salt).is_some_and(|header| header.position == self.head))
    }

    /// The whole and valid record that begins at this place of the ring, if there is one.
    fn record_at(&self, position: u64) -> Result<Option<(Header, Vec<u8>)>> {
        let mut bytes = [0; HEADER_BYTES];
        self.ring.read(position, &mut bytes)?;
        let Some(header) = Header::decode(&bytes, self.salt) else {
            return Ok(None);
        };
        if header.length as usize > self.ring.max_payload() || header.durable > header.position {
            return Ok(None);
        }
        let mut payload = vec![0; header.length as usize];
        self.ring
            .read(position + HEADER_BYTES as u64, &mut payload)?;
        Ok(Header::verifies(&bytes, &payload).then_some((header, payload)))
    }

    /// Finds all records after the head, anywhere in the ring.
    fn search(&self) -> Result<Vec<u64>> {
        let mut rejected = Vec::new();
        let mut chunk = vec![0; SEARCH_BYTES];
        let mut at = 0;
        while at < self.ring.len() {
            let part = (self.ring.len() - at).min(SEARCH_BYTES as u64) as usize;
            self.ring.read(at, &mut chunk[..part])?;
            for i in (0..part).step_by(8) {
                if self.may_be_later(&chunk[i..part]) {
                    rejected.extend(self.later_record(at + i as u64)?);
                }
            }
            at += part as u64;
        }
        Ok(rejected)
    }

    /// Whether a later record may begin with these bytes, which a search has read: most records of a ring are older ones.
    fn may_be_later(&self, bytes: &[u8]) -> bool {
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Header::may_begin(bytes);
        };
        Header::may_begin(bytes)
            && Header::decode(header, self.salt).is_some_and(|h| h.position >= self.head)
    }

    /// The position of the later record at this place of the ring, if there is one.
    fn later_record(&self, place: u64) -> Result<Option<u64>> {
        let Some((header, payload)) = self.record_at(place)? else {
            return Ok(None);
        };
        let Header {
            position, durable, ..
        } = header;
        if position % self.ring.len() != place || position < self.head {
            return Ok(None);
        }
        // A record a whole ring later was written after a checkpoint had passed the head.
        let end = position.saturating_add(record_bytes(payload.len()));
        if durable > self.head || end - self.head > self.ring.len() {
            return Err(Error::corrupt(
                format!("journal record at position {}", self.head),
                format!("a whole one, durable before position {position} was written"),
                "none",
            ));
        }
        Ok(Some(position))
    }
}

impl Iterator for Reader {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.rejected.is_some() {
            return None;
        }
        let step = self.step();
        self.failed = step.is_err();
        step.transpose()
    }
}
