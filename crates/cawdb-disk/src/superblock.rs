//! The superblock: the only mutable thing on disk, in two slots that alternate, each with two copies.
//!
//! ```text
//!  0      8        12           16          24    40               48       56     64     4088      4096
//!  ┌──────┬────────┬────────────┬───────────┬─────┬────────────────┬────────┬──────┬──────┬─────────┐
//!  │magic │version │body length │generation │uuid │ journal offset │ length │limit │ body │checksum │
//!  └──────┴────────┴────────────┴───────────┴─────┴────────────────┴────────┴──────┴──────┴─────────┘
//! ```
//!
//! Invariants: generation g lies in both copies of slot g mod 2, so writing g+1 never touches g; the
//! checksum covers all bytes before it. Which copy holds the truth is told in `slots`. The body
//! belongs to the store; this room does not look into it.

mod slots;

pub use slots::{
    Fault, FaultKind, Found, candidates, format, has_magic, heal, read, read_copy, write,
};

use crate::codec::{Reader, Writer};
use crate::layout::{JOURNAL_OFFSET, Layout, SLOT_BYTES};
use crate::{Checksum, Error, Extent, Result};

/// Version of the format of a store as a whole.
pub const FORMAT_VERSION: u32 = 6;

/// The oldest version that is read; the next checkpoint makes it the newest.
pub const OLDEST_VERSION: u32 = 2;

/// Longest body, in bytes.
pub const MAX_BODY: usize = 3 << 10;

const MAGIC: [u8; 8] = *b"cawfs\r\n\x1a";
const CHECKSUM_AT: usize = SLOT_BYTES as usize - 8;
const HEADER_BYTES: usize = 64;
const _: () = assert!(HEADER_BYTES + MAX_BODY <= CHECKSUM_AT);

/// What a superblock says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// Identity of the store, chosen at format.
    pub uuid: [u8; 16],
    /// Number of this superblock; each one written has the next.
    pub generation: u64,
    /// Where the journal ring lies.
    pub journal: Extent,
    /// How far the store may grow, in bytes.
    pub limit: u64,
    /// What the store has to say; at most [`MAX_BODY`] bytes.
    pub body: Vec<u8>,
}

impl Superblock {
    /// Where the regions lie.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the journal has an impossible length.
    pub fn layout(&self) -> Result<Layout> {
        Layout::new(self.journal.len)
    }

    fn encode(&self) -> Result<Vec<u8>> {
        if self.body.len() > MAX_BODY {
            return Err(Error::Invalid(format!(
                "a superblock body of {} bytes",
                self.body.len()
            )));
        }
        let mut w = Writer::with_capacity(SLOT_BYTES as usize);
        w.raw(&MAGIC);
        w.u32(FORMAT_VERSION);
        w.u32(self.body.len() as u32);
        w.u64(self.generation);
        w.raw(&self.uuid);
        w.u64(self.journal.offset);
        w.u64(self.journal.len);
        w.u64(self.limit);
        w.raw(&self.body);
        w.pad_to(CHECKSUM_AT);
        let checksum = Checksum::of(w.as_slice());
        w.u64(checksum.0);
        Ok(w.into_vec())
    }

    fn decode(what: &str, bytes: &[u8]) -> Result<Self> {
        let (checked, sum) = bytes
            .split_at_checked(CHECKSUM_AT)
            .ok_or_else(|| Error::corrupt(what, "4096 bytes", format!("{}", bytes.len())))?;
        let mut r = Reader::new(what, checked);
        let magic = r.array::<8>()?;
        if magic != MAGIC {
            return Err(r.corrupt("the magic of a store", format!("{magic:02x?}")));
        }
        let stored = Checksum(Reader::new(what, sum).u64()?);
        stored.verify(checked, what)?;
        let version = r.u32()?;
        if !(OLDEST_VERSION..=FORMAT_VERSION).contains(&version) {
            return Err(Error::Invalid(format!(
                "{what} has format version {version}; this program knows {OLDEST_VERSION} to {FORMAT_VERSION}"
            )));
        }
        let body_len = r.u32()? as usize;
        let generation = r.u64()?;
        let uuid = r.array()?;
        let journal = Extent::checked(r.u64()?, r.u64()?)?;
        let limit = r.u64()?;
        if body_len > MAX_BODY {
            return Err(r.corrupt(
                format!("a body of at most {MAX_BODY}"),
                format!("{body_len}"),
            ));
        }
        if journal.offset != JOURNAL_OFFSET || Layout::new(journal.len).is_err() {
            return Err(r.corrupt("a possible journal", format!("{journal}")));
        }
        let body = r.take(body_len)?.to_vec();
        Ok(Self {
            uuid,
            generation,
            journal,
            limit,
            body,
        })
    }
}
