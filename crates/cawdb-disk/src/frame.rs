//! The header of everything on disk that is neither superblock, journal record nor run segment.
//!
//! ```text
//!  0      4     5        6         8       12        16   24        32
//!  ┌──────┬─────┬────────┬─────────┬───────┬─────────┬────┬─────────┬─────────┐
//!  │magic │kind │version │reserved │length │reserved │ id │checksum │ payload │
//!  └──────┴─────┴────────┴─────────┴───────┴─────────┴────┴─────────┴─────────┘
//! ```
//!
//! Invariants: the checksum covers the 24 bytes before it and the payload; `kind` and `id` must be
//! those that the referrer expects, so that a misdirected read or write is found; reserved bytes are
//! zero. Bytes after the payload are padding and mean nothing.

use crate::codec::{Reader, Writer};
use crate::{Checksum, Error, Result};
use bytes::Bytes;

/// Bytes of the header.
pub const HEADER_BYTES: usize = 32;

/// Version of this header.
pub const VERSION: u8 = 1;

const MAGIC: u32 = u32::from_le_bytes(*b"cawf");
const CHECKED_BYTES: usize = 24;

/// Puts a header before `payload`. O(n).
///
/// # Errors
/// [`Error::Invalid`] if the payload has 4 GiB or more.
pub fn seal(kind: u8, id: u64, payload: &[u8]) -> Result<Vec<u8>> {
    let length = u32::try_from(payload.len())
        .map_err(|_| Error::Invalid(format!("a frame of {} bytes", payload.len())))?;
    let mut w = Writer::with_capacity(HEADER_BYTES + payload.len());
    w.u32(MAGIC);
    w.u8(kind);
    w.u8(VERSION);
    w.u16(0);
    w.u32(length);
    w.u32(0);
    w.u64(id);
    let checksum = Checksum::of_parts(&[w.as_slice(), payload]);
    w.u64(checksum.0);
    w.raw(payload);
    Ok(w.into_vec())
}

/// The payload of a frame that must have this kind and id. O(n).
///
/// # Errors
/// [`Error::Corrupt`] if the bytes are anything else.
pub fn open(kind: u8, id: u64, bytes: &[u8]) -> Result<&[u8]> {
    let what = format!("frame of kind {kind}, id {id}");
    let mut r = Reader::new(&what, bytes);
    let magic = r.u32()?;
    if magic != MAGIC {
        return Err(r.corrupt(format!("magic {MAGIC:08x}"), format!("{magic:08x}")));
    }
    let found_kind = r.u8()?;
    let version = r.u8()?;
    let reserved = r.u16()?;
    let length = r.u32()?;
    let reserved_too = r.u32()?;
    let found_id = r.u64()?;
    let checksum = Checksum(r.u64()?);
    r.take(length as usize)?;
    let payload = bytes
        .get(HEADER_BYTES..HEADER_BYTES + length as usize)
        .unwrap_or_default();
    let head = bytes.get(..CHECKED_BYTES).unwrap_or_default();
    checksum.expect(Checksum::of_parts(&[head, payload]), what.as_str())?;
    if (version, reserved, reserved_too) != (VERSION, 0, 0) {
        let expected = format!("frame version {VERSION}");
        return Err(Error::corrupt(
            what.as_str(),
            expected,
            format!("{version}"),
        ));
    }
    if (found_kind, found_id) != (kind, id) {
        let found = format!("kind {found_kind}, id {found_id}");
        return Err(Error::corrupt(
            what.as_str(),
            format!("kind {kind}, id {id}"),
            found,
        ));
    }
    Ok(payload)
}

/// As [`open`], without copying the payload.
///
/// # Errors
/// As [`open`].
pub fn open_bytes(kind: u8, id: u64, bytes: &Bytes) -> Result<Bytes> {
    Ok(bytes.slice_ref(open(kind, id, bytes)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trip_and_every_flip_is_found(
            kind: u8, id: u64, payload: Vec<u8>, at: prop::sample::Index, bit in 0u8..8,
        ) {
            let mut bytes = seal(kind, id, &payload).unwrap();
            prop_assert_eq!(open(kind, id, &bytes).unwrap(), &payload[..]);
            prop_assert!(open(kind.wrapping_add(1), id, &bytes).is_err());
            prop_assert!(open(kind, id.wrapping_add(1), &bytes).is_err());
            prop_assert!(open(kind, id, &bytes[..bytes.len() - 1]).is_err());
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(open(kind, id, &bytes).is_err());
        }

        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            prop_assert!(open(1, 1, &bytes).is_err());
        }
    }

    #[test]
    fn padding_is_ignored() {
        let mut bytes = seal(3, 4, b"payload").unwrap();
        bytes.resize(512, 0xaa);
        assert_eq!(open_bytes(3, 4, &bytes.into()).unwrap(), &b"payload"[..]);
    }
}
