//! How answers lie in a reply, without the header, which [`header`] makes.
//!
//! ```text
//! entry_out 128   nodeid generation entry_valid attr_valid ns ns │ attr 88
//! attr_out  104   attr_valid ns - │ attr 88
//! dirent     24   ino cookie namelen type │ name, padded to 8
//! statx     288   attr_valid ns flags - │ statx 256
//! ```
//!
//! The kernel may keep entries and attributes for ever, because every change passes through us
//! or is followed by an invalidation: validity is all ones seconds, unless a caller says otherwise.

use super::OUT_HEADER;

/// Bytes of the answer to INIT.
pub const INIT_OUT: usize = 64;

/// How long the kernel may trust what it is told, in seconds: for ever.
pub const FOREVER: u64 = u64::MAX >> 1;

/// A time: seconds since 1970, may be negative, and nanoseconds after that second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Time {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Nanoseconds, below 10^9.
    pub nanos: u32,
}

/// What `stat` shows of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attr {
    /// Inode number, as shown.
    pub ino: u64,
    /// Length in bytes.
    pub size: u64,
    /// Space used, in units of 512 bytes.
    pub blocks: u64,
    /// Last access.
    pub atime: Time,
    /// Last change of the content.
    pub mtime: Time,
    /// Last change of content or attributes.
    pub ctime: Time,
    /// Creation.
    pub btime: Time,
    /// Type and permission bits.
    pub mode: u32,
    /// Number of names.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device, for device files.
    pub rdev: u32,
    /// Preferred size of a transfer, in bytes.
    pub blksize: u32,
}

/// Bytes of a reply under construction.
#[derive(Debug, Default)]
struct Out(Vec<u8>);

impl Out {
    fn u16(&mut self, v: u16) -> &mut Self {
        self.0.extend(v.to_le_bytes());
        self
    }
    fn u32(&mut self, v: u32) -> &mut Self {
        self.0.extend(v.to_le_bytes());
        self
    }
    fn u64(&mut self, v: u64) -> &mut Self {
        self.0.extend(v.to_le_bytes());
        self
    }
    fn zeros(&mut self, n: usize) -> &mut Self {
        self.0.resize(self.0.len() + n, 0);
        self
    }
    fn attr(&mut self, a: &Attr) -> &mut Self {
        self.u64(a.ino).u64(a.size).u64(a.blocks);
        self.u64(a.atime.seconds as u64)
            .u64(a.mtime.seconds as u64)
            .u64(a.ctime.seconds as u64);
        self.u32(a.atime.nanos)
            .u32(a.mtime.nanos)
            .u32(a.ctime.nanos);
        self.u32(a.mode)
            .u32(a.nlink)
            .u32(a.uid)
            .u32(a.gid)
            .u32(a.rdev)
            .u32(a.blksize)
            .u32(0)
    }
    fn entry(&mut self, node: u64, valid: u64, a: &Attr) -> &mut Self {
        self.u64(node)
            .u64(0)
            .u64(valid)
            .u64(valid)
            .u32(0)
            .u32(0)
            .attr(a)
    }
    fn time(&mut self, t: Time) -> &mut Self {
        self.u64(t.seconds as u64).u32(t.nanos).u32(0)
    }
}

/// The header of a reply whose body has `body` bytes; `error` is 0 or a positive errno.
pub fn header(unique: u64, error: i32, body: usize) -> [u8; OUT_HEADER] {
    let mut h = [0; OUT_HEADER];
    h[0..4].copy_from_slice(&((OUT_HEADER + body) as u32).to_le_bytes());
    h[4..8].copy_from_slice(&(-error).to_le_bytes());
    h[8..16].copy_from_slice(&unique.to_le_bytes());
    h
}

/// Answers LOOKUP and what makes names. `valid`: seconds the kernel may trust it.
pub fn entry(node: u64, valid: u64, attr: &Attr) -> Vec<u8> {
    let mut out = Out(Vec::with_capacity(128));
    out.entry(node, valid, attr);
    out.0
}

/// Answers a LOOKUP that found nothing, so that the kernel remembers the absence.
pub fn no_entry() -> Vec<u8> {
    entry(0, FOREVER, &Attr::default())
}

/// Answers GETATTR and SETATTR.
pub fn attr(valid: u64, attr: &Attr) -> Vec<u8> {
    let mut out = Out(Vec::with_capacity(104));
    out.u64(valid).u32(0).u32(0).attr(attr);
    out.0
}

/// Answers OPEN and OPENDIR.
pub fn open(fh: u64, flags: u32) -> Vec<u8> {
    let mut out = Out::default();
    out.u64(fh).u32(flags).u32(0);
    out.0
}

/// Answers CREATE and TMPFILE.
pub fn create(node: u64, attr: &Attr, fh: u64, flags: u32) -> Vec<u8> {
    let mut bytes = entry(node, FOREVER, attr);
    bytes.extend(open(fh, flags));
    bytes
}

