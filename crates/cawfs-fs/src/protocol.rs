//! The ioctls of cawfs: what a command sends to the mount to clone and remove trees.
//!
//! Every number is little-endian, every struct has a fixed size below 16 KiB, no pointers. Numbers follow the kernel's
//! `_IOC(direction, type, number, size)` with type `0xCA`.
//!
//! Cloning takes two steps, so that the kernel itself checks rights, sends inotify events and keeps its caches:
//!
//! ```text
//! 1. fd = open(SRC, O_RDONLY)
//!    ioctl(fd, CLONE_STAGE, { count: n, flags })          -> { token }
//! 2. for each destination i in 0..n, d = open(its parent, O_RDONLY | O_DIRECTORY):
//!    renameat2(d, ".cawfs-stage-<token as 16 hex digits>-<i>", d, NAME, flags)
//!            flags = RENAME_NOREPLACE, or 0 to go over an existing file or empty directory,
//!            or 0 with CLONE_REPLACE staged to replace a directory with all it holds
//! ```
//!
//! The staged name exists, for the caller who staged it (and root), in *every* directory, and shows in no listing; it
//! is best taken in the destination's own parent, as above: then the rename stays in one directory, and needs no
//! right but that of making the new name. It shows itself as owned by the caller and writable by him until the
//! rename gives it its real owner and mode. All destinations of one token show one instant of the source, between the
//! ioctl and the first rename. A staged name is good for one rename; those unused vanish after ten minutes, or with
//! the mount.
//!
//! Rights: a file may be cloned through any handle open for reading, and the clone belongs to the caller. A tree may
//! be cloned by root and by the owner of its root directory; owners and modes below stay, and for a caller other than
//! root set-id bits and file capabilities of others' files take no effect in it.
//!
//! Removing a tree is one step: `ioctl(parent fd, REMOVE_TREE, { name })`.

use crate::errno::{Kind, Result};

const fn ioc(direction: u32, number: u32, size: u32) -> u32 {
    (direction << 30) | (size << 16) | (0xCA << 8) | number
}
const WRITE: u32 = 1;
const READ_WRITE: u32 = 3;

/// Size of the CLONE_STAGE struct: count u32, flags u32, token u64 (filled by the reply).
pub const STAGE_BYTES: usize = 16;
/// Size of the REMOVE_TREE struct: length u16, then a name of at most 255 bytes, zero-filled to 258.
pub const REMOVE_BYTES: usize = 258;
/// `ioctl` command: stage clones of the opened file or directory.
pub const CLONE_STAGE: u32 = ioc(READ_WRITE, 1, STAGE_BYTES as u32);
/// `ioctl` command: remove a tree by its name in the opened directory.
pub const REMOVE_TREE: u32 = ioc(WRITE, 2, REMOVE_BYTES as u32);
/// Flag of CLONE_STAGE: a rename of the staged tree over a directory replaces it with all it holds.
pub const CLONE_REPLACE: u32 = 1;
/// Most destinations of one token.
pub const MAX_DESTINATIONS: u32 = 1 << 20;
const STAGE_PREFIX: &str = ".cawfs-stage-";

/// What CLONE_STAGE asks and answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    /// Number of destinations.
    pub count: u32,
    /// [`CLONE_REPLACE`] or 0.
    pub flags: u32,
    /// Zero in the request; the token in the reply.
    pub token: u64,
}

impl Stage {
    /// The struct as bytes.
    pub fn encode(self) -> [u8; STAGE_BYTES] {
        let mut out = [0; STAGE_BYTES];
        out[..4].copy_from_slice(&self.count.to_le_bytes());
        out[4..8].copy_from_slice(&self.flags.to_le_bytes());
        out[8..].copy_from_slice(&self.token.to_le_bytes());
        out
    }
    /// The struct from bytes; EINVAL if the length is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let bytes: &[u8; STAGE_BYTES] = bytes
            .try_into()
            .map_err(|_| Kind::Invalid.because("CLONE_STAGE takes 16 bytes"))?;
        let [a, b, c, d, e, f, g, h, token @ ..] = *bytes;
        Ok(Self {
            count: u32::from_le_bytes([a, b, c, d]),
            flags: u32::from_le_bytes([e, f, g, h]),
            token: u64::from_le_bytes(token),
        })
    }
}

/// The REMOVE_TREE struct for a name; EINVAL beyond 255 bytes.
pub fn encode_remove(name: &[u8]) -> Result<[u8; REMOVE_BYTES]> {
    let mut out = [0; REMOVE_BYTES];
    let room = out.get_mut(2..2 + name.len()).filter(|_| name.len() <= 255);
    room.ok_or_else(|| Kind::Invalid.because("the name is too long"))?
        .copy_from_slice(name);
    out[..2].copy_from_slice(&(name.len() as u16).to_le_bytes());
    Ok(out)
}

/// The name in a REMOVE_TREE struct; EINVAL if the length makes no sense.
pub fn decode_remove(bytes: &[u8]) -> Result<&[u8]> {
    let name = match bytes {
        [a, b, rest @ ..] => rest.get(..usize::from(u16::from_le_bytes([*a, *b]))),
        _ => None,
    };
    name.filter(|n| n.len() <= 255)
        .ok_or_else(|| Kind::Invalid.because("REMOVE_TREE: bad length"))
}

/// The staged name of a token and a destination.
pub fn stage_name(token: u64, index: u32) -> String {
    format!("{STAGE_PREFIX}{token:016x}-{index}")
}

/// Token and destination of a staged name; none if it is not one.
pub fn parse_stage_name(name: &[u8]) -> Option<(u64, u32)> {
    let rest = std::str::from_utf8(name).ok()?.strip_prefix(STAGE_PREFIX)?;
    let (token, index) = rest.split_once('-')?;
    let parsed = (u64::from_str_radix(token, 16).ok()?, index.parse().ok()?);
    (stage_name(parsed.0, parsed.1).as_bytes() == name).then_some(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structs_and_names_come_back() {
        let stage = Stage {
            count: 7,
            flags: CLONE_REPLACE,
            token: 0x0123_4567_89ab_cdef,
        };
        assert_eq!(Stage::decode(&stage.encode()).unwrap(), stage);
        assert!(Stage::decode(&[0; 15]).is_err());
        assert_eq!(
            decode_remove(&encode_remove(b"tree").unwrap()).unwrap(),
            b"tree"
        );
        assert!(encode_remove(&[b'x'; 256]).is_err());
        assert!(decode_remove(&[255, 255, 1, 2]).is_err());
        assert_eq!(
            parse_stage_name(stage_name(1, 42).as_bytes()),
            Some((1, 42))
        );
        for bad in [
            &b".cawfs-stage-"[..],
            b".cawfs-stage-1-0",
            b".cawfs-stage-0000000000000001-00",
            b"x",
        ] {
            assert_eq!(parse_stage_name(bad), None);
        }
    }

    #[test]
    fn command_numbers_are_a_promise() {
        assert_eq!(CLONE_STAGE, 0xC010_CA01);
        assert_eq!(REMOVE_TREE, 0x4102_CA02);
    }
}
