//! Steps of a random test, and what they mean on a given state.
//!
//! Invariants:
//! 1. a step names keys by index into the keys that live when it is replayed, so every sub-list of a list of
//!    steps is meaningful too: that is what makes shrinking work;
//! 2. resolving a step never gives an operation without meaning, and never grows the state above [`Limits`].
//!
//! ```text
//!  PickKey::Live(13) ── 5 keys live ──► the key at position 13 mod 5
//! ```
use crate::kv_model::{KvModel, KvOp, Span, successor};

/// A choice of key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PickKey {
    /// The live key at this position, counted round and round (the empty key if none lives).
    Live(u32),
    /// This key.
    Exact(Vec<u8>),
    /// A live key with something behind it.
    Behind(u32, Vec<u8>),
}

/// A choice of prefix: the first `len` bytes of a key, counted round and round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PickPrefix {
    /// The key.
    pub key: PickKey,
    /// How much of it: `len` modulo (its length + 1).
    pub len: u32,
}

/// A choice of range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PickSpan {
    /// All keys with a prefix.
    Prefix(PickPrefix),
    /// From the smaller of two keys to the larger.
    Between(PickKey, PickKey),
    /// From a key to the end.
    From(PickKey),
}

/// Where a clone goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PickTarget {
    /// Below the source: its prefix and these bytes.
    Below(Vec<u8>),
    /// Beside the source: its prefix without the last byte, and these bytes.
    Beside(Vec<u8>),
    /// Over some other place.
    Over(PickPrefix),
}

/// One change of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PickOp {
    /// Put of [`fill`]`(tag, len)`.
    Put(PickKey, u8, u32),
    /// Delete.
    Delete(PickKey),
    /// Patch at an offset with [`fill`]`(tag, len)`.
    Patch(PickKey, u32, u8, u32),
    /// Range delete.
    DeleteRange(PickSpan),
    /// Clone of a prefix, or of the part of it between two of the keys it holds.
    Clone(PickPrefix, Option<(u32, u32)>, PickTarget),
}

/// One step of a random test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// One atomic batch.
    Commit(Vec<PickOp>),
    /// Compares one value.
    Get(PickKey),
    /// Compares one range, upwards or downwards.
    Scan(PickSpan, bool),
    /// Takes a snapshot to be compared later.
    Snapshot,
    /// Compares an older snapshot with what it was, and drops it if so said.
    Compare(u32, bool),
    /// So many pieces of background work.
    Tick(u8),
    /// Makes everything durable.
    Sync,
    /// Writes a checkpoint.
    Checkpoint,
    /// Closes and opens again.
    Reopen,
    /// Loses power: what was not synced is kept, dropped or torn, as this seed says.
    Crash(u32),
}

/// How large the state may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Keys.
    pub keys: usize,
    /// Bytes of all keys and values.
    pub bytes: usize,
    /// Bytes of one key.
    pub key_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            keys: 600,
            bytes: 512 * 1024,
            key_bytes: 512,
        }
    }
}

/// Bytes that say where they came from: `tag`, `tag + 1`, ... wrapping.
pub fn fill(tag: u8, len: u32) -> Vec<u8> {
    (0..len)
        .map(|at| tag.wrapping_add(at.to_le_bytes()[0]))
        .collect()
}

/// The batch that a list of choices means on this state; what would pass the limits is left out.
pub fn resolve(ops: &[PickOp], model: &KvModel, limits: Limits) -> Vec<KvOp> {
    let (mut keys, mut bytes) = model.weigh(&Span::all());
    let mut batch = Vec::new();
    for op in ops {
        let op = resolve_one(op, model);
        let (more_keys, more_bytes, longest) = growth(&op, model);
        let fits = keys + more_keys <= limits.keys && bytes + more_bytes <= limits.bytes;
        if (more_bytes == 0 || fits) && longest <= limits.key_bytes {
            keys += more_keys;
            bytes += more_bytes;
            batch.push(op);
        }
    }
    batch
}

fn resolve_one(op: &PickOp, model: &KvModel) -> KvOp {
    match op {
        PickOp::Put(key, tag, len) => KvOp::Put(key.on(model), fill(*tag, *len)),
        PickOp::Delete(key) => KvOp::Delete(key.on(model)),
        PickOp::Patch(key, offset, tag, len) => {
            KvOp::Patch(key.on(model), *offset, fill(*tag, *len))
        }
        PickOp::DeleteRange(span) => KvOp::DeleteRange(span.on(model)),
        PickOp::Clone(prefix, part, target) => {
            let from = prefix.on(model);
            let to = target.on(&from, model);
            let source = part.map_or_else(|| Span::prefix(&from), |p| part_of(&from, p, model));
            KvOp::CloneRange { source, from, to }
        }
    }
}

