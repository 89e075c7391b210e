//! One piece on its way: under way, there, or not to be had.
//!
//! Invariant: who began it waits for the medium alone, others no longer than [`PATIENCE`] from the first of them on.

use super::super::flight::{Flight, Landed};
use super::super::once::Lent;
use super::super::rings::Rings;
use bytes::Bytes;
use std::time::{Duration, Instant};

/// How long somebody waits for what another thread began, before he reads himself.
pub(super) const PATIENCE: Duration = Duration::from_millis(50);
/// Where it is.
pub(super) enum State {
    UnderWay {
        flight: Box<Flight>,
        lent: Lent,
        /// How long others wait for the thread that began it, once one does.
        until: Option<Instant>,
    },
    There(Bytes),
    Failed,
}

impl State {
    pub fn is_down(&mut self) -> bool {
        match self {
            Self::UnderWay { flight, .. } => flight.is_down(),
            Self::There(_) | Self::Failed => true,
        }
    }

    /// Waits for it if it is still under way; for what another thread began not for ever.
    pub fn landed(&mut self, rings: &Rings) -> Option<&Bytes> {
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
