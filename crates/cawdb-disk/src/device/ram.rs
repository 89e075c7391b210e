//! A disk in memory: sparse pages, shared copy-on-write between a disk and its images.
//!
//! Invariants: a page that is not there is zeros; bit b of a page's mask says that its granule b is
//! occupied; `occupied` is the sum of all set bits.

use super::stats::Counters;
use super::{Disk, IoStats, Request, end_within};
use crate::sync::RwLock;
use crate::{Error, Extent, GRANULE, Result, sync};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

const PAGE: u64 = 64 << 10;
const _: () = assert!(PAGE / GRANULE == u16::BITS as u64);

#[derive(Debug, Clone)]
struct Page {
    bytes: Vec<u8>,
    /// Which granules were written since they were last discarded.
    mask: u16,
}

/// The content of a [`RamDisk`] at one moment. Cheap: pages are shared until either side writes.
#[derive(Debug, Clone, Default)]
pub struct RamImage {
    pages: BTreeMap<u64, Arc<Page>>,
    len: u64,
    /// Occupied granules.
    occupied: u64,
    limit: Option<u64>,
}

/// A disk in memory.
#[derive(Debug, Default)]
pub struct RamDisk {
    content: RwLock<RamImage>,
    counters: Counters,
}

/// The piece of a request that lies in one page.
struct Piece {
    page: u64,
    /// Where in the page.
    at: usize,
    /// Where in the request.
    from: usize,
    len: usize,
}

fn pieces(offset: u64, len: usize) -> impl Iterator<Item = Piece> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let here = offset + from as u64;
        let at = (here % PAGE) as usize;
        let piece = Piece {
            page: here / PAGE,
            at,
            from,
            len: (len - from).min(PAGE as usize - at),
        };
        from += piece.len;
        (piece.len > 0).then_some(piece)
    })
}

impl RamDisk {
    /// An empty one that grows as needed.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty one of a fixed size in bytes, like a block device.
    pub fn with_limit(bytes: u64) -> Self {
        Self::from_image(RamImage {
            len: bytes,
            limit: Some(bytes),
            ..RamImage::default()
        })
    }

    /// A disk that begins with the content of an image. O(pages).
    pub fn from_image(image: RamImage) -> Self {
        Self {
            content: RwLock::new(image),
            counters: Counters::default(),
        }
    }

    /// The content as it is now. O(pages).
    pub fn image(&self) -> RamImage {
        sync::read(&self.content).clone()
    }
}

impl RamImage {
    /// Size in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has no byte.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Changes the image as the request would have changed the disk. What does not fit is lost, as on
    /// any disk. O(bytes).
    pub fn apply(&mut self, request: &Request) {
        let extent = request.extent();
        if self.room(extent.offset, extent.len).is_err() {
            return;
        }
        match request {
            Request::Write { offset, bytes } => self.write(bytes, *offset),
            Request::Discard(extent) => {
                if let Some(whole) = extent.granules() {
                    self.discard(whole);
                }
            }
            Request::Reserve(extent) => self.len = self.len.max(extent.end()),
            Request::Sync => {}
        }
    }

    /// Makes one bit of a byte another, as decay does; a byte beyond the end stays as it is. O(1).
    pub fn flip(&mut self, offset: u64, bit: u8) {
        if offset < self.len {
            let page = self.pages.get(&(offset / PAGE));
            let byte = page.map_or(0, |page| page.bytes[(offset % PAGE) as usize]);
            self.write(&[byte ^ 1 << (bit % 8)], offset);
        }
    }

    fn write(&mut self, bytes: &[u8], offset: u64) {
        for Piece {
            page,
            at,
            from,
            len,
        } in pieces(offset, bytes.len())
        {
            let page = self.pages.entry(page).or_insert_with(|| {
                Arc::new(Page {
                    bytes: vec![0; PAGE as usize],
                    mask: 0,
                })
            });
            let page = Arc::make_mut(page);
            page.bytes[at..at + len].copy_from_slice(&bytes[from..from + len]);
            let granule = GRANULE as usize;
            for bit in at / granule..=(at + len - 1) / granule {
                self.occupied += u64::from(page.mask & (1 << bit) == 0);
                page.mask |= 1 << bit;
            }
        }
        self.len = self.len.max(offset + bytes.len() as u64);
    }

    fn discard(&mut self, whole: Extent) {
        let touched: Vec<u64> = {
            let range = whole.offset / PAGE..whole.end().div_ceil(PAGE);
            self.pages.range(range).map(|(&page, _)| page).collect()
        };
        for number in touched {
            let Some(page) = self.pages.get_mut(&number) else {
                continue;
            };
            let page = Arc::make_mut(page);
            for bit in 0..u64::from(u16::BITS) {
                let granule = Extent::new(number * PAGE + bit * GRANULE, GRANULE);
                if page.mask & (1 << bit) != 0 && whole.contains(&granule) {
                    let at = (bit * GRANULE) as usize;
                    page.bytes[at..at + GRANULE as usize].fill(0);
                    page.mask &= !(1 << bit);
                    self.occupied -= 1;
                }
            }
            if page.mask == 0 {
                self.pages.remove(&number);
            }
        }
    }

    /// Checks that a request ends within the limit, and within what can be addressed.
    fn room(&self, offset: u64, len: u64) -> Result<()> {
        let limit = self.limit.unwrap_or(crate::units::MAX_OFFSET);
        match offset.checked_add(len) {
            Some(end) if end <= limit => Ok(()),
            _ => Err(Error::Full {
                wanted: len,
                free: limit.saturating_sub(offset),
            }),
        }
    }
}

impl Disk for RamDisk {
    fn len(&self) -> u64 {
        sync::read(&self.content).len
    }

    fn limit(&self) -> Option<u64> {
        sync::read(&self.content).limit
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let content = sync::read(&self.content);
        end_within("memory", offset, buf.len(), content.len)?;
        self.counters.read(buf.len());
        for Piece {
            page,
            at,
            from,
            len,
        } in pieces(offset, buf.len())
        {
            let into = &mut buf[from..from + len];
            match content.pages.get(&page) {
                Some(page) => into.copy_from_slice(&page.bytes[at..at + len]),
                None => into.fill(0),
            }
        }
        Ok(())
    }

    fn begin_read(&self, extent: Extent) -> bool {
        // It is there.
        extent.end() <= self.len()
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let mut content = sync::write(&self.content);
        content
            .room(offset, bytes.len() as u64)
            .map_err(|_| Error::io("write memory", io::ErrorKind::StorageFull.into()))?;
        self.counters.write(bytes.len());
        content.write(bytes, offset);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.counters.sync();
        Ok(())
    }

    fn reserve(&self, extent: Extent) -> Result<()> {
        let mut content = sync::write(&self.content);
        content.room(extent.offset, extent.len)?;
        content.len = content.len.max(extent.end());
        Ok(())
    }

    fn discard(&self, extent: Extent) -> Result<()> {
        if let Some(whole) = extent.granules() {
            self.counters.discard();
            sync::write(&self.content).discard(whole);
        }
        Ok(())
    }

    fn occupied(&self) -> Option<u64> {
        Some(sync::read(&self.content).occupied * GRANULE)
    }

    fn stats(&self) -> IoStats {
        self.counters.snapshot()
    }

    fn name(&self) -> String {
        "memory".into()
    }
}
