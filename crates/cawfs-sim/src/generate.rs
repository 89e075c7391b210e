//! Random lists of steps over a tiny alphabet.
//!
//! A tiny alphabet makes collisions, prefixes and neighbours common; it holds 00 and FF because ends of ranges
//! are where prefixes go wrong. Besides single operations there are bursts, the shapes that real use has:
//! a chain (clone of clone of ..., one edit each), a fan (many clones of one original), a sequential load,
//! and a group of files written beside each other.
use crate::ops::{PickKey, PickOp, PickPrefix, PickSpan, PickTarget, Step};
use fastrand::Rng;

/// How a list is mixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mix {
    /// Largest value, in bytes.
    pub value_bytes: u32,
    /// One step in so many reopens the engine; 0 for never.
    pub reopen_every: u32,
    /// One step in so many is a loss of power; 0 for never.
    pub crash_every: u32,
    /// One step in so many is background work; 0 for never.
    pub tick_every: u32,
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            value_bytes: 4096,
            reopen_every: 150,
            crash_every: 150,
            tick_every: 4,
        }
    }
}

const ALPHABET: [u8; 5] = [0x00, b'a', b'b', b'c', 0xff];

/// A list of at least `steps` steps (a burst may pass the end by a few).
pub fn generate(seed: u64, steps: usize, mix: Mix) -> Vec<Step> {
    let mut source = Source {
        rng: Rng::with_seed(seed),
        mix,
    };
    let mut list = Vec::with_capacity(steps);
    while list.len() < steps {
        source.extend(&mut list);
    }
    list
}

struct Source {
    rng: Rng,
    mix: Mix,
}

impl Source {
    fn one_in(&mut self, n: u32) -> bool {
        n > 0 && self.rng.u32(..n) == 0
    }

    fn extend(&mut self, list: &mut Vec<Step>) {
        if self.one_in(self.mix.reopen_every) {
            list.push(Step::Reopen);
        } else if self.one_in(self.mix.crash_every) {
            list.push(Step::Crash(self.rng.u32(..)));
        } else if self.one_in(self.mix.tick_every) {
            list.push(Step::Tick(self.rng.u8(1..6)));
        } else if self.one_in(60) {
            self.burst(list);
        } else {
            list.push(self.single());
        }
    }

    fn single(&mut self) -> Step {
        match self.rng.u32(..100) {
            0..60 => {
                let count = if self.rng.u32(..4) == 0 {
                    self.rng.usize(2..7)
                } else {
                    1
                };
                Step::Commit((0..count).map(|_| self.op()).collect())
            }
            60..75 => Step::Get(self.key()),
            75..86 => Step::Scan(self.span(), self.rng.bool()),
            86..90 => Step::Snapshot,
            90..95 => Step::Compare(self.rng.u32(..), self.rng.u32(..3) == 0),
            95..97 => Step::Sync,
            _ => Step::Checkpoint,
        }
    }

    fn op(&mut self) -> PickOp {
        match self.rng.u32(..100) {
            0..40 => PickOp::Put(self.key(), self.rng.u8(..), self.length()),
            40..52 => PickOp::Delete(self.key()),
            52..68 => {
                let (offset, length) = (self.length() / 2, self.length() / 4);
                PickOp::Patch(self.key(), offset, self.rng.u8(..), length)
            }
            68..76 => PickOp::DeleteRange(self.span()),
            _ => self.clone_op(),
        }
    }

    fn clone_op(&mut self) -> PickOp {
        let part = (self.rng.u32(..4) == 0).then(|| (self.rng.u32(..), self.rng.u32(..)));
        let target = match self.rng.u32(..6) {
            0 => PickTarget::Below(self.bytes(1, 3)),
            1..4 => PickTarget::Beside(self.bytes(1, 2)),
            _ => PickTarget::Over(self.prefix()),
        };
        PickOp::Clone(self.prefix(), part, target)
    }

    fn key(&mut self) -> PickKey {
        match self.rng.u32(..20) {
            0..9 => PickKey::Live(self.rng.u32(..)),
            9 => PickKey::Behind(self.rng.u32(..), self.bytes(1, 2)),
            10 => {
                let tail = self.rng.usize(20..300);
                let start = self.bytes(0, 3);
                PickKey::Exact([start, vec![b'a'; tail]].concat())
            }
            _ => PickKey::Exact(self.bytes(0, 6)),
        }
    }

    fn prefix(&mut self) -> PickPrefix {
        PickPrefix {
            key: self.key(),
            len: self.rng.u32(..),
        }
    }

