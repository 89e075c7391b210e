//! Every image that a loss of power may leave, for every moment of a recording.
//!
//! For each position the requests since the last sync are open. Tried are: nothing of them arrived,
//! all arrived; each alone lost, only the newest kept; each torn in several ways, at 512 bytes and at
//! 4 KiB, beside all others and beside none; all arrived in the reverse order, where two overlap; every
//! subset while they are few; then some by chance.
//!
//! ```text
//!   position   1    2    3(S)  4 …            images of a position without its newest request are
//!   images     ├─┤  ├───┤ │    ├─┤            those of an earlier position: only "nothing" is repeated
//! ```
//!
//! Invariants: the same recording and sampling give the same outages in the same order; the images of
//! one position are applied to a copy-on-write image of what is durable there, so that each costs only
//! the requests that were not synced.

use super::outage::Tear;
use super::{Fate, Outage, Pieces, RamImage, Recording};
use crate::{GRANULE, UNIT};
use fastrand::Rng;

/// How thorough an enumeration is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampling {
    /// Chooses what is left to chance.
    pub seed: u64,
    /// Every subset is tried while at most so many requests are not synced.
    pub all_subsets: usize,
    /// So many more by chance, at each position where not every subset is tried.
    pub by_chance: usize,
    /// At most so many images a position; chosen by chance if there would be more.
    pub per_position: usize,
    /// Of all these, one in so many, by chance.
    pub one_in: usize,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            seed: 0,
            all_subsets: 6,
            by_chance: 8,
            per_position: usize::MAX,
            one_in: 1,
        }
    }
}

impl Sampling {
    /// At most so many images a position, chosen by this seed.
    pub fn sparse(seed: u64, per_position: usize) -> Self {
        Self {
            seed,
            per_position,
            ..Self::default()
        }
    }
}

/// Iterates over the outages of a recording, each with the image it leaves.
#[derive(Debug)]
pub struct Outages<'a> {
    recording: &'a Recording,
    sampling: Sampling,
    rng: Rng,
    /// The next position to be looked at.
    position: usize,
    /// First request that is not durable there.
    synced: usize,
    durable: RamImage,
    /// Outages of the positions before, in reverse order.
    waiting: Vec<Outage>,
}

impl<'a> Outages<'a> {
    /// All outages from position 0 to the end of the recording.
    pub fn new(recording: &'a Recording, sampling: Sampling) -> Self {
        Self {
            recording,
            sampling,
            rng: Rng::with_seed(sampling.seed),
            position: 0,
            synced: 0,
            durable: recording.base.clone(),
            waiting: Vec::new(),
        }
    }

    /// Lists the outages of the next position; false at the end.
    fn advance(&mut self) -> bool {
        let requests = &self.recording.requests;
        if self.position > requests.len() {
            return false;
        }
        let newest = self.position.checked_sub(1).map(|i| &requests[i]);
        if newest.is_some_and(|r| *r == super::Request::Sync) {
            let arrived = &requests[self.synced..self.position];
            arrived.iter().for_each(|r| self.durable.apply(r));
            self.synced = self.position;
        }
        // A reservation alone can be seen only together with what is written there.
        if newest.is_none_or(|r| r.changes() || *r == super::Request::Sync) {
            self.waiting = self.outages();
        }
        self.position += 1;
        true
    }

    fn outages(&mut self) -> Vec<Outage> {
        let pending = &self.recording.requests[self.synced..self.position];
        let open = (0..pending.len()).filter(|i| pending[*i].changes());
        let mut moment = Moment {
            pending,
            open: open.collect(),
            outages: Vec::new(),
            position: self.position,
        };
        moment.list(self.sampling, &mut self.rng);
        let mut outages = moment.outages;
        // The extremes are always among them; the rest by chance.
        let kept = self.sampling.per_position.max(1);
        if outages.len() > kept {
            let always = kept.min(2);
            self.rng.shuffle(&mut outages[always..]);
            outages.truncate(kept);
        }
        let one_in = self.sampling.one_in.max(1);
        if one_in > 1 {
            outages.retain(|_| self.rng.usize(..one_in) == 0);
        }
        outages.reverse();
        outages
    }

    /// How many are still to come. Much cheaper than going through them, because no image is made.
    pub fn remaining(mut self) -> usize {
        let mut total = self.waiting.len();
        while self.advance() {
            total += std::mem::take(&mut self.waiting).len();
        }
        total
    }
}

