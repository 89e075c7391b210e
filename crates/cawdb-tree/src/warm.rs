//! Reading ahead of those who will ask: what a clone needs before it holds a lock, and the top of a tree that was just opened.
//!
//! ```text
//!   one after the other   ask ─── wait ─── ask ─── wait ─── ask ─── wait      a disk takes as long for many as for one,
//!   here                  ask ask ask ─── wait                                if it is told of them before somebody waits
//! ```
//! What is known to be wanted is told to the disk, in the order in which it lies there, and then read as always: nothing else is
//! read, and nothing is believed that others would not believe.

use crate::root::CloneSpec;
use crate::tree::Tree;
use cawdb_disk::Extent;
use cawdb_node::{Key, KeyRange, Node, NodeHandle, Result, Run, Slot};
use std::collections::HashSet;
use std::sync::Arc;

/// Requests that the disk is told of at a time when the top is read: with more of them, who asks meanwhile would wait behind them.
const WINDOW: usize = 16;
/// What a request costs a budget at least, in bytes: a disk takes as long for it as for fewer. Or a store of many clones would read
/// their nodes and indexes one by one, while somebody wants the disk for himself.
const REQUEST: u64 = 256 << 10;

/// So many clones of a batch may have destinations in which later ones lie: a tree comes first, and then what is shared in it.
const NESTED: usize = 8;

/// The top of a tree: the runs of its upper nodes, from the root down.
pub struct Top {
    runs: Vec<Arc<Run>>,
    left_bytes: u64,
}

/// Something to be read, and where it lies.
struct Wanted<T> {
    extent: Extent,
    what: T,
}

impl Tree {
    /// Reads what clones of `root` will need, so that whoever makes them under a lock waits for no disk. Of a cold store it takes
    /// the time of two requests: what the root names, and what its children name; and of one more where a run that is cut is a single segment too long to be
    /// read with its index. It looks at nothing else: at a pivot nothing is cut, and
    /// children are shared as they are but where the root shows a part of them; those at a destination are nobody's business.
    ///
    /// # Errors
    /// If a range is not valid, or a child or run index cannot be read.
    pub fn warm(&self, root: &Node, clones: &[CloneSpec]) -> Result<()> {
        let cuts = cuts(root, clones)?;
        let parts: Vec<_> = clones
            .iter()
            .flat_map(|clone| parts(root, &clone.source))
            .collect();
        let slot = |i: &usize| &root.slots[*i];
        self.tell(
            cuts.iter().map(|(i, _)| slot(i)),
            parts.iter().map(|(i, _)| slot(i)),
        );
        for (i, halves) in &cuts {
            for half in halves {
                root.slots[*i].restrict(half)?;
            }
        }
        let mut children = Vec::new();
        for (i, part) in parts {
            if let Some(edge) = &root.slots[i].below {
                let shown = edge.tr.range_down(&part);
                let child = self.shelf.load_below(edge, &shown)?;
                if child.range != shown {
                    children.push((child, shown));
                }
            }
        }
        self.restrict_all(&children)
    }

    /// Reads what is on the way to both ends of ranges, and lies over it, as who walks them does.
    ///
    /// # Errors
    /// If a child or run index cannot be read.
    pub fn warm_ends(&self, root: &Node, ranges: &[KeyRange]) -> Result<()> {
        let keys = ranges
            .iter()
            .flat_map(|range| std::iter::once(&range.lo).chain(&range.hi));
        let ends: Vec<_> = keys.map(|key| right_of(root, key)).collect();
        let slots = || ends.iter().map(|(i, _)| &root.slots[*i]);
        self.tell(slots(), slots());
        let mut children = Vec::new();
        for (i, right) in ends {
            root.slots[i].restrict(&right)?;
            if let Some(edge) = &root.slots[i].below {
                let shown = edge.tr.range_down(&right);
                children.push((self.shelf.load_below(edge, &shown)?, shown));
            }
        }
        self.restrict_all(&children)
    }

    /// Reads what it takes to restrict children.
    fn restrict_all(&self, children: &[(Arc<Node>, KeyRange)]) -> Result<()> {
        let cut = children
            .iter()
            .flat_map(|(child, shown)| slots_at_ends(child, shown));
        self.tell(cut, std::iter::empty());
        for (child, shown) in children {
            child.restrict(shown)?;
        }
        Ok(())
    }

