//! The allocator: one lock around its state, and what may be asked of it.

use super::state::State;
use crate::sync::{Condvar, Mutex};
use crate::units::MAX_OFFSET;
use crate::{Disk, Error, Extent, GRANULE, Result, UNIT, round_down, sync};

/// How much one request punches, so that allocations do not wait long for it.
const PUNCH: u64 = 64 << 20;

/// Who asks for space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// New data: leaves what is reserved for all others.
    User,
    /// Background work: leaves what is reserved for a checkpoint.
    Background,
    /// A checkpoint, or what a deletion needs: may take all.
    Checkpoint,
}

/// Bytes set aside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reserved {
    /// Not for [`Class::User`].
    pub background: u64,
    /// Neither for [`Class::User`] nor for [`Class::Background`].
    pub checkpoint: u64,
}

/// How the data area is used, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpaceStats {
    /// Owned by something that lives.
    pub allocated: u64,
    /// Released, but a durable checkpoint may still refer to it.
    pub limbo: u64,
    /// Free below the limit.
    pub free: u64,
    /// Longest free extent.
    pub longest_free: u64,
    /// First byte after everything that is not free.
    pub end: u64,
}

/// The map of the data area. Shared by everything that owns a piece of it.
#[derive(Debug)]
pub struct SpaceMap {
    state: Mutex<State>,
    punched: Condvar,
}

impl SpaceMap {
    /// A map of the bytes from `data` to `limit` (none: without end), all free.
    ///
    /// # Errors
    /// [`Error::Invalid`] if `data` is not a multiple of [`GRANULE`] below the limit.
    pub fn new(data: u64, limit: Option<u64>) -> Result<Self> {
        let limit = round_down(limit.unwrap_or(MAX_OFFSET).min(MAX_OFFSET), GRANULE);
        if !data.is_multiple_of(GRANULE) || limit < data {
            return Err(Error::Invalid(format!(
                "a data area from {data} to {limit}"
            )));
        }
        let state = State::new(data, limit);
        Ok(Self {
            state: Mutex::new(state),
            punched: Condvar::new(),
        })
    }

    /// Takes `len` contiguous bytes, a multiple of [`UNIT`]. O(log n).
    ///
    /// # Errors
    /// [`Error::Full`] if the class may not have them or no free extent is that long;
    /// [`Error::Invalid`] for an impossible length.
    pub fn allocate(&self, len: u64, class: Class) -> Result<Extent> {
        if len == 0 || !len.is_multiple_of(UNIT) {
            return Err(Error::Invalid(format!("an extent of {len} bytes")));
        }
        let mut state = sync::lock(&self.state);
        loop {
            if let Some(extent) = state.place(len, class) {
                state.free.take(extent);
                state.unpunched.remove(extent);
                return Ok(extent);
            }
            if state.punching == 0 {
                return Err(Error::Full {
                    wanted: len,
                    free: state.free_for(class),
                });
            }
            // What is being punched is free in a moment.
            state = sync::wait(&self.punched, state);
        }
    }

    /// Takes an extent that a table on disk says is in use.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it is not free: two owners, or outside of the data area.
    pub fn mark_used(&self, extent: Extent) -> Result<()> {
        Extent::checked(extent.offset, extent.len)?;
        let mut state = sync::lock(&self.state);
        if !state.free.take(extent) {
            let bounds = format!("a free one from {} to {}", state.data, state.limit);
            return Err(Error::corrupt(
                "extent",
                bounds,
                format!("{extent}, in use or outside"),
            ));
        }
        state.unpunched.remove(extent);
        Ok(())
    }

    /// Gives an allocated extent back: at once, or, if a durable checkpoint may refer to it
    /// (`persistent`), once a checkpoint cut after this moment is durable. O(log n).
    ///
    /// # Errors
    /// [`Error::Corrupt`] if not all of it is allocated (released twice, for one).
    pub fn release(&self, extent: Extent, persistent: bool) -> Result<()> {
        Extent::checked(extent.offset, extent.len)?;
        let mut state = sync::lock(&self.state);
        let outside = extent.offset < state.data || extent.end() > state.limit;
        if outside || state.free.overlaps(extent) || state.withheld.overlaps(extent) {
            let what = format!("release of {extent}");
            return Err(Error::corrupt(
                what,
                "an allocated extent",
                "one that is not",
            ));
        }
        if persistent && !state.broken_limbo {
            let cut = state.cut;
            state.limbo.entry(cut).or_default().push(extent);
            state.limbo_bytes += extent.len;
            state.withheld.insert(extent);
        } else {
            state.make_free(extent);
        }
        Ok(())
    }

    /// Begins a new generation of limbo, at the moment a checkpoint freezes its content. Returns its
    /// number, for [`SpaceMap::durable`].
    pub fn cut(&self) -> u64 {
        let mut state = sync::lock(&self.state);
        state.cut += 1;
        state.cut
    }

