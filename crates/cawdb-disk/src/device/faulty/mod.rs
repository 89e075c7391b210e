//! A disk for tests: goes wrong on demand, records what it was asked for, and shows what a crash
//! could leave behind.
//!
//! ```text
//!   writes ──► inner (what reads see)                          recording ──► Outages: every crash
//!         └──► pending ──sync──► durable        crash(seed) = durable + some of pending, some torn
//! ```
//!
//! Invariants: `durable` holds exactly what was written before the last successful sync began; a
//! failed write is pending all the same, for some of it may have arrived; one seed always gives the
//! same image; the same requests meet the same faults.

mod plan;

pub use plan::{Fault, OpKind};

use super::outage::{Pieces, Tear};
use super::{Disk, Fate, IoStats, RamDisk, RamImage, Recording, Request};
use crate::sync::Mutex;
use crate::{Error, Extent, Result, UNIT, sync};
use bytes::Bytes;
use fastrand::Rng;
use plan::Plans;
use std::io;

#[derive(Debug, Default)]
struct State {
    plans: Plans,
    durable: RamImage,
    pending: Vec<Request>,
    recording: Option<Recording>,
    /// What lay under the newest write of each place, for stale reads; kept from the first such plan on.
    former: Option<RamImage>,
}

/// A disk that goes wrong on demand and remembers what a crash could lose.
#[derive(Debug)]
pub struct FaultyDisk<D> {
    inner: D,
    state: Mutex<State>,
}

impl FaultyDisk<RamDisk> {
    /// A disk in memory that begins with an image, which counts as durable. O(pages).
    pub fn of_image(image: RamImage) -> Self {
        let state = State {
            durable: image.clone(),
            ..State::default()
        };
        Self {
            inner: RamDisk::from_image(image),
            state: Mutex::new(state),
        }
    }
}

impl<D: Disk> FaultyDisk<D> {
    /// Wraps `inner`; what it holds now counts as durable. O(size).
    ///
    /// # Errors
    /// Those of reading it.
    pub fn new(inner: D) -> Result<Self> {
        let durable = inner.limit().map_or_else(RamDisk::new, RamDisk::with_limit);
        let (len, mut at) = (inner.len(), 0);
        let mut chunk = vec![0; 1 << 20];
        while at < len {
            let part = chunk.len().min((len - at) as usize);
            inner.read_at(&mut chunk[..part], at)?;
            // Zeros stay a hole, so that a large empty disk costs nothing.
            if chunk[..part].iter().any(|&byte| byte != 0) {
                durable.write_at(&chunk[..part], at)?;
            }
            at += part as u64;
        }
        if len > 0 {
            durable.reserve(Extent::new(0, len))?;
        }
        let state = State {
            durable: durable.image(),
            ..State::default()
        };
        Ok(Self {
            inner,
            state: Mutex::new(state),
        })
    }

    /// Lets one request of a kind fail: the next one for `after` = 0, the one after it for 1, …
    pub fn fail_nth(&self, kind: OpKind, after: u64) {
        self.inject(kind, after, false, Fault::Error);
    }

    /// Lets that request and all later ones of the kind fail.
    pub fn fail_from(&self, kind: OpKind, after: u64) {
        self.inject(kind, after, true, Fault::Error);
    }

    /// Lets a fault happen to one request of a kind, counted as in [`Self::fail_nth`], or from it on to
    /// all. [`Fault::Stale`] knows what was overwritten since it was first planned.
    pub fn inject(&self, kind: OpKind, after: u64, forever: bool, fault: Fault) {
        let mut state = sync::lock(&self.state);
        state.plans.add(kind, after, forever, fault);
        if fault == Fault::Stale {
            state.former.get_or_insert_default();
        }
    }

    /// Forgets all planned faults.
    pub fn heal(&self) {
        sync::lock(&self.state).plans.clear();
    }

    /// How many requests of a kind were made.
    pub fn count(&self, kind: OpKind) -> u64 {
        sync::lock(&self.state).plans.count(kind)
    }

    /// The disk inside.
    pub fn inner(&self) -> &D {
        &self.inner
    }

    /// Records all requests that change anything from now on. What is not synced yet is at the front.
    pub fn record(&self) {
        let mut state = sync::lock(&self.state);
        state.recording = Some(Recording {
            base: state.durable.clone(),
            requests: state.pending.clone(),
        });
    }

    /// How many requests are recorded; 0 if nothing is being recorded.
    pub fn position(&self) -> usize {
        let state = sync::lock(&self.state);
        state.recording.as_ref().map_or(0, |r| r.requests.len())
    }

    /// What was recorded since [`Self::record`]; it goes on. O(requests).
    pub fn recording(&self) -> Recording {
        sync::lock(&self.state)
            .recording
            .clone()
            .unwrap_or_default()
    }

