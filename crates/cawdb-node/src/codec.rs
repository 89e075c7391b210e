//! Numbers and byte strings as bytes: everything that goes to disk is written and read by this pair.
//!
//! Invariants:
//! - fixed numbers are little-endian; a varint holds seven bits a byte, lowest first, at most ten bytes;
//! - the reader takes hostile bytes: running out, or a number that does not fit, is an error and never a panic;
//!   nothing is reserved in memory on the word of a length that was not yet checked against the bytes left.

use crate::{Error, Result};
use std::ops::Range;

/// Appends to a growing byte string.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

/// Takes a byte string apart, front to back.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// How many bytes [`Writer::varint`] takes for `value`.
pub fn varint_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

impl Writer {
    /// Nothing written yet.
    pub fn new() -> Self {
        Self::default()
    }
    /// Nothing written yet, with room for `bytes`.
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
        }
    }
    /// Bytes written.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }
    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }
    /// Two bytes.
    pub fn u16(&mut self, value: u16) {
        self.bytes(&value.to_le_bytes());
    }
    /// Four bytes.
    pub fn u32(&mut self, value: u32) {
        self.bytes(&value.to_le_bytes());
    }
    /// Eight bytes.
    pub fn u64(&mut self, value: u64) {
        self.bytes(&value.to_le_bytes());
    }
    /// One to ten bytes.
    pub fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }
    /// The bytes themselves, without a length.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }
    /// A varint length, then the bytes.
    pub fn var_bytes(&mut self, bytes: &[u8]) {
        self.varint(bytes.len() as u64);
        self.bytes(bytes);
    }
    /// All that was written.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }
    /// All that was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cold]
fn short(wanted: usize, left: usize) -> Error {
    Error::Corrupt(format!("{wanted} bytes expected, {left} left"))
}

impl<'a> Reader<'a> {
    /// At the front of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }
    /// At byte `at` of `bytes`; beyond the end there is nothing left to read.
    pub fn at(bytes: &'a [u8], at: usize) -> Self {
        Self {
            bytes,
            at: at.min(bytes.len()),
        }
    }
    /// Bytes read so far.
    pub fn position(&self) -> usize {
        self.at
    }
    /// Bytes not yet read.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next `len` bytes, as positions in the whole.
    ///
    /// # Errors
    /// As for all methods below: if fewer bytes are left.
    pub fn span(&mut self, len: usize) -> Result<Range<usize>> {
        if len > self.remaining() {
            return Err(short(len, self.remaining()));
        }
        let start = self.at;
        self.at += len;
        Ok(start..self.at)
    }
    /// The next `len` bytes.
    ///
    /// # Errors
    /// If fewer are left.
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8]> {
        let span = self.span(len)?;
        Ok(&self.bytes[span])
    }
    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let left = self.remaining();
        self.bytes(N)?
            .first_chunk()
            .copied()
            .ok_or_else(|| short(N, left))
    }
    /// One byte.
    ///
    /// # Errors
    /// If none is left.
    pub fn u8(&mut self) -> Result<u8> {
        Ok(u8::from_le_bytes(self.array()?))
    }
    /// Two bytes.
    ///
    /// # Errors
    /// If fewer are left.
    pub fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }
    /// Four bytes.
    ///
    /// # Errors
    /// If fewer are left.
    pub fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }
    /// Eight bytes.
    ///
    /// # Errors
    /// If fewer are left.
    pub fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }
    /// One to ten bytes.
    ///
    /// # Errors
    /// If they end early or do not fit 64 bits.
    pub fn varint(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let part = u64::from(byte & 0x7f);
            if (part << shift) >> shift != part {
                break;
            }
            value |= part << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Error::Corrupt("a number beyond 64 bits".into()))
    }
    /// A varint that is a length or a count in memory.
    ///
    /// # Errors
    /// If it is broken, or does not fit.
    pub fn varint_usize(&mut self) -> Result<usize> {
        let value = self.varint()?;
        usize::try_from(value).map_err(|_| Error::Corrupt(format!("{value} is out of range")))
    }
    /// What [`Writer::var_bytes`] wrote.
    ///
    /// # Errors
    /// If the length is broken, or fewer bytes are left.
    pub fn var_bytes(&mut self) -> Result<&'a [u8]> {
        let len = self.varint_usize()?;
        self.bytes(len)
    }
    /// The end: nothing may be left.
    ///
    /// # Errors
    /// If bytes are left.
    pub fn finish(self) -> Result<()> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(Error::Corrupt(format!("{left} bytes left over"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let numbers = [
            0,
            1,
            127,
            128,
            16_383,
            16_384,
            u64::from(u32::MAX),
            1 << 62,
            u64::MAX,
        ];
        let mut w = Writer::new();
        for n in numbers {
            let before = w.len();
            w.varint(n);
            assert_eq!(w.len() - before, varint_len(n), "{n}");
        }
        w.u8(1);
        w.u16(2);
        w.u32(3);
        w.u64(4);
        w.var_bytes(b"five");
        let bytes = w.into_bytes();
        let mut r = Reader::new(&bytes);
        for n in numbers {
            assert_eq!(r.varint().unwrap(), n);
        }
        assert_eq!((r.u8().unwrap(), r.u16().unwrap()), (1, 2));
        assert_eq!((r.u32().unwrap(), r.u64().unwrap()), (3, 4));
        assert_eq!(r.var_bytes().unwrap(), b"five");
        r.finish().unwrap();
    }

    #[test]
    fn hostile_bytes_are_errors() {
        assert!(Reader::new(&[0x80; 3]).varint().is_err(), "ends early");
        assert!(Reader::new(&[0xff; 11]).varint().is_err(), "too long");
        let beyond = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2];
        assert!(Reader::new(&beyond).varint().is_err(), "bit 64");
        assert!(
            Reader::new(&[200, 1, 7]).var_bytes().is_err(),
            "length beyond the end"
        );
        assert!(Reader::new(&[1, 2, 3]).u32().is_err());
        assert!(Reader::at(&[1], 9).u8().is_err());
        assert!(Reader::new(&[1]).finish().is_err());
    }
}
