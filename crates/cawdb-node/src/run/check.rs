//! Checks a whole run on disk: everything that a single answer takes on trust.

use super::disk::DiskRun;
use super::mem::point_bytes;
use super::{Body, bloom};
use crate::{Error, Key, Message, Result, Run};

impl Run {
    /// Reads every segment and checks that keys ascend within and across them, that index, filter and totals say what
    /// is there, and that nothing lies in a delete-range but puts. Of a run in memory, what it was made with holds.
    ///
    /// # Errors
    /// The first thing that is wrong or cannot be read.
    pub fn check(&self) -> Result<()> {
        let Body::Disk(disk) = self.body() else {
            return Ok(());
        };
        let deletes = disk.named("contents", disk.check_segments())?;
        if deletes != self.deletes() {
            return Err(Error::mismatch("deletes of a run", self.deletes(), deletes));
        }
        Ok(())
    }
}

impl DiskRun {
    /// Checks all segments against the index; returns the number of deletes.
    fn check_segments(&self) -> Result<u64> {
        let index = self.index()?;
        let mut deletes = 0;
        let mut before: Option<Key> = None;
        for (i, info) in index.segments.iter().enumerate() {
            let segment = self.segment(&index, i)?;
            let (mut entries, mut bytes) = (0, 0);
            for block in 0..segment.blocks() {
                for (key, message) in segment.block(block)? {
                    let first = entries == 0;
                    if before.as_ref().is_some_and(|b| *b >= key) || (first && key != info.first) {
                        return Err(Error::mismatch(
                            format!("key of segment {i}"),
                            "ascending",
                            key,
                        ));
                    }
                    if !index.bloom.may_hold(bloom::hash(&key)) {
                        return Err(Error::mismatch("filter", "to hold", key));
                    }
                    let put = matches!(message, Message::Put(_));
                    if !put && index.deletes.covers_key(&key) {
                        return Err(Error::mismatch("point in a delete-range", "a put", key));
                    }
                    deletes += u64::from(message == Message::Delete);
                    entries += 1;
                    bytes += point_bytes(&key, &message);
                    before = Some(key);
                }
            }
            if (entries, bytes) != (info.entries, info.bytes) || before.as_ref() != Some(&info.last)
            {
                let expected = (info.entries, info.bytes, &info.last);
                return Err(Error::mismatch(
                    format!("segment {i}"),
                    expected,
                    (entries, bytes, before),
                ));
            }
        }
        Ok(deletes)
    }
}
