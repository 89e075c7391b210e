//! Reading everything a store consists of, each extent once, and verifying it; also while others work with the store.
//!
//! ```text
//!   superblocks ─ node table, both copies ─ nodes and runs, in the order in which they lie on the disk
//! ```
//! Invariants: nothing is taken from a cache; what is verified is held, so that its extent is not used again meanwhile;
//! a run or node that many clones share is read once. Memory is a few words for each node and run.

use super::{Fault, Finding};
use crate::error::{Error, Result};
use crate::image::{Twice, read_table_copy};
use crate::store::Store;
use cawdb_disk::superblock::{self, FaultKind};
use cawdb_disk::sync::lock;
use cawdb_disk::{Extent, Place};
use cawdb_node::{Damage, NodeHandle, Run};
use cawdb_tree::inspect::{Part, places};
use std::sync::Arc;

/// Places that a finding names, at most.
const PLACES: usize = 16;

/// A walk over everything on the disk; see [`Store::scrub`].
pub struct Scrub {
    store: Store,
    /// In descending order of place: the next is at the end.
    todo: Vec<Item>,
    tables_done: bool,
    total: u64,
    places: usize,
}

/// What one step saw.
#[derive(Debug, Default)]
pub struct Step {
    /// Bytes that were read.
    pub bytes: u64,
    /// Every extent below this offset is done.
    pub position: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

enum Item {
    Node(Arc<NodeHandle>, Arc<Place>),
    Run(Arc<Run>, Extent),
}

impl Item {
    fn extent(&self) -> Extent {
        match self {
            Self::Node(_, place) => place.extent(),
            Self::Run(_, extent) => *extent,
        }
    }
}

impl Store {
    /// A walk that reads everything on the disk once, and verifies it, from this offset on (0: everything). What is
    /// written while it goes on is not seen by it. O(nodes and runs) to begin.
    pub fn scrub(&self, from: u64) -> Scrub {
        let mut todo = Vec::new();
        {
            let table = self.0.shelf.table();
            todo.extend(table.nodes().filter_map(|e| {
                let place = e.handle.state().place?;
                Some(Item::Node(e.handle.clone(), place))
            }));
            todo.extend(table.runs().filter_map(|e| {
                let extent = e.run.place()?.extent();
                Some(Item::Run(e.run.clone(), extent))
            }));
        }
        todo.retain(|item| item.extent().offset >= from);
        todo.sort_by_key(|item| std::cmp::Reverse(item.extent().offset));
        let total = todo.iter().map(|item| item.extent().len).sum();
        Scrub {
            store: self.clone(),
            todo,
            tables_done: from > 0,
            total,
            places: PLACES,
        }
    }
}

impl Scrub {
    /// The same walk; its findings name every place where something damaged shows, however many.
    #[must_use]
    pub fn with_all_places(mut self) -> Self {
        self.places = usize::MAX;
        self
    }

    /// Bytes of nodes and runs that are still to be read.
    pub fn bytes_left(&self) -> u64 {
        self.total
    }

    /// Verifies the next thing; none when all is done.
    pub fn step(&mut self) -> Option<Step> {
        if !std::mem::replace(&mut self.tables_done, true) {
            return Some(self.tables());
        }
        let item = self.todo.pop()?;
        let extent = item.extent();
        self.total -= extent.len;
        let mut step = Step {
            position: extent.end(),
            ..Step::default()
        };
        match item {
            Item::Node(handle, place) => {
                step.bytes = extent.len;
                if let Err(error) = self.store.0.shelf.verify_image(handle.id(), &place) {
                    let mut finding = Finding::new(Fault::Node, error.to_string());
                    finding.extent = Some(extent);
                    finding.keys = self.shown(&Part::Node(handle.id()));
                    step.findings.push(finding);
                }
            }
            Item::Run(run, _) => {
                let damages = run.verify(&mut |read| step.bytes += read);
                let findings = damages.into_iter().map(|d| self.run_finding(&run, d));
                step.findings.extend(findings);
            }
        }
        Some(step)
    }

    fn run_finding(&self, run: &Run, damage: Damage) -> Finding {
        let fault = match damage.segment {
            None if damage.extent.is_some() => Fault::RunIndex,
            Some(_) if damage.is_unreadable() => Fault::Segment,
            _ => Fault::RunOrder,
        };
        Finding {
            fault,
            what: damage.error.to_string(),
            extent: damage.extent,
            keys: self.shown(&Part::Run(run.id(), damage.keys)),
        }
    }

    fn shown(&self, part: &Part) -> Vec<cawdb_node::KeyRange> {
        let root = self.store.0.published.pin().view.root;
        places(&self.store.0.shelf, &root, part, self.places)
    }

    /// Superblocks and table, while no checkpoint is at work.
    fn tables(&self) -> Step {
        let inner = &self.store.0;
        let anchors = lock(&inner.anchors);
        let mut step = Step::default();
        let mut found = |fault, what: String, extent| {
            let mut finding = Finding::new(fault, what);
            finding.extent = extent;
            step.findings.push(finding);
        };
        match superblock::read(inner.disk.as_ref()) {
            Ok(read) => {
                for fault in read.faults.iter().filter(|f| f.kind == FaultKind::Damaged) {
                    let extent = cawdb_disk::layout::SLOTS[fault.slot][fault.copy];
                    found(Fault::SuperblockCopy, fault.what.clone(), Some(extent));
                }
            }
            Err(e) => found(Fault::Superblock, e.to_string(), None),
        }
        let mut bytes = 4 * cawdb_disk::layout::SLOT_BYTES;
        for twice in std::iter::once(&anchors.body.base).chain(&anchors.body.deltas) {
            bytes += 2 * twice.len;
            let bad = |copy| read_table_copy(inner.disk.as_ref(), twice, copy).err();
            match (bad(0), bad(1)) {
                (None, None) => {}
                (Some(a), Some(b)) => found(Fault::Table, format!("{a}; {b}"), None),
                (Some(e), None) => found(Fault::TableCopy, e.to_string(), Some(twice.copies[0])),
                (None, Some(e)) => found(Fault::TableCopy, e.to_string(), Some(twice.copies[1])),
            }
        }
        step.bytes = bytes;
        step
    }
}

/// Whether both copies of every part of the table are good.
pub(super) fn table_is_whole(store: &Store, tables: &[&Twice]) -> bool {
    let disk = store.0.disk.as_ref();
    let mut copies = tables.iter().flat_map(|t| [(t, 0), (t, 1)]);
    copies.all(|(twice, copy)| read_table_copy(disk, twice, copy).is_ok())
}

/// Runs a scrub to its end.
pub(super) fn everything(store: &Store) -> Result<(u64, Vec<Finding>), Error> {
    let (mut bytes, mut findings) = (0, Vec::new());
    let mut scrub = store.scrub(0);
    while let Some(step) = scrub.step() {
        bytes += step.bytes;
        findings.extend(step.findings);
    }
    Ok((bytes, findings))
}
