//! A disk on a regular file or a block device, through the page cache but for bulk data.
//!
//! Invariants: the file is locked as long as it is open (one writer, or many readers); a regular
//! file is sparse, grows as needed and gives freed granules back; a block device has its size, and is told of freed granules only if it
//! says that it discards. Who refuses a discard once is not asked again.

use super::direct::{Direct, PAGE, blocks};
use super::once::{self, Once};
use super::stats::{Clocks, Counters};
use super::touched::Touched;
use super::ways::{Way, Ways};
use super::{Disk, IoStats, IoTimes, end_within, lock};
use crate::sync::Mutex;
use crate::{Error, Extent, Result};
use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::fs::{Advice, FallocateFlags, fallocate, fstatvfs, major, minor};
use rustix::io::{Errno, pread};
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom};
use std::num::NonZero;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long an answer of the file system below is believed: on a network, asking takes a round trip.
const BELIEVED: Duration = Duration::from_millis(20);

/// Where the kernel tells of block devices.
const SYS: &str = "/sys/dev/block";

/// Less than this is not worth a way past the cache, in bytes.
const BULK: usize = 256 << 10;

/// What a file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading, beside other readers.
    Read,
    /// Reading and writing, alone. The file must exist.
    Write,
    /// As `Write`; a missing file is made. What an existing one holds stays.
    Create,
}

/// A disk on a regular file or a block device.
#[derive(Debug)]
pub struct FileDisk {
    file: File,
    path: PathBuf,
    /// Size of a block device.
    limit: Option<u64>,
    /// Size. Nobody else changes it, because of the lock.
    len: AtomicU64,
    /// Held while a regular file is grown without allocating, so that no other growth is undone.
    growth: Mutex<()>,
    /// When the file system below was last asked for its room, and what it said; forgotten when this disk changes it.
    room: Mutex<Option<(Instant, u64)>>,
    /// Whether it takes back what is free, as far as is known.
    discards: AtomicBool,
    direct: Direct,
    once: Once,
    ways: Ways,
    /// What the kernel's cache may have, or is to have.
    touched: Touched,
    counters: Counters,
    clocks: Clocks,
}

impl FileDisk {
    /// Opens and locks `path`; if it is locked, tries again for as long as `wait`.
    ///
    /// # Errors
    /// [`Error::Busy`] if it stays locked; [`Error::Invalid`] if it is neither a regular file nor a
    /// block device; [`Error::Io`].
    pub fn open(path: impl AsRef<Path>, access: Access, wait: Duration) -> Result<Self> {
        let path = path.as_ref();
        let doing = |e| Error::io(format!("open {}", path.display()), e);
        let mut file = OpenOptions::new()
            .read(true)
            .write(access != Access::Read)
            .create(access == Access::Create)
            .truncate(false)
            .open(path)
            .map_err(doing)?;
        let metadata = file.metadata().map_err(doing)?;
        let kind = metadata.file_type();
        if !kind.is_file() && !kind.is_block_device() {
            let path = path.display();
            return Err(Error::Invalid(format!(
                "{path} is neither a file nor a block device"
            )));
        }
        lock::acquire(&file, path, access != Access::Read, wait)?;
        if access == Access::Create && kind.is_file() {
            // Or a crash could take the name of a new file, and with it all that was synced.
            sync_folder_of(path)?;
        }
        // Only now: before the lock another process could still change the size.
        let len = file.seek(SeekFrom::End(0)).map_err(doing)?;
        Ok(Self {
            file,
            path: path.to_owned(),
            limit: kind.is_block_device().then_some(len),
            len: AtomicU64::new(len),
            growth: Mutex::new(()),
            room: Mutex::default(),
            discards: AtomicBool::new(kind.is_file() || device_discards(SYS, metadata.rdev())),
            direct: Direct::new(access != Access::Read),
            once: Once::default(),
            ways: Ways::default(),
            touched: Touched::default(),
            counters: Counters::default(),
            clocks: Clocks::default(),
        })
    }

    fn error(&self, doing: &str, e: impl Into<std::io::Error>) -> Error {
        Error::io(format!("{doing} {}", self.path.display()), e.into())
    }

    /// Past the cache, if that can be done.
    fn read_once(&self, offset: u64, len: usize) -> Option<Bytes> {
        let account = (&self.counters, &self.clocks);
        self.once.read(&self.file, (offset, len), account)
    }

    /// What is short goes the way that pays, but that through the cache where it may well be in it.
    fn read_short(&self, offset: u64, len: usize) -> Result<Bytes> {
        if self.touched.knows(offset, len) {
            return self.read_vec(offset, len).map(Bytes::from);
        }
        if self.ways.choose() == Way::Past {
            let begun = Instant::now();
            if let Some(bytes) = self.read_once(offset, len) {
                self.ways.took(Way::Past, begun.elapsed());
                return Ok(bytes);
            }
            self.ways.failed_past();
        }
        let begun = Instant::now();
        let bytes = self.read_vec(offset, len)?;
        self.ways.took(Way::Through, begun.elapsed());
        Ok(bytes.into())
    }

