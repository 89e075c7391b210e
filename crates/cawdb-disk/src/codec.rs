//! Little-endian numbers to bytes and back.
//!
//! Invariants: a [`Reader`] never panics and never reads past its bytes: running out, an overlong
//! number or left-over bytes are [`Error::Corrupt`]. A length is checked against what is there
//! before anything is allocated for it. Every number has exactly one encoding.
//!
//! ```text
//! varint: 7 bits a byte, lowest first, top bit says that more follow; at most 10 bytes
//! bytes:  varint length, then the bytes
//! ```

use crate::{Error, Result};
use std::ops::Range;

/// How many bytes [`Writer::varint`] takes for `value`: 1 to 10.
pub fn varint_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Appends numbers and bytes to a buffer.
#[derive(Debug, Default, Clone)]
pub struct Writer {
    buf: Vec<u8>,
}

impl Writer {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty one with room for `bytes`.
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            buf: Vec::with_capacity(bytes),
        }
    }

    /// One that goes on behind these bytes.
    pub fn onto(bytes: Vec<u8>) -> Self {
        Self { buf: bytes }
    }

    /// Appends a byte.
    pub fn u8(&mut self, value: u8) {
        self.buf.push(value);
    }

    /// Appends two bytes.
    pub fn u16(&mut self, value: u16) {
        self.buf.extend_from_slice(&value.to_le_bytes());
    }

    /// Appends four bytes.
    pub fn u32(&mut self, value: u32) {
        self.buf.extend_from_slice(&value.to_le_bytes());
    }

    /// Appends eight bytes.
    pub fn u64(&mut self, value: u64) {
        self.buf.extend_from_slice(&value.to_le_bytes());
    }

    /// Appends a number in 1 to 10 bytes.
    pub fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.buf.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.buf.push(value as u8);
    }

    /// Appends a length and the bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.varint(bytes.len() as u64);
        self.raw(bytes);
    }

    /// Appends bytes whose number the reader knows.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }

    /// Appends zeros until `len` bytes are there; nothing if there are more already.
    pub fn pad_to(&mut self, len: usize) {
        if self.buf.len() < len {
            self.buf.resize(len, 0);
        }
    }

    /// Number of bytes so far.
    pub fn len(&self) -> usize {
        self.buf.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.buf.is_empty()
    }

    /// The bytes so far.
    pub fn as_slice(&self) -> &[u8] {
        &self.buf
    }

    /// The bytes.
    pub fn into_vec(self) -> Vec<u8> {
        self.buf
    }
}

