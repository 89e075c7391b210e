//! The ioctls of cawfs: what programs ask of a mount that no system call says.
//!
//! Every number is little-endian, every struct has a fixed size below 16 KiB, no pointers. Numbers follow the kernel's
//! `_IOC(direction, type, number, size)` with type `0xCA`. They are asked on any open file or directory of the mount:
//!
//! ```text
//! CLONE_STAGE  0xC010CA01  { count u32, flags u32, token u64 }      stage clones of what is open; answers the token
//! REMOVE_TREE  0x4102CA02  { length u16, name, zeros to 258 bytes } remove a name of the open directory, with all below
//! SYNC         0x0000CA03                                           all that happened before on the mount is durable
//! STATS        0xFFF0CA04  { offset u64, length u64, text }         a piece of the statistics, which are JSON
//! SCRUB        0xFFF0CA05  { token u64, budget u64, text }          verify a part of what is on the disk; answers JSON
//! ACCESS_TIMES 0x4004CA06  { when u32 }                             when reading renews access times, from now on
//! CLONE_STAGE_MAPPED
//!              0xDFF8CA07  { as CLONE_STAGE, users u32, groups u32, 340 ranges of users, 340 of groups }
//!                                                                   as CLONE_STAGE, with maps of ids
//! ```
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
//! Flags of both: 1 replaces (see above), 2 makes a tree in which nothing ever changes. Maps of ids are for root (EPERM): a range is
//! `{ source u32, clone u32, count u32 }`, so many ids from `source` on are shown as those from `clone` on, and ids in no range as
//! no one's. `users` and `groups` count the ranges; 0 means that all stay as they are. The answer fills the token only.
//!
//! Removing a tree is one step: `ioctl(parent fd, REMOVE_TREE, { name })`.
//!
//! Statistics come in pieces: the caller sets `offset`, the answer has `length` bytes of the text from there on, fewer than
//! there is room for at its end.
//!
//! A scrub is asked for part by part, by root or whoever serves the mount, with token 0 to begin. Each part ends after
//! `budget` bytes or a moment, whichever comes first, so that the pace is the caller's. The answer has the length of its text in the
//! place of the budget; the text is an object with the `token` to go on with, `read_bytes`, `left_bytes`, `done`, and `findings`
//! as `cawfs check --json` prints them. A budget of 0 ends a scrub early. ENOENT: the token is not known any more.
//!
//! Access times are the daemon's, not the kernel's, so a remount tells it, as root or whoever serves the mount: 0 never,
//! 1 relative, 2 always.

use crate::errno::{Kind, Result};
use crate::inode::Reader;
use crate::maps::{IdRange, Ids, MOST_RANGES, RANGE_BYTES};
use crate::types::{AccessTimes, CloneOptions};

const fn ioc(direction: u32, number: u32, size: u32) -> u32 {
    (direction << 30) | (size << 16) | (0xCA << 8) | number
}
const NONE: u32 = 0;
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
/// Size of the STATS struct: offset u64, length u64, text.
pub const STATS_BYTES: usize = STATS_HEAD + STATS_ROOM;
const STATS_HEAD: usize = 16;
/// Most bytes of text in one STATS struct.
pub const STATS_ROOM: usize = 16_352;
/// `ioctl` command: make everything durable.
pub const SYNC: u32 = ioc(NONE, 3, 0);
/// `ioctl` command: a piece of the statistics.
pub const STATS: u32 = ioc(READ_WRITE, 4, STATS_BYTES as u32);
/// Size of the SCRUB struct: token u64, budget u64 (in the reply the length), text.
pub const SCRUB_BYTES: usize = STATS_BYTES;
/// `ioctl` command: verify a part of what is on the disk.
pub const SCRUB: u32 = ioc(READ_WRITE, 5, SCRUB_BYTES as u32);
/// `ioctl` command: when reading renews access times.
pub const ACCESS_TIMES: u32 = ioc(WRITE, 6, 4);
/// Size of the CLONE_STAGE_MAPPED struct: that of CLONE_STAGE, two counts of ranges, and room for the ranges.
pub const STAGE_MAPPED_BYTES: usize = STAGE_BYTES + 8 + 2 * MOST_RANGES * RANGE_BYTES;
/// `ioctl` command: stage clones that show other ids.
pub const CLONE_STAGE_MAPPED: u32 = ioc(READ_WRITE, 7, STAGE_MAPPED_BYTES as u32);
/// Flag of CLONE_STAGE: nothing in the staged tree ever changes.
pub const CLONE_READ_ONLY: u32 = 2;
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
    /// [`CLONE_REPLACE`] and [`CLONE_READ_ONLY`], or 0.
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

