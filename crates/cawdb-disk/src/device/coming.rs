//! What is on its way: pieces of a file whose reading began before somebody waits for them.
//!
//! ```text
//!   begin    [ a ────────────── )[ b ───────────── )         at most MOST of them
//!   take       [ part )[ part )    [ all ───────── )         the last part takes it away
//! ```
//! Invariants: who takes a part gets what lay there when its reading began or later, and nobody gets what lay there before a write that has ended: who writes
//! tells so afterwards, and what overlaps is let go; no lock but that of one piece is held while somebody waits for it; a piece that nobody
//! came for makes room for another only after a while, so that many who read on side by side do not read in vain.

use super::flight::{Flight, Landed, Ring};
use super::once::{Lent, Spare};
use super::stats::Clocks;
use crate::Extent;
use crate::sync::{Mutex, TryLockError, lock};
use bytes::Bytes;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Pieces on their way, or that wait: two for each of some who read on.
const MOST: usize = 8;
/// How long one waits at least for who wants it, if others would have its room.
const KEPT: Duration = Duration::from_millis(100);
/// Less than so much at the end of a piece, in bytes, is not waited for: blocks are asked for as a whole, and a length may be guessed.
const REST: u64 = 32 << 10;

/// What is on its way from one file.
#[derive(Default)]
pub(super) struct Coming {
    /// How many there are, so that who writes need not ask further.
    count: AtomicUsize,
    pieces: Mutex<Pieces>,
    rings: Rings,
}

/// The oldest first.
type Pieces = Vec<Piece>;

/// Rings without a request.
#[derive(Default)]
struct Rings(Mutex<Idle>);

#[derive(Default)]
struct Idle {
    rings: Vec<Ring>,
    /// Whether there is none to be had.
    refused: bool,
}

#[derive(Clone)]
struct Piece {
    extent: Extent,
    begun: Instant,
    state: Arc<Mutex<State>>,
}

/// What became of the wish to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begun {
    /// It is on its way from now on.
    Now,
    /// It was on its way before, as a whole.
    Before,
    /// It is not.
    Not,
}

enum State {
    UnderWay { flight: Box<Flight>, lent: Lent },
    There(Bytes),
    Failed,
}

impl std::fmt::Debug for Coming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = self.count.load(Ordering::Relaxed);
        f.debug_struct("Coming").field("count", &count).finish()
    }
}

impl Rings {
    fn take(&self) -> Option<Ring> {
        let mut idle = lock(&self.0);
        if idle.refused {
            return None;
        }
        let ring = idle.rings.pop().or_else(Ring::new);
        idle.refused = ring.is_none();
        ring
    }

    fn put(&self, ring: Ring) {
        lock(&self.0).rings.push(ring);
    }
}

impl Piece {
    /// Whether it may make room: nobody waits for it, and nobody came for it in a while.
    fn may_go(&self) -> bool {
        let state = self.state.try_lock();
        match state {
            Ok(mut state) => self.begun.elapsed() >= KEPT && state.is_down(),
            Err(TryLockError::WouldBlock | TryLockError::Poisoned(_)) => false,
        }
    }
}

impl State {
    fn is_down(&mut self) -> bool {
        match self {
            Self::UnderWay { flight, .. } => flight.is_down(),
            Self::There(_) | Self::Failed => true,
        }
    }

    /// Waits for it if it is still under way.
    fn landed(&mut self, rings: &Rings) -> Option<&Bytes> {
        if matches!(self, Self::UnderWay { .. })
            && let Self::UnderWay { flight, lent } = std::mem::replace(self, Self::Failed)
            && let Some(Landed { ring, buffer, came }) = flight.land()
        {
            rings.put(ring);
            let lent = lent.with(buffer);
            if let Some(came) = came {
                let mut bytes = Bytes::from_owner(lent);
                bytes.truncate(came);
                *self = Self::There(bytes);
            }
        }
        match self {
            Self::There(bytes) => Some(bytes),
            _ => None,
        }
    }
}