    /// Tells the disk of all indexes of runs of slots that are cut, and of the nodes below slots.
    fn tell<'a>(&self, cut: impl Iterator<Item = &'a Slot>, below: impl Iterator<Item = &'a Slot>) {
        let layers = cut.flat_map(|slot| slot.layers.iter());
        let indexes = layers.filter_map(|layer| layer.run.missing_index());
        let edges = below.filter_map(|slot| slot.below.as_ref());
        let nodes = edges.filter_map(|edge| edge.node.missing());
        let mut extents: Vec<_> = indexes.chain(nodes).collect();
        extents.sort_unstable_by_key(|extent| extent.offset);
        extents.dedup();
        // One is asked for at once anyway.
        if extents.len() > 1 {
            extents
                .into_iter()
                .for_each(|e| self.shelf.disk.will_read(e));
        }
    }

    /// Reads nodes from the root down, level by level, up to half of `budget_bytes`, for as long as `go_on` says so. What cannot be
    /// read is left to whoever needs it.
    pub fn warm_nodes(&self, root: &Arc<Node>, budget_bytes: u64, go_on: &dyn Fn() -> bool) -> Top {
        let (mut nodes, mut known) = (HashSet::new(), HashSet::new());
        let (mut level, mut runs) = (vec![root.clone()], Vec::new());
        let mut left_bytes = budget_bytes / 2;
        while !level.is_empty() && go_on() {
            let slots = || level.iter().flat_map(|node| &node.slots);
            let layers = slots().flat_map(|slot| slot.layers.iter());
            let new = layers.filter(|layer| known.insert(layer.run.id()));
            runs.extend(new.map(|layer| layer.run.clone()));
            let below = slots().filter_map(|slot| slot.below.as_ref());
            let below = below.filter(|edge| nodes.insert(edge.node.id()));
            let below = below.map(|edge| edge.node.clone());
            let (mut next, mut wanted) = (Vec::new(), Vec::new());
            for handle in below {
                match (handle.loaded(), handle.missing()) {
                    (Some(node), _) => next.push(node),
                    (None, Some(extent)) => wanted.push(Wanted {
                        extent,
                        what: handle,
                    }),
                    (None, None) => {}
                }
            }
            let wanted = within(wanted, &mut left_bytes);
            let load = |handle: &Arc<NodeHandle>| next.extend(self.shelf.load(handle));
            self.in_windows(wanted, go_on, load);
            level = next;
        }
        left_bytes += budget_bytes / 2;
        Top { runs, left_bytes }
    }

    /// Reads the indexes of the runs that the upper nodes name, with what is left of the budget.
    pub fn warm_indexes(&self, top: Top, go_on: &dyn Fn() -> bool) {
        let mut left_bytes = top.left_bytes;
        let missing = top.runs.into_iter().filter_map(|what| {
            let extent = what.missing_index()?;
            Some(Wanted { extent, what })
        });
        let wanted = within(missing.collect(), &mut left_bytes);
        self.in_windows(wanted, go_on, |run| {
            // Whoever needs it hears why.
            let _ = run.load_index();
        });
    }

    /// Does `read` with all, as many at a time as the disk is told of.
    fn in_windows<T>(
        &self,
        mut wanted: Vec<Wanted<T>>,
        go_on: &dyn Fn() -> bool,
        mut read: impl FnMut(&T),
    ) {
        for window in wanted.chunks_mut(WINDOW) {
            window.sort_unstable_by_key(|wanted| wanted.extent.offset);
            for wanted in &*window {
                self.shelf.disk.will_read(wanted.extent);
            }
            for wanted in &*window {
                if !go_on() {
                    return;
                }
                read(&wanted.what);
            }
        }
    }
}

/// The slots of the root that clones cut, and the halves that become of each. O(clones).
fn cuts(root: &Node, clones: &[CloneSpec]) -> Result<Vec<(usize, [KeyRange; 2])>> {
    let ends = |range: KeyRange| std::iter::once(range.lo).chain(range.hi);
    let (mut keys, mut first) = (Vec::new(), Vec::new());
    for clone in clones {
        let destination = clone.destination()?;
        keys.extend(ends(clone.source.clone()));
        keys.extend(ends(destination.clone()).map(|key| before_clones(key, &first)));
        if first.len() < NESTED {
            first.push((clone, destination));
        }
    }
    let inside = |key: &Key| root.range.contains(key);
    let cut = |key: Key| {
        let (i, right) = right_of(root, &key);
        let (lo, hi) = (root.slots[i].lo.clone(), Some(key));
        (right.lo != lo).then(|| (i, [KeyRange { lo, hi }, right]))
    };
    Ok(keys.into_iter().filter(inside).filter_map(cut).collect())
}

/// Where in the root that comes in lies what a key shows after these clones, each given with its destination.
fn before_clones(key: Key, clones: &[(&CloneSpec, KeyRange)]) -> Key {
    let hides = |(_, destination): &&(&CloneSpec, KeyRange)| destination.contains(&key);
    match clones.iter().rev().find(hides) {
        Some((clone, _)) => Key::from([&clone.from, &key[clone.to.len()..]].concat()),
        None => key,
    }
}

/// What the root's slots show of a range: slot, and part of its range.
fn parts(root: &Node, range: &KeyRange) -> impl Iterator<Item = (usize, KeyRange)> {
    let part = move |i| (i, root.slot_range(i).intersect(range));
    root.overlapping(range).map(part)
}

/// The slot of the root that a key lies in, and what of its range begins with the key.
fn right_of(root: &Node, key: &Key) -> (usize, KeyRange) {
    let i = root.find(key);
    let lo = key.clone();
    let right = KeyRange {
        lo,
        ..root.slot_range(i)
    };
    (i, right)
}

/// The slots of a node at both ends of a range.
fn slots_at_ends<'a>(node: &'a Node, range: &KeyRange) -> impl Iterator<Item = &'a Slot> {
    let among = node.overlapping(range);
    let last = among.end.saturating_sub(1);
    let both = [among.start, last].into_iter();
    both.filter(move |i| among.contains(i))
        .map(|i| &node.slots[i])
}

/// Those that fit into what is left of a budget, which becomes less.
fn within<T>(wanted: Vec<Wanted<T>>, left_bytes: &mut u64) -> Vec<Wanted<T>> {
    let fits = |wanted: &Wanted<T>| {
        let left = left_bytes.checked_sub(wanted.extent.len.max(REQUEST));
        *left_bytes = left.unwrap_or_default();
        left.is_some()
    };
    wanted.into_iter().take_while(fits).collect()
}
