//! Translation: on the way down an edge or a layer, the prefix `from` of a key is replaced by `to`.
//!
//! ```text
//!   keys of the slot's node      from|rest        [from.., successor(from))
//!                                 down │ ▲ up
//!   keys of the run or child       to|rest        [to..,   successor(to))
//! ```
//!
//! Invariants:
//! - normalised: `from` and `to` do not end in the same byte, so that equal translations look equal and each
//!   applies as widely as it can;
//! - it is applied only to ranges whose every key starts with `from`;
//! - an end of a range that starts with the prefix is translated by prefix; only successor(from), the end of all
//!   keys with the prefix, which itself lacks it, becomes successor(to).

#[cfg(test)]
mod tests;

use crate::{Key, KeyRange, hi_less, successor};
use std::sync::Arc;

/// Replaces one prefix by another; the identity replaces nothing. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Translation(Option<Arc<(Key, Key)>>);

fn replace_prefix(key: &[u8], old: &[u8], new: &[u8]) -> Key {
    let Some(rest) = key.strip_prefix(old) else {
        panic!("key {key:?} does not start with {old:?}: translated outside of its range");
    };
    [new, rest].concat().into()
}

/// Whether all keys of `range` start with `prefix`, its ends alone considered.
fn all_carry(range: &KeyRange, prefix: &[u8]) -> bool {
    range.lo.starts_with(prefix) && !hi_less(successor(prefix).as_ref(), range.hi.as_ref())
}

fn replace_in_range(range: &KeyRange, old: &[u8], new: &[u8]) -> KeyRange {
    assert!(
        all_carry(range, old),
        "{range:?} reaches beyond the prefix {old:?}"
    );
    let hi = match &range.hi {
        Some(hi) if hi.starts_with(old) => Some(replace_prefix(hi, old, new)),
        // Not empty and all keys below it carry the prefix: the end can only be the prefix's successor.
        _ => successor(new),
    };
    KeyRange {
        lo: replace_prefix(&range.lo, old, new),
        hi,
    }
}

impl Translation {
    /// The translation that changes nothing.
    pub fn identity() -> Self {
        Self(None)
    }

    /// Replaces `from` by `to`, normalised.
    pub fn new(from: impl Into<Key>, to: impl Into<Key>) -> Self {
        let (from, to) = (from.into(), to.into());
        let same = from
            .iter()
            .rev()
            .zip(to.iter().rev())
            .take_while(|(a, b)| a == b)
            .count();
        if same == from.len() && same == to.len() {
            return Self(None);
        }
        Self(Some(Arc::new((
            from.slice(..from.len() - same),
            to.slice(..to.len() - same),
        ))))
    }

    /// The prefix above; empty for the identity.
    pub fn from(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |pair| &pair.0)
    }

    /// The prefix below; empty for the identity.
    pub fn to(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |pair| &pair.1)
    }

    /// Whether it changes nothing.
    pub fn is_identity(&self) -> bool {
        self.0.is_none()
    }

    /// Whether every key of `range` carries the prefix above.
    pub fn applies_to(&self, range: &KeyRange) -> bool {
        all_carry(range, self.from())
    }

    /// The key below for a key above.
    ///
    /// # Panics
    /// If the key lacks the prefix.
    pub fn key_down(&self, key: &[u8]) -> Key {
        replace_prefix(key, self.from(), self.to())
    }

    /// The key above for a key below; where nothing is translated, the same one.
    ///
    /// # Panics
    /// If the key lacks the prefix.
    pub fn key_up(&self, key: Key) -> Key {
        match &self.0 {
            None => key,
            Some(_) => replace_prefix(&key, self.to(), self.from()),
        }
    }

    /// The range below for a range above.
    ///
    /// # Panics
    /// If the translation does not apply to it.
    pub fn range_down(&self, range: &KeyRange) -> KeyRange {
        match &self.0 {
            None => range.clone(),
            Some(pair) => replace_in_range(range, &pair.0, &pair.1),
        }
    }

    /// The range above for a range below.
    ///
    /// # Panics
    /// If not all its keys carry the prefix below.
    pub fn range_up(&self, range: &KeyRange) -> KeyRange {
        match &self.0 {
            None => range.clone(),
            Some(pair) => replace_in_range(range, &pair.1, &pair.0),
        }
    }

    /// First this one, then `lower`, as one translation, for the ranges to which both apply in turn.
    ///
    /// # Panics
    /// If there is no such range, because neither `to` nor the lower `from` starts with the other.
    pub fn then(&self, lower: &Self) -> Self {
        if self.is_identity() {
            return lower.clone();
        }
        if lower.is_identity() {
            return self.clone();
        }
        let (from, middle, next, to) = (self.from(), self.to(), lower.from(), lower.to());
        if let Some(rest) = middle.strip_prefix(next) {
            return Self::new(Key::copy_from_slice(from), [to, rest].concat());
        }
        if let Some(rest) = next.strip_prefix(middle) {
            return Self::new([from, rest].concat(), Key::copy_from_slice(to));
        }
        panic!("no key passes {self:?} and then {lower:?}");
    }

    /// The translation that leads back.
    pub fn inverse(&self) -> Self {
        Self(
            self.0
                .as_ref()
                .map(|pair| Arc::new((pair.1.clone(), pair.0.clone()))),
        )
    }
}
