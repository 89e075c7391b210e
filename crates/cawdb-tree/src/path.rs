//! The way from the root to height 0: which runs make up the content around a key, and for how far.
//!
//! ```text
//!  root     slot ─ layers r1 r2          interval: the keys for which exactly these layers count
//!            └edge p→q                   layers:   r1, r2, r3, r4, r5 newest first, each with the composed
//!  node     slot ─ layers r3                       translation from the view's keys to the run's
//!            └edge
//!  height 0 slot ─ layers r4 r5
//! ```

use crate::stream::Direction;
use cawdb_node::{KeyRange, Node, Result, Run, Shelf, Translation};
use std::sync::Arc;

/// The layers that count in one interval of the view's keys.
pub struct Path {
    /// The interval; it holds the key asked for.
    pub interval: KeyRange,
    /// The layers, newest first.
    pub layers: Vec<(Arc<Run>, Translation)>,
}

/// The path for the keys at the start of `range` (ascending) or at its end (descending); `range` must not be
/// empty. The interval does not reach beyond `range`. O(height) nodes.
///
/// # Errors
/// If a node cannot be read.
pub fn descend(
    shelf: &Shelf,
    root: &Arc<Node>,
    range: &KeyRange,
    direction: Direction,
) -> Result<Path> {
    let mut node = root.clone();
    let mut through = Translation::identity();
    let mut local = range.clone();
    let mut layers = Vec::new();
    loop {
        let i = match (direction, &local.hi) {
            (Direction::Forward, _) => node.find(&local.lo),
            (Direction::Backward, Some(hi)) => {
                node.slots.partition_point(|s| s.lo < *hi).saturating_sub(1)
            }
            (Direction::Backward, None) => node.slots.len() - 1,
        };
        local = local.intersect(&node.slot_range(i));
        let slot = &node.slots[i];
        layers.extend(
            slot.layers
                .iter()
                .map(|l| (l.run.clone(), through.then(&l.tr))),
        );
        let Some(edge) = &slot.below else { break };
        local = edge.tr.range_down(&local);
        let below = shelf.load_below(edge, &local)?;
        through = through.then(&edge.tr);
        node = below;
    }
    Ok(Path {
        interval: through.range_up(&local),
        layers,
    })
}
