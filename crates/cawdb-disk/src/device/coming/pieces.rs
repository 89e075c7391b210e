//! Which pieces are on their way, or wait for who wants them, and which of them make room.
//!
//! Invariants: what was entered overlaps with others only at its ends; of what makes room for others a quarter of what was used is read in vain, and
//! [`MOST`] pieces in any ten seconds; whoever is in the middle of a piece keeps it.

use super::state::State;
use crate::Extent;
use crate::sync::{Mutex, TryLockError};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Pieces on their way, or that wait: two for each of some who read on, and one more for a moment where somebody comes for one.
pub(super) const MOST: usize = 8;
/// How long one waits at least for who wants it, if others would have its room.
pub(super) const KEPT: Duration = Duration::from_millis(100);
/// So many pieces are used before one that may still be wanted makes room.
pub(super) const PRICE: usize = 4;
/// After so long it makes room in any case; and so long nothing is begun after somebody waited in vain.
pub(super) const OLD: Duration = Duration::from_secs(10);
/// Less than so much at the end of a piece, in bytes, is not waited for: blocks are asked for as a whole, and a length may be guessed.
pub(super) const REST: u64 = 32 << 10;

/// What became of the wish to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Begun {
    /// It is on its way from now on.
    Now,
    /// It was on its way before, as a whole.
    Before,
    /// It is not.
    Not,
}

#[derive(Default)]
pub(super) struct Pieces {
    /// The oldest first.
    pub list: Vec<Piece>,
    /// Nobody gets them any more, but the kernel may still write into their buffers.
    pub gone: Vec<Piece>,
    /// How many were used lately, less what others paid for their room.
    used: usize,
    /// When somebody last waited in vain: then reading twice would make a slow disk slower.
    late: Option<Instant>,
}

#[derive(Clone)]
pub(super) struct Piece {
    pub extent: Extent,
    /// When it began, or somebody took a part.
    pub touched: Instant,
    /// Where the last part that was taken ended.
    pub taken: Option<u64>,
    pub state: Arc<Mutex<State>>,
}

impl Piece {
    /// Whether nobody waits for it, neither here nor in the kernel.
    pub fn is_down(&self) -> bool {
        match self.state.try_lock() {
            Ok(mut state) => state.is_down(),
            Err(TryLockError::WouldBlock | TryLockError::Poisoned(_)) => false,
        }
    }

    /// Whether it may make room; `paid` says that others were of use.
    pub fn may_go(&self, paid: bool) -> bool {
        let waits = self.touched.elapsed();
        (waits >= OLD || paid && waits >= KEPT) && self.is_down()
    }
}

impl Pieces {
    /// Nobody gets those any more of which that is true.
    pub fn let_go(&mut self, which: impl Fn(&Piece) -> bool) {
        self.gone.extend(self.list.extract_if(.., |p| which(p)));
    }

    /// Enters a piece, for which another may go.
    ///
    /// # Errors
    /// If there is no room, or more than the ends of it was entered before.
    pub fn enter(&mut self, extent: Extent, state: &Arc<Mutex<State>>) -> Result<(), Begun> {
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
    pub fn take(&mut self, wanted: Extent) -> Option<(Piece, bool)> {
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

    /// Somebody took all of one.
    pub fn was_used(&mut self) {
        self.used = (self.used + 1).min(2 * MOST);
    }

    /// Somebody waited for it in vain.
    pub fn was_late(&mut self, piece: &Piece) {
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
