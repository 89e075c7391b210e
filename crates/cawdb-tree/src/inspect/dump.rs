//! The tree as text, for people and tests, and as a graph for Graphviz.
//!
//! ```text
//! root h1
//!   [] r9(1.2K)  -> n4
//!   [61] r9(300)  -> n4 a→b
//! n4 h0 x2
//!   [] r1(4.0M)
//! ```

use cawdb_node::{Key, Node, NodeHandle, NodeId, Result, RunRef, Shelf, Translation};
use std::collections::HashSet;
use std::fmt::Write;
use std::sync::Arc;

/// Bytes of a key that are shown.
const KEY_SHOWN: usize = 40;

/// Visits the root and then every node that can be reached from it, once.
fn walk(shelf: &Shelf, root: &Arc<Node>, see: &mut dyn FnMut(Option<NodeId>, &Node)) -> Result<()> {
    let mut seen = HashSet::new();
    let mut queue: std::collections::VecDeque<Arc<NodeHandle>> = Default::default();
    let mut node = root.clone();
    let mut id = None;
    loop {
        see(id, &node);
        for edge in node.slots.iter().filter_map(|s| s.below.as_ref()) {
            if seen.insert(edge.node.id()) {
                queue.push_back(edge.node.clone());
            }
        }
        let Some(next) = queue.pop_front() else {
            return Ok(());
        };
        node = shelf.load(&next)?;
        id = Some(next.id());
    }
}

/// The tree under `root` as text, one line a slot.
///
/// # Errors
/// If a node cannot be read.
pub fn dump_text(shelf: &Shelf, root: &Arc<Node>) -> Result<String> {
    let mut out = String::new();
    walk(shelf, root, &mut |id, node| {
        let count = id.and_then(|id| shelf.table().node(id).map(|e| e.count));
        let name = id.map_or("root".into(), |id| format!("n{}", id.0));
        let shared = count
            .filter(|c| *c > 1)
            .map_or(String::new(), |c| format!(" x{c}"));
        let _ = writeln!(out, "{name} h{}{shared}", node.height);
        for slot in &node.slots {
            let _ = write!(out, "  [{}]", key(&slot.lo));
            for layer in slot.layers.iter() {
                let _ = write!(out, " {}", layer_text(layer));
            }
            if let Some(edge) = &slot.below {
                let _ = write!(out, "  -> n{}{}", edge.node.id().0, arrow(&edge.tr));
            }
            out.push('\n');
        }
    })?;
    Ok(out)
}

/// The tree under `root` as a Graphviz digraph: nodes as records of slots, runs as boxes.
///
/// # Errors
/// If a node cannot be read.
pub fn dump_dot(shelf: &Shelf, root: &Arc<Node>) -> Result<String> {
    let mut out = String::from(
        "digraph cawdb {\n  graph [rankdir=TB, fontname=\"Helvetica\", nodesep=0.25]\n  \
         node [fontname=\"Helvetica\", fontsize=10, style=filled]\n  edge [fontname=\"Helvetica\", fontsize=8]\n",
    );
    let mut runs = HashSet::new();
    walk(shelf, root, &mut |id, node| {
        let name = id.map_or("root".into(), |id| format!("n{}", id.0));
        let cells: Vec<_> = (0..node.slots.len())
            .map(|i| format!("<s{i}> {}", escape(&key(&node.slots[i].lo))))
            .collect();
        let shape = "shape=record, fillcolor=\"#dbe9f6\"";
        let _ = writeln!(
            out,
            "  {name} [{shape}, label=\"{{{name} h{}|{{{}}}}}\"]",
            node.height,
            cells.join("|")
        );
        for (i, slot) in node.slots.iter().enumerate() {
            for layer in slot.layers.iter() {
                let run = layer.run.id().0;
                if runs.insert(run) {
                    let _ = writeln!(
                        out,
                        "  r{run} [shape=box, fillcolor=\"#fdf1d6\", label=\"r{run}\\n{}\"]",
                        size(layer.run.bytes())
                    );
                }
                let label = escape(&arrow(&layer.tr));
                let _ = writeln!(
                    out,
                    "  {name}:s{i} -> r{run} [style=dashed, color=\"#a08040\", label=\"{label}\"]"
                );
            }
            if let Some(edge) = &slot.below {
                let label = escape(&arrow(&edge.tr));
                let _ = writeln!(
                    out,
                    "  {name}:s{i} -> n{} [label=\"{label}\"]",
                    edge.node.id().0
                );
            }
        }
    })?;
    out.push_str("}\n");
    Ok(out)
}

fn layer_text(layer: &RunRef) -> String {
    format!(
        "r{}({}){}",
        layer.run.id().0,
        size(layer.shown),
        arrow(&layer.tr)
    )
}

fn arrow(tr: &Translation) -> String {
    if tr.is_identity() {
        return String::new();
    }
    format!(
        " {}→{}",
        key(&Key::copy_from_slice(tr.from())),
        key(&Key::copy_from_slice(tr.to()))
    )
}

/// A key for people: printable bytes as they are, others as hex in `<>`.
fn key(key: &Key) -> String {
    let mut out = String::new();
    for &b in key.iter().take(KEY_SHOWN) {
        match b {
            b'!'..=b'~' if b != b'<' && b != b'>' => out.push(char::from(b)),
            _ => {
                let _ = write!(out, "<{b:02x}>");
            }
        }
    }
    if key.len() > KEY_SHOWN {
        out.push('…');
    }
    out
}

fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if matches!(c, '"' | '\\' | '{' | '}' | '|' | '<' | '>') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => bytes.to_string(),
        1024..1_048_576 => format!("{:.1}K", bytes as f64 / 1024.0),
        _ => format!("{:.1}M", bytes as f64 / 1_048_576.0),
    }
}