impl Stage {
    /// What the flags ask for; EINVAL if one is not known.
    pub(crate) fn options(self, ids: Ids) -> Result<CloneOptions> {
        if self.flags & !(CLONE_REPLACE | CLONE_READ_ONLY) != 0 {
            return Err(Kind::Invalid.because("unknown flags"));
        }
        Ok(CloneOptions {
            replace: self.flags & CLONE_REPLACE != 0,
            read_only: self.flags & CLONE_READ_ONLY != 0,
            ids,
        })
    }
}

/// The CLONE_STAGE_MAPPED struct; EINVAL for too many ranges.
pub fn encode_mapped(
    stage: Stage,
    users: &[IdRange],
    groups: &[IdRange],
) -> Result<[u8; STAGE_MAPPED_BYTES]> {
    if users.len().max(groups.len()) > MOST_RANGES {
        return Err(Kind::Invalid.because("too many ranges of ids"));
    }
    let mut bytes = stage.encode().to_vec();
    for ranges in [users, groups] {
        bytes.extend_from_slice(&(ranges.len() as u32).to_le_bytes());
    }
    for ranges in [users, groups] {
        let end = bytes.len() + MOST_RANGES * RANGE_BYTES;
        bytes.extend(ranges.iter().flat_map(|range| range.encode()));
        bytes.resize(end, 0);
    }
    let whole = bytes.try_into();
    whole.map_err(|_| Kind::Invalid.because("CLONE_STAGE_MAPPED: bad length"))
}