    /// What a crash at this moment could leave: all that was synced, and of the rest each request
    /// kept, lost or torn as `seed` has it. The disk itself goes on as before.
    pub fn crash(&self, seed: u64) -> RamDisk {
        let state = sync::lock(&self.state);
        let mut rng = Rng::with_seed(seed);
        let mut image = state.durable.clone();
        // Besides independent fates also the extremes, which chance would hardly ever produce.
        let (odds, prefix) = match rng.u8(0..4) {
            0 => (0, 0),
            1 => (4, state.pending.len()),
            2 => (0, rng.usize(0..=state.pending.len())),
            _ => (rng.u8(1..4), 0),
        };
        for (i, pending) in state.pending.iter().enumerate() {
            if i < prefix || rng.u8(0..4) < odds {
                image.apply(pending);
            } else if odds > 0 || i == prefix {
                let (granule, pieces) = (UNIT, Pieces::Some(rng.u64(..)));
                Fate::Torn(Tear { granule, pieces }).strike(pending, &mut image);
            }
        }
        RamDisk::from_image(image)
    }

    /// Counts a request; what goes wrong with it, as an error where it is one.
    fn admit(&self, state: &mut State, kind: OpKind, wanted: u64) -> Result<Option<Fault>> {
        let (number, fault) = state.plans.next(kind);
        let io = |why: io::Error| Err(Error::io(format!("{kind:?} {number}"), why));
        match fault {
            Some(Fault::Error) => io(io::Error::other("planned failure")),
            Some(Fault::Full) if kind == OpKind::Reserve => Err(Error::Full { wanted, free: 0 }),
            Some(Fault::Full) => io(io::ErrorKind::StorageFull.into()),
            other => Ok(other),
        }
    }

    /// Remembers what a write is about to cover.
    fn keep_former(&self, former: &mut RamImage, len: usize, offset: u64) -> Result<()> {
        let end = self.inner.len().min(offset + len as u64);
        let mut old = vec![0; end.saturating_sub(offset) as usize];
        self.inner.read_at(&mut old, offset.min(end))?;
        old.resize(len, 0);
        former.apply(&Request::Write {
            offset,
            bytes: old.into(),
        });
        Ok(())
    }
}

impl State {
    fn changed(&mut self, request: Request) {
        if let Some(recording) = &mut self.recording {
            recording.requests.push(request.clone());
        }
        match request {
            Request::Sync => {
                let State {
                    durable, pending, ..
                } = self;
                pending.drain(..).for_each(|r| durable.apply(&r));
            }
            request => self.pending.push(request),
        }
    }
}

impl<D: Disk> Disk for FaultyDisk<D> {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn limit(&self) -> Option<u64> {
        self.inner.limit()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let mut state = sync::lock(&self.state);
        let fault = self.admit(&mut state, OpKind::Read, 0)?;
        if let (Some(Fault::Stale), Some(former)) = (fault, &state.former)
            && offset + buf.len() as u64 <= former.len()
        {
            return RamDisk::from_image(former.clone()).read_at(buf, offset);
        }
        drop(state);
        let offset = fault.map_or(offset, |f| f.place(offset, buf.len(), self.len()));
        self.inner.read_at(buf, offset)?;
        if let Some(fault) = fault {
            fault.flip(buf);
        }
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let mut state = sync::lock(&self.state);
        let fault = self.admit(&mut state, OpKind::Write, 0);
        let mut bytes = bytes.to_vec();
        let mut offset = offset;
        if let Ok(Some(fault)) = fault {
            if fault == Fault::Lost {
                return Ok(());
            }
            offset = fault.place(offset, bytes.len(), self.len());
            fault.flip(&mut bytes);
        }
        let bytes = Bytes::from(bytes);
        state.changed(Request::Write {
            offset,
            bytes: bytes.clone(),
        });
        fault?;
        if let Some(former) = &mut state.former {
            self.keep_former(former, bytes.len(), offset)?;
        }
        self.inner.write_at(&bytes, offset)
    }

    fn sync(&self) -> Result<()> {
        let mut state = sync::lock(&self.state);
        if self.admit(&mut state, OpKind::Sync, 0)? == Some(Fault::Lost) {
            return Ok(());
        }
        self.inner.sync()?;
        state.changed(Request::Sync);
        Ok(())
    }

    fn reserve(&self, extent: Extent) -> Result<()> {
        let mut state = sync::lock(&self.state);
        self.admit(&mut state, OpKind::Reserve, extent.len)?;
        self.inner.reserve(extent)?;
        state.changed(Request::Reserve(extent));
        Ok(())
    }

    fn discard(&self, extent: Extent) -> Result<()> {
        let mut state = sync::lock(&self.state);
        if self.admit(&mut state, OpKind::Discard, 0)? == Some(Fault::Lost) {
            return Ok(());
        }
        self.inner.discard(extent)?;
        state.changed(Request::Discard(extent));
        Ok(())
    }

    fn room(&self) -> Option<u64> {
        self.inner.room()
    }

    fn occupied(&self) -> Option<u64> {
        self.inner.occupied()
    }

    fn stats(&self) -> IoStats {
        self.inner.stats()
    }

    fn name(&self) -> String {
        format!("faulty {}", self.inner.name())
    }
}
