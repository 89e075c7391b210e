//! What the engine means: an ordered map whose ranges clone.
//!
//! This is the specification, written to be obviously right and not fast.
//!
//! Invariants:
//! 1. the clones of a batch read the state before the batch, all of them;
//! 2. then each clone, in order, replaces the whole destination range, also where the source had nothing;
//! 3. then the other changes apply, in the order in which they were added.
//!
//! ```text
//!  source  [lo ............ hi)      every key carries `from`
//!            │ from→to      │        hi either carries it too, or is its successor
//!  target  [lo' ........... hi')     emptied first, then filled
//! ```
use std::collections::BTreeMap;
use std::ops::Bound;

/// A half-open range of keys; no `hi` means "to the end".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// First key.
    pub lo: Vec<u8>,
    /// First key behind the range.
    pub hi: Option<Vec<u8>>,
}

/// A key with its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// One change of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvOp {
    /// Sets a value.
    Put(Vec<u8>, Vec<u8>),
    /// Removes a key.
    Delete(Vec<u8>),
    /// Overwrites a value from an offset on; what is missing before it is zeros.
    Patch(Vec<u8>, u32, Vec<u8>),
    /// Removes all keys of a range.
    DeleteRange(Span),
    /// Replaces the translated range by the content of `source`.
    CloneRange {
        /// What is cloned; all its keys carry `from`.
        source: Span,
        /// The prefix that is replaced.
        from: Vec<u8>,
        /// What replaces it.
        to: Vec<u8>,
    },
}

/// The smallest key above all that start with `prefix`, if there is one.
pub fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut key = prefix.to_vec();
    while let Some(last) = key.pop() {
        if last < u8::MAX {
            key.push(last + 1);
            return Some(key);
        }
    }
    None
}

impl Span {
    /// Every key.
    pub fn all() -> Self {
        Self {
            lo: Vec::new(),
            hi: None,
        }
    }

    /// Every key that starts with `prefix`.
    pub fn prefix(prefix: &[u8]) -> Self {
        Self {
            lo: prefix.to_vec(),
            hi: successor(prefix),
        }
    }

    /// Whether no key can lie in the range.
    pub fn is_empty(&self) -> bool {
        self.hi.as_ref().is_some_and(|hi| *hi <= self.lo)
    }

    /// Whether every key of the range carries the prefix, so that the range may be translated.
    pub fn carries(&self, prefix: &[u8]) -> bool {
        let below = |hi: &Vec<u8>| hi.starts_with(prefix) || Some(hi) == successor(prefix).as_ref();
        self.lo.starts_with(prefix) && self.hi.as_ref().map_or(successor(prefix).is_none(), below)
    }

    /// The same range with `from` replaced by `to` in all its keys.
    pub fn translated(&self, from: &[u8], to: &[u8]) -> Self {
        let hi = match &self.hi {
            Some(hi) if hi.starts_with(from) => Some(translated(hi, from, to)),
            _ => successor(to),
        };
        Self {
            lo: translated(&self.lo, from, to),
            hi,
        }
    }

    fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        let hi = self
            .hi
            .as_ref()
            .map_or(Bound::Unbounded, |hi| Bound::Excluded(&hi[..]));
        (Bound::Included(&self.lo), hi)
    }
}

/// A key with the prefix `from` replaced by `to`.
fn translated(key: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let rest = key
        .strip_prefix(from)
        .expect("the range carries the prefix");
    [to, rest].concat()
}