    /// Frees what was released before this cut, now that its checkpoint is durable. Returns the
    /// bytes freed.
    pub fn durable(&self, cut: u64) -> u64 {
        let mut state = sync::lock(&self.state);
        let later = state.limbo.split_off(&cut);
        let freed = std::mem::replace(&mut state.limbo, later);
        let mut bytes = 0;
        for extent in freed.into_values().flatten() {
            state.withheld.remove(extent);
            state.make_free(extent);
            bytes += extent.len;
        }
        state.limbo_bytes -= bytes;
        bytes
    }

    /// Gives free space back to the medium, at most about `max` bytes. Returns how many granule
    /// bytes; 0 when nothing is left to do. Space is not allocated while it is being punched, so a
    /// discard can never hit new data.
    ///
    /// # Errors
    /// Those of [`Disk::discard`].
    pub fn punch(&self, disk: &dyn Disk, max: u64) -> Result<u64> {
        let mut bytes = 0;
        while bytes < max {
            let next = sync::lock(&self.state).begin_punch((max - bytes).min(PUNCH));
            let Some(extent) = next else { break };
            let done = disk.discard(extent);
            let mut state = sync::lock(&self.state);
            state.withheld.remove(extent);
            state.punching -= extent.len;
            state.free.add(extent);
            if done.is_err() {
                state.unpunched.insert(extent);
            }
            drop(state);
            self.punched.notify_all();
            done?;
            bytes += extent.len;
        }
        Ok(bytes)
    }

    /// Waits until what others are giving back to the medium at this moment is given back.
    pub fn wait_for_punching(&self) {
        let mut state = sync::lock(&self.state);
        while state.punching > 0 {
            state = sync::wait(&self.punched, state);
        }
    }

    /// Says that all free space below `end` may occupy room on the medium, as after opening a store
    /// that crashed.
    pub fn mark_unpunched(&self, end: u64) {
        let mut state = sync::lock(&self.state);
        let State {
            free, unpunched, ..
        } = &mut *state;
        for hole in free.iter().take_while(|hole| hole.offset < end) {
            unpunched.insert(Extent::new(hole.offset, hole.end().min(end) - hole.offset));
        }
    }

    /// Breaks the rule that what a durable checkpoint refers to waits in limbo: it is free at once. For the
    /// tests that show that the enumeration of crashes would notice; it loses data.
    #[doc(hidden)]
    pub fn break_limbo(&self) {
        sync::lock(&self.state).broken_limbo = true;
    }

    /// Sets what is kept for checkpoints and background work.
    pub fn set_reserved(&self, reserved: Reserved) {
        sync::lock(&self.state).reserved = reserved;
    }

    /// Moves the end of the data area; rounded down to a granule.
    ///
    /// # Errors
    /// [`Error::Invalid`] if something lies beyond it.
    pub fn set_limit(&self, limit: u64) -> Result<()> {
        let mut state = sync::lock(&self.state);
        let (old, new) = (state.limit, round_down(limit.min(MAX_OFFSET), GRANULE));
        if new < old {
            let gone = Extent::new(new, old - new);
            if new < state.data || !state.free.take(gone) {
                return Err(Error::Invalid(format!(
                    "a limit of {limit}: data lies beyond it"
                )));
            }
            state.unpunched.remove(gone);
        } else if new > old {
            state.free.add(Extent::new(old, new - old));
        }
        state.limit = new;
        Ok(())
    }

    /// End of the data area.
    pub fn limit(&self) -> u64 {
        sync::lock(&self.state).limit
    }

    /// Bytes that this class may still allocate, perhaps not in one piece.
    pub fn free_for(&self, class: Class) -> u64 {
        sync::lock(&self.state).free_for(class)
    }

    /// What is kept for checkpoints and background work.
    pub fn reserved(&self) -> Reserved {
        sync::lock(&self.state).reserved
    }

    /// Bytes that are free.
    pub fn free_bytes(&self) -> u64 {
        self.stats().free
    }

    /// Bytes that are owned.
    pub fn allocated_bytes(&self) -> u64 {
        self.stats().allocated
    }

    /// Bytes that wait for a checkpoint.
    pub fn limbo_bytes(&self) -> u64 {
        self.stats().limbo
    }

    /// First byte after everything that is not free.
    pub fn end(&self) -> u64 {
        self.stats().end
    }

    /// Bytes of the granules that hold something not free: what the data area occupies on a medium
    /// that allocates in granules, once all else is punched. O(1).
    pub fn allocated_blocks(&self) -> u64 {
        let state = sync::lock(&self.state);
        state.limit - state.data - state.free.granule_bytes()
    }

    /// How the area is used. O(1).
    pub fn stats(&self) -> SpaceStats {
        let state = sync::lock(&self.state);
        let free = state.free.bytes() + state.punching;
        let tail = state.free.last().filter(|hole| hole.end() == state.limit);
        SpaceStats {
            allocated: state.limit - state.data - free - state.limbo_bytes,
            limbo: state.limbo_bytes,
            free,
            longest_free: state.free.longest(),
            end: tail.map_or(state.limit, |hole| hole.offset),
        }
    }
}
