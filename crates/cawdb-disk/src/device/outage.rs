//! One loss of power: what became of each request that was not synced.
//!
//! ```text
//!   requests   w0 w1 S w2 w3 w4 │ w5 …        power is lost at position 6, before w5
//!   durable    ─────►                          w0 and w1: kept, whatever happens
//!   fates              L  K  T                 w2 lost, w3 kept, w4 torn
//! ```

use super::{RamImage, Recording, Request};
use fastrand::Rng;
use std::fmt;

/// What became of a request that was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It arrived.
    Kept,
    /// It did not.
    Lost,
    /// Of a write, some pieces arrived.
    Torn(Tear),
}

/// Which pieces of a torn write arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tear {
    /// Bytes that arrive together; pieces begin at multiples of it on the disk.
    pub granule: u64,
    /// Which of them.
    pub pieces: Pieces,
}

/// Some of the pieces of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pieces {
    /// So many from the front.
    First(u64),
    /// All but so many from the front.
    AllBut(u64),
    /// The first, third, …
    Odd,
    /// The second, fourth, …
    Even,
    /// Each by chance.
    Some(u64),
}

/// A loss of power after so many requests, and the fate of those that were not synced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// Requests made before it.
    pub position: usize,
    /// The fates of the requests before it, back to the last sync.
    pub fates: Vec<Fate>,
    /// Whether what was kept arrived in the reverse order.
    pub reversed: bool,
}

impl Tear {
    /// Into how many pieces this granule cuts a request.
    pub fn count(granule: u64, request: &Request) -> u64 {
        let extent = request.extent();
        extent.end().div_ceil(granule) - extent.offset / granule
    }

    fn arrived(&self, piece: u64, rng: &mut Rng) -> bool {
        match self.pieces {
            Pieces::First(n) => piece < n,
            Pieces::AllBut(n) => piece >= n,
            Pieces::Odd => piece.is_multiple_of(2),
            Pieces::Even => !piece.is_multiple_of(2),
            Pieces::Some(_) => rng.bool(),
        }
    }
}

impl Outage {
    /// The first request that was not synced.
    pub fn synced(&self) -> usize {
        self.position - self.fates.len()
    }

    /// What the disk holds afterwards. O(requests).
    ///
    /// # Panics
    /// If it is an outage of another recording.
    pub fn image(&self, recording: &Recording) -> RamImage {
        let mut image = recording.base.clone();
        let (durable, _) = recording.requests.split_at(self.synced());
        durable.iter().for_each(|r| image.apply(r));
        self.strike(recording, &mut image);
        image
    }

    /// Lets the requests that were not synced have their fates, on an image of what was.
    pub(super) fn strike(&self, recording: &Recording, image: &mut RamImage) {
        let pending = &recording.requests[self.synced()..self.position];
        let all = pending.iter().zip(&self.fates);
        match self.reversed {
            false => all.for_each(|(request, fate)| fate.strike(request, image)),
            true => all
                .rev()
                .for_each(|(request, fate)| fate.strike(request, image)),
        }
    }
}

impl Fate {
    /// Lets a request have this fate on an image.
    pub(super) fn strike(&self, request: &Request, image: &mut RamImage) {
        match (self, request) {
            (Fate::Kept, _) => image.apply(request),
            (Fate::Torn(tear), Request::Write { offset, bytes }) => {
                let mut rng = Rng::with_seed(match tear.pieces {
                    Pieces::Some(seed) => seed,
                    _ => 0,
                });
                let (mut at, mut piece) = (0, 0);
                while at < bytes.len() {
                    let here = offset + at as u64;
                    let len = (tear.granule - here % tear.granule) as usize;
                    let end = bytes.len().min(at + len);
                    if tear.arrived(piece, &mut rng) {
                        image.apply(&Request::Write {
                            offset: here,
                            bytes: bytes.slice(at..end),
                        });
                    }
                    (at, piece) = (end, piece + 1);
                }
            }
            (Fate::Lost | Fate::Torn(_), _) => {}
        }
    }
}

impl fmt::Display for Pieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pieces::First(n) => write!(f, "the first {n}"),
            Pieces::AllBut(n) => write!(f, "all but the first {n}"),
            Pieces::Odd => f.write_str("every other from the first on"),
            Pieces::Even => f.write_str("every other from the second on"),
            Pieces::Some(seed) => write!(f, "some (seed {seed})"),
        }
    }
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "power lost after {} requests", self.position)?;
        let which = |wanted: Fate| {
            let mut numbers = Vec::new();
            for (i, fate) in self.fates.iter().enumerate() {
                if *fate == wanted {
                    numbers.push((self.synced() + i).to_string());
                }
            }
            numbers.join(" ")
        };
        for (name, fate) in [("kept", Fate::Kept), ("lost", Fate::Lost)] {
            let numbers = which(fate);
            if !numbers.is_empty() {
                write!(f, ", {name} {numbers}")?;
            }
        }
        for (i, fate) in self.fates.iter().enumerate() {
            if let Fate::Torn(Tear { granule, pieces }) = fate {
                let number = self.synced() + i;
                write!(f, ", of {number} {pieces} of its pieces of {granule} bytes")?;
            }
        }
        match self.reversed {
            true => f.write_str(", in reverse order"),
            false => Ok(()),
        }
    }
}