/// What a CLONE_STAGE_MAPPED struct asks; EINVAL if it makes no sense.
pub(crate) fn decode_mapped(bytes: &[u8]) -> Result<(Stage, Ids)> {
    let bad = || Kind::Invalid.because("CLONE_STAGE_MAPPED takes its whole struct");
    let whole = bytes.len() == STAGE_MAPPED_BYTES;
    let (stage, rest) = bytes
        .split_at_checked(STAGE_BYTES)
        .filter(|_| whole)
        .ok_or_else(bad)?;
    let (mut reader, stage) = (Reader(rest), Stage::decode(stage)?);
    let counts = [reader.u32(), reader.u32()];
    let mut maps = [Vec::new(), Vec::new()];
    for (map, count) in maps.iter_mut().zip(counts) {
        let all = (0..MOST_RANGES).map_while(|_| IdRange::read(&mut reader));
        *map = all.collect();
        let count = count.map_or(usize::MAX, |count| count as usize);
        if count > map.len() {
            return Err(bad());
        }
        map.truncate(count);
    }
    let [users, groups] = maps;
    Ok((stage, Ids::new(&users, &groups)?))
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

/// The STATS struct that asks for the text from `offset` on.
pub fn ask_stats(offset: u64) -> [u8; STATS_BYTES] {
    let mut out = [0; STATS_BYTES];
    out[..8].copy_from_slice(&offset.to_le_bytes());
    out
}

/// The answer to a STATS struct: as much of `text` as there is room for from the offset on. EINVAL if the length is wrong.
pub fn answer_stats(asked: &[u8], text: &[u8]) -> Result<Vec<u8>> {
    let offset = asked
        .first_chunk()
        .filter(|_| asked.len() == STATS_BYTES)
        .ok_or_else(|| Kind::Invalid.because("STATS takes its whole struct"))?;
    let from = usize::try_from(u64::from_le_bytes(*offset)).unwrap_or(usize::MAX);
    let rest = text.get(from..).unwrap_or_default();
    let piece = rest.get(..STATS_ROOM).unwrap_or(rest);
    Ok([offset, &(piece.len() as u64).to_le_bytes(), piece].concat())
}

/// The SCRUB struct that asks for `budget` bytes to be verified.
pub fn ask_scrub(token: u64, budget: u64) -> [u8; SCRUB_BYTES] {
    let mut out = ask_stats(token);
    out[8..STATS_HEAD].copy_from_slice(&budget.to_le_bytes());
    out
}

/// Token and budget of a SCRUB struct; EINVAL if the length is wrong.
pub fn decode_scrub(asked: &[u8]) -> Result<(u64, u64)> {
    let number = |from: usize| asked.get(from..)?.first_chunk().copied();
    match (number(0), number(8), asked.len()) {
        (Some(token), Some(budget), SCRUB_BYTES) => {
            Ok((u64::from_le_bytes(token), u64::from_le_bytes(budget)))
        }
        _ => Err(Kind::Invalid.because("SCRUB takes its whole struct")),
    }
}

/// The ACCESS_TIMES struct.
pub fn encode_access_times(when: AccessTimes) -> [u8; 4] {
    let code: u32 = match when {
        AccessTimes::Never => 0,
        AccessTimes::Relative => 1,
        AccessTimes::Always => 2,
    };
    code.to_le_bytes()
}

/// What an ACCESS_TIMES struct asks for; EINVAL if that is none of the three.
pub fn decode_access_times(bytes: &[u8]) -> Result<AccessTimes> {
    match bytes {
        [0, 0, 0, 0] => Ok(AccessTimes::Never),
        [1, 0, 0, 0] => Ok(AccessTimes::Relative),
        [2, 0, 0, 0] => Ok(AccessTimes::Always),
        _ => Err(Kind::Invalid.because("ACCESS_TIMES takes 0, 1 or 2")),
    }
}

/// The answer to a SCRUB struct, to be read as one to STATS; EINVAL if there is no room for the text.
pub fn answer_scrub(token: u64, text: &[u8]) -> Result<Vec<u8>> {
    if text.len() > STATS_ROOM {
        return Err(Kind::Invalid.because("SCRUB: no room for the answer"));
    }
    let length = text.len() as u64;
    Ok([&token.to_le_bytes(), &length.to_le_bytes(), text].concat())
}

/// The text in an answered STATS or SCRUB struct; EINVAL if the length makes no sense.
pub fn decode_stats(bytes: &[u8]) -> Result<&[u8]> {
    let length = bytes.get(8..).and_then(|rest| rest.first_chunk());
    length
        .and_then(|length| usize::try_from(u64::from_le_bytes(*length)).ok())
        .and_then(|length| bytes.get(STATS_HEAD..)?.get(..length))
        .ok_or_else(|| Kind::Invalid.because("STATS: bad length"))
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
    fn statistics_come_in_pieces() {
        let text: Vec<u8> = (0..STATS_ROOM + 100).map(|i| i as u8).collect();
        let answer = |from| answer_stats(&ask_stats(from), &text).unwrap();
        assert_eq!(answer(0).len(), STATS_BYTES);
        assert_eq!(decode_stats(&answer(0)).unwrap(), &text[..STATS_ROOM]);
        let end = STATS_ROOM as u64;
        assert_eq!(decode_stats(&answer(end)).unwrap(), &text[STATS_ROOM..]);
        for beyond in [end + 100, end + 101, u64::MAX] {
            assert!(decode_stats(&answer(beyond)).unwrap().is_empty());
        }
        assert!(answer_stats(&[0; 8], &text).is_err());
        assert!(decode_stats(&answer(0)[..100]).is_err());
        assert!(decode_stats(&[255; 16]).is_err());
        assert!(decode_stats(&[]).is_err());
    }

    #[test]
    fn a_scrub_is_asked_and_answered_in_one_struct() {
        let asked = ask_scrub(7, 1 << 40);
        assert_eq!(decode_scrub(&asked).unwrap(), (7, 1 << 40));
        assert!(decode_scrub(&asked[..SCRUB_BYTES - 1]).is_err() && decode_scrub(&[]).is_err());
        let most = [b'x'; STATS_ROOM];
        assert_eq!(
            decode_stats(&answer_scrub(7, &most).unwrap()).unwrap(),
            most
        );
        assert!(answer_scrub(7, &[b'x'; STATS_ROOM + 1]).is_err());
    }

    #[test]
    fn command_numbers_are_a_promise() {
        assert_eq!(CLONE_STAGE, 0xC010_CA01);
        assert_eq!(REMOVE_TREE, 0x4102_CA02);
        assert_eq!(SYNC, 0x0000_CA03);
        assert_eq!(STATS, 0xFFF0_CA04);
        assert_eq!(SCRUB, 0xFFF0_CA05);
        assert_eq!(ACCESS_TIMES, 0x4004_CA06);
        assert_eq!(CLONE_STAGE_MAPPED, 0xDFF8_CA07);
    }

    #[test]
    fn access_times_come_back() {
        for when in [
            AccessTimes::Never,
            AccessTimes::Relative,
            AccessTimes::Always,
        ] {
            assert_eq!(
                decode_access_times(&encode_access_times(when)).unwrap(),
                when
            );
        }
        for bad in [&[3, 0, 0, 0][..], &[0; 5], &[]] {
            assert!(decode_access_times(bad).is_err());
        }
    }
}
