//! The bytes of one record; the picture is in the room's front page.

use crate::Checksum;
use crate::codec::Reader;

/// Bytes before the payload.
pub const HEADER_BYTES: usize = 48;

const MAGIC: u32 = u32::from_le_bytes(*b"cawj");
const CHECKED_BYTES: usize = 40;

/// What stands before a payload, beside magic, salt and checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub length: u32,
    pub position: u64,
    pub seq: u64,
    pub durable: u64,
}

impl Header {
    /// Appends the whole record to `group`.
    pub fn append(&self, salt: u64, payload: &[u8], group: &mut Vec<u8>) {
        let start = group.len();
        group.extend_from_slice(&MAGIC.to_le_bytes());
        group.extend_from_slice(&self.length.to_le_bytes());
        for field in [self.position, salt, self.seq, self.durable] {
            group.extend_from_slice(&field.to_le_bytes());
        }
        let checksum = Checksum::of_parts(&[&group[start..], payload]);
        group.extend_from_slice(&checksum.0.to_le_bytes());
        group.extend_from_slice(payload);
        group.resize(group.len().next_multiple_of(8), 0);
    }

    /// Whether a record may begin with these bytes; cheap, for searching.
    pub fn may_begin(bytes: &[u8]) -> bool {
        bytes.starts_with(&MAGIC.to_le_bytes())
    }

    /// The header in `bytes`, if it is one of this journal. Its content is not yet verified.
    pub fn decode(bytes: &[u8; HEADER_BYTES], salt: u64) -> Option<Self> {
        let mut r = Reader::new("journal record", bytes);
        let magic = r.u32().ok()?;
        let length = r.u32().ok()?;
        let position = r.u64().ok()?;
        let found_salt = r.u64().ok()?;
        let (seq, durable) = (r.u64().ok()?, r.u64().ok()?);
        let ours = magic == MAGIC && found_salt == salt;
        ours.then_some(Self {
            length,
            position,
            seq,
            durable,
        })
    }

    /// Whether header and payload are as they were written.
    pub fn verifies(bytes: &[u8; HEADER_BYTES], payload: &[u8]) -> bool {
        let (checked, checksum) = bytes.split_at(CHECKED_BYTES);
        checksum == Checksum::of_parts(&[checked, payload]).0.to_le_bytes()
    }
}
