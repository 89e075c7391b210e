//! The handshake: what we ask of the kernel, of what it offers.
//!
//! ```text
//! init_in   major minor max_readahead flags flags2 …
//! init_out  major minor max_readahead flags background:16 congestion:16 max_write
//!           time_gran pages:16 -:16 flags2 …                                      64 bytes
//! ```

use crate::connection::Connection;
use crate::wire::{BUFFER, MAX_WRITE, reply};
use cawfs_fs::AccessTimes;
use std::io;

/// What was agreed upon with the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreed {
    /// Minor version of the protocol that the kernel speaks.
    pub minor: u32,
    /// The features in use.
    pub flags: u64,
}

/// Features: a bit each, low word in `flags`, high word in `flags2`.
mod flag {
    pub const ASYNC_READ: u64 = 1;
    pub const BIG_WRITES: u64 = 1 << 5;
    pub const DONT_MASK: u64 = 1 << 6;
    pub const IOCTL_DIR: u64 = 1 << 11;
    pub const READDIRPLUS: u64 = 1 << 13;
    pub const ASYNC_DIO: u64 = 1 << 15;
    pub const PARALLEL_DIROPS: u64 = 1 << 18;
    pub const POSIX_ACL: u64 = 1 << 20;
    pub const ABORT_ERROR: u64 = 1 << 21;
    pub const MAX_PAGES: u64 = 1 << 22;
    pub const CACHE_SYMLINKS: u64 = 1 << 23;
    pub const EXPLICIT_INVAL_DATA: u64 = 1 << 25;
    pub const HANDLE_KILLPRIV_V2: u64 = 1 << 28;
    pub const SETXATTR_EXT: u64 = 1 << 29;
    pub const INIT_EXT: u64 = 1 << 30;
    pub const CREATE_SUPP_GROUP: u64 = 1 << 34;
    pub const HAS_EXPIRE_ONLY: u64 = 1 << 35;
    pub const DIRECT_IO_ALLOW_MMAP: u64 = 1 << 36;
    pub const HAS_RESEND: u64 = 1 << 39;
}

/// OPEN is answered, but O_TRUNC does not come with it, because the kernel finds only behind it that the file is a running
/// program; locks stay in the kernel; the page cache is dropped only when we say so; the kernel enforces access lists and leaves the umask to us, because
/// a directory's default list takes its place.
const WANTED: u64 = flag::ASYNC_READ
    | flag::BIG_WRITES
    | flag::DONT_MASK
    | flag::IOCTL_DIR
    | flag::READDIRPLUS
    | flag::ASYNC_DIO
    | flag::PARALLEL_DIROPS
    | flag::POSIX_ACL
    | flag::ABORT_ERROR
    | flag::MAX_PAGES
    | flag::CACHE_SYMLINKS
    | flag::EXPLICIT_INVAL_DATA
    | flag::HANDLE_KILLPRIV_V2
    | flag::SETXATTR_EXT
    | flag::INIT_EXT
    | flag::CREATE_SUPP_GROUP
    | flag::HAS_EXPIRE_ONLY
    | flag::DIRECT_IO_ALLOW_MMAP
    | flag::HAS_RESEND;

/// What is asked for: where every reading counts, the kernel must not answer it by itself.
fn wanted(access: AccessTimes) -> u64 {
    match access {
        AccessTimes::Always => WANTED & !flag::CACHE_SYMLINKS,
        _ => WANTED,
    }
}

const INIT: u32 = 26;
const MAJOR: u32 = 7;
const OUR_MINOR: u32 = 45;
/// From here on SETXATTR has the longer form that `wire` reads.
const OLDEST_MINOR: u32 = 34;
/// From here on the kernel knows PRUNE.
const PRUNE_MINOR: u32 = 45;
const PAGE: usize = 4096;
const BACKGROUND: u16 = 64;
const CONGESTION: u16 = 48;

impl Agreed {
    /// Whether opens that bypass the page cache may be mapped shared, so that they do no harm.
    pub fn direct_mmap(self) -> bool {
        self.flags & flag::DIRECT_IO_ALLOW_MMAP != 0
    }

    /// Whether the kernel can be told that a name is gone at once, and forget what was below later: it knows PRUNE, and names
    /// that only expire.
    pub fn forgets_later(self) -> bool {
        self.minor >= PRUNE_MINOR && self.flags & flag::HAS_EXPIRE_ONLY != 0
    }
}

/// Waits for the kernel's INIT and answers it. `access`: when reading is to renew access times.
///
/// # Errors
/// If the kernel's protocol is too old or the mount went away.
pub fn handshake(connection: &Connection, access: AccessTimes) -> io::Result<Agreed> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let gone = || {
            io::Error::new(
                io::ErrorKind::NotConnected,
                "unmounted during the handshake",
            )
        };
        let length = connection.receive(&mut buffer)?.ok_or_else(gone)?;
        let message = buffer.get(..length).unwrap_or_default();
        let word = |at: usize| {
            let bytes = message.get(at..at + 4).and_then(|b| b.try_into().ok());
            bytes.map_or(0, u32::from_le_bytes)
        };
        let unique = u64::from(word(8)) | u64::from(word(12)) << 32;
        if word(4) != INIT || word(40) < MAJOR || (word(40) == MAJOR && word(44) < OLDEST_MINOR) {
            connection.reply(unique, Err(libc::EPROTO));
            let text = format!(
                "the kernel speaks FUSE {}.{}, cawfs needs 7.{OLDEST_MINOR} (Linux 5.14) or newer",
                word(40),
                word(44)
            );
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        if word(40) > MAJOR {
            // The kernel asks again with our major version.
            let body = [MAJOR.to_le_bytes(), OUR_MINOR.to_le_bytes()].concat();
            connection.reply(unique, Ok(crate::connection::Answer::Reply(body)));
            continue;
        }
        let offered = u64::from(word(52)) | u64::from(word(56)) << 32;
        let flags = wanted(access) & offered;
        let body = init_out(word(44), word(48), flags);
        connection.reply(unique, Ok(crate::connection::Answer::Reply(body)));
        return Ok(Agreed {
            minor: word(44),
            flags,
        });
    }
}

fn init_out(minor: u32, max_readahead: u32, flags: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    for word in [MAJOR, minor.min(OUR_MINOR), max_readahead, flags as u32] {
        out.extend(word.to_le_bytes());
    }
    out.extend(BACKGROUND.to_le_bytes());
    out.extend(CONGESTION.to_le_bytes());
    out.extend((MAX_WRITE as u32).to_le_bytes());
    out.extend(1u32.to_le_bytes());
    out.extend(((MAX_WRITE / PAGE) as u16).to_le_bytes());
    out.extend(0u16.to_le_bytes());
    out.extend(((flags >> 32) as u32).to_le_bytes());
    out.resize(reply::INIT_OUT, 0);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_has_the_size_and_places_of_the_protocol() {
        let out = init_out(99, 131_072, WANTED);
        assert_eq!(out.len(), 64);
        assert_eq!(out[4..8], 45u32.to_le_bytes());
        assert_eq!(out[20..24], 1_048_576u32.to_le_bytes());
        assert_eq!(out[28..30], 256u16.to_le_bytes());
        assert_eq!(out[32..36], ((WANTED >> 32) as u32).to_le_bytes());
    }
}
