//! Reading past the page cache: much that is read for the first time, and perhaps for the only one.
//!
//! ```text
//!   asked for         ▕▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▏
//!   read          ▕▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▏     from block to block, by O_DIRECT, into a buffer that lies at a block
//! ```
//! A page of the cache costs memory that somebody else had a use for, and copying, beside the page in which the reader will keep it. So bytes come
//! straight from the medium into a buffer that stays warm: it goes to the reader, and comes back when the last part of it was let go.
//!
//! Invariants: the kernel writes what its cache still has to write of a place before a direct request reads there, so that both views are
//! one; at most [`SPARE`] buffers of a size wait, and one is at most twice as long as what was asked for and 140 KiB, as somebody may hold
//! that for long, and counts what he holds, but for what was on its way (`coming.rs`), where he may hold half of it for all; where a direct request fails, the caller reads the other way, and what is the medium's fault is said there.

use super::coming::{Begun, Coming};
use super::direct;
use super::stats::{Clocks, Counters};
use crate::Extent;
use crate::sync::{Mutex, lock};
use bytes::Bytes;
use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, OnceLock};

/// Where requests begin and end, in the file and in memory: no medium asks for more.
const BLOCK: u64 = 4096;
/// Less is in a page or two, and not worth a way of its own, in bytes: the shortest is a page of a large value.
const LEAST: usize = 4 << 10;
/// Less than this is short: whether it goes this way is decided by what that is worth (see `ways.rs`).
const LONG: usize = 32 << 10;
/// The longest request, in bytes.
const MOST: usize = (1 << 20) + (128 << 10);
/// Buffers of one size that wait for the next reader.
const SPARE: usize = 4;
/// Sizes of buffers: each twice the one before, but the last for the longest request.
const SIZES: usize = 7;
/// The shortest of them, in bytes that can be asked for.
const SMALL: usize = 16 << 10;

/// The way past the cache, from one file.
#[derive(Debug, Default)]
pub(super) struct Once {
    file: OnceLock<Option<File>>,
    spare: Arc<Spare>,
    pub coming: Coming,
}

/// Buffers that nobody reads from, by size.
#[derive(Debug, Default)]
pub(super) struct Spare(Mutex<[Vec<Vec<u8>>; SIZES]>);

/// Part of a buffer, which comes back.
pub(super) struct Lent {
    buffer: Vec<u8>,
    size: usize,
    part: Range<usize>,
    spare: Arc<Spare>,
}

impl Lent {
    /// For part of a buffer of a size, which somebody still fills.
    pub fn new(size: usize, part: Range<usize>, spare: &Arc<Spare>) -> Self {
        Self {
            buffer: Vec::new(),
            size,
            part,
            spare: spare.clone(),
        }
    }

    /// The same with that buffer.
    pub fn with(mut self, buffer: Vec<u8>) -> Self {
        self.buffer = buffer;
        self
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        self.buffer.get(self.part.clone()).unwrap_or_default()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut spare = lock(&self.spare.0);
        let alike = spare.get_mut(self.size);
        let whole = !self.buffer.is_empty();
        if let Some(alike) = alike.filter(|alike| whole && alike.len() < SPARE) {
            alike.push(std::mem::take(&mut self.buffer));
        }
    }
}

impl Spare {
    pub fn take(&self, size: usize) -> Vec<u8> {
        let waiting = lock(&self.0).get_mut(size).and_then(Vec::pop);
        waiting.unwrap_or_else(|| vec![0; room_of(size) + 3 * BLOCK as usize])
    }
}

/// The size of a buffer for so many bytes.
fn size_for(len: usize) -> usize {
    let doubled = len.div_ceil(SMALL).next_power_of_two().trailing_zeros();
    (doubled as usize).min(SIZES - 1)
}

/// How much can be asked of a buffer of a size, in bytes.
fn room_of(size: usize) -> usize {
    if size < SIZES - 1 {
        SMALL << size
    } else {
        MOST
    }
}

/// Whether so few bytes may go this way.
pub(super) fn is_short(len: usize) -> bool {
    (LEAST..LONG).contains(&len)
}

/// Whether so many bytes may go this way.
pub(super) fn suits(len: usize) -> bool {
    (LONG..=MOST).contains(&len)
}