/// Takes numbers and bytes from the front of a slice.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    what: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader of `bytes`; `what` names them in errors.
    pub fn new(what: &'a str, bytes: &'a [u8]) -> Self {
        Self { what, bytes, at: 0 }
    }

    /// A reader of `bytes` from byte `at` on; beyond the end there is nothing left to take.
    pub fn at(what: &'a str, bytes: &'a [u8], at: usize) -> Self {
        let at = at.min(bytes.len());
        Self { what, bytes, at }
    }

    /// How many bytes were taken.
    pub fn position(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// An [`Error::Corrupt`] at the present position.
    pub fn corrupt(&self, expected: impl Into<String>, found: impl Into<String>) -> Error {
        Error::corrupt(format!("{} (byte {})", self.what, self.at), expected, found)
    }

    /// Takes `len` bytes.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if there are fewer; so in all methods below.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let span = self.span(len)?;
        Ok(&self.bytes[span])
    }

    /// Takes `len` bytes, given as their positions in the whole.
    ///
    /// # Errors
    /// As [`Reader::take`].
    pub fn span(&mut self, len: usize) -> Result<Range<usize>> {
        let left = self.remaining();
        if len > left {
            return Err(self.corrupt(format!("{len} bytes"), format!("{left}")));
        }
        let start = self.at;
        self.at += len;
        Ok(start..self.at)
    }

    /// Takes `N` bytes.
    ///
    /// # Errors
    /// As [`Reader::take`].
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// Takes a byte.
    ///
    /// # Errors
    /// As [`Reader::take`].
    pub fn u8(&mut self) -> Result<u8> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    /// Takes two bytes.
    ///
    /// # Errors
    /// As [`Reader::take`].
    pub fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// Takes four bytes.
    ///
    /// # Errors
    /// As [`Reader::take`].
    pub fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Takes eight bytes.
    ///
    /// # Errors
    /// As [`Reader::take`].
    pub fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Takes a number written by [`Writer::varint`].
    ///
    /// # Errors
    /// Also if it is longer than it needs to be, or does not fit 64 bits.
    pub fn varint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if (bits << shift) >> shift != bits || (byte == 0 && shift > 0) {
                return Err(self.corrupt("a canonical varint", "an overlong one"));
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.corrupt("a varint", "more than ten bytes"))
    }

    /// Takes a number that is a length or a count in memory.
    ///
    /// # Errors
    /// As [`Reader::varint`], and if it does not fit.
    pub fn varint_usize(&mut self) -> Result<usize> {
        let value = self.varint()?;
        usize::try_from(value).map_err(|_| self.corrupt("a length", format!("{value}")))
    }

    /// Takes a length and that many bytes.
    ///
    /// # Errors
    /// As [`Reader::varint`] and [`Reader::take`].
    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let len = self.varint_usize()?;
        self.take(len)
    }

    /// Takes everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        self.at = self.bytes.len();
        rest
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if something is.
    pub fn finish(self) -> Result<()> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(self.corrupt("the end", format!("{left} more bytes"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(values: Vec<u64>, tail: Vec<u8>) {
            let mut w = Writer::new();
            for &v in &values {
                let before = w.len();
                w.varint(v);
                prop_assert_eq!(w.len() - before, varint_len(v));
                w.u64(v);
                w.u32(v as u32);
                w.u16(v as u16);
                w.u8(v as u8);
            }
            w.bytes(&tail);
            let bytes = w.into_vec();
            let mut r = Reader::new("test", &bytes);
            for &v in &values {
                prop_assert_eq!(r.varint().unwrap(), v);
                prop_assert_eq!(r.u64().unwrap(), v);
                prop_assert_eq!(r.u32().unwrap(), v as u32);
                prop_assert_eq!(r.u16().unwrap(), v as u16);
                prop_assert_eq!(r.u8().unwrap(), v as u8);
            }
            prop_assert_eq!(r.bytes().unwrap(), &tail[..]);
            r.finish().unwrap();
        }

        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            let mut r = Reader::new("test", &bytes);
            while r.bytes().is_ok() && r.varint().is_ok() && r.remaining() > 0 {}
            prop_assert!(r.position() <= bytes.len());
        }
    }

    #[test]
    fn varint_lengths_at_their_bounds() {
        for (bytes, first) in (1..=9).map(|n| (n + 1, 1_u64 << (7 * n))) {
            assert_eq!(
                (varint_len(first - 1), varint_len(first)),
                (bytes - 1, bytes)
            );
        }
        assert_eq!((varint_len(0), varint_len(u64::MAX)), (1, 10));
    }

    #[test]
    fn overlong_and_short_input_is_refused() {
        for bad in [&[0x80, 0x00][..], &[0xff; 10], &[0x80; 11], &[0x80], &[]] {
            assert!(Reader::new("test", bad).varint().is_err(), "{bad:?}");
        }
        assert!(
            Reader::new("test", &[0xff, 0xff, 0xff, 0xff, 0x0f, 1])
                .bytes()
                .is_err()
        );
        // Bit 64, and a length that goes beyond the end.
        let beyond = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2];
        assert!(Reader::new("test", &beyond).varint().is_err());
        assert!(Reader::new("test", &[200, 1, 7]).bytes().is_err());
        assert!(Reader::at("test", &[1], 9).u8().is_err());
        assert!(Reader::new("test", &[1]).finish().is_err());
    }
}