    fn span(&mut self) -> PickSpan {
        match self.rng.u32(..8) {
            0..4 => PickSpan::Prefix(self.prefix()),
            4..7 => PickSpan::Between(self.key(), self.key()),
            _ => PickSpan::From(self.key()),
        }
    }

    fn bytes(&mut self, least: usize, most: usize) -> Vec<u8> {
        let len = self.rng.usize(least..=most);
        (0..len)
            .map(|_| ALPHABET[self.rng.usize(..ALPHABET.len())])
            .collect()
    }

    /// Mostly some bytes, sometimes some hundred, seldom the largest.
    fn length(&mut self) -> u32 {
        let most = match self.rng.u32(..20) {
            0..14 => 16,
            14..19 => 300,
            _ => self.mix.value_bytes,
        };
        self.rng.u32(..=most.min(self.mix.value_bytes))
    }

    fn burst(&mut self, list: &mut Vec<Step>) {
        let base = self.bytes(1, 2);
        let count = self.rng.u8(3..12);
        let place = |i: u8| [&base[..], &[b'0' + i]].concat();
        let key = |i: u8, tail: &[u8]| PickKey::Exact([&place(i)[..], tail].concat());
        let whole = |i: u8| PickPrefix {
            key: key(i, b""),
            len: u32::try_from(place(i).len()).unwrap_or(0),
        };
        let shape = self.rng.u8(..4);
        for i in 0..count {
            let tail = self.bytes(1, 3);
            let put = PickOp::Put(key(i, &tail), self.rng.u8(..), self.length());
            list.push(Step::Commit(match shape {
                0 => vec![
                    PickOp::Clone(whole(i), None, PickTarget::Over(whole(i + 1))),
                    put,
                ],
                1 => vec![
                    PickOp::Clone(whole(0), None, PickTarget::Over(whole(i + 1))),
                    put,
                ],
                2 => vec![PickOp::Put(key(0, &[i]), i, self.length())],
                _ => vec![put, PickOp::Put(key(i, b""), i, 8)],
            }));
            if self.one_in(self.mix.tick_every) {
                list.push(Step::Tick(1));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KvModel, KvOp, Limits, Span, resolve};

    #[test]
    fn the_same_seed_gives_the_same_list() {
        let (a, b) = (
            generate(5, 400, Mix::default()),
            generate(5, 400, Mix::default()),
        );
        assert_eq!(a, b);
        assert_ne!(a, generate(6, 400, Mix::default()));
    }

    /// Counts, over some seeds, the shapes the generator promises; each must occur.
    #[test]
    fn every_promised_shape_occurs_and_limits_hold() {
        let limits = Limits {
            keys: 100,
            bytes: 64 * 1024,
            key_bytes: 200,
        };
        let mut seen = [0_usize; 9];
        for seed in 0..20 {
            let mut model = KvModel::default();
            for step in generate(seed, 500, Mix::default()) {
                let Step::Commit(ops) = step else { continue };
                let batch = resolve(&ops, &model, limits);
                seen[8] += usize::from(batch.len() > 1);
                batch.iter().for_each(|op| count(op, &model, &mut seen));
                model.apply(&batch);
                let (keys, bytes) = model.weigh(&Span::all());
                assert!(
                    keys <= limits.keys && bytes <= limits.bytes,
                    "{keys} keys, {bytes} bytes"
                );
                assert!(
                    model
                        .scan(&Span::all())
                        .iter()
                        .all(|(k, _)| k.len() <= limits.key_bytes)
                );
            }
        }
        assert!(seen.iter().all(|n| *n > 5), "{seen:?}");
    }

    fn count(op: &KvOp, model: &KvModel, seen: &mut [usize; 9]) {
        match op {
            KvOp::CloneRange { source, from, to } => {
                let full = model.weigh(source).0 > 0;
                seen[0] += usize::from(full);
                seen[1] += usize::from(full && to.starts_with(from) && to.len() > from.len());
                seen[2] += usize::from(full && from.last() == Some(&0xff));
                seen[3] += usize::from(full && *source != Span::prefix(from));
                seen[4] += usize::from(full && model.weigh(&source.translated(from, to)).0 > 0);
            }
            KvOp::DeleteRange(span) => seen[5] += usize::from(model.weigh(span).0 > 0),
            KvOp::Patch(_, offset, _) => seen[6] += usize::from(*offset > 0),
            KvOp::Put(_, value) => seen[7] += usize::from(value.len() > 1024),
            KvOp::Delete(_) => {}
        }
    }
}
