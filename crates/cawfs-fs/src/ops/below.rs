//! The nodes of a removed tree, which the kernel is to forget, in pieces from the leaves up.
//!
//! ```text
//!   t ─ a ─ 1        pieces of two:  1 2 │ a b │ t
//!     │   └ 2        Between them the table is free, and what a piece names is forgotten.
//!     └ b
//! ```
//! A tree may have a hundred thousand nodes. Who takes and gives back the lock of the table for each of them keeps all others
//! away: whoever waits is woken when the lock is free, and finds it taken again.
//!
//! Invariant: no node comes before one that is below it; the table is locked for one piece, and one directory beyond, at a time.

use crate::fs::Fs;
use crate::locks::lock;
use crate::types::NodeId;

/// The pieces, each of at least one node.
pub struct NodesBelow<'a> {
    fs: &'a Fs,
    most: usize,
    /// What is left, next one last; and whether those below it came already.
    left: Vec<(NodeId, bool)>,
}

impl Fs {
    /// The nodes at and below one that was removed, those below first, `most` of them at a time.
    pub fn nodes_below(&self, removed: NodeId, most: usize) -> NodesBelow<'_> {
        NodesBelow {
            fs: self,
            most,
            left: vec![(removed, false)],
        }
    }
}

impl Iterator for NodesBelow<'_> {
    type Item = Vec<NodeId>;

    fn next(&mut self) -> Option<Vec<NodeId>> {
        let mut piece = Vec::new();
        let table = lock(&self.fs.table);
        while piece.len() < self.most
            && let Some((node, below_came)) = self.left.pop()
        {
            let children = (!below_came).then(|| table.children(node));
            let mut below = children.into_iter().flatten().peekable();
            if below.peek().is_none() {
                piece.push(node);
                continue;
            }
            self.left.push((node, true));
            self.left.extend(below.map(|child| (child, false)));
        }
        (!piece.is_empty()).then_some(piece)
    }
}
