//! The slow sweep over all nodes, and what of background work is still to be done when a store is closed.
//!
//! ```text
//!   height 2    9  4                 every node once: from the top down, in each level the newest first
//!   height 1    8  7  3  2
//!   height 0    6  5 │ 1             closed here: opened again, the sweep goes on with 1
//! ```
//! Where reads are to be spared, a node with children is not looked at in one piece, or each step would read all of them to see how
//! wide they are: a step reads one child, and the two before it if they are not in memory: whether it is joined to its neighbour depends on them. Where the
//! step before ended, those two are read also if somebody else read what follows them.
//!
//! Invariant: what was not looked at since something changed lies after the place where a sweep goes on, or will be met by
//! the sweep after it, which begins at the top.

use crate::tree::Tree;
use cawdb_node::{Key, Node, NodeEntry, NodeHandle, Result, Shelf, Slot};
use std::cmp::Reverse;
use std::ops::Range;
use std::sync::{Arc, Weak};

/// A place in the order of a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Levels below the node that is next.
    pub height: u8,
    /// Its id.
    pub id: u64,
    /// The first of its slots whose child was not looked at.
    pub slot: u32,
    /// Whether something has changed since the sweep began, so that another follows it.
    pub again: bool,
}

/// What is still to be done in the background, as far as it has to be remembered while a store is closed: or each opening would begin with a
/// look at all nodes, and a store that is never open for long would have them looked at for nothing, or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upkeep {
    /// Nodes from this id on may not have been looked at since they were made.
    pub fresh_from: u64,
    /// Where the sweep goes on, if anything has changed since the last one.
    pub sweep: Option<Position>,
}

/// [`Upkeep`] as it was when a tick ended.
pub(crate) struct Noted {
    pub upkeep: Upkeep,
    /// Steps installed then.
    pub changes: u64,
    /// The root that was looked at.
    pub root: Weak<Node>,
}

/// A sweep that has begun.
pub(crate) struct Sweep {
    /// What is left, the next one last.
    left: Vec<Position>,
    /// Steps installed before it.
    changes_before: u64,
    /// Whether something had changed before it was left and taken up again.
    again: bool,
}

impl Position {
    /// Before all nodes.
    pub const TOP: Self = Self {
        height: u8::MAX,
        id: u64::MAX,
        slot: 0,
        again: false,
    };
    /// Behind all nodes.
    const END: Self = Self {
        height: 0,
        id: 0,
        slot: 0,
        again: false,
    };

    /// Whether it is before all nodes.
    pub(crate) fn is_top(&self) -> bool {
        self.order() <= Self::TOP.order()
    }

    /// What comes first in a sweep is least.
    fn order(&self) -> (Reverse<u8>, Reverse<u64>) {
        (Reverse(self.height), Reverse(self.id))
    }
}

impl Upkeep {
    /// Nothing is known: everything is to be looked at.
    pub const ALL: Self = Self {
        fresh_from: u64::MAX,
        sweep: Some(Position::TOP),
    };
    /// Nothing is to be done.
    pub const NONE: Self = Self {
        fresh_from: u64::MAX,
        sweep: None,
    };

    /// Whether something was looked at, or found to be owed, since it was so.
    pub fn got_on_since(&self, before: &Self) -> bool {
        self.sweep != before.sweep || self.fresh_from > before.fresh_from
    }
}

impl Default for Noted {
    fn default() -> Self {
        Self {
            upkeep: Upkeep::ALL,
            changes: 0,
            root: Weak::new(),
        }
    }
}

impl Sweep {
    /// A sweep over all nodes, from the top or from where an earlier one was left. O(nodes · log nodes), 16 bytes each; the table is locked
    /// only while they are listed.
    pub fn begin(shelf: &Shelf, from: Option<Position>, changes_before: u64) -> Self {
        let place = |entry: &NodeEntry| Position {
            height: entry.handle.height(),
            id: entry.handle.id().0,
            slot: 0,
            again: false,
        };
        let mut left: Vec<_> = shelf.table().nodes().map(place).collect();
        let first = from.map(|from| from.order());
        left.retain(|at| Some(at.order()) >= first);
        left.sort_unstable_by_key(|at| Reverse(at.order()));
        if let (Some(next), Some(from)) = (left.last_mut(), from)
            && next.order() == from.order()
        {
            next.slot = from.slot;
        }
        Self {
            left,
            changes_before,
            again: from.is_some_and(|from| from.again),
        }
    }

