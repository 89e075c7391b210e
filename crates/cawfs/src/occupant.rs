//! What lies on a block device that is to become a store, so that it is not lost without a word.
//!
//! ```text
//!   0     510       1080            64 KiB + 64                1 MiB
//!   ├──────┼──────────┼──────────────────┼───────────────────────┤
//!   XFS    partitions ext2, 3, 4         Btrfs                   not looked at from here on
//! ```
//! Invariant: a device is empty only if all bytes that are looked at are zeros, whether what lies there is known or not.

use cawdb::disk::{Disk, Result, superblock};

/// Bytes that are looked at, from the beginning on.
const LOOKED_AT: u64 = 1 << 20;

/// Where, and by which bytes, others know what is theirs. The first that is there tells.
const SIGNS: [(usize, &[u8], &str); 4] = [
    (0, b"XFSB", "an XFS file system"),
    (65_600, b"_BHRfS_M", "a Btrfs file system"),
    (1080, b"\x53\xef", "an ext2, ext3 or ext4 file system"),
    // The last, because a file system from which a machine starts has it too.
    (510, b"\x55\xaa", "a partition table or boot sector"),
];

/// Something that lies on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occupant {
    /// What it is, as far as that can be told.
    pub what: &'static str,
    /// The byte by which it is known; where it is not, the first that is not zero.
    pub at: usize,
}

/// What lies in the first MiB of a device; none if that is all zeros. Reads it once.
///
/// # Errors
/// Those of the disk.
pub fn of(disk: &dyn Disk) -> Result<Option<Occupant>> {
    let bytes = disk.read_vec(0, disk.len().min(LOOKED_AT) as usize)?;
    let Some(first) = bytes.iter().position(|byte| *byte != 0) else {
        return Ok(None);
    };
    if superblock::has_magic(disk)? {
        let what = "a cawfs store";
        return Ok(Some(Occupant { what, at: first }));
    }
    let is_there = |at: usize, sign: &[u8]| bytes.get(at..).is_some_and(|b| b.starts_with(sign));
    let known = SIGNS.iter().find(|(at, sign, _)| is_there(*at, sign));
    let (what, at) = known.map_or(("data", first), |(at, _, what)| (*what, *at));
    Ok(Some(Occupant { what, at }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cawdb::disk::RamDisk;
    use cawdb::{CreateOptions, Store};
    use std::sync::Arc;

    const DEVICE_BYTES: u64 = 4 << 20;

    /// What is seen on a device of zeros on which these bytes were written, each at its offset.
    fn seen(written: &[(u64, &[u8])]) -> Option<Occupant> {
        let disk = RamDisk::with_limit(DEVICE_BYTES);
        for (offset, bytes) in written {
            disk.write_at(bytes, *offset).unwrap();
        }
        of(&disk).unwrap()
    }

    fn is(what: &'static str, at: usize) -> Option<Occupant> {
        Some(Occupant { what, at })
    }

    #[test]
    fn zeros_are_nothing_and_all_else_is_something() {
        assert_eq!(seen(&[]), None);
        assert_eq!(seen(&[(LOOKED_AT, b"far behind")]), None);
        assert_eq!(seen(&[(LOOKED_AT - 1, b"x")]), is("data", (1 << 20) - 1));
        assert_eq!(seen(&[(0, b"x")]), is("data", 0));
        assert_eq!(seen(&[(700, b"a"), (9000, b"b")]), is("data", 700));
        assert_eq!(of(&RamDisk::new()).unwrap(), None);
        let small = RamDisk::with_limit(512);
        assert_eq!(of(&small).unwrap(), None);
        small.write_at(b"\x55", 511).unwrap();
        assert_eq!(of(&small).unwrap(), is("data", 511));
    }

    #[test]
    fn what_others_made_is_known_by_its_signs() {
        let ext = "an ext2, ext3 or ext4 file system";
        let table = "a partition table or boot sector";
        assert_eq!(seen(&[(0, b"XFSB")]), is("an XFS file system", 0));
        let btrfs = is("a Btrfs file system", 65_600);
        assert_eq!(seen(&[(65_600, b"_BHRfS_M")]), btrfs);
        assert_eq!(seen(&[(1024, b"x"), (1080, b"\x53\xef")]), is(ext, 1080));
        assert_eq!(seen(&[(440, b"x"), (510, b"\x55\xaa")]), is(table, 510));
        // One from which a machine starts has both.
        let both = seen(&[(510, b"\x55\xaa"), (1080, b"\x53\xef")]);
        assert_eq!(both, is(ext, 1080));
        // A part of a sign is none.
        assert_eq!(seen(&[(1080, b"\x53")]), is("data", 1080));
    }

    #[test]
    fn a_store_is_known_also_without_its_first_copy() {
        let disk = Arc::new(RamDisk::with_limit(DEVICE_BYTES));
        let create = CreateOptions {
            size: DEVICE_BYTES,
            journal_bytes: Some(64 << 10),
            ..CreateOptions::default()
        };
        Store::create(disk.clone(), &create).unwrap();
        assert_eq!(of(disk.as_ref()).unwrap(), is("a cawfs store", 0));
        disk.write_at(&[0; 4096], 0).unwrap();
        assert_eq!(of(disk.as_ref()).unwrap(), is("a cawfs store", 32 << 10));
    }
}
