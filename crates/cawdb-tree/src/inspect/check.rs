//! The invariants of the DAG, checked: shape of every node, edges, counts, shown bytes.
//!
//! Every reachable node is visited once, however many share it. Reads nodes, no runs.

use cawdb_node::{
    Counted, Edge, KeyRange, Node, NodeHandle, NodeId, Result, RunId, Shelf, node_wire,
};
use std::collections::HashSet;
use std::sync::Arc;

/// What is wrong with the tree; the numbers are for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Fault {
    /// A node cannot be read.
    Unreadable = 201,
    /// Slots of a node are out of order, or a translation or an edge does not fit.
    WrongShape = 202,
    /// A slot shows more of a node than there is of it.
    WrongRange = 203,
    /// More references than are counted: it might be freed although it is needed.
    UnderCount = 204,
    /// Fewer references than are counted: its space would never come back.
    OverCount = 205,
    /// Nothing refers to it at all.
    Unreachable = 206,
    /// The bytes of a run that are shown are not what the table says.
    WrongShown = 207,
    /// A node or run that is referred to is not in the table.
    Missing = 208,
}

/// One thing that is wrong.
#[derive(Debug, Clone)]
pub struct Finding {
    /// What.
    pub fault: Fault,
    /// A sentence.
    pub what: String,
    /// The node that cannot be read.
    pub node: Option<NodeId>,
}

/// What a check saw, and what is wrong.
#[derive(Debug, Default)]
pub struct CheckReport {
    /// Nodes reachable from the roots, and those that wait to be released.
    pub nodes: u64,
    /// Runs that these name.
    pub runs: u64,
    /// References to nodes and runs.
    pub references: u64,
    /// Nodes that wait to be released.
    pub dying: u64,
    /// Greatest height of a root.
    pub height: u8,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// Whether every node could be read. If not, nothing is said of counts.
    pub complete: bool,
    /// The references as they are.
    pub counted: Counted,
    /// All nodes that were visited.
    pub reached: HashSet<NodeId>,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)
    }
}

#[derive(Default)]
struct Walk {
    report: CheckReport,
    queue: Vec<Arc<NodeHandle>>,
}

/// Checks all that `roots` lead to against the table of `shelf`, which must count just these roots.
///
/// # Errors
/// Never: what cannot be read is a finding.
pub fn check(shelf: &Shelf, roots: &[Arc<Node>]) -> Result<CheckReport> {
    let mut walk = Walk::default();
    for root in roots {
        walk.report.height = walk.report.height.max(root.height);
        walk.node("root", root);
    }
    let dying: Vec<_> = shelf
        .table()
        .nodes()
        .filter(|e| e.count == 0)
        .map(|e| e.handle.clone())
        .collect();
    walk.report.dying = dying.len() as u64;
    for handle in dying {
        if walk.report.reached.insert(handle.id()) {
            walk.queue.push(handle);
        }
    }
    let mut unreadable = Vec::new();
    while let Some(handle) = walk.queue.pop() {
        match shelf.load(&handle) {
            Ok(node) => walk.node(&format!("node {}", handle.id().0), &node),
            Err(e) => unreadable.push((handle.id(), e)),
        }
    }
    walk.report.complete = unreadable.is_empty();
    for (id, e) in unreadable {
        walk.report.findings.push(Finding {
            fault: Fault::Unreadable,
            what: e.to_string(),
            node: Some(id),
        });
    }
    if walk.report.complete {
        walk.compare(shelf);
    }
    walk.report.runs = walk.report.counted.runs.len() as u64;
    Ok(walk.report)
}

impl Walk {
    fn find(&mut self, fault: Fault, what: String) {
        let node = None;
        self.report.findings.push(Finding { fault, what, node });
    }

    fn node(&mut self, name: &str, node: &Node) {
        self.report.nodes += 1;
        if let Err(e) = node_wire::check_shape(node) {
            self.find(Fault::WrongShape, format!("{name}: {e}"));
            return;
        }
        for (range, slot) in node.ranged_slots() {
            for layer in slot.layers.iter() {
                let runs = &mut self.report.counted.runs;
                let (count, shown) = runs.entry(layer.run.id()).or_default();
                *count = count.saturating_add(1);
                *shown = shown.saturating_add(layer.shown);
                self.report.references += 1;
            }
            if let Some(edge) = &slot.below {
                self.edge(name, &range, edge);
            }
            if node.height == 0 && slot.below.is_some() {
                let what = format!("{name} is at height 0 and has a child");
                self.find(Fault::WrongShape, what);
            }
        }
    }

    fn edge(&mut self, name: &str, range: &KeyRange, edge: &Edge) {
        let id = edge.node.id();
        self.report.references += 1;
        let count = self.report.counted.nodes.entry(id).or_default();
        *count = count.saturating_add(1);
        if self.report.reached.insert(id) {
            self.queue.push(edge.node.clone());
        }
        let shown = edge.tr.range_down(range);
        if let Some(child) = edge.node.loaded().filter(|c| !c.range.covers(&shown)) {
            let what = format!(
                "{name} shows {shown:?} of node {}, which has only {:?}",
                id.0, child.range
            );
            self.find(Fault::WrongRange, what);
        }
    }

    fn compare(&mut self, shelf: &Shelf) {
        let table = shelf.table();
        let mut found = Vec::new();
        for entry in table.nodes() {
            let id = entry.handle.id();
            let counted = self.report.counted.nodes.get(&id).copied().unwrap_or(0);
            found.extend(compared(
                format_args!("node {}", id.0),
                entry.count,
                counted,
            ));
        }
        for entry in table.runs() {
            let id = entry.run.id();
            let (count, shown) = self.report.counted.runs.get(&id).copied().unwrap_or((0, 0));
            let fault = compared(format_args!("run {}", id.0), entry.count, count);
            if fault.is_none() && shown != entry.shown {
                let s = entry.shown;
                let what = format!(
                    "run {} is said to show {s} bytes, its references show {shown}",
                    id.0
                );
                found.push((Fault::WrongShown, what));
            }
            found.extend(fault);
        }
        let lost = |id: &&NodeId| table.node(**id).is_none();
        let lost_run = |id: &&RunId| table.run(**id).is_none();
        let nodes = self.report.counted.nodes.keys().filter(lost);
        let nodes = nodes.map(|id| format!("node {} is not in the table", id.0));
        let runs = self.report.counted.runs.keys().filter(lost_run);
        let runs = runs.map(|id| format!("run {} is not in the table", id.0));
        found.extend(nodes.chain(runs).map(|what| (Fault::Missing, what)));
        drop(table);
        for (fault, what) in found {
            self.find(fault, what);
        }
    }
}

fn compared(name: std::fmt::Arguments<'_>, said: u32, is: u32) -> Option<(Fault, String)> {
    let what = format!("{name} is counted {said} times and has {is} references");
    match (said, is) {
        _ if said == is => None,
        (_, 0) => Some((Fault::Unreachable, what)),
        _ if said < is => Some((Fault::UnderCount, what)),
        _ => Some((Fault::OverCount, what)),
    }
}
