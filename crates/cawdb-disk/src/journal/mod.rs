//! The journal: a ring of records, written before anything they say is on disk elsewhere.
//!
//! A *position* counts the bytes ever written to the ring, padding included, and only grows; byte
//! `position mod length` of the ring holds it. A record:
//!
//! ```text
//!  0      4       8         16    24        32       40        48        48+length   (to 8)
//!  ┌──────┬───────┬─────────┬─────┬─────────┬────────┬─────────┬─────────┬───────────┐
//!  │magic │length │position │salt │sequence │durable │checksum │ payload │ zeros     │
//!  └──────┴───────┴─────────┴─────┴─────────┴────────┴─────────┴─────────┴───────────┘
//!
//!   ring:   … free │ tail ▓▓▓▓▓▓▓▓▓▓▓▓▓ head │ free …         head - tail <= length of the ring
//! ```
//!
//! Invariants:
//! * records begin at multiples of 8 and may wrap around the end of the ring;
//! * `salt` comes from the store's uuid, so records of an older store are foreign;
//! * `durable` is a position below which everything was synced before the record was made. A broken
//!   record at p is a *torn tail*, which a crash may leave, unless a later record says durable > p:
//!   then it was acknowledged, and its loss is *corruption*;
//! * recovery erases the valid records that it finds after a torn tail (their writes had arrived,
//!   those before them had not), so that none can ever seem to follow what is written next.
//!
//! What cannot be told from a torn tail is damage to the last records before which nothing later was
//! written; no journal without a second medium can.

mod reader;
mod record;
mod ring;

pub use reader::{Entry, Reader};
pub use record::HEADER_BYTES;

use crate::{Checksum, Disk, Error, Extent, Result};
use record::Header;
use ring::Ring;
use std::sync::Arc;

/// A record to be written.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Sequence number of the first change in it; rises from record to record.
    pub seq: u64,
    /// What it says.
    pub payload: &'a [u8],
}

/// The writing end of the ring.
#[derive(Debug)]
pub struct Journal {
    ring: Ring,
    salt: u64,
    head: u64,
    tail: u64,
    durable: u64,
    /// Why nothing more can be written: a write failed, so what the ring holds is unknown.
    broken: Option<String>,
}

/// Bytes that a record with a payload of `payload` bytes takes in the ring.
pub const fn record_bytes(payload: usize) -> u64 {
    (HEADER_BYTES as u64 + payload as u64).next_multiple_of(8)
}

fn salt_of(uuid: [u8; 16]) -> u64 {
    Checksum::of(&uuid).0
}

impl Journal {
    /// The journal of a store that was just formatted: empty, at position 0.
    ///
    /// # Errors
    /// [`Error::Invalid`] if `extent` is not a possible ring.
    pub fn new(disk: Arc<dyn Disk>, extent: Extent, uuid: [u8; 16]) -> Result<Self> {
        let ring = Ring::new(disk, extent)?;
        Ok(Self {
            ring,
            salt: salt_of(uuid),
            head: 0,
            tail: 0,
            durable: 0,
            broken: None,
        })
    }

    /// The journal that goes on where a reader found the end. Erases what the reader rejected, and
    /// makes durable what it accepted.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the reader has not come to the end, those of the disk.
    pub fn resume(reader: Reader) -> Result<Self> {
        let (ring, salt, end) = reader.into_end()?;
        for position in end.rejected {
            ring.write(position, &[0; HEADER_BYTES])?;
        }
        ring.disk().sync()?;
        Ok(Self {
            ring,
            salt,
            head: end.head,
            tail: end.tail,
            durable: end.head,
            broken: None,
        })
    }

    /// Position after the last record written.
    pub fn head(&self) -> u64 {
        self.head
    }

    /// Position of the oldest byte that is still needed.
    pub fn tail(&self) -> u64 {
        self.tail
    }

    /// Bytes that can be written before the tail must move.
    pub fn free_bytes(&self) -> u64 {
        self.ring.len() - (self.head - self.tail)
    }

    /// Longest payload of one record, in bytes.
    pub fn max_payload(&self) -> usize {
        self.ring.max_payload()
    }

    /// Frees what lies below `position`, after a checkpoint that no longer needs it is durable.
    ///
    /// # Panics
    /// If it lies outside of tail and head.
    pub fn set_tail(&mut self, position: u64) {
        assert!(
            (self.tail..=self.head).contains(&position),
            "the tail cannot go to {position}"
        );
        self.tail = position;
    }

    /// Says that everything below `position` was synced.
    ///
    /// # Panics
    /// If it lies beyond the head.
    pub fn mark_durable(&mut self, position: u64) {
        assert!(position <= self.head, "{position} was not written yet");
        self.durable = self.durable.max(position);
    }

    /// Writes records one after the other, in one request (two where the ring wraps). They are not
    /// durable before a sync. Returns the new head. O(bytes).
    ///
    /// # Errors
    /// [`Error::Full`] if they do not fit before the tail, [`Error::Invalid`] if one is longer than
    /// [`Journal::max_payload`] (both: nothing was written, and a checkpoint helps); those of the
    /// disk, after which all further writes are [`Error::Poisoned`].
    pub fn write_group(&mut self, records: &[Record<'_>]) -> Result<u64> {
        if let Some(why) = &self.broken {
            return Err(Error::Poisoned(why.clone()));
        }
        let wanted = records.iter().map(|r| record_bytes(r.payload.len())).sum();
        if let Some(long) = records
            .iter()
            .find(|r| r.payload.len() > self.max_payload())
        {
            let len = long.payload.len();
            return Err(Error::Invalid(format!("a journal record of {len} bytes")));
        }
        if wanted > self.free_bytes() {
            return Err(Error::Full {
                wanted,
                free: self.free_bytes(),
            });
        }
        let mut group = Vec::with_capacity(wanted as usize);
        for record in records {
            let position = self.head + group.len() as u64;
            let length = record.payload.len() as u32;
            Header {
                length,
                position,
                seq: record.seq,
                durable: self.durable,
            }
            .append(self.salt, record.payload, &mut group);
        }
        if let Err(e) = self.ring.write(self.head, &group) {
            self.broken = Some(e.to_string());
            return Err(e);
        }
        self.head += wanted;
        Ok(self.head)
    }
}
