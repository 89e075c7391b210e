//! What is on its way: pieces of a file whose reading began before somebody waits for them.
//!
//! ```text
//!   begin    [ a ────────────── )[ b ───────────── )         at most MOST of them
//!   take       [ part )[ part )    [ all ───────── )         the last part takes it away
//! ```
//! Invariants: who takes a part gets what lay there when its reading began or later, and nobody gets what lay there before a write that has ended: who writes
//! tells so afterwards, and what overlaps is let go; no lock but that of one piece is held while somebody waits for it, and who did not begin it waits no longer than
//! [`PATIENCE`], as what came is only told once the thread that began it is not busy in the kernel; of what makes room for others a quarter of what was
//! used is read in vain, and [`MOST`] pieces in any ten seconds; nothing ends its life under the lock of all.

use super::flight::{Flight, Landed};
use super::once::{Lent, Spare};
use super::rings::Rings;
use super::stats::Clocks;
use crate::Extent;
use crate::sync::{Mutex, TryLockError, lock};
use bytes::Bytes;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::time::{Duration, Instant};

/// Pieces on their way, or that wait: two for each of some who read on, and one more for a moment where somebody comes for one.
const MOST: usize = 8;
/// How long one waits at least for who wants it, if others would have its room.
const KEPT: Duration = Duration::from_millis(100);
/// So many pieces are used before one that may still be wanted makes room.
const PRICE: usize = 4;
/// After so long it makes room in any case; and so long nothing is begun after somebody waited in vain.
const OLD: Duration = Duration::from_secs(10);
/// How long somebody waits for what another thread began, before he reads himself.
const PATIENCE: Duration = Duration::from_millis(50);
/// Less than so much at the end of a piece, in bytes, is not waited for: blocks are asked for as a whole, and a length may be guessed.
const REST: u64 = 32 << 10;

/// What is on its way from one file.
#[derive(Default)]
pub(super) struct Coming {
    /// How many pieces there are, so that who writes need not ask further.
    count: AtomicUsize,
    pieces: Mutex<Pieces>,
    rings: Rings,
}

#[derive(Default)]
struct Pieces {
    /// The oldest first.
    list: Vec<Piece>,
    /// Nobody gets them any more, but the kernel may still write into their buffers.
    gone: Vec<Piece>,
    /// How many were used lately, less what others paid for their room.
    used: usize,
    /// When somebody last waited in vain: then reading twice would make a slow disk slower.
    late: Option<Instant>,
}

#[derive(Clone)]
struct Piece {
    extent: Extent,
    /// When it began, or somebody took a part.
    touched: Instant,
    /// Where the last part that was taken ended.
    taken: Option<u64>,
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
    UnderWay {
        flight: Box<Flight>,
        lent: Lent,
        /// How long others wait for the thread that began it, once one does.
        until: Option<Instant>,
    },
    There(Bytes),
    Failed,
}

impl std::fmt::Debug for Coming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = self.count.load(Ordering::Relaxed);
        f.debug_struct("Coming").field("count", &count).finish()
    }
}

impl Piece {
    /// Whether nobody waits for it, neither here nor in the kernel.
    fn is_down(&self) -> bool {
        match self.state.try_lock() {
            Ok(mut state) => state.is_down(),
            Err(TryLockError::WouldBlock | TryLockError::Poisoned(_)) => false,
        }
    }

    /// Whether it may make room; `paid` says that others were of use.
    fn may_go(&self, paid: bool) -> bool {
        let waits = self.touched.elapsed();
        (waits >= OLD || paid && waits >= KEPT) && self.is_down()
    }
}

impl State {
    fn is_down(&mut self) -> bool {
        match self {
            Self::UnderWay { flight, .. } => flight.is_down(),
            Self::There(_) | Self::Failed => true,
        }
    }

    /// Waits for it if it is still under way; for what another thread began not for ever.
    fn landed(&mut self, rings: &Rings) -> Option<&Bytes> {
        if let Self::UnderWay { flight, until, .. } = self
            && !flight.is_own()
        {
            let until = *until.get_or_insert_with(|| Instant::now() + PATIENCE);
            if !flight.wait(until.saturating_duration_since(Instant::now())) {
                return None;
            }
        }
        if matches!(self, Self::UnderWay { .. })
            && let Self::UnderWay { flight, lent, .. } = std::mem::replace(self, Self::Failed)
        {
            let landed = flight.land();
            rings.tell(landed.as_ref().is_some_and(|landed| landed.came.is_some()));
            if let Some(Landed { ring, buffer, came }) = landed {
                rings.put(ring);
                let mut bytes = Bytes::from_owner(lent.with(buffer));
                bytes.truncate(came.unwrap_or(0));
                *self = Self::There(bytes);
            }
        }
        match self {
            Self::There(bytes) => Some(bytes),
            _ => None,
        }
    }
}

impl Pieces {
    /// Nobody gets those any more of which that is true.
    fn let_go(&mut self, which: impl Fn(&Piece) -> bool) {
        self.gone.extend(self.list.extract_if(.., |p| which(p)));
    }