/// The whole blocks in which `len` bytes at `offset` lie.
fn blocks(offset: u64, len: usize) -> Option<Extent> {
    let start = offset / BLOCK * BLOCK;
    let end = offset.checked_add(len as u64)?;
    Some(Extent::new(
        start,
        end.checked_next_multiple_of(BLOCK)? - start,
    ))
}

/// The part of a buffer into which so many whole blocks go.
fn room_in(buffer: &[u8], blocks: Extent) -> Range<usize> {
    let lies = buffer.as_ptr().align_offset(BLOCK as usize);
    lies..lies + blocks.len as usize
}

impl Once {
    /// The file itself, for direct requests.
    fn file(&self, cached: &File) -> Option<&File> {
        let open = || direct::reopen(cached, OpenOptions::new().read(true)).ok();
        self.file.get_or_init(open).as_ref()
    }

    /// Begins to read `len` bytes, which [`suits`], from `offset` on; whether they are on their way.
    pub fn begin(&self, cached: &File, (offset, len): (u64, usize), counters: &Counters) -> bool {
        let place = self.file(cached).zip(blocks(offset, len));
        let begun = place.map_or(Begun::Not, |(file, blocks)| {
            let room = |buffer: &[u8]| room_in(buffer, blocks);
            let buffers = (size_for(len), &self.spare);
            self.coming.begin(file, blocks, buffers, room)
        });
        if begun == Begun::Now {
            counters.begin_read(len);
        }
        begun != Begun::Not
    }

    /// `len` bytes from `offset` on, if they are on their way; waits for them.
    pub fn take_begun(
        &self,
        (offset, len): (u64, usize),
        (counters, clocks): (&Counters, &Clocks),
    ) -> Option<Bytes> {
        let bytes = self.coming.take(Extent::new(offset, len as u64), clocks)?;
        counters.read_begun(len);
        Some(bytes)
    }

    /// Reads `len` bytes, which [`suits`] or [`is_short`], from `offset` on, of `cached`'s file; none if this cannot be done here. A request that succeeds is
    /// counted, and all are timed.
    pub fn read(
        &self,
        cached: &File,
        (offset, len): (u64, usize),
        (counters, clocks): (&Counters, &Clocks),
    ) -> Option<Bytes> {
        let file = self.file(cached)?;
        let blocks = blocks(offset, len)?;
        let size = size_for(len);
        let mut buffer = self.spare.take(size);
        let room = room_in(&buffer, blocks);
        let first = room.start + (offset - blocks.offset) as usize;
        let wanted = first - room.start + len;
        let room = buffer.get_mut(room);
        let filled = room.map(|room| clocks.read(|| fill(file, room, blocks.offset, wanted)));
        let lent = Lent::new(size, first..first + len, &self.spare).with(buffer);
        filled?.then(|| {
            counters.read(len);
            counters.read_past_cache(len);
            Bytes::from_owner(lent)
        })
    }
}

/// Reads into `room` from `offset` on; whether at least `wanted` bytes came. Fewer than asked for come at the end of a file.
fn fill(file: &File, room: &mut [u8], offset: u64, wanted: usize) -> bool {
    loop {
        match file.read_at(room, offset) {
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Ok(came) => return came >= wanted,
            Err(_) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_holds_what_is_asked_for_and_not_much_more() {
        for len in (LEAST..=MOST).step_by(1000).chain([MOST]) {
            let room = room_of(size_for(len));
            let most = 2 * len + (MOST - (1 << 20));
            assert!((len..=most).contains(&room), "{room} for {len}");
        }
        let spare = Arc::new(Spare::default());
        let lent = |size| Lent::new(size, 0..1, &spare).with(spare.take(size));
        drop((0..3 * SPARE).map(|n| lent(n % 2)).collect::<Vec<_>>());
        assert_eq!(
            lock(&spare.0).each_ref().map(Vec::len),
            [4, 4, 0, 0, 0, 0, 0]
        );
        assert_eq!(spare.take(1).len(), room_of(1) + 3 * BLOCK as usize);
        assert_eq!(
            lock(&spare.0).each_ref().map(Vec::len),
            [4, 3, 0, 0, 0, 0, 0]
        );
    }
}
