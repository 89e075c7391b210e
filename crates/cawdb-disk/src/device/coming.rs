//! What is on its way: pieces of a file whose reading began before somebody waits for them.
//!
//! ```text
//!   begin    [ a ────────────── )[ b ───────────── )         at most MOST of them
//!   take       [ part )[ part )    [ all ───────── )         the last part takes it away
//! ```
//! Invariants: who takes a part gets what lay there when its reading began or later, and nobody gets what lay there before a write that has ended: who writes
//! tells so afterwards, and what overlaps is let go; no lock but that of one piece is held while somebody waits for it, and who did not begin it waits no longer than
//! a moment, as what came is only told once the thread that began it is not busy in the kernel; nothing ends its life under the lock of all.

mod pieces;
mod state;
#[cfg(test)]
mod tests;

pub(super) use pieces::Begun;
use pieces::Pieces;
use state::State;

use super::flight::Flight;
use super::once::{Lent, Spare};
use super::rings::Rings;
use super::stats::Clocks;
use crate::Extent;
use crate::sync::{Mutex, lock};
use bytes::Bytes;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering, fence};

/// What is on its way from one file.
#[derive(Default)]
pub(super) struct Coming {
    /// How many pieces there are, so that who writes need not ask further.
    count: AtomicUsize,
    pieces: Mutex<Pieces>,
    rings: Rings,
}

impl std::fmt::Debug for Coming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = self.count.load(Ordering::Relaxed);
        f.debug_struct("Coming").field("count", &count).finish()
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
            self.with(Pieces::was_used);
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