    /// Enters a piece, for which another may go.
    ///
    /// # Errors
    /// If there is no room, or more than the ends of it was entered before.
    fn enter(&mut self, extent: Extent, state: &Arc<Mutex<State>>) -> Result<(), Begun> {
        if self.list.iter().any(|piece| piece.extent.contains(&extent)) {
            return Err(Begun::Before);
        }
        if self.late.is_some_and(|late| late.elapsed() < OLD) {
            return Err(Begun::Not);
        }
        // One that goes on where another ends has a block in common with it, or what that one guessed.
        let inner = Extent::new(extent.offset + REST, extent.len.saturating_sub(2 * REST));
        let passed = |piece: &Piece| {
            let goes_on = |to: u64| to.abs_diff(extent.offset) < REST;
            let left = |to: u64| goes_on(to) || piece.touched.elapsed() >= KEPT;
            piece.taken.is_some_and(left) && piece.extent.overlaps(&inner)
        };
        self.let_go(passed);
        if self.list.iter().any(|piece| piece.extent.overlaps(&inner)) {
            return Err(Begun::Not);
        }
        // Who goes on from one comes for that first, so its room is as good as free.
        let before = |piece: &Piece| piece.extent.end().abs_diff(extent.offset) < REST;
        let others = self.list.iter().filter(|piece| !before(piece)).count();
        let flying = self.gone.iter().filter(|piece| !piece.is_down()).count();
        if others + flying >= MOST {
            let paid = self.used >= PRICE;
            let may_go = |piece: &Piece| !before(piece) && piece.may_go(paid);
            let i = self.list.iter().position(may_go).ok_or(Begun::Not)?;
            self.used = self.used.saturating_sub(PRICE);
            self.gone.push(self.list.remove(i));
        }
        self.list.push(Piece {
            extent,
            touched: Instant::now(),
            taken: None,
            state: state.clone(),
        });
        Ok(())
    }

    /// The piece of which somebody takes a part, and whether that is all that is left of it: then it is taken away.
    fn take(&mut self, wanted: Extent) -> Option<(Piece, bool)> {
        let i = self.list.iter().position(|p| p.extent.contains(&wanted))?;
        let piece = &mut self.list[i];
        let starts = [Some(piece.extent.offset), piece.taken];
        let from = |start: u64| start.abs_diff(wanted.offset) < REST;
        let goes_on = starts.into_iter().flatten().any(from);
        if goes_on && piece.extent.end() - wanted.end() < REST {
            return Some((self.list.remove(i), true));
        }
        (piece.taken, piece.touched) = (Some(wanted.end()), Instant::now());
        Some((piece.clone(), false))
    }

    /// Somebody waited for it in vain.
    fn was_late(&mut self, piece: &Piece) {
        self.late = Some(Instant::now());
        self.let_go(|p| Arc::ptr_eq(&p.state, &piece.state));
        if !self
            .gone
            .iter()
            .any(|p| Arc::ptr_eq(&p.state, &piece.state))
        {
            self.gone.push(piece.clone());
        }
    }
}

impl Coming {
    /// Does something with the pieces, of which who writes learns.
    fn with<T>(&self, doing: impl FnOnce(&mut Pieces) -> T) -> T {
        let mut pieces = lock(&self.pieces);
        let done = doing(&mut pieces);
        self.count.store(pieces.list.len(), Ordering::SeqCst);
        // Or what is read next could be older than what somebody wrote who saw none.
        fence(Ordering::SeqCst);
        let down: Vec<_> = pieces.gone.extract_if(.., |p| p.is_down()).collect();
        drop(pieces);
        for piece in down {
            // Its ring and its buffer go to the next.
            lock(&piece.state).landed(&self.rings);
        }
        done
    }

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
        if let Err(known) = self.with(|pieces| pieces.enter(extent, &state)) {
            return known;
        }
        let begun = self.rings.take().is_some_and(|ring| {
            let buffer = spare.take(size);
            let part = part_of(&buffer);
            let lent = Lent::new(size, part.clone(), spare);
            match Flight::begin(ring, file, buffer, part, extent.offset) {
                Ok(flight) => {
                    let flight = Box::new(flight);
                    let until = None;
                    *making = State::UnderWay {
                        flight,
                        lent,
                        until,
                    };
                    true
                }
                Err(buffer) => {
                    drop(lent.with(buffer));
                    self.rings.tell(false);
                    false
                }
            }
        });
        if begun {
            return Begun::Now;
        }
        self.with(|pieces| pieces.list.retain(|p| !Arc::ptr_eq(&p.state, &state)));
        Begun::Not
    }

    /// The bytes of `wanted`, if they are on their way as a whole: waits for them.
    pub fn take(&self, wanted: Extent, clocks: &Clocks) -> Option<Bytes> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let (piece, whole) = self.with(|pieces| pieces.take(wanted))?;
        let came = clocks.read(|| lock(&piece.state).landed(&self.rings).cloned());
        let from = (wanted.offset - piece.extent.offset) as usize;
        let part = from..from + wanted.len as usize;
        let Some(bytes) = came else {
            self.with(|pieces| pieces.was_late(&piece));
            return None;
        };
        if part.end > bytes.len() {
            self.with(|pieces| pieces.let_go(|p| Arc::ptr_eq(&p.state, &piece.state)));
            return None;
        }
        if whole {
            self.with(|pieces| pieces.used = (pieces.used + 1).min(2 * MOST));
        }
        // Who holds a little is not to hold all of it.
        Some(match part.len() < bytes.len() / 2 {
            true => Bytes::copy_from_slice(&bytes[part]),
            false => bytes.slice(part),
        })
    }

    /// Lets go of what overlaps `extent`: something else lies there now, or whoever asks next means the medium itself. It waits for nobody.
    pub fn forget(&self, extent: Extent) {
        // See `with`.
        fence(Ordering::SeqCst);
        if self.count.load(Ordering::SeqCst) > 0 {
            self.with(|pieces| pieces.let_go(|piece| piece.extent.overlaps(&extent)));
        }
    }

    /// How many there are.
    #[cfg(test)]
    fn len(&self) -> usize {
        lock(&self.pieces).list.len()
    }
}

#[cfg(test)]
mod tests;