/// The part of a prefix's range between two of its live keys; the second may also be the end of it.
fn part_of(prefix: &[u8], (a, b): (u32, u32), model: &KvModel) -> Span {
    let whole = Span::prefix(prefix);
    let keys: Vec<_> = model.scan(&whole).into_iter().map(|(key, _)| key).collect();
    let (a, b) = (index(a, keys.len() + 1), index(b, keys.len() + 1));
    let (a, b) = (a.min(b), a.max(b));
    let lo = keys.get(a).cloned().unwrap_or_else(|| whole.lo.clone());
    Span {
        lo,
        hi: keys.get(b).cloned().or_else(|| successor(prefix)),
    }
}

/// At most how many keys and bytes an operation adds, and the longest key it makes.
fn growth(op: &KvOp, model: &KvModel) -> (usize, usize, usize) {
    match op {
        KvOp::Put(key, value) => (1, key.len() + value.len().max(1), key.len()),
        KvOp::Patch(key, offset, bytes) => {
            let end = usize::try_from(*offset)
                .unwrap_or(usize::MAX)
                .saturating_add(bytes.len());
            (1, end.saturating_add(key.len()).max(1), key.len())
        }
        KvOp::Delete(key) => (0, 0, key.len()),
        KvOp::DeleteRange(span) => (0, 0, span.lo.len()),
        KvOp::CloneRange { source, from, to } => {
            let (keys, bytes) = model.weigh(source);
            let pairs = model.scan(source);
            let longest = pairs
                .iter()
                .map(|(key, _)| key.len())
                .max()
                .unwrap_or(from.len());
            (
                keys,
                bytes + keys * to.len(),
                longest.max(from.len()) - from.len() + to.len(),
            )
        }
    }
}

fn index(pick: u32, len: usize) -> usize {
    usize::try_from(pick)
        .unwrap_or(0)
        .checked_rem(len)
        .unwrap_or(0)
}

impl PickKey {
    /// The key that is meant.
    pub fn on(&self, model: &KvModel) -> Vec<u8> {
        let live = |at: u32| {
            model
                .nth_key(index(at, model.len()))
                .unwrap_or_default()
                .to_vec()
        };
        match self {
            Self::Live(at) => live(*at),
            Self::Exact(key) => key.clone(),
            Self::Behind(at, tail) => [live(*at), tail.clone()].concat(),
        }
    }
}

impl PickPrefix {
    /// The prefix that is meant.
    pub fn on(&self, model: &KvModel) -> Vec<u8> {
        let mut key = self.key.on(model);
        key.truncate(index(self.len, key.len() + 1));
        key
    }
}

impl PickSpan {
    /// The range that is meant.
    pub fn on(&self, model: &KvModel) -> Span {
        match self {
            Self::Prefix(prefix) => Span::prefix(&prefix.on(model)),
            Self::Between(a, b) => {
                let (a, b) = (a.on(model), b.on(model));
                Span {
                    lo: a.clone().min(b.clone()),
                    hi: Some(a.max(b)),
                }
            }
            Self::From(key) => Span {
                lo: key.on(model),
                hi: None,
            },
        }
    }
}

impl PickTarget {
    fn on(&self, from: &[u8], model: &KvModel) -> Vec<u8> {
        match self {
            Self::Below(tail) => [from, tail].concat(),
            Self::Beside(tail) => [&from[..from.len().saturating_sub(1)], tail].concat(),
            Self::Over(prefix) => prefix.on(model),
        }
    }
}

impl Step {
    /// Simpler forms of a step, for the shrinker.
    pub fn simpler(&self) -> Vec<Self> {
        let Self::Commit(ops) = self else {
            return match self {
                Self::Tick(n) if *n > 1 => vec![Self::Tick(1), Self::Tick(n - 1)],
                _ => Vec::new(),
            };
        };
        let mut forms = Vec::new();
        if ops.len() > 1 {
            for at in 0..ops.len() {
                let mut fewer = ops.clone();
                fewer.remove(at);
                forms.push(Self::Commit(fewer));
            }
        }
        for (at, op) in ops.iter().enumerate() {
            let with = |op: PickOp| {
                let mut ops = ops.clone();
                ops[at] = op;
                Self::Commit(ops)
            };
            match op {
                PickOp::Put(key, tag, len) if *len > 1 => {
                    forms.push(with(PickOp::Put(key.clone(), *tag, 1)));
                    forms.push(with(PickOp::Put(key.clone(), *tag, len / 2)));
                }
                PickOp::Patch(key, offset, tag, len) if *len > 1 || *offset > 0 => {
                    forms.push(with(PickOp::Patch(
                        key.clone(),
                        offset / 2,
                        *tag,
                        len.div_ceil(2),
                    )));
                }
                PickOp::Clone(prefix, Some(_), target) => {
                    forms.push(with(PickOp::Clone(prefix.clone(), None, target.clone())));
                }
                _ => {}
            }
        }
        forms
    }
}
