//! The flags of chattr(1): the kernel asks for them, and sets them, by ioctls of its own making.
//!
//! ```text
//! FS_IOC_GETFLAGS    0x80086601  answers u32 (the number says long)       lsattr
//! FS_IOC_SETFLAGS    0x40086602  u32                                      chattr
//! FS_IOC_FSGETXATTR  0x801C581F  answers fsxattr: xflags u32, 24 bytes    file_getattr(2)
//! FS_IOC_FSSETXATTR  0x401C5820  fsxattr
//! ```
//!
//! * The kernel checks the rights before it asks, the capability for the guards included; the file system checks them again, by the
//!   user alone.
//! * It asks only by these numbers. Others that mean the same (those for 32 bits) would come unchecked and are refused.

use super::{Server, errno};
use crate::connection::Notice;
use cawfs_fs::{Caller, FileFlags, NodeId};

pub const GET_FLAGS: u32 = 0x8008_6601;
pub const SET_FLAGS: u32 = 0x4008_6602;
pub const GET_XATTR: u32 = 0x801C_581F;
pub const SET_XATTR: u32 = 0x401C_5820;

/// Bytes of an fsxattr.
const XATTR_BYTES: usize = 28;

/// Where a flag stands in each of the two words.
const IMMUTABLE: (u32, u32) = (0x10, 0x8);
const APPEND_ONLY: (u32, u32) = (0x20, 0x10);
const NO_DUMP: (u32, u32) = (0x40, 0x80);
const NO_ATIME: (u32, u32) = (0x80, 0x40);

type Bit = fn((u32, u32)) -> u32;

fn pack(flags: FileFlags, bit: Bit) -> u32 {
    let all = [
        (flags.immutable, IMMUTABLE),
        (flags.append_only, APPEND_ONLY),
        (flags.no_dump, NO_DUMP),
        (flags.no_atime, NO_ATIME),
    ];
    let set = all.into_iter().filter(|(set, _)| *set);
    set.map(|(_, flag)| bit(flag)).sum()
}

/// EOPNOTSUPP for a flag that is not known here.
fn unpack(word: u32, bit: Bit) -> Result<FileFlags, i32> {
    let has = |flag| word & bit(flag) != 0;
    let flags = FileFlags {
        immutable: has(IMMUTABLE),
        append_only: has(APPEND_ONLY),
        no_dump: has(NO_DUMP),
        no_atime: has(NO_ATIME),
    };
    match pack(flags, bit) == word {
        true => Ok(flags),
        false => Err(libc::EOPNOTSUPP),
    }
}

fn word(input: &[u8]) -> Result<u32, i32> {
    let bytes = input.first_chunk().ok_or(libc::EINVAL)?;
    Ok(u32::from_le_bytes(*bytes))
}

impl Server {
    /// Answers one of the four.
    pub(super) fn flags(
        &self,
        caller: &Caller,
        (node, is_file): (NodeId, bool),
        command: u32,
        input: &[u8],
    ) -> Result<Vec<u8>, i32> {
        let flags = match command {
            GET_FLAGS | GET_XATTR => {
                let flags = self.fs.flags(node).map_err(errno)?;
                let mut out = match command {
                    GET_FLAGS => pack(flags, |f| f.0).to_le_bytes().to_vec(),
                    _ => pack(flags, |f| f.1).to_le_bytes().to_vec(),
                };
                out.resize(XATTR_BYTES, 0);
                return Ok(out);
            }
            SET_FLAGS => unpack(word(input)?, |f| f.0)?,
            _ => {
                // Extents of a chosen size and projects are not known here.
                let plain = input.get(4..).unwrap_or_default().iter().all(|&b| b == 0);
                if !plain {
                    return Err(libc::EOPNOTSUPP);
                }
                unpack(word(input)?, |f| f.1)?
            }
        };
        if is_file && (flags.immutable || flags.append_only) {
            // What was written through a mapping before still counts.
            self.launder(node);
        }
        self.fs.set_flags(caller, node, flags).map_err(errno)?;
        // The time of the change is a new one.
        self.notifier
            .send_and_wait(vec![Notice::Attributes(node.0)]);
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_words_come_back_and_what_is_not_known_is_refused() {
        for word in [0, 0x10, 0x20, 0xF0, 0x40] {
            assert_eq!(unpack(word, |f| f.0).map(|f| pack(f, |f| f.0)), Ok(word));
        }
        for word in [0, 0x8, 0x10, 0xD8] {
            assert_eq!(unpack(word, |f| f.1).map(|f| pack(f, |f| f.1)), Ok(word));
        }
        assert_eq!(unpack(0x8_0000, |f| f.0), Err(libc::EOPNOTSUPP));
        assert_eq!(unpack(0x20, |f| f.1), Err(libc::EOPNOTSUPP));
        assert_eq!(word(&[1, 0]), Err(libc::EINVAL));
    }
}