/// The model: an ordered map of byte strings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KvModel {
    map: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl KvModel {
    /// Applies a batch, all at once.
    pub fn apply(&mut self, batch: &[KvOp]) {
        let mut clones = Vec::new();
        for op in batch {
            if let KvOp::CloneRange { source, from, to } = op {
                assert!(
                    source.carries(from),
                    "a generator made a clone without meaning: {op:?}"
                );
                let moved = |(key, value): Pair| (translated(&key, from, to), value);
                let pairs: Vec<Pair> = self.scan(source).into_iter().map(moved).collect();
                clones.push((source.translated(from, to), pairs));
            }
        }
        for (target, pairs) in clones {
            self.remove(&target);
            self.map.extend(pairs);
        }
        batch.iter().for_each(|op| self.apply_plain(op));
    }

    fn apply_plain(&mut self, op: &KvOp) {
        match op {
            KvOp::Put(key, value) => {
                self.map.insert(key.clone(), value.clone());
            }
            KvOp::Delete(key) => {
                self.map.remove(key);
            }
            // Nothing to lay anywhere: not even the key comes into being.
            KvOp::Patch(_, _, bytes) if bytes.is_empty() => {}
            KvOp::Patch(key, offset, bytes) => {
                let value = self.map.entry(key.clone()).or_default();
                let start = usize::try_from(*offset).expect("u32 fits a 32-bit machine and more");
                let end = start + bytes.len();
                if value.len() < end {
                    value.resize(end, 0);
                }
                value[start..end].copy_from_slice(bytes);
            }
            KvOp::DeleteRange(span) => self.remove(span),
            KvOp::CloneRange { .. } => {}
        }
    }

    fn remove(&mut self, span: &Span) {
        for (key, _) in self.scan(span) {
            self.map.remove(&key);
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.map.get(key).map(Vec::as_slice)
    }

    /// All pairs of a range, ascending. O(pairs).
    pub fn scan(&self, span: &Span) -> Vec<Pair> {
        if span.is_empty() {
            return Vec::new();
        }
        self.map
            .range::<[u8], _>(span.bounds())
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect()
    }

    /// The key at a position, counted round and round; none if there is no key. O(position).
    pub fn nth_key(&self, index: usize) -> Option<&[u8]> {
        self.map
            .keys()
            .nth(index.checked_rem(self.map.len())?)
            .map(Vec::as_slice)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// How many keys and bytes of keys and values lie in a range. O(pairs).
    pub fn weigh(&self, span: &Span) -> (usize, usize) {
        if span.is_empty() {
            return (0, 0);
        }
        let pairs = self.map.range::<[u8], _>(span.bounds());
        pairs.fold((0, 0), |(n, bytes), (k, v)| {
            (n + 1, bytes + k.len() + v.len())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &[u8], value: &[u8]) -> KvOp {
        KvOp::Put(key.to_vec(), value.to_vec())
    }

    fn clone(from: &[u8], to: &[u8]) -> KvOp {
        KvOp::CloneRange {
            source: Span::prefix(from),
            from: from.to_vec(),
            to: to.to_vec(),
        }
    }

    fn model(batches: &[&[KvOp]]) -> Vec<(String, String)> {
        let mut model = KvModel::default();
        batches.iter().for_each(|batch| model.apply(batch));
        let text = |b: &[u8]| b.escape_ascii().to_string();
        model
            .scan(&Span::all())
            .iter()
            .map(|(k, v)| (text(k), text(v)))
            .collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected
            .iter()
            .map(|(k, v)| ((*k).to_string(), (*v).to_string()))
            .collect()
    }

    #[test]
    fn clones_read_the_state_before_the_batch_and_puts_apply_after() {
        let got = model(&[
            &[put(b"a1", b"x"), put(b"b9", b"gone")],
            &[
                put(b"a1", b"new"),
                put(b"b2", b"kept"),
                clone(b"a", b"b"),
                clone(b"b", b"c"),
            ],
        ]);
        let want = [("a1", "new"), ("b1", "x"), ("b2", "kept"), ("c9", "gone")];
        assert_eq!(got, pairs(&want));
    }

    #[test]
    fn a_clone_into_its_own_subtree_happens_once() {
        let got = model(&[
            &[put(b"a1", b"x"), put(b"a/a1", b"y")],
            &[clone(b"a", b"a/a")],
        ]);
        assert_eq!(got, pairs(&[("a/a/a1", "y"), ("a/a1", "x"), ("a1", "x")]));
    }

    #[test]
    fn a_clone_of_nothing_empties_the_target() {
        assert_eq!(
            model(&[&[put(b"b1", b"x"), put(b"c", b"y")], &[clone(b"a", b"b")]]),
            pairs(&[("c", "y")])
        );
    }

    #[test]
    fn prefixes_that_end_in_ff_have_the_right_end() {
        let got = model(&[
            &[put(b"a\xff\xff1", b"x"), put(b"b", b"out")],
            &[clone(b"a\xff\xff", b"\xff")],
        ]);
        assert_eq!(
            got,
            pairs(&[(r"a\xff\xff1", "x"), ("b", "out"), (r"\xff1", "x")])
        );
        assert_eq!(successor(b"a\xff\xff"), Some(b"b".to_vec()));
        assert_eq!((successor(b"\xff"), successor(b"")), (None, None));
    }

    #[test]
    fn part_of_a_prefix_translates_by_prefix() {
        let part = Span {
            lo: b"ab".to_vec(),
            hi: Some(b"ad".to_vec()),
        };
        assert!(part.carries(b"a") && !part.carries(b"ab"));
        assert_eq!(
            part.translated(b"a", b"zz"),
            Span {
                lo: b"zzb".to_vec(),
                hi: Some(b"zzd".to_vec())
            }
        );
        assert!(Span::all().carries(b"") && Span::prefix(b"\xff").carries(b"\xff"));
        assert_eq!(
            Span::prefix(b"\xff").translated(b"\xff", b"q"),
            Span::prefix(b"q")
        );
    }

    #[test]
    fn a_patch_extends_with_zeros_and_a_range_is_deleted() {
        let got = model(&[
            &[
                KvOp::Patch(b"k".to_vec(), 2, b"z".to_vec()),
                put(b"l", b"abc"),
            ],
            &[
                KvOp::Patch(b"l".to_vec(), 1, b"X".to_vec()),
                put(b"m", b""),
                put(b"n", b""),
            ],
            &[KvOp::DeleteRange(Span {
                lo: b"m".to_vec(),
                hi: Some(b"n".to_vec()),
            })],
        ]);
        assert_eq!(got, pairs(&[("k", r"\x00\x00z"), ("l", "aXc"), ("n", "")]));
    }
}