impl Coming {
    /// Begins to read `extent`, which lies at blocks, into the part of a buffer that `part_of` says.
    pub fn begin(
        &self,
        file: &File,
        extent: Extent,
        (size, spare): (usize, &Arc<Spare>),
        part_of: impl Fn(&[u8]) -> Range<usize>,
    ) -> Begun {
        let state = Arc::new(Mutex::new(State::Failed));
        // Who comes before the request is made waits for that, and nobody else does.
        let mut making = lock(&state);
        let _gone = match self.enter(extent, &state) {
            Ok(gone) => gone,
            Err(known) => return known,
        };
        let begun = self.rings.take().is_some_and(|ring| {
            let buffer = spare.take(size);
            let part = part_of(&buffer);
            let lent = Lent::new(size, part.clone(), spare);
            match Flight::begin(ring, file, buffer, part, extent.offset) {
                Ok(flight) => {
                    let flight = Box::new(flight);
                    *making = State::UnderWay { flight, lent };
                }
                Err(buffer) => drop(lent.with(buffer)),
            }
            matches!(*making, State::UnderWay { .. })
        });
        if begun {
            return Begun::Now;
        }
        let mut pieces = lock(&self.pieces);
        pieces.retain(|piece| !Arc::ptr_eq(&piece.state, &state));
        self.count.store(pieces.len(), Ordering::Release);
        Begun::Not
    }

    /// Enters a piece, for which another may go.
    ///
    /// # Errors
    /// If there is no room, or some of it was entered before.
    fn enter(&self, extent: Extent, state: &Arc<Mutex<State>>) -> Result<Option<Piece>, Begun> {
        let mut pieces = lock(&self.pieces);
        // One that goes on where another ends has a block in common with it, or what that one guessed.
        let inner = Extent::new(extent.offset + REST, extent.len.saturating_sub(2 * REST));
        if pieces.iter().any(|piece| piece.extent.contains(&extent)) {
            return Err(Begun::Before);
        }
        if pieces.iter().any(|piece| piece.extent.overlaps(&inner)) {
            return Err(Begun::Not);
        }
        let gone = match pieces.len() < MOST {
            true => None,
            false => {
                let i = pieces.iter().position(Piece::may_go).ok_or(Begun::Not)?;
                Some(pieces.remove(i))
            }
        };
        pieces.push(Piece {
            extent,
            begun: Instant::now(),
            state: state.clone(),
        });
        self.count.store(pieces.len(), Ordering::Release);
        Ok(gone)
    }

    /// The bytes of `wanted`, if they are on their way as a whole: waits for them.
    pub fn take(&self, wanted: Extent, clocks: &Clocks) -> Option<Bytes> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut pieces = lock(&self.pieces);
        let i = pieces.iter().position(|p| p.extent.contains(&wanted))?;
        let piece = match pieces[i].extent.end() - wanted.end() < REST {
            true => pieces.remove(i),
            false => pieces[i].clone(),
        };
        self.count.store(pieces.len(), Ordering::Release);
        drop(pieces);
        let mut state = lock(&piece.state);
        let bytes = clocks.read(|| state.landed(&self.rings))?;
        let from = (wanted.offset - piece.extent.offset) as usize;
        let part = from..from + wanted.len as usize;
        (part.end <= bytes.len()).then(|| bytes.slice(part))
    }

    /// How many there are.
    #[cfg(test)]
    fn len(&self) -> usize {
        lock(&self.pieces).len()
    }

    /// Lets go of what overlaps `extent`: something else lies there now, or whoever asks next means the medium itself.
    pub fn forget(&self, extent: Extent) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut pieces = lock(&self.pieces);
        let gone: Vec<_> = pieces
            .extract_if(.., |piece| piece.extent.overlaps(&extent))
            .collect();
        self.count.store(pieces.len(), Ordering::Release);
        drop(pieces);
        // Waits for what is still under way, outside of the lock.
        drop(gone);
    }
}

#[cfg(test)]
mod tests;
