//! The invariants of the DAG, checked: shape of every node, edges, counts, shown bytes.
//!
//! Every reachable node is visited once, however many share it. Reads nodes and run indexes, no segments.

use cawdb_node::{Edge, KeyRange, Node, NodeHandle, NodeId, Result, RunId, Shelf, node_wire};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

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
    /// What is wrong, one sentence each.
    pub findings: Vec<String>,
}

#[derive(Default)]
struct Walk {
    report: CheckReport,
    node_counts: HashMap<NodeId, u32>,
    run_counts: HashMap<RunId, (u32, u64)>,
    seen: HashSet<NodeId>,
    queue: Vec<Arc<NodeHandle>>,
}

/// Checks all that `roots` lead to against the table of `shelf`, which must count just these roots.
///
/// # Errors
/// If a node cannot be read at all; everything else is a finding.
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
        if walk.seen.insert(handle.id()) {
            walk.queue.push(handle);
        }
    }
    while let Some(handle) = walk.queue.pop() {
        let name = format!("node {}", handle.id().0);
        match shelf.load(&handle) {
            Ok(node) => walk.node(&name, &node),
            Err(e) => walk.find(format!("{name} cannot be read: {e}")),
        }
    }
    walk.compare(shelf);
    Ok(walk.report)
}

impl Walk {
    fn find(&mut self, what: String) {
        self.report.findings.push(what);
    }

    fn node(&mut self, name: &str, node: &Node) {
        self.report.nodes += 1;
        if let Err(e) = node_wire::check_shape(node) {
            self.find(format!("{name}: {e}"));
            return;
        }
        for (range, slot) in node.ranged_slots() {
            for layer in slot.layers.iter() {
                let (count, shown) = self.run_counts.entry(layer.run.id()).or_default();
                *count += 1;
                *shown += layer.shown;
                self.report.references += 1;
            }
            if let Some(edge) = &slot.below {
                self.edge(name, &range, edge);
            }
            if node.height == 0 && slot.below.is_some() {
                self.find(format!("{name} is at height 0 and has a child"));
            }
        }
    }

    fn edge(&mut self, name: &str, range: &KeyRange, edge: &Edge) {
        self.report.references += 1;
        *self.node_counts.entry(edge.node.id()).or_default() += 1;
        if self.seen.insert(edge.node.id()) {
            self.queue.push(edge.node.clone());
        }
        let shown = edge.tr.range_down(range);
        if let Some(child) = edge.node.loaded().filter(|c| !c.range.covers(&shown)) {
            let id = edge.node.id().0;
            self.find(format!(
                "{name} shows {shown:?} of node {id}, which has only {:?}",
                child.range
            ));
        }
    }

    fn compare(&mut self, shelf: &Shelf) {
        self.report.runs = self.run_counts.len() as u64;
        let mut findings = Vec::new();
        let table = shelf.table();
        for entry in table.nodes() {
            let counted = self.node_counts.remove(&entry.handle.id()).unwrap_or(0);
            if counted != entry.count {
                let id = entry.handle.id().0;
                findings.push(format!(
                    "node {id} is counted {} times, has {counted} references",
                    entry.count
                ));
            }
        }
        for entry in table.runs() {
            let id = entry.run.id();
            let (count, shown) = self.run_counts.remove(&id).unwrap_or((0, 0));
            if (count, shown) != (entry.count, entry.shown) {
                let (c, s) = (entry.count, entry.shown);
                findings.push(format!(
                    "run {} is counted {c} times and shows {s} bytes, has {count} references that show {shown}",
                    id.0
                ));
            }
        }
        findings.extend(
            self.node_counts
                .keys()
                .map(|id| format!("node {} is not in the table", id.0)),
        );
        findings.extend(
            self.run_counts
                .keys()
                .map(|id| format!("run {} is not in the table", id.0)),
        );
        self.report.findings.extend(findings);
    }
}
