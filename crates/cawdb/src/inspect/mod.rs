//! Looking at a store: is it whole, and what does it look like?

mod finding;
mod repair;
mod scrub;
#[cfg(test)]
mod tests;

pub use finding::{Fault, Finding};
pub use scrub::{Scrub, Step};

use crate::error::Result;
use crate::store::Store;
use cawdb_disk::sync::lock;
use cawdb_tree::inspect::{check, dump_dot, dump_text};

/// What a check saw, and what is wrong.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Nodes, with the root.
    pub nodes: u64,
    /// Runs.
    pub runs: u64,
    /// References to nodes and runs.
    pub references: u64,
    /// Nodes that wait to be released: no fault.
    pub releasing: u64,
    /// Height of the tree.
    pub height: u8,
    /// Messages that the runs hold, shared ones once.
    pub messages: u64,
    /// Bytes that were read and verified, if data was to be read.
    pub verified_bytes: u64,
    /// Allocated bytes that nothing names, which are lost until the store is opened again; while snapshots are open,
    /// also what only they show.
    pub leaked_bytes: u64,
    /// Batches replayed from the journal when the store was opened.
    pub replayed_batches: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

impl Store {
    /// Checks the structure of the store, and with `data` reads and verifies everything on the disk, what is shared once.
    /// Changes nothing; other writers wait while the structure is checked.
    ///
    /// # Errors
    /// If the disk fails. Damage is a finding.
    pub fn check(&self, data: bool) -> Result<Report> {
        let inner = &self.0;
        let anchors = lock(&inner.anchors);
        let agenda = inner.tree.pause();
        let writer = lock(&inner.writer);
        let root = inner.published.pin().view.root;
        let tree = check(&inner.shelf, &[root])?;
        let named = self.named_bytes(&anchors);
        let messages = inner.shelf.table().runs().map(|e| e.run.points()).sum();
        let allocated = inner.space.stats().allocated;
        drop((writer, agenda, anchors));
        let mut report = Report {
            nodes: tree.nodes,
            runs: tree.runs,
            references: tree.references,
            releasing: tree.dying,
            height: tree.height,
            leaked_bytes: allocated.saturating_sub(named),
            replayed_batches: inner
                .counters
                .replayed
                .load(std::sync::atomic::Ordering::Relaxed),
            messages,
            findings: tree.findings.into_iter().map(Finding::from).collect(),
            ..Report::default()
        };
        if data {
            let (bytes, findings) = scrub::everything(self)?;
            report.verified_bytes = bytes;
            // Nodes that could not be read are known from the structure.
            let news = findings.into_iter().filter(|f| f.fault != Fault::Node);
            report.findings.extend(news);
        }
        Ok(report)
    }

    /// Bytes of the extents that the live table, root and table images name.
    fn named_bytes(&self, anchors: &crate::checkpoint::Anchors) -> u64 {
        let table = self.0.shelf.table();
        let nodes = table.nodes().filter_map(|n| n.handle.state().place);
        let mut sum: u64 = nodes.map(|p| p.extent().len).sum();
        sum += table
            .runs()
            .filter_map(|r| r.run.place())
            .map(|p| p.extent().len)
            .sum::<u64>();
        let images = anchors
            .deltas
            .iter()
            .chain(std::iter::once(&anchors.base))
            .flatten();
        sum + anchors.root.extent().len + images.map(|p| p.extent().len).sum::<u64>()
    }

    /// The tree as text, one line a slot.
    ///
    /// # Errors
    /// If a node cannot be read.
    pub fn dump_text(&self) -> Result<String> {
        Ok(dump_text(&self.0.shelf, &self.0.published.pin().view.root)?)
    }

    /// The tree as a Graphviz digraph.
    ///
    /// # Errors
    /// If a node cannot be read.
    pub fn dump_dot(&self) -> Result<String> {
        Ok(dump_dot(&self.0.shelf, &self.0.published.pin().view.root)?)
    }

    /// What the periodic commit does: syncs, and checkpoints if much waits to be freed.
    pub(crate) fn commit_periodically(&self) -> Result<()> {
        self.sync()?;
        match self.0.unwritten_bytes() > 0 || self.0.space.stats().limbo > 0 {
            true => self.checkpoint(),
            false => Ok(()),
        }
    }
}
