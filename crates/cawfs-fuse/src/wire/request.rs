//! One request: its header and its operation.
//!
//! ```text
//! 0   4      8       16      24   28   32   36       38  40
//! len opcode unique  nodeid  uid  gid  pid  ext words  -
//! ```

use super::cursor::Cursor;
use super::{IN_HEADER, Op};
use bytes::Bytes;

/// Who asks, about which node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The operation's number in the protocol.
    pub opcode: u32,
    /// The request's number; the reply repeats it.
    pub unique: u64,
    /// The node the operation is about.
    pub node: u64,
    /// The caller's user id.
    pub uid: u32,
    /// The caller's group id.
    pub gid: u32,
    /// The caller's process, 0 for the kernel's own writes.
    pub pid: u32,
    /// The group of the directory in which something is made, if the caller is in it beside his own.
    pub group: Option<u32>,
}

/// A decoded request, borrowed from the reader's buffer.
#[derive(Debug, Clone, PartialEq)]
pub struct Request<'a> {
    /// Who asks.
    pub header: Header,
    /// What is asked; `None` if its fixed part is cut short.
    pub op: Option<Op<'a>>,
    /// The whole message, if it may be kept.
    message: Option<&'a Bytes>,
}

impl<'a> Request<'a> {
    /// Decodes a message from the kernel; `None` if not even the header is whole.
    pub fn parse(message: &'a [u8]) -> Option<Self> {
        let mut c = Cursor::new(message);
        let len = c.u32()? as usize;
        let mut header = Header {
            opcode: c.u32()?,
            unique: c.u64()?,
            node: c.u64()?,
            uid: c.u32()?,
            gid: c.u32()?,
            pid: c.u32()?,
            group: None,
        };
        // Extensions stand at the end, counted in words of 8 bytes.
        let extensions = usize::from(c.u16()?) * 8;
        let end = len.min(message.len()).checked_sub(extensions)?;
        let body = message.get(IN_HEADER..end)?;
        header.group = group(message.get(end..end + extensions)?);
        Some(Self {
            header,
            op: Op::parse(header.opcode, body),
            message: None,
        })
    }

    /// The same for a message that may be kept.
    pub fn parse_owned(message: &'a Bytes) -> Option<Self> {
        let request = Self::parse(message)?;
        Some(Self {
            message: Some(message),
            ..request
        })
    }

    /// A part of this request, to be kept; copied if the message cannot be.
    pub fn keep(&self, part: &[u8]) -> Bytes {
        match self.message {
            Some(message) => message.slice_ref(part),
            None => Bytes::copy_from_slice(part),
        }
    }

    /// The name of the operation, for the log.
    pub fn name(&self) -> String {
        let op = format!("{:?}", self.op);
        let op = op.trim_start_matches("Some(");
        let end = op.find(|c: char| !c.is_alphanumeric());
        op.get(..end.unwrap_or(op.len())).unwrap_or_default().into()
    }
}

/// Type of an extension that names groups of the caller.
const EXT_GROUPS: u32 = 32;

/// The group that an extension names: size and type u32, count u32, groups u32. The kernel names one at most.
fn group(mut extensions: &[u8]) -> Option<u32> {
    loop {
        let c = &mut Cursor::new(extensions);
        let (size, kind) = (c.u32()? as usize, c.u32()?);
        if kind == EXT_GROUPS {
            return if c.u32()? > 0 { c.u32() } else { None };
        }
        extensions = extensions.get(size.next_multiple_of(8).max(8)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(opcode: u32, body: &[u8]) -> Vec<u8> {
        let mut m = Vec::new();
        m.extend((40 + body.len() as u32).to_le_bytes());
        m.extend(opcode.to_le_bytes());
        m.extend(7u64.to_le_bytes());
        m.extend(1u64.to_le_bytes());
        m.extend([0; 16]);
        m.extend(body);
        m
    }

    #[test]
    fn a_lookup_is_read() {
        let m = message(1, b"name\0");
        let r = Request::parse(&m).unwrap();
        assert_eq!((r.header.unique, r.header.node), (7, 1));
        assert_eq!(r.op, Some(Op::Lookup { name: b"name" }));
    }

    #[test]
    fn a_group_of_the_caller_is_read() {
        let extend = |extensions: &[u8]| {
            let mut m = message(1, b"name\0\0\0\0");
            m.extend(extensions);
            let len = m.len() as u32;
            m[..4].copy_from_slice(&len.to_le_bytes());
            m[36..38].copy_from_slice(&(extensions.len() as u16 / 8).to_le_bytes());
            let header = Request::parse(&m).unwrap().header;
            header.group
        };
        let words =
            |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|w| w.to_le_bytes()).collect() };
        assert_eq!(extend(&words(&[16, 32, 1, 77])), Some(77));
        assert_eq!(extend(&words(&[8, 1, 16, 32, 1, 77])), Some(77));
        for none in [&[16, 32, 0, 77][..], &[0, 1, 0, 1], &[9999, 1], &[]] {
            assert_eq!(extend(&words(none)), None);
        }
    }

    #[test]
    fn times_before_1970_keep_their_nanoseconds() {
        let mut body = Vec::new();
        body.extend(0x10u32.to_le_bytes());
        body.extend([0; 28]);
        body.extend((-2i64).to_le_bytes());
        body.extend([0; 16]);
        body.extend(800_000_000u32.to_le_bytes());
        body.extend([0; 28]);
        let m = message(4, &body);
        let Some(Op::SetAttr(s)) = Request::parse(&m).unwrap().op else {
            panic!("not SETATTR")
        };
        assert_eq!((s.atime, s.atime_ns), (-2, 800_000_000));
    }

    #[test]
    fn every_prefix_of_every_operation_is_survived() {
        let seed = std::time::SystemTime::now()
            .elapsed()
            .map_or(1, |d| d.as_nanos() as u64)
            | 1;
        println!("seed {seed}");
        let mut x = seed;
        let mut next = move || {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x
        };
        for opcode in 0..64 {
            for _ in 0..50 {
                let body: Vec<u8> = (0..next() % 160).map(|_| next() as u8).collect();
                let mut m = message(opcode, &body);
                let cut = next() as usize % (m.len() + 1);
                if next() & 1 == 0 {
                    m.truncate(cut);
                }
                if let Some(b) = m.get_mut(36) {
                    *b = (next() % 4) as u8;
                }
                let _ = Request::parse(&m);
            }
        }
    }
}