    /// What is on its way from there may be what lay there before.
    fn wrote(&self, offset: u64, len: usize) {
        self.once.coming.forget(Extent::new(offset, len as u64));
    }

    /// Past the cache, if that can be done; whether it is on its way.
    pub(super) fn begin_once(&self, extent: Extent) -> bool {
        let place = (extent.offset, extent.len as usize);
        self.once.begin(&self.file, place, &self.counters)
    }

    #[cfg(test)]
    pub(super) fn coming(&self) -> &super::coming::Coming {
        &self.once.coming
    }

    fn grown_to(&self, end: u64) {
        self.len.fetch_max(end, Ordering::AcqRel);
    }

    /// Grows a file whose file system cannot allocate ahead.
    fn extend(&self, end: u64) -> Result<()> {
        let _alone = crate::sync::lock(&self.growth);
        let now = self
            .file
            .metadata()
            .map_err(|e| self.error("stat", e))?
            .len();
        if now < end {
            self.file
                .set_len(end)
                .map_err(|e| self.error("extend", e))?;
        }
        Ok(())
    }
}

/// Reads `len` bytes into the spare room of `bytes`, which is empty.
fn fill(file: &File, bytes: &mut Vec<u8>, offset: u64, len: usize) -> Result<(), Errno> {
    while bytes.len() < len {
        let next = offset + bytes.len() as u64;
        match pread(file, spare_capacity(bytes), next) {
            // Nobody but us changes the length, and it was asked for.
            Ok(0) => return Err(Errno::IO),
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    // What an allocator gave beyond what was asked for may be filled, too.
    bytes.truncate(len);
    Ok(())
}

/// Whether a block device says that it discards; where it says nothing, it is asked by doing. Punching a hole in a device that does not may
/// mean to write zeros.
fn device_discards(sys: &str, device: u64) -> bool {
    let here = format!("{sys}/{}:{}", major(device), minor(device));
    // A partition has its queue above it.
    let most = ["queue", "../queue"].iter().find_map(|queue| {
        std::fs::read_to_string(format!("{here}/{queue}/discard_max_bytes")).ok()
    });
    most.is_none_or(|bytes| bytes.trim() != "0")
}

fn sync_folder_of(path: &Path) -> Result<()> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|e| Error::io(format!("sync {}", folder.display()), e))
}

impl Disk for FileDisk {
    fn len(&self) -> u64 {
        self.len.load(Ordering::Acquire)
    }

    fn limit(&self) -> Option<u64> {
        self.limit
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        end_within(&self.name(), offset, buf.len(), self.len())?;
        self.counters.read(buf.len());
        self.clocks
            .read(|| self.file.read_exact_at(buf, offset))
            .map_err(|e| self.error("read", e))
    }

    fn read_vec(&self, offset: u64, len: usize) -> Result<Vec<u8>> {
        end_within(&self.name(), offset, len, self.len())?;
        self.counters.read(len);
        let mut bytes = Vec::with_capacity(len);
        self.clocks
            .read(|| fill(&self.file, &mut bytes, offset, len))
            .map_err(|e| self.error("read", e))?;
        Ok(bytes)
    }

    fn read_bulk(&self, offset: u64, len: usize) -> Result<Bytes> {
        end_within(&self.name(), offset, len, self.len())?;
        let first = once::suits(len) && !self.touched.touch(offset, len);
        let account = (&self.counters, &self.clocks);
        if let Some(bytes) = self.once.take_begun((offset, len), account) {
            return Ok(bytes);
        }
        if once::is_short(len) {
            return self.read_short(offset, len);
        }
        if first && let Some(bytes) = self.read_once(offset, len) {
            return Ok(bytes);
        }
        self.read_vec(offset, len).map(Bytes::from)
    }

    fn begin_read(&self, extent: Extent) -> bool {
        let len = extent.len as usize;
        let there = once::suits(len) && extent.end() <= self.len();
        there && !self.touched.knows(extent.offset, len) && self.begin_once(extent)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.counters.write(bytes.len());
        self.touched.touch(offset, bytes.len());
        let written = self.clocks.write(|| self.file.write_all_at(bytes, offset));
        self.wrote(offset, bytes.len());
        written.map_err(|e| self.error("write", e))?;
        self.grown_to(offset.saturating_add(bytes.len() as u64));
        Ok(())
    }

