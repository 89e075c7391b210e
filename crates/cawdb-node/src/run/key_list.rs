//! The keys of an index in memory, to be searched where they lie.
//!
//! ```text
//!   keys     a/one  a/two  a/twofold
//!   bytes    a/ ┊ one two twofold          what all of them share, once, then the rest of each
//!   ends          5   8   15
//! ```
//! Invariant: the keys ascend (neighbours may be equal), so what the first and the last of them share all of them do.

use crate::Key;
use crate::key::common_prefix;
use std::cmp::Ordering;

/// See the picture above.
#[derive(Default)]
pub(super) struct KeyList {
    bytes: Box<[u8]>,
    /// How many bytes all keys share.
    shared: usize,
    /// Where the rest of each key ends.
    ends: Box<[u32]>,
}

impl KeyList {
    /// A list of keys that ascend and are together shorter than 4 GiB. O(bytes).
    pub(super) fn new<'a>(keys: impl Iterator<Item = &'a [u8]> + Clone) -> Self {
        let first = keys.clone().next().unwrap_or_default();
        let shared = common_prefix(first, keys.clone().last().unwrap_or_default());
        let rests = keys.map(|key| &key[shared..]);
        let length = shared + rests.clone().map(<[u8]>::len).sum::<usize>();
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(&first[..shared]);
        let mut ends = Vec::new();
        for rest in rests {
            bytes.extend_from_slice(rest);
            ends.push(bytes.len() as u32);
        }
        Self {
            bytes: bytes.into(),
            shared,
            ends: ends.into(),
        }
    }

    /// Bytes that it takes on the heap.
    pub(super) fn memory(&self) -> usize {
        self.bytes.len() + size_of_val(&*self.ends)
    }

    fn shared(&self) -> &[u8] {
        &self.bytes[..self.shared]
    }

    /// What key number `i` has beyond that which all share.
    fn rest(&self, i: usize) -> &[u8] {
        let start = i
            .checked_sub(1)
            .map_or(self.shared, |before| self.ends[before] as usize);
        &self.bytes[start..self.ends[i] as usize]
    }

    /// How long key number `i` is.
    pub(super) fn len_of(&self, i: usize) -> usize {
        self.shared + self.rest(i).len()
    }

    /// Key number `i`, copied.
    pub(super) fn get(&self, i: usize) -> Key {
        [self.shared(), self.rest(i)].concat().into()
    }

    /// What is left of `key` behind what all keys share; if it does not share it, how all of them compare with it.
    fn relate<'a>(&self, key: &'a [u8]) -> Result<&'a [u8], Ordering> {
        let shared = self.shared();
        match key.strip_prefix(shared) {
            Some(rest) => Ok(rest),
            // Neither is the other; a key that is the start of what is shared lies below it.
            None => Err(shared.cmp(key)),
        }
    }

    /// How key number `i` compares with `key`.
    pub(super) fn compare(&self, i: usize, key: &[u8]) -> Ordering {
        match self.relate(key) {
            Ok(rest) => self.rest(i).cmp(rest),
            Err(order) => order,
        }
    }

    /// How many of the keys `offset`, `offset + 2`, ... lie below `key`. O(log keys).
    pub(super) fn below(&self, offset: usize, key: &[u8]) -> usize {
        let among = (self.ends.len() + 1 - offset) / 2;
        let wanted = match self.relate(key) {
            Ok(rest) => rest,
            Err(Ordering::Less) => return among,
            Err(_) => return 0,
        };
        let (mut from, mut to) = (0, among);
        while from < to {
            let middle = usize::midpoint(from, to);
            match self.rest(offset + 2 * middle) < wanted {
                true => from = middle + 1,
                false => to = middle,
            }
        }
        from
    }

    /// How many bytes key number `i` has in common with the one before it, and what it has beyond them.
    pub(super) fn beyond_the_one_before(&self, i: usize) -> (usize, &[u8]) {
        let rest = self.rest(i);
        let common = common_prefix(self.rest(i - 1), rest);
        (self.shared + common, &rest[common..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastrand::Rng;

    /// All keys of up to `len` letters of three, in order.
    fn all_keys(len: usize) -> Vec<Vec<u8>> {
        let mut all = vec![Vec::new()];
        let mut from = 0;
        for _ in 0..len {
            let to = all.len();
            for i in from..to {
                all.extend([0, b'a', 0xff].map(|c| [&all[i][..], &[c]].concat()));
            }
            from = to;
        }
        all.sort();
        all
    }

    /// Lists with every prefix in common, against the keys themselves.
    #[test]
    fn it_answers_as_the_keys_themselves() {
        let asked = all_keys(4);
        let mut rng = Rng::with_seed(5);
        let mut shared = [0; 4];
        for round in (0..40).cycle().take(2000) {
            let prefix = &all_keys(2)[rng.usize(..13)];
            let chosen = |_: &&Vec<u8>| rng.u8(..2 + round % 40) == 0;
            let all = all_keys(3);
            let chosen: Vec<_> = all.iter().filter(chosen).collect();
            let pairs = chosen
                .iter()
                .flat_map(|key| [key, key].into_iter().take(1 + usize::from(round % 2 == 0)));
            let keys: Vec<_> = pairs.map(|key| [prefix, &key[..]].concat()).collect();
            let list = KeyList::new(keys.iter().map(|key| &key[..]));
            shared[list.shared.min(3)] += 1;
            for (i, key) in keys.iter().enumerate() {
                assert_eq!(list.get(i), key);
                if i > 0 {
                    let (common, rest) = list.beyond_the_one_before(i);
                    assert_eq!(common, common_prefix(&keys[i - 1], key));
                    assert_eq!(rest, &key[common..]);
                }
            }
            for key in &asked {
                for (i, own) in keys.iter().enumerate() {
                    assert_eq!(list.compare(i, key), own.cmp(key), "{own:?} {key:?}");
                }
                for offset in 0..2 {
                    let below = keys.iter().skip(offset).step_by(2).filter(|own| *own < key);
                    assert_eq!(list.below(offset, key), below.count(), "{keys:?} {key:?}");
                }
            }
        }
        assert!(shared.iter().all(|&n| n > 20), "{shared:?}");
    }

    #[test]
    fn an_empty_one() {
        let list = KeyList::new(std::iter::empty());
        assert_eq!((list.below(0, b"a"), list.below(1, b"a")), (0, 0));
        assert_eq!(list.memory(), 0);
    }
}
