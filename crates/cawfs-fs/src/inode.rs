//! The inode record and its bytes.
//!
//! ```text
//!  0 version u8       1 kind u8   2 permissions u16   4 flags u32   8 uid u32   12 gid u32
//! 16 number u64 (relative)   24 size u64   32 blocks u64   40 links u32   44 device u32
//! 48 atime (i64 s, u32 ns)   60 mtime   72 ctime   84 btime
//! 96 directories: shift u64, no-set-id u8 (0 none, 1 except uid, 2 all), uid u32;
//!    of version 2 only: what else is inherited (see `inherited`)
//!    symbolic links: the target, to the end
//! ```
//!
//! * All numbers are little-endian; a record has no bytes beyond what is drawn.
//! * The number shown = number + the shifts of all directories above (and its own, for a directory), wrapping.
//! * `blocks` is the count of blocks stored for a file. All lie below its size, so a file is *dense*, without
//!   holes, exactly if `blocks` is what its size needs.

use crate::errno::{Kind, Result};
use crate::inherited::Inherited;
use crate::maps::{Ids, NO_ID};
use crate::types::{Attr, BLOCK_BYTES, FileType, Time};
use bytes::Bytes;

const VERSION: u8 = 1;
/// Of directories that make what is below them inherit maps of ids, or that they are read-only.
const INHERITING: u8 = 2;

/// Length of a record without the target of a link; of a directory without what it makes inherit.
const FILE_BYTES: usize = 96;
const DIR_BYTES: usize = FILE_BYTES + 13;

/// Permission bit: set user id.
pub(crate) const SET_UID: u16 = 0o4000;
/// Permission bit: set group id.
pub(crate) const SET_GID: u16 = 0o2000;
/// All permission bits.
pub(crate) const PERM_BITS: u16 = 0o7777;

/// Flag: there are extended attributes.
pub(crate) const HAS_XATTRS: u32 = 1;
/// Flag: file capabilities are among them.
pub(crate) const HAS_CAPS: u32 = 2;
/// Flag: an access control list is among them.
pub(crate) const HAS_ACL: u32 = 4;
/// Flag: a default access control list is among them (directories).
pub(crate) const HAS_DEFAULT_ACL: u32 = 8;
/// Flag of earlier versions, for what now is [`HOLDS`], [`CAME`] or both.
pub(crate) const MOVED: u32 = 16;
/// Flag: a tree that [`CAME`] lies below; the high half of `size` says how far keys of such reach (directories; see `depth`).
pub(crate) const HOLDS: u32 = 2048;
/// Flag: it came from elsewhere; the low half of `size` says how far keys reached that were made below it one by one (directories; see `depth`).
pub(crate) const CAME: u32 = 4096;

/// Flag: files with several names may have their bodies here (directories; see `links`).
pub(crate) const HOME: u32 = 32;

/// Whose set-id bits and file capabilities take no effect below a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum NoSetId {
    /// Nobody's: all take effect.
    #[default]
    None,
    /// Those of all files but this user's.
    Except(u32),
    /// Everybody's.
    All,
}

impl NoSetId {
    /// What holds where both hold.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::None, x) | (x, Self::None) => x,
            (Self::Except(a), Self::Except(b)) if a == b => self,
            _ => Self::All,
        }
    }
    /// The same where ids are kept by other maps; stricter where they do not show the user.
    pub(crate) fn recode(self, from: &Ids, to: &Ids) -> Self {
        let Self::Except(user) = self else {
            return self;
        };
        match from == to {
            true => self,
            false => match from.user(user) {
                NO_ID => Self::All,
                shown => to.stored_user(shown).map_or(Self::All, Self::Except),
            },
        }
    }
    /// Whether it hides the set-id bits of a file of this owner.
    pub(crate) fn hides(self, uid: u32) -> bool {
        match self {
            Self::None => false,
            Self::Except(owner) => owner != uid,
            Self::All => true,
        }
    }
}