    fn write_bulk(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let whole = blocks(offset, bytes.len());
        let ends = offset.checked_add(bytes.len() as u64).is_some();
        let (Some(middle), true) = (bytes.get(whole.clone()), ends && whole.len() >= BULK) else {
            return self.write_at(bytes, offset);
        };
        let at = |n: usize| offset + n as u64;
        let account = (&self.counters, &self.clocks);
        let written = self
            .direct
            .write(&self.file, middle, at(whole.start), account);
        self.wrote(at(whole.start), middle.len());
        if !written {
            return self.write_at(bytes, offset);
        }
        self.grown_to(at(whole.end));
        for edge in [0..whole.start, whole.end..bytes.len()] {
            if let Some(part) = bytes.get(edge.clone()).filter(|part| !part.is_empty()) {
                self.write_at(part, at(edge.start))?;
            }
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.counters.sync();
        self.clocks
            .sync(|| self.file.sync_data())
            .map_err(|e| self.error("sync", e))
    }

    fn reserve(&self, extent: Extent) -> Result<()> {
        if let Some(limit) = self.limit {
            let free = limit.saturating_sub(extent.offset);
            let fits = extent.end() <= limit;
            return fits.then_some(()).ok_or(Error::Full {
                wanted: extent.len,
                free,
            });
        }
        loop {
            let how = FallocateFlags::empty();
            let allocate = || fallocate(&self.file, how, extent.offset, extent.len);
            match self.clocks.room(allocate) {
                Ok(()) => break,
                Err(Errno::INTR) => {}
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                    self.extend(extent.end())?;
                    break;
                }
                Err(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => {
                    let free = fstatvfs(&self.file).map_or(0, |s| s.f_bavail * s.f_frsize);
                    return Err(Error::Full {
                        wanted: extent.len,
                        free,
                    });
                }
                Err(e) => return Err(self.error("allocate in", e)),
            }
        }
        self.grown_to(extent.end());
        *crate::sync::lock(&self.room) = None;
        Ok(())
    }

    fn discard(&self, extent: Extent) -> Result<()> {
        let Some(whole) = extent.granules() else {
            return Ok(());
        };
        if !self.discards.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.counters.discard();
        let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        loop {
            let punch = || fallocate(&self.file, how, whole.offset, whole.len);
            match self.clocks.room(punch) {
                Ok(()) => break,
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                    self.discards.store(false, Ordering::Relaxed);
                    break;
                }
                Err(Errno::INTR) => {}
                Err(e) => return Err(self.error("punch a hole in", e)),
            }
        }
        *crate::sync::lock(&self.room) = None;
        Ok(())
    }

    fn room(&self) -> Option<u64> {
        if self.limit.is_some() {
            return None;
        }
        let mut known = crate::sync::lock(&self.room);
        if let Some((asked, room)) = *known
            && asked.elapsed() < BELIEVED
        {
            return Some(room);
        }
        let room = fstatvfs(&self.file).ok().map(|s| s.f_bavail * s.f_frsize)?;
        *known = Some((Instant::now(), room));
        Some(room)
    }

    fn forget(&self, extent: Extent) {
        self.once.coming.forget(extent);
        // The kernel lets whole pages go, and only clean ones: what it has still to write stays.
        let start = extent.offset / PAGE * PAGE;
        let end = extent.end().checked_next_multiple_of(PAGE);
        let Some(len) = end.and_then(|end| NonZero::new(end.checked_sub(start)?)) else {
            return;
        };
        let len = Some(len);
        let _ = rustix::fs::fadvise(&self.file, start, len, Advice::DontNeed);
    }

    fn will_read(&self, extent: Extent) {
        // Beyond the end there is nothing, and a length of zero would mean all of the file.
        if let Some(len) = NonZero::new(extent.len).filter(|_| extent.end() <= self.len()) {
            let len = Some(len);
            let _ = rustix::fs::fadvise(&self.file, extent.offset, len, Advice::WillNeed);
        }
    }

    fn occupied(&self) -> Option<u64> {
        let meta = self.file.metadata().ok().filter(|_| self.limit.is_none())?;
        Some(meta.blocks() * 512)
    }

    fn stats(&self) -> IoStats {
        self.counters.snapshot()
    }

    fn times(&self) -> IoTimes {
        self.clocks.times()
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::device_discards;
    use rustix::fs::makedev;
    use std::fs;

    #[test]
    fn a_device_is_told_of_what_is_free_if_it_says_that_it_discards() -> std::io::Result<()> {
        let dir = tempfile::tempdir()?;
        let sys = &dir.path().display().to_string();
        let (disk, partition) = (dir.path().join("disk"), dir.path().join("disk/part"));
        fs::create_dir_all(disk.join("queue"))?;
        fs::create_dir(&partition)?;
        std::os::unix::fs::symlink(&disk, dir.path().join("8:16"))?;
        std::os::unix::fs::symlink(&partition, dir.path().join("8:17"))?;
        let answers = || [16, 17, 32].map(|minor| device_discards(sys, makedev(8, minor)));
        assert_eq!(answers(), [true, true, true], "nothing is said");
        fs::write(disk.join("queue/discard_max_bytes"), "0\n")?;
        assert_eq!(answers(), [false, false, true]);
        fs::write(disk.join("queue/discard_max_bytes"), "4294966784\n")?;
        assert_eq!(answers(), [true, true, true]);
        Ok(())
    }
}