    /// The node that is next.
    pub fn next(&mut self) -> Option<Position> {
        self.left.pop()
    }

    /// Makes a node the next one again, which was looked at in part.
    pub fn go_on_with(&mut self, at: Position) {
        self.left.push(at);
    }

    /// Whether another has to follow, after so many steps were installed.
    pub fn again(&self, changes: u64) -> bool {
        self.again || self.changes_before != changes
    }

    /// Where it goes on, after so many steps were installed.
    pub fn position(&self, changes: u64) -> Position {
        Position {
            again: self.again(changes),
            ..self.left.last().copied().unwrap_or(Position::END)
        }
    }
}

/// Which children a step looks at, by whether they are missing in memory and by the place of the sweep: none that follows is in the dark
/// about its neighbour on the left.
fn next_children(missing: &[bool], from: usize) -> Range<usize> {
    let from = from.min(missing.len());
    let first = missing[from..].iter().position(|missing| *missing);
    from.saturating_sub(2)..first.map_or(missing.len(), |first| from + first + 1)
}

impl Tree {
    /// Reads the first child of a node that is not in memory, from a slot on, and those before it, from two before that slot on: what
    /// somebody else read meanwhile was not looked at beside its neighbours. So two more are read at most than if nobody did. Where the slot after
    /// it begins; none if there is no further one.
    ///
    /// # Errors
    /// If the node cannot be read; a child that cannot be is left as it is.
    pub(crate) fn read_next_child(&self, node: &Arc<NodeHandle>, slot: u32) -> Result<Option<Key>> {
        let node = self.shelf.load(node)?;
        let missing = |slot: &Slot| {
            let below = slot.below.as_ref();
            below.is_some_and(|edge| edge.node.missing().is_some())
        };
        let all: Vec<bool> = node.slots.iter().map(missing).collect();
        let step = next_children(&all, slot as usize);
        let end = step.end;
        for i in step.filter(|i| all[*i]) {
            let (range, slot) = (node.slot_range(i), &node.slots[i]);
            if let (Some(edge), false) = (&slot.below, self.avoids(slot)) {
                let shown = edge.tr.range_down(&range);
                self.spared(self.shelf.load_below(edge, &shown));
            }
        }
        Ok(node.slots.get(end).map(|slot| slot.lo.clone()))
    }

    /// The first slot of a node from a key on, now that children may have been joined or split; none if there is none.
    ///
    /// # Errors
    /// If the node cannot be read.
    pub(crate) fn slot_from(&self, node: &Arc<NodeHandle>, lo: &Key) -> Result<Option<u32>> {
        let slots = &self.shelf.load(node)?.slots;
        let at = slots.partition_point(|slot| slot.lo < *lo);
        Ok((at < slots.len()).then_some(at as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_read_meanwhile_is_looked_at_beside_its_neighbours_too() {
        let missing_but = |read: &[usize]| (0..8).map(|i| !read.contains(&i)).collect::<Vec<_>>();
        assert_eq!(next_children(&missing_but(&[]), 0), 0..1);
        assert_eq!(next_children(&missing_but(&[]), 5), 3..6);
        // The store was closed after child 4; the next session's first user read 5 and 6.
        assert_eq!(next_children(&missing_but(&[5, 6]), 5), 3..8);
        assert_eq!(next_children(&missing_but(&[5, 6, 7]), 5), 3..8);
        assert_eq!(next_children(&missing_but(&[0, 1]), 0), 0..3);
        // There are fewer than there were.
        assert_eq!(next_children(&missing_but(&[]), 11), 6..8);
        assert_eq!(next_children(&[], 3), 0..0);
    }
}