/// Answers WRITE, COPY_FILE_RANGE and the size queries of attributes.
pub fn count(n: u32) -> Vec<u8> {
    let mut out = Out::default();
    out.u32(n).u32(0);
    out.0
}

/// Answers LSEEK and COPY_FILE_RANGE_64.
pub fn wide(n: u64) -> Vec<u8> {
    n.to_le_bytes().to_vec()
}

/// Answers IOCTL with result 0 and these bytes.
pub fn ioctl(data: &[u8]) -> Vec<u8> {
    let mut out = Out::default();
    out.zeros(16).0.extend(data);
    out.0
}

/// Sizes of the file system, in blocks of `block` bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct StatFs {
    /// All blocks.
    pub blocks: u64,
    /// Blocks not in use.
    pub free: u64,
    /// Blocks a caller may still use.
    pub available: u64,
    /// All inodes.
    pub files: u64,
    /// Inodes not in use.
    pub files_free: u64,
    /// Bytes of a block.
    pub block: u32,
    /// Longest name, in bytes.
    pub name_max: u32,
}

/// Answers STATFS.
pub fn statfs(s: &StatFs) -> Vec<u8> {
    let mut out = Out::default();
    out.u64(s.blocks)
        .u64(s.free)
        .u64(s.available)
        .u64(s.files)
        .u64(s.files_free);
    out.u32(s.block).u32(s.name_max).u32(s.block).zeros(28);
    out.0
}

/// STATX_BASIC_STATS and STATX_BTIME.
const STATX_MASK: u32 = 0xfff;

/// Answers STATX; the kernel asks it only for the birth time.
pub fn statx(valid: u64, a: &Attr) -> Vec<u8> {
    let mut out = Out::default();
    out.u64(valid).u32(0).u32(0).zeros(16);
    out.u32(STATX_MASK)
        .u32(a.blksize)
        .u64(0)
        .u32(a.nlink)
        .u32(a.uid)
        .u32(a.gid);
    out.u16(a.mode as u16)
        .u16(0)
        .u64(a.ino)
        .u64(a.size)
        .u64(a.blocks)
        .u64(0);
    out.time(a.atime).time(a.btime).time(a.ctime).time(a.mtime);
    out.u32(rdev_major(a.rdev))
        .u32(rdev_minor(a.rdev))
        .u32(0)
        .u32(0)
        .zeros(112);
    out.0
}

// The kernel packs a device into 32 bits as minor low 8, major 12, minor high 12.
fn rdev_major(rdev: u32) -> u32 {
    (rdev >> 8) & 0xfff
}

fn rdev_minor(rdev: u32) -> u32 {
    (rdev & 0xff) | ((rdev >> 12) & 0xfff00)
}

/// A directory listing that grows to at most the size the caller has room for.
#[derive(Debug)]
pub struct Listing {
    out: Out,
    limit: usize,
}

impl Listing {
    /// An empty listing of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            out: Out(Vec::with_capacity(limit.min(64 * 1024))),
            limit,
        }
    }

    /// Whether it has no name yet.
    pub fn is_empty(&self) -> bool {
        self.out.0.is_empty()
    }

    /// Whether a name of this length still fits.
    pub fn fits(&self, name: &[u8], plus: bool) -> bool {
        let fixed = if plus { 128 + 24 } else { 24 };
        self.out.0.len() + fixed + name.len().next_multiple_of(8) <= self.limit
    }

    /// Adds a name. `cookie` is where a later request goes on behind it; `kind` is the mode's type.
    pub fn name(&mut self, ino: u64, cookie: u64, kind: u32, name: &[u8]) {
        self.out
            .u64(ino)
            .u64(cookie)
            .u32(name.len() as u32)
            .u32(kind >> 12);
        self.out.0.extend(name);
        self.out.zeros(name.len().next_multiple_of(8) - name.len());
    }

    /// Adds a name with its attributes. `node` 0 gives a name without (`.` and `..`).
    pub fn plus(&mut self, node: u64, valid: u64, attr: &Attr, cookie: u64, name: &[u8]) {
        self.out.entry(node, valid, attr);
        self.name(attr.ino, cookie, attr.mode, name);
    }

    /// The bytes of the reply.
    pub fn into_bytes(self) -> Vec<u8> {
        self.out.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_have_the_sizes_of_the_protocol() {
        let a = Attr::default();
        assert_eq!(entry(1, 0, &a).len(), 128);
        assert_eq!(attr(0, &a).len(), 104);
        assert_eq!(create(1, &a, 2, 3).len(), 144);
        assert_eq!(statfs(&StatFs::default()).len(), 80);
        assert_eq!(statx(0, &a).len(), 288);
        assert_eq!(ioctl(b"x").len(), 17);
        let mut l = Listing::new(128 + 24 + 8);
        assert!(l.fits(b"name", true) && !l.fits(b"far too long", true));
        l.plus(1, 0, &a, 1, b"name");
        assert_eq!(l.into_bytes().len(), 160);
        assert_eq!(header(7, 2, 0)[4..8], (-2i32).to_le_bytes());
    }
}
