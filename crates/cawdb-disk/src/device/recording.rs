//! What a disk was asked for, in order: the basis on which crashes are enumerated.
//!
//! Invariant: `base` with all requests applied is what the disk held when the recording was taken.
//! A *position* counts requests: position p lies after request p − 1 and before request p.

use super::RamImage;
use crate::Extent;
use bytes::Bytes;

/// A request that changes what a disk holds or will hold after a crash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Bytes are written.
    Write {
        /// Where.
        offset: u64,
        /// What.
        bytes: Bytes,
    },
    /// An extent is given back.
    Discard(Extent),
    /// Room is made.
    Reserve(Extent),
    /// All before it is durable.
    Sync,
}

/// The requests of one stretch of time, and what was there, durably, before.
#[derive(Debug, Clone, Default)]
pub struct Recording {
    /// What was there before the first request.
    pub base: RamImage,
    /// What was asked for, in order. Failed writes are among them, for they may have arrived;
    /// failed syncs are not.
    pub requests: Vec<Request>,
}

impl Request {
    /// Whether its loss or its half arrival can be seen in what the disk holds.
    pub fn changes(&self) -> bool {
        matches!(self, Request::Write { .. } | Request::Discard(_))
    }

    /// The bytes that it touches.
    pub fn extent(&self) -> Extent {
        match self {
            Request::Write { offset, bytes } => Extent::new(*offset, bytes.len() as u64),
            Request::Discard(extent) | Request::Reserve(extent) => *extent,
            Request::Sync => Extent::new(0, 0),
        }
    }
}

impl Recording {
    /// What the disk held at the end. O(pages + bytes written).
    pub fn image(&self) -> RamImage {
        let mut image = self.base.clone();
        self.requests.iter().for_each(|r| image.apply(r));
        image
    }
}
