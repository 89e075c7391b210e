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

/// `raw` compressed as asked, or as it is where that saves less than a sixteenth: then reading it back costs no
/// copy. Says which of the two it did.
pub fn compress_best(compression: Compression, raw: &[u8]) -> (Compression, Cow<'_, [u8]>) {
    let packed = match compression {
        Compression::None => None,
        Compression::Lz4 => Some(lz4_flex::block::compress(raw)),
        // It can only fail for want of memory; then the bytes are kept as they are.
        Compression::Zstd => zstd::bulk::compress(raw, ZSTD_LEVEL).ok(),
    };
    match packed.filter(|p| p.len() + raw.len() / 16 < raw.len()) {
        Some(packed) => (compression, packed.into()),
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
