//! The superblock: the only mutable thing on disk, in two slots that alternate.
//!
//! ```text
//!  0      8        12           16          24    40               48       56     64     4088      4096
//!  ┌──────┬────────┬────────────┬───────────┬─────┬────────────────┬────────┬──────┬──────┬─────────┐
//!  │magic │version │body length │generation │uuid │ journal offset │ length │limit │ body │checksum │
//!  └──────┴────────┴────────────┴───────────┴─────┴────────────────┴────────┴──────┴──────┴─────────┘
//! ```
//!
//! Invariants: generation g lies in slot g mod 2, so writing g+1 never touches g; the checksum covers
//! all bytes before it; of two valid slots the one with the larger generation holds the truth. The
//! body belongs to the store; this room does not look into it.

use crate::codec::{Reader, Writer};
use crate::layout::{JOURNAL_OFFSET, Layout, SLOT_BYTES, SLOTS};
use crate::{Checksum, Disk, Error, Extent, Result};

/// Version of the format of a store as a whole.
pub const FORMAT_VERSION: u32 = 1;

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
        if version != FORMAT_VERSION {
            return Err(Error::Invalid(format!(
                "{what} has format version {version}; this program knows {FORMAT_VERSION}"
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

/// Makes a disk a store: erases both slots, makes the fixed regions real, writes `first`. Durable
/// when it returns. A crash on the way leaves the new store, a disk that does not open, or, of a
/// store that was there before, some older state.
///
/// # Errors
/// Those of the disk; [`Error::Invalid`] if the journal does not lie where it must.
pub fn format(disk: &dyn Disk, first: &Superblock) -> Result<()> {
    let layout = first.layout()?;
    if first.journal != layout.journal {
        return Err(Error::Invalid(format!(
            "a journal at {}",
            first.journal.offset
        )));
    }
    disk.reserve(Extent::new(0, layout.data))?;
    for slot in SLOTS {
        disk.write_at(&[0; SLOT_BYTES as usize], slot.offset)?;
    }
    disk.sync()?;
    write(disk, first)
}

/// Writes a superblock into its slot and syncs. Everything it refers to must be durable before.
///
/// # Errors
/// Those of the disk; [`Error::Invalid`] if the body is too long.
pub fn write(disk: &dyn Disk, superblock: &Superblock) -> Result<()> {
    let slot = SLOTS[(superblock.generation % 2) as usize];
    disk.write_at(&superblock.encode()?, slot.offset)?;
    disk.sync()
}

/// The superblock of slot 0 or 1.
///
/// # Errors
/// [`Error::Corrupt`] if it is damaged or misplaced; [`Error::Invalid`] for a format unknown here
/// or a slot that does not exist; those of the disk.
pub fn read_slot(disk: &dyn Disk, slot: usize) -> Result<Superblock> {
    let extent = SLOTS
        .get(slot)
        .ok_or_else(|| Error::Invalid(format!("superblock slot {slot}")))?;
    let mut bytes = vec![0; SLOT_BYTES as usize];
    disk.read_at(&mut bytes, extent.offset)?;
    let what = format!("superblock slot {slot} of {}", disk.name());
    let superblock = Superblock::decode(&what, &bytes)?;
    if superblock.generation % 2 != slot as u64 {
        let found = format!("generation {}", superblock.generation);
        return Err(Error::corrupt(
            what,
            format!("a generation of parity {slot}"),
            found,
        ));
    }
    Ok(superblock)
}

/// The newest valid superblock.
///
/// # Errors
/// [`Error::Invalid`] if the disk is not a store at all, or one of another format version;
/// [`Error::Corrupt`], naming both reasons, if neither slot is valid; [`Error::Io`] if a slot could
/// not be read (an older one might otherwise be taken for the newest).
pub fn read(disk: &dyn Disk) -> Result<Superblock> {
    if !has_magic(disk)? {
        return Err(Error::Invalid(format!(
            "{} is not a cawfs store",
            disk.name()
        )));
    }
    match (read_slot(disk, 0), read_slot(disk, 1)) {
        (Err(e @ (Error::Io { .. } | Error::Invalid(_))), _)
        | (_, Err(e @ (Error::Io { .. } | Error::Invalid(_)))) => Err(e),
        (Ok(a), Ok(b)) if a.uuid != b.uuid => Err(Error::corrupt(
            format!("superblock of {}", disk.name()),
            "one store in both slots",
            "two with different uuids",
        )),
        (Ok(a), Ok(b)) => Ok(if a.generation > b.generation { a } else { b }),
        (Ok(one), Err(_)) | (Err(_), Ok(one)) => Ok(one),
        (Err(a), Err(b)) => Err(Error::corrupt(
            format!("superblock of {}", disk.name()),
            "a valid slot",
            format!("none: {a}; {b}"),
        )),
    }
}

/// Whether either slot begins like a superblock.
///
/// # Errors
/// Those of the disk.
pub fn has_magic(disk: &dyn Disk) -> Result<bool> {
    for slot in SLOTS {
        let mut magic = [0; MAGIC.len()];
        if slot.end() <= disk.len() {
            disk.read_at(&mut magic, slot.offset)?;
        }
        if magic == MAGIC {
            return Ok(true);
        }
    }
    Ok(false)
}
