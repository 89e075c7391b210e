//! Checks a run on disk, or a range of it: everything that a single answer takes on trust.
//!
//! Nothing is taken from the cache or put into it: what is verified is what lies on the disk.

use super::disk::DiskRun;
use super::index::RunIndex;
use super::mem::{just_above, point_bytes};
use super::{Body, bloom};
use crate::{Error, Key, KeyRange, Message, Result, Run};
use cawdb_disk::Extent;

/// Something of a run that is not what it should be.
#[derive(Debug, Clone)]
pub struct Damage {
    /// Which segment; none: the index, or what it says about all.
    pub segment: Option<usize>,
    /// Keys of the run that are not to be had.
    pub keys: KeyRange,
    /// Where it lies, if the run lies on a disk.
    pub extent: Option<Extent>,
    /// What is wrong: part, extent, keys, what was expected and what was found.
    pub error: Error,
}

impl Damage {
    /// Whether bytes are not what was written; otherwise what was written is itself wrong.
    pub fn is_unreadable(&self) -> bool {
        !self.error.to_string().contains(WRONG)
    }
}

/// Begins the name of a part whose bytes are good and whose content is wrong.
const WRONG: &str = "contents of segment";

impl Run {
    /// Reads every segment that may hold keys of `range` and checks that keys ascend within and across them, that index and filter say what
    /// is there, and that nothing lies in a delete-range but puts. Of a run in memory, what it was made with holds.
    ///
    /// # Errors
    /// The first thing that is wrong or cannot be read.
    pub fn check(&self, range: &KeyRange) -> Result<()> {
        let Body::Disk(disk) = self.body() else {
            return Ok(());
        };
        let index = disk.index_on_disk()?;
        let mut walk = Walk::new(&disk, &index);
        for i in index.overlapping(range) {
            walk.segment(i);
            if let Some(damage) = walk.damages.pop() {
                return Err(damage.error);
            }
        }
        Ok(())
    }

    /// Checks all of it, totals too, and tells everything that is wrong. `read` hears of bytes read from the disk.
    pub fn verify(&self, read: &mut dyn FnMut(u64)) -> Vec<Damage> {
        let Body::Disk(disk) = self.body() else {
            return Vec::new();
        };
        read(u64::from(disk.meta.index_len));
        let index = match disk.index_on_disk() {
            Ok(index) => index,
            Err(error) => {
                let extent = disk.extent_of(disk.meta.index_offset(), disk.meta.index_len as usize);
                return vec![Damage {
                    segment: None,
                    keys: KeyRange::all(),
                    extent,
                    error,
                }];
            }
        };
        let mut walk = Walk::new(&disk, &index);
        for (i, info) in index.segments.iter().enumerate() {
            read(info.stored.into());
            walk.segment(i);
        }
        if walk.damages.is_empty() && walk.deletes != self.deletes() {
            let error = Error::mismatch(
                "contents of segments: deletes",
                self.deletes(),
                walk.deletes,
            );
            walk.damages.push(Damage {
                segment: None,
                keys: KeyRange::all(),
                extent: None,
                error,
            });
        }
        walk.damages
    }
}

struct Walk<'a> {
    disk: &'a DiskRun,
    index: &'a RunIndex,
    deletes: u64,
    before: Option<Key>,
    damages: Vec<Damage>,
}

impl<'a> Walk<'a> {
    fn new(disk: &'a DiskRun, index: &'a RunIndex) -> Self {
        Self {
            disk,
            index,
            deletes: 0,
            before: None,
            damages: Vec::new(),
        }
    }

    fn segment(&mut self, i: usize) {
        let info = &self.index.segments[i];
        let read = self.disk.read(info.offset, info.stored_len());
        let decoded = read.and_then(|stored| self.disk.decode_segment(self.index, i, stored));
        let result = decoded.and_then(|segment| {
            let checked = self.contents(i, &segment);
            self.disk.named(format_args!("{WRONG} {i}"), checked)
        });
        self.before = Some(self.index.last(i));
        if let Err(error) = result {
            self.damages.push(Damage {
                segment: Some(i),
                keys: KeyRange {
                    lo: self.index.first(i),
                    hi: Some(just_above(&self.index.last(i))),
                },
                extent: self.disk.extent_of(info.offset, info.stored_len()),
                error,
            });
        }
    }

    /// Checks one segment against the index and the segment before.
    fn contents(&mut self, i: usize, segment: &super::Segment) -> Result<()> {
        let info = &self.index.segments[i];
        let (first, last) = (self.index.first(i), self.index.last(i));
        let (mut entries, mut bytes) = (0_u64, 0_u64);
        let mut before = self.before.clone();
        for block in 0..segment.blocks() {
            for (key, message) in segment.block(block)? {
                if before.as_ref().is_some_and(|b| *b >= key) || (entries == 0 && key != first) {
                    return Err(Error::mismatch("key", "ascending", key));
                }
                if !self.index.bloom.may_hold(bloom::hash(&key)) {
                    return Err(Error::mismatch("filter", "to hold", key));
                }
                let put = matches!(message, Message::Put(_));
                if !put && self.index.deletes.covers_key(&key) {
                    return Err(Error::mismatch("point in a delete-range", "a put", key));
                }
                self.deletes += u64::from(message == Message::Delete);
                entries += 1;
                bytes += point_bytes(&key, &message);
                before = Some(key);
            }
        }
        let said = (info.entries.into(), info.bytes.into());
        if (entries, bytes) != said || before.as_ref() != Some(&last) {
            let expected = (said.0, said.1, &last);
            return Err(Error::mismatch(
                "entries, bytes, last key",
                expected,
                (entries, bytes, before),
            ));
        }
        Ok(())
    }
}