/// What is known of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Inode {
    pub(crate) kind: FileType,
    pub(crate) perm: u16,
    pub(crate) flags: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Relative number.
    pub(crate) number: u64,
    /// Of a directory: see [`CAME`] and [`HOLDS`].
    pub(crate) size: u64,
    /// Blocks stored.
    pub(crate) blocks: u64,
    pub(crate) links: u32,
    /// Number of a device, as the kernel encodes it; of a file or directory that is guarded, what says so to whom: see
    /// [`crate::guards`].
    pub(crate) device: u32,
    pub(crate) atime: Time,
    pub(crate) mtime: Time,
    pub(crate) ctime: Time,
    pub(crate) btime: Time,
    /// Added to the numbers of this directory and of all below.
    pub(crate) shift: u64,
    /// Inherited by all below this directory.
    pub(crate) no_set_id: NoSetId,
    /// What this directory adds to what is inherited by it and all below.
    pub(crate) inherited: Inherited,
    /// Target of a symbolic link.
    pub(crate) target: Bytes,
}

/// Blocks that a file of this size has if it is dense.
pub(crate) fn blocks_of(size: u64) -> u64 {
    size.div_ceil(BLOCK_BYTES)
}

impl Inode {
    /// A new object that belongs to the superuser.
    pub(crate) fn new(kind: FileType, perm: u16, now: Time) -> Self {
        let links = if kind == FileType::Directory { 2 } else { 1 };
        Self {
            kind,
            perm: perm & PERM_BITS,
            flags: 0,
            uid: 0,
            gid: 0,
            number: 0,
            size: 0,
            blocks: 0,
            links,
            device: 0,
            atime: now,
            mtime: now,
            ctime: now,
            btime: now,
            shift: 0,
            no_set_id: NoSetId::None,
            inherited: Inherited::default(),
            target: Bytes::new(),
        }
    }
    /// Whether this is a directory.
    pub(crate) fn is_dir(&self) -> bool {
        self.kind == FileType::Directory
    }
    /// Whether a flag is set.
    pub(crate) fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }
    /// Whether a file has no holes.
    pub(crate) fn is_dense(&self) -> bool {
        self.blocks == blocks_of(self.size)
    }
    /// How many bytes it has, as shown; none of a directory.
    pub(crate) fn bytes(&self) -> u64 {
        if self.is_dir() { 0 } else { self.size }
    }
    /// How far keys reached that were made below a directory before it [`CAME`], counted from its prefix, in bytes.
    pub(crate) fn came(&self) -> Option<usize> {
        self.reach_of(CAME, 0)
    }
    /// How far keys reach of what came below a directory that [`HOLDS`] such, likewise.
    pub(crate) fn holds(&self) -> Option<usize> {
        self.reach_of(HOLDS, 32)
    }
    fn reach_of(&self, flag: u32, shift: u32) -> Option<usize> {
        let marked = self.is_dir() && self.has(flag);
        marked.then_some((self.size >> shift) as u32 as usize)
    }
    /// Remembers of a directory what [`Self::came`] and [`Self::holds`] tell.
    pub(crate) fn set_reach(&mut self, came: Option<usize>, holds: Option<usize>) {
        let halves = [(came, CAME, 0), (holds, HOLDS, 32)];
        self.size = 0;
        for (reach, flag, shift) in halves {
            self.flags &= !flag;
            if let Some(reach) = reach {
                self.flags |= flag;
                self.size |= u64::from(u32::try_from(reach).unwrap_or(u32::MAX)) << shift;
            }
        }
    }
    /// The number shown, where `base` is the sum of the shifts of the directories above.
    pub(crate) fn shown(&self, base: u64) -> u64 {
        avoid_reserved(base.wrapping_add(self.relative()))
    }
    /// What to add to the shifts of the directories above for the number shown.
    pub(crate) fn relative(&self) -> u64 {
        self.number.wrapping_add(self.shift)
    }
    /// Device number, of a device.
    pub(crate) fn rdev(&self) -> u32 {
        match self.kind {
            FileType::CharDevice | FileType::BlockDevice => self.device,
            _ => 0,
        }
    }
    /// Clears what a write by an unprivileged caller clears.
    pub(crate) fn kill_set_id(&mut self) {
        self.perm &= !SET_UID;
        if self.perm & 0o010 != 0 {
            self.perm &= !SET_GID;
        }
    }
    /// What stat(2) tells, for an object shown under number `ino` where `no_set_id` is inherited, and ids are kept by `ids`.
    pub(crate) fn attr(&self, ino: u64, no_set_id: NoSetId, ids: &Ids) -> Attr {
        let mut perm = self.perm;
        if self.kind == FileType::Regular && no_set_id.hides(self.uid) {
            perm &= !(SET_UID | SET_GID);
        }
        let sectors = self
            .size
            .div_ceil(512)
            .min(self.blocks.saturating_mul(BLOCK_BYTES / 512));
        Attr {
            ino,
            kind: self.kind,
            perm,
            nlink: self.links,
            uid: ids.user(self.uid),
            gid: ids.group(self.gid),
            rdev: self.rdev(),
            size: self.bytes(),
            blocks: sectors,
            atime: self.atime,
            mtime: self.mtime,
            ctime: self.ctime,
            btime: self.btime,
            blksize: BLOCK_BYTES as u32,
        }
    }
    /// The record as bytes.
    pub(crate) fn encode(&self) -> Bytes {
        // Exactly, where nothing is inherited: a record is kept as it was allocated.
        let fixed = if self.is_dir() { DIR_BYTES } else { FILE_BYTES };
        let mut out = Vec::with_capacity(fixed + self.target.len());
        let version = match self.inherited.is_nothing() {
            true => VERSION,
            false => INHERITING,
        };
        out.extend_from_slice(&[version, kind_code(self.kind)]);
        out.extend_from_slice(&self.perm.to_le_bytes());
        for number in [self.flags, self.uid, self.gid] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for number in [self.number, self.size, self.blocks] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.links.to_le_bytes());
        out.extend_from_slice(&self.device.to_le_bytes());
        for time in [self.atime, self.mtime, self.ctime, self.btime] {
            out.extend_from_slice(&time.secs.to_le_bytes());
            out.extend_from_slice(&time.nanos.to_le_bytes());
        }
        if self.is_dir() {
            let (code, uid) = match self.no_set_id {
                NoSetId::None => (0, 0),
                NoSetId::Except(uid) => (1, uid),
                NoSetId::All => (2, 0),
            };
            out.extend_from_slice(&self.shift.to_le_bytes());
            out.push(code);
            out.extend_from_slice(&uid.to_le_bytes());
            self.inherited.encode(&mut out);
        }
        out.extend_from_slice(&self.target);
        out.into()
    }
    /// The record from bytes; an error if they are not one.
    pub(crate) fn decode(bytes: &Bytes) -> Result<Self> {
        let mut reader = Reader(bytes);
        let inode = read_record(&mut reader).filter(Self::makes_sense);
        inode.ok_or_else(|| Kind::Io.because("a damaged inode record"))
    }
    fn makes_sense(&self) -> bool {
        let target = self.kind == FileType::Symlink;
        let times = [self.atime, self.mtime, self.ctime, self.btime];
        target != self.target.is_empty()
            && self.perm & !PERM_BITS == 0
            && self.blocks <= blocks_of(self.size)
            && times.iter().all(|t| t.nanos < 1_000_000_000)
    }
}

