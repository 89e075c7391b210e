//! Compression of segments and nodes.
//!
//! Invariants: the code of a compression never changes its meaning; the length of the output is known beforehand
//! and is a bound on what hostile input can make us produce.

use crate::{Error, Result};
use std::borrow::Cow;

/// How bytes are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// LZ4: fast, the ordinary choice.
    #[default]
    Lz4,
    /// Zstandard at a low level: denser.
    Zstd,
}

const ZSTD_LEVEL: i32 = 3;

/// The longest output that is produced, in bytes: a value of the longest sort and room for its key.
pub const MAX_RAW: usize = crate::MAX_VALUE + (64 << 20);

/// The longest point, key and payload together, in bytes: its segment stays below [`MAX_RAW`].
pub const MAX_POINT: usize = MAX_RAW - 1024;

impl Compression {
    /// Its number on disk.
    pub fn code(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Lz4 => 1,
            Self::Zstd => 2,
        }
    }

    /// The compression of that number.
    ///
    /// # Errors
    /// If there is none.
    pub fn from_code(code: u8) -> Result<Self> {
        match code {
            0 => Ok(Self::None),
            1 => Ok(Self::Lz4),
            2 => Ok(Self::Zstd),
            _ => Err(Error::mismatch("compression", "0, 1 or 2", code)),
        }
    }
}

/// Compresses one piece of bytes after the other, in the same memory.
pub struct Packer {
    compression: Compression,
    packed: Vec<u8>,
}

impl Packer {
    /// One that compresses so.
    pub fn new(compression: Compression) -> Self {
        let packed = Vec::new();
        Self {
            compression,
            packed,
        }
    }

    /// `raw` compressed as asked, and how. None where that saves less than a sixteenth: it is then kept as it is, and
    /// reading it back costs no copy.
    pub fn pack(&mut self, raw: &[u8]) -> Option<(Compression, &[u8])> {
        let most = match self.compression {
            Compression::None => return None,
            Compression::Lz4 => lz4_flex::block::get_maximum_output_size(raw.len()),
            Compression::Zstd => zstd::zstd_safe::compress_bound(raw.len()),
        };
        if self.packed.len() < most {
            self.packed.resize(most, 0);
        }
        // There is room enough, so it can only fail for want of memory; then the bytes are kept as they are.
        let len = match self.compression {
            Compression::None => None,
            Compression::Lz4 => lz4_flex::block::compress_into(raw, &mut self.packed).ok(),
            Compression::Zstd => {
                zstd::bulk::compress_to_buffer(raw, &mut self.packed[..], ZSTD_LEVEL).ok()
            }
        };
        let len = len.filter(|len| len + raw.len() / 16 < raw.len())?;
        Some((self.compression, &self.packed[..len]))
    }
}

/// The same for a single piece: how it is kept, and as what.
pub fn compress_best(compression: Compression, raw: &[u8]) -> (Compression, Cow<'_, [u8]>) {
    match Packer::new(compression).pack(raw) {
        Some((compression, packed)) => (compression, packed.to_vec().into()),
        None => (Compression::None, raw.into()),
    }
}

/// The `raw_len` bytes that were compressed to `packed`.
///
/// # Errors
/// If `packed` is not the compressed form of exactly that many bytes.
pub fn decompress(compression: Compression, packed: &[u8], raw_len: usize) -> Result<Vec<u8>> {
    if raw_len > MAX_RAW {
        return Err(Error::mismatch(
            "uncompressed length",
            format!("at most {MAX_RAW}"),
            raw_len,
        ));
    }
    let broken = |e: &dyn std::fmt::Display| Error::Corrupt(format!("compressed bytes: {e}"));
    let raw = match compression {
        Compression::None => packed.to_vec(),
        Compression::Lz4 => lz4_flex::block::decompress(packed, raw_len).map_err(|e| broken(&e))?,
        Compression::Zstd => zstd::bulk::decompress(packed, raw_len).map_err(|e| broken(&e))?,
    };
    if raw.len() != raw_len {
        return Err(Error::mismatch("uncompressed length", raw_len, raw.len()));
    }
    Ok(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Compression; 3] = [Compression::None, Compression::Lz4, Compression::Zstd];

    #[test]
    fn round_trips_and_codes() {
        let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..))
            .take(5000)
            .collect();
        for raw in [&[][..], b"a", &[7; 70_000], &noise] {
            for c in ALL {
                assert_eq!(Compression::from_code(c.code()).unwrap(), c);
                let (used, packed) = compress_best(c, raw);
                assert!(packed.len() <= raw.len());
                assert_eq!(decompress(used, &packed, raw.len()).unwrap(), raw);
            }
        }
        assert_eq!(
            compress_best(Compression::Zstd, &noise).0,
            Compression::None
        );
        assert!(Compression::from_code(3).is_err());
    }

    #[test]
    fn hostile_bytes_are_errors() {
        let raw = b"one two three one two three one two three".repeat(30);
        for c in [Compression::Lz4, Compression::Zstd] {
            let (used, packed) = compress_best(c, &raw);
            assert_eq!(used, c);
            assert!(decompress(c, &packed, raw.len() - 1).is_err());
            assert!(decompress(c, &packed, raw.len() + 1).is_err());
            assert!(decompress(c, &packed, usize::MAX).is_err());
            let mut rng = fastrand::Rng::with_seed(5);
            for _ in 0..2000 {
                let mut bad = packed.to_vec();
                let at = rng.usize(..bad.len());
                bad[at] = rng.u8(..);
                bad.truncate(rng.usize(..=bad.len()));
                // Any answer of the right length will do: checksums tell the right from the wrong.
                let _ = decompress(c, &bad, raw.len());
            }
        }
    }
}
