//! A disk for tests: fails on demand, and shows what a crash could leave behind.
//!
//! ```text
//!   writes ──► inner (what reads see)
//!         └──► pending ──sync──► durable        crash(seed) = durable + some of pending, some torn
//! ```
//!
//! Invariants: `durable` holds exactly what was written before the last successful sync began; a
//! failed write is pending all the same, for some of it may have arrived; one seed always gives the
//! same image.

use super::{Disk, IoStats, RamDisk};
use crate::{Error, Extent, Result, UNIT, sync};
use fastrand::Rng;
use std::io;
use std::sync::Mutex;

/// The kinds of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpKind {
    /// [`Disk::read_at`].
    Read,
    /// [`Disk::write_at`].
    Write,
    /// [`Disk::sync`].
    Sync,
    /// [`Disk::discard`].
    Discard,
    /// [`Disk::reserve`].
    Reserve,
}

#[derive(Debug)]
enum Pending {
    Write(u64, Vec<u8>),
    Discard(Extent),
    Reserve(Extent),
}

#[derive(Debug)]
struct Plan {
    kind: OpKind,
    /// Number of the request, of its kind, that fails.
    nth: u64,
    /// Whether all later ones fail too.
    forever: bool,
}

#[derive(Debug)]
struct State {
    durable: RamDisk,
    pending: Vec<Pending>,
    counts: [u64; 5],
    plans: Vec<Plan>,
}

/// A disk that fails on demand and remembers what a crash could lose.
#[derive(Debug)]
pub struct FaultyDisk<D> {
    inner: D,
    state: Mutex<State>,
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
            durable,
            pending: Vec::new(),
            counts: [0; 5],
            plans: Vec::new(),
        };
        Ok(Self {
            inner,
            state: Mutex::new(state),
        })
    }

    /// Lets one request of a kind fail: the next one for `after` = 0, the one after it for 1, …
    pub fn fail_nth(&self, kind: OpKind, after: u64) {
        self.plan(kind, after, false);
    }

    /// Lets that request and all later ones of the kind fail.
    pub fn fail_from(&self, kind: OpKind, after: u64) {
        self.plan(kind, after, true);
    }

    fn plan(&self, kind: OpKind, after: u64, forever: bool) {
        let mut state = sync::lock(&self.state);
        let nth = state.counts[kind as usize].saturating_add(after);
        state.plans.push(Plan { kind, nth, forever });
    }

    /// Forgets all planned failures.
    pub fn heal(&self) {
        sync::lock(&self.state).plans.clear();
    }

    /// How many requests of a kind were made.
    pub fn count(&self, kind: OpKind) -> u64 {
        sync::lock(&self.state).counts[kind as usize]
    }

    /// The disk inside.
    pub fn inner(&self) -> &D {
        &self.inner
    }

    /// What a crash at this moment could leave: all that was synced, and of the rest each request
    /// kept, lost or torn as `seed` has it. The disk itself goes on as before.
    pub fn crash(&self, seed: u64) -> RamDisk {
        let state = sync::lock(&self.state);
        let mut rng = Rng::with_seed(seed);
        let image = RamDisk::from_image(state.durable.image());
        // Besides independent fates also the extremes, which chance would hardly ever produce.
        let (odds, prefix) = match rng.u8(0..4) {
            0 => (0, 0),
            1 => (4, state.pending.len()),
            2 => (0, rng.usize(0..=state.pending.len())),
            _ => (rng.u8(1..4), 0),
        };
        for (i, pending) in state.pending.iter().enumerate() {
            if i < prefix || rng.u8(0..4) < odds {
                apply(pending, &image);
            } else if odds > 0 || i == prefix {
                tear(pending, &image, &mut rng);
            }
        }
        image
    }
}

/// Counts a request, and fails it if that is planned.
fn admit(state: &mut State, kind: OpKind) -> Result<()> {
    let number = state.counts[kind as usize];
    state.counts[kind as usize] += 1;
    let hit = |p: &Plan| p.kind == kind && (p.nth == number || (p.forever && p.nth <= number));
    match state.plans.iter().any(hit) {
        true => Err(Error::io(
            format!("{kind:?} {number}"),
            io::Error::other("planned failure"),
        )),
        false => Ok(()),
    }
}

/// Lets a request take effect on the image of a crash. What does not fit is lost, as on any disk.
fn apply(pending: &Pending, image: &RamDisk) {
    let _lost_if_it_does_not_fit = match pending {
        Pending::Write(offset, bytes) => image.write_at(bytes, *offset),
        Pending::Discard(extent) => image.discard(*extent),
        Pending::Reserve(extent) => image.reserve(*extent),
    };
}

/// Lets some of the units of a write arrive.
fn tear(pending: &Pending, image: &RamDisk, rng: &mut Rng) {
    let Pending::Write(offset, bytes) = pending else {
        return;
    };
    let mut at = 0;
    while at < bytes.len() {
        let unit = UNIT as usize - ((offset + at as u64) % UNIT) as usize;
        let end = bytes.len().min(at + unit);
        if rng.bool() {
            apply(
                &Pending::Write(offset + at as u64, bytes[at..end].to_vec()),
                image,
            );
        }
        at = end;
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
        admit(&mut sync::lock(&self.state), OpKind::Read)?;
        self.inner.read_at(buf, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let mut state = sync::lock(&self.state);
        state.pending.push(Pending::Write(offset, bytes.to_vec()));
        admit(&mut state, OpKind::Write)?;
        self.inner.write_at(bytes, offset)
    }

    fn sync(&self) -> Result<()> {
        let mut state = sync::lock(&self.state);
        admit(&mut state, OpKind::Sync)?;
        self.inner.sync()?;
        let State {
            durable, pending, ..
        } = &mut *state;
        pending.drain(..).for_each(|p| apply(&p, durable));
        Ok(())
    }

    fn reserve(&self, extent: Extent) -> Result<()> {
        let mut state = sync::lock(&self.state);
        admit(&mut state, OpKind::Reserve)?;
        self.inner.reserve(extent)?;
        state.pending.push(Pending::Reserve(extent));
        Ok(())
    }

    fn discard(&self, extent: Extent) -> Result<()> {
        let mut state = sync::lock(&self.state);
        admit(&mut state, OpKind::Discard)?;
        self.inner.discard(extent)?;
        state.pending.push(Pending::Discard(extent));
        Ok(())
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