/// 0 and 1 mean "nothing" and the root to some programs; what would be shown so moves to the far end.
pub(crate) fn avoid_reserved(number: u64) -> u64 {
    if number < 2 {
        number.wrapping_sub(4)
    } else {
        number
    }
}

fn read_record(r: &mut Reader<'_>) -> Option<Inode> {
    let version = r.u8()?;
    let kind = kind_from(r.u8()?)?;
    if version != VERSION && (version != INHERITING || kind != FileType::Directory) {
        return None;
    }
    let mut inode = Inode::new(kind, 0, Time::default());
    inode.perm = u16::from_le_bytes(r.array()?);
    (inode.flags, inode.uid, inode.gid) = (r.u32()?, r.u32()?, r.u32()?);
    (inode.number, inode.size, inode.blocks) = (r.u64()?, r.u64()?, r.u64()?);
    (inode.links, inode.device) = (r.u32()?, r.u32()?);
    (inode.atime, inode.mtime) = (r.time()?, r.time()?);
    (inode.ctime, inode.btime) = (r.time()?, r.time()?);
    if kind == FileType::Directory {
        inode.shift = r.u64()?;
        inode.no_set_id = match (r.u8()?, r.u32()?) {
            (0, 0) => NoSetId::None,
            (1, uid) => NoSetId::Except(uid),
            (2, 0) => NoSetId::All,
            _ => return None,
        };
        if version == INHERITING {
            inode.inherited = Inherited::read(r)?;
        }
    }
    inode.target = Bytes::copy_from_slice(r.0);
    Some(inode)
}

