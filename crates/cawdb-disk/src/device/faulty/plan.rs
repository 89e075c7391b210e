//! Which requests go wrong, and how: the plans of a [`super::FaultyDisk`].
//!
//! Invariants: requests are counted by kind, from 0; a plan names a number of its kind, so that the
//! same requests always meet the same faults; of several plans for one request the first holds.

use fastrand::Rng;

/// The kinds of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpKind {
    /// [`crate::Disk::read_at`].
    Read,
    /// [`crate::Disk::write_at`].
    Write,
    /// [`crate::Disk::sync`].
    Sync,
    /// [`crate::Disk::discard`].
    Discard,
    /// [`crate::Disk::reserve`].
    Reserve,
}

impl OpKind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Read,
        Self::Write,
        Self::Sync,
        Self::Discard,
        Self::Reserve,
    ];
}

/// What goes wrong with a request. Where a fault makes no sense for a kind, the request is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The device answers an error. Of a write, some may have arrived.
    Error,
    /// There is no room: [`crate::Error::Full`] where that is foreseen, else an error that says so.
    Full,
    /// A write, sync or discard is answered as done, and not done.
    Lost,
    /// One bit of what is read or written is another; `seed` chooses which.
    Flip {
        /// Chooses the bit.
        seed: u64,
    },
    /// Read from, or written to, another place of the disk, in units; `seed` chooses which.
    Misdirect {
        /// Chooses the place.
        seed: u64,
    },
    /// A read returns what was there before it was last overwritten.
    Stale,
}

impl Fault {
    /// Flips one bit of `bytes`, if this is that fault.
    pub(super) fn flip(self, bytes: &mut [u8]) {
        if let Fault::Flip { seed } = self
            && !bytes.is_empty()
        {
            let mut rng = Rng::with_seed(seed);
            bytes[rng.usize(..bytes.len())] ^= 1 << rng.u8(..8);
        }
    }

    /// Where a request of `len` bytes at `offset` really goes, on a disk of `size` bytes.
    pub(super) fn place(self, offset: u64, len: usize, size: u64) -> u64 {
        let Fault::Misdirect { seed } = self else {
            return offset;
        };
        let units = size.saturating_sub(len as u64) / crate::UNIT;
        let aside = offset % crate::UNIT;
        match units {
            0 => offset,
            _ => {
                // Never the right place: one of the others, counted from it.
                let right = offset / crate::UNIT;
                let other = right + 1 + Rng::with_seed(seed).u64(..units);
                let place = other % (units + 1) * crate::UNIT + aside;
                match place + len as u64 <= size {
                    true => place,
                    false => place - aside,
                }
            }
        }
    }
}

#[derive(Debug)]
struct Plan {
    kind: OpKind,
    /// Number of the request, of its kind, that meets the fault.
    nth: u64,
    /// Whether all later ones meet it too.
    forever: bool,
    fault: Fault,
}

/// The plans, and how many requests there were.
#[derive(Debug, Default)]
pub(super) struct Plans {
    counts: [u64; OpKind::ALL.len()],
    plans: Vec<Plan>,
}

impl Plans {
    pub fn add(&mut self, kind: OpKind, after: u64, forever: bool, fault: Fault) {
        self.plans.push(Plan {
            kind,
            nth: self.count(kind).saturating_add(after),
            forever,
            fault,
        });
    }

    pub fn clear(&mut self) {
        self.plans.clear();
    }

    pub fn count(&self, kind: OpKind) -> u64 {
        self.counts[kind as usize]
    }

    /// Counts a request; its number, and what goes wrong with it.
    pub fn next(&mut self, kind: OpKind) -> (u64, Option<Fault>) {
        let number = self.count(kind);
        self.counts[kind as usize] += 1;
        let hit = |p: &&Plan| p.kind == kind && (p.nth == number || (p.forever && p.nth <= number));
        (number, self.plans.iter().find(hit).map(|p| p.fault))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misdirected_request_goes_elsewhere_and_stays_on_the_disk() {
        for seed in 0..300 {
            let (offset, len, size) = (seed % 7 * 256, 700, 512 * (3 + seed % 5));
            let place = Fault::Misdirect { seed }.place(offset, len, size);
            assert!(place != offset && place + len as u64 <= size, "{place}");
        }
        assert_eq!(Fault::Misdirect { seed: 1 }.place(0, 512, 512), 0);
        assert_eq!(Fault::Error.place(3, 512, 5120), 3);
    }
}