impl Iterator for Outages<'_> {
    type Item = (Outage, RamImage);

    fn next(&mut self) -> Option<Self::Item> {
        while self.waiting.is_empty() {
            if !self.advance() {
                return None;
            }
        }
        let outage = self.waiting.pop()?;
        let mut image = self.durable.clone();
        outage.strike(self.recording, &mut image);
        Some((outage, image))
    }
}

/// One position: what is open there, and the outages listed so far.
struct Moment<'a> {
    pending: &'a [super::Request],
    /// Which of the pending requests have fates of their own.
    open: Vec<usize>,
    outages: Vec<Outage>,
    position: usize,
}

impl Moment<'_> {
    fn list(&mut self, sampling: Sampling, rng: &mut Rng) {
        self.push(|_| Fate::Lost, false);
        let Some(newest) = self.open.len().checked_sub(1) else {
            return;
        };
        self.push(|_| Fate::Kept, false);
        let few = self.open.len() <= sampling.all_subsets;
        if few {
            // Without the newest it is a subset of an earlier position; all and none are listed.
            for subset in (1 << newest)..(2_u64 << newest) - 1 {
                self.push(|i| kept_if(subset >> i & 1 == 1), false);
            }
        } else {
            self.push(|i| kept_if(i == newest), false);
            for lost in 0..newest {
                self.push(|i| kept_if(i != lost), false);
            }
        }
        if self.overlap() {
            self.push(|_| Fate::Kept, true);
        }
        for torn in 0..=newest {
            for tear in self.tears(torn, rng) {
                self.push(|i| if i == torn { tear } else { Fate::Kept }, false);
                if torn == newest && newest > 0 {
                    self.push(|i| if i == torn { tear } else { Fate::Lost }, false);
                }
            }
        }
        if !few {
            for _ in 0..sampling.by_chance {
                let fates: Vec<_> = self.open.iter().map(|_| chance(rng)).collect();
                self.push(|i| fates[i], false);
            }
        }
    }

    /// Adds an outage; `fate` is asked for the open requests, by their number among them. A reservation
    /// shares the fate of the change behind it, which needs it.
    fn push(&mut self, fate: impl Fn(usize) -> Fate, reversed: bool) {
        let mut fates = vec![Fate::Lost; self.pending.len()];
        let mut from = 0;
        for (i, at) in self.open.iter().enumerate() {
            let fate = fate(i);
            let room = match fate {
                Fate::Lost => Fate::Lost,
                Fate::Kept | Fate::Torn(_) => Fate::Kept,
            };
            fates[from..*at].fill(room);
            fates[*at] = fate;
            from = at + 1;
        }
        self.outages.push(Outage {
            position: self.position,
            fates,
            reversed,
        });
    }

    /// Whether two open requests touch the same bytes.
    fn overlap(&self) -> bool {
        let mut extents: Vec<_> = self
            .open
            .iter()
            .map(|i| self.pending[*i].extent())
            .collect();
        extents.sort_unstable();
        extents.windows(2).any(|pair| pair[0].overlaps(&pair[1]))
    }

    /// The ways to tear an open request.
    fn tears(&self, open: usize, rng: &mut Rng) -> Vec<Fate> {
        let request = &self.pending[self.open[open]];
        let mut tears = Vec::new();
        if !matches!(request, super::Request::Write { .. }) {
            return tears;
        }
        for granule in [UNIT, GRANULE] {
            let count = Tear::count(granule, request);
            if count < 2 {
                continue;
            }
            let cut = rng.u64(1..count);
            let mut ways = vec![Pieces::First(cut), Pieces::AllBut(cut)];
            if count > 2 {
                ways.extend([Pieces::Odd, Pieces::Even]);
            }
            let torn = |pieces| Fate::Torn(Tear { granule, pieces });
            tears.extend(ways.into_iter().map(torn));
        }
        tears
    }
}

fn kept_if(kept: bool) -> Fate {
    match kept {
        true => Fate::Kept,
        false => Fate::Lost,
    }
}

fn chance(rng: &mut Rng) -> Fate {
    match rng.u8(..5) {
        0 | 1 => Fate::Kept,
        2 | 3 => Fate::Lost,
        _ => Fate::Torn(Tear {
            granule: if rng.bool() { UNIT } else { GRANULE },
            pieces: Pieces::Some(rng.u64(..)),
        }),
    }
}