/// Takes little-endian numbers off the front; none when the bytes run out.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl Reader<'_> {
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }
    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }
    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }
    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
    fn time(&mut self) -> Option<Time> {
        Some(Time {
            secs: i64::from_le_bytes(self.array()?),
            nanos: self.u32()?,
        })
    }
}

pub(crate) fn kind_code(kind: FileType) -> u8 {
    match kind {
        FileType::Regular => 1,
        FileType::Directory => 2,
        FileType::Symlink => 3,
        FileType::Fifo => 4,
        FileType::Socket => 5,
        FileType::CharDevice => 6,
        FileType::BlockDevice => 7,
    }
}

pub(crate) fn kind_from(code: u8) -> Option<FileType> {
    Some(match code {
        1 => FileType::Regular,
        2 => FileType::Directory,
        3 => FileType::Symlink,
        4 => FileType::Fifo,
        5 => FileType::Socket,
        6 => FileType::CharDevice,
        7 => FileType::BlockDevice,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Inode> {
        let time = Time {
            secs: -5,
            nanos: 999_999_999,
        };
        let mut dir = Inode::new(FileType::Directory, 0o2755, time);
        (dir.shift, dir.no_set_id) = (u64::MAX - 3, NoSetId::Except(7));
        let mut root = dir.clone();
        root.inherited.read_only = true;
        let range = crate::IdRange {
            inside: 0,
            outside: 100_000,
            count: 65_536,
        };
        let mut mapped = root.clone();
        mapped.inherited.ids = Ids::new(&[range], &[range]).unwrap();
        let mut link = Inode::new(FileType::Symlink, 0o777, time);
        link.target = Bytes::from_static(b"../x");
        let mut file = Inode::new(FileType::Regular, 0o4711, time);
        (file.size, file.blocks, file.flags) = (1 << 40, 9, HAS_XATTRS);
        vec![
            dir,
            root,
            mapped,
            link,
            file,
            Inode::new(FileType::BlockDevice, 0o600, time),
        ]
    }

    #[test]
    fn records_come_back() {
        for inode in samples() {
            let record = inode.encode();
            assert_eq!(Inode::decode(&record).unwrap(), inode);
            let fixed = if inode.is_dir() {
                DIR_BYTES
            } else {
                FILE_BYTES
            };
            if inode.inherited.is_nothing() {
                assert_eq!(record.len(), fixed + inode.target.len());
            }
        }
    }

    #[test]
    fn hostile_bytes_are_errors_or_records_never_panics() {
        let mut rng = fastrand::Rng::with_seed(1);
        for inode in samples() {
            let good = inode.encode();
            for cut in 0..96 {
                assert!(Inode::decode(&good.slice(..cut)).is_err());
            }
            for _ in 0..2000 {
                let mut bad = good.to_vec();
                let at = rng.usize(..bad.len());
                bad[at] = rng.u8(..);
                if let Ok(decoded) = Inode::decode(&bad.clone().into()) {
                    assert_eq!(decoded.encode(), bad);
                }
            }
        }
    }

    #[test]
    fn reserved_numbers_are_never_shown() {
        let mut inode = Inode::new(FileType::Regular, 0, Time::default());
        inode.number = 5;
        assert_eq!(inode.shown(10), 15);
        for base in [0u64.wrapping_sub(5), 0u64.wrapping_sub(4)] {
            assert!(inode.shown(base) > 1);
        }
    }

    #[test]
    fn no_set_id_only_gets_stricter() {
        let (a, b) = (NoSetId::Except(1), NoSetId::Except(2));
        assert_eq!(
            (NoSetId::None.and(a), a.and(a), a.and(b)),
            (a, a, NoSetId::All)
        );
        assert!(a.hides(2) && !a.hides(1) && NoSetId::All.hides(1) && !NoSetId::None.hides(1));
    }
}
