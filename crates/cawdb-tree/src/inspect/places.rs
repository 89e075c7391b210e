//! Where in the view something damaged shows: for who wants to say which files are hurt.
//!
//! A run or node may show in many places, one for each clone; the walk goes only through nodes that lead to it, and ends
//! when it has found enough.

use cawdb_node::{KeyRange, Node, NodeId, RunId, Shelf, Translation};
use std::collections::HashMap;

/// What is looked for.
#[derive(Debug, Clone)]
pub enum Part {
    /// Some keys of a run, in its own keys.
    Run(RunId, KeyRange),
    /// A node as a whole.
    Node(NodeId),
}

/// The ranges of the view in which `part` shows, at most `limit` of them; nodes that cannot be read are passed over.
/// O(nodes) the first time, then O(height) for each place.
pub fn places(shelf: &Shelf, root: &Node, part: &Part, limit: usize) -> Vec<KeyRange> {
    let mut search = Search {
        shelf,
        part,
        limit,
        leads: HashMap::new(),
        found: Vec::new(),
    };
    search.walk(root, &Translation::identity(), &root.range);
    search.found
}

struct Search<'a> {
    shelf: &'a Shelf,
    part: &'a Part,
    limit: usize,
    /// Which nodes lead to the part.
    leads: HashMap<NodeId, bool>,
    found: Vec<KeyRange>,
}

impl Search<'_> {
    fn holds(&self, node: &Node) -> bool {
        let Part::Run(id, _) = self.part else {
            return false;
        };
        let mut layers = node.slots.iter().flat_map(|s| s.layers.iter());
        layers.any(|l| l.run.id() == *id)
    }

    fn leads(&mut self, handle: &cawdb_node::NodeHandle) -> bool {
        if let Some(known) = self.leads.get(&handle.id()) {
            return *known;
        }
        let mut leads = matches!(self.part, Part::Node(id) if *id == handle.id());
        if !leads && let Ok(node) = self.shelf.load(handle) {
            let mut below = node.slots.iter().filter_map(|s| s.below.as_ref());
            leads = self.holds(&node) || below.any(|edge| self.leads(&edge.node));
        }
        self.leads.insert(handle.id(), leads);
        leads
    }

    /// `through` leads from the view's keys to the node's, of which `shown` is what shows.
    fn walk(&mut self, node: &Node, through: &Translation, shown: &KeyRange) {
        for (range, slot) in node.ranged_slots() {
            let local = range.intersect(shown);
            if local.is_empty() {
                continue;
            }
            let above = through.range_up(&local);
            if let Part::Run(id, keys) = self.part {
                for layer in slot.layers.iter().filter(|l| l.run.id() == *id) {
                    let tr = through.then(&layer.tr);
                    let hurt = tr.range_down(&above).intersect(keys);
                    if !hurt.is_empty() && self.found.len() < self.limit {
                        self.found.push(tr.range_up(&hurt));
                    }
                }
            }
            let Some(edge) = &slot.below else { continue };
            if self.found.len() >= self.limit || !self.leads(&edge.node) {
                continue;
            }
            if matches!(self.part, Part::Node(id) if *id == edge.node.id()) {
                self.found.push(above);
            } else if let Ok(child) = self.shelf.load(&edge.node) {
                self.walk(&child, &through.then(&edge.tr), &edge.tr.range_down(&local));
            }
        }
    }
}
