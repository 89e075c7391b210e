//! Reading everything a store consists of, each extent once, and verifying it; also while others work with the store.
//!
//! ```text
//!   superblocks ─ node table, both copies ─ nodes and runs, in the order in which they lie on the disk
//! ```
//! Invariants: nothing is taken from a cache; what a step verifies is held by it, so that its extent is not used again
//! meanwhile, or is asked for again before it is called damaged; between steps nothing is held, so that a slow walk keeps
//! no space from being free; a run or node that many clones share is read once. Memory is a few words for each of them.

use super::{Fault, Finding};
use crate::error::{Error, Result};
use crate::image::{Twice, read_table_copy};
use crate::store::Store;
use cawdb_disk::Extent;
use cawdb_disk::layout::{SLOT_BYTES, SLOTS};
use cawdb_disk::superblock::{self, FaultKind};
use cawdb_disk::sync::lock;
use cawdb_node::{Damage, NodeHandle, Run};
use cawdb_tree::inspect::{Part, places};
use std::sync::{Arc, Weak};

/// Places that a finding names, at most.
const PLACES: usize = 16;

/// A walk over everything on the disk; see [`Store::scrub`].
pub struct Scrub {
    store: Store,
    /// In descending order of place, and the table behind them: the next is at the end.
    todo: Vec<Item>,
    left: u64,
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
    Superblocks,
    Table(Twice),
    Node(Weak<NodeHandle>, Extent),
    Run(Weak<Run>, Extent),
}

impl Item {
    fn offset(&self) -> u64 {
        match self {
            Self::Superblocks | Self::Table(_) => 0,
            Self::Node(_, extent) | Self::Run(_, extent) => extent.offset,
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Superblocks => 4 * SLOT_BYTES,
            Self::Table(twice) => 2 * twice.len,
            Self::Node(_, extent) | Self::Run(_, extent) => extent.len,
        }
    }
}

impl Store {
    /// A walk that reads everything on the disk once, and verifies it, from this offset on (0: everything). What is
    /// written while it goes on is not seen by it, what is given up is passed over. O(nodes and runs) to begin.
    pub fn scrub(&self, from: u64) -> Scrub {
        let mut todo = Vec::new();
        {
            let table = self.0.shelf.table();
            todo.extend(table.nodes().filter_map(|e| {
                let extent = e.handle.state().place?.extent();
                Some(Item::Node(Arc::downgrade(&e.handle), extent))
            }));
            todo.extend(table.runs().filter_map(|e| {
                let extent = e.run.place()?.extent();
                Some(Item::Run(Arc::downgrade(&e.run), extent))
            }));
        }
        todo.retain(|item| item.offset() >= from);
        todo.sort_by_key(|item| std::cmp::Reverse(item.offset()));
        if from == 0 {
            let body = lock(&self.0.anchors).body.clone();
            todo.extend(body.deltas.into_iter().rev().map(Item::Table));
            todo.extend([Item::Table(body.base), Item::Superblocks]);
        }
        Scrub {
            store: self.clone(),
            left: todo.iter().map(Item::bytes).sum(),
            todo,
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

    /// Bytes that are still to be read, about.
    pub fn bytes_left(&self) -> u64 {
        self.left
    }

    /// Verifies the next thing, a few MiB; none when all is done. Other work with the store goes on meanwhile.
    pub fn step(&mut self) -> Option<Step> {
        let item = self.todo.pop()?;
        self.left -= item.bytes();
        Some(match item {
            Item::Superblocks => self.superblocks(),
            Item::Table(twice) => self.table(&twice),
            Item::Node(handle, extent) => self.node(handle.upgrade(), extent),
            Item::Run(run, extent) => self.run(run.upgrade(), extent),
        })
    }

    fn node(&self, handle: Option<Arc<NodeHandle>>, extent: Extent) -> Step {
        let mut step = Step {
            position: extent.end(),
            ..Step::default()
        };
        // Given up since the walk began, or not on the disk as it is now.
        let Some((handle, place)) = handle.and_then(|h| h.state().place.map(|p| (h, p))) else {
            return step;
        };
        let extent = place.extent();
        step.bytes = extent.len;
        self.store.0.disk.forget(extent);
        if let Err(error) = self.store.0.shelf.verify_image(handle.id(), &place) {
            let mut finding = Finding::new(Fault::Node, error.to_string());
            finding.extent = Some(extent);
            finding.keys = self.shown(&Part::Node(handle.id()));
            step.findings.push(finding);
        }
        step
    }

    fn run(&self, run: Option<Arc<Run>>, extent: Extent) -> Step {
        let mut step = Step {
            position: extent.end(),
            ..Step::default()
        };
        if let Some(run) = run {
            self.store.0.disk.forget(extent);
            let damages = run.verify(&mut |read| step.bytes += read);
            let findings = damages.into_iter().map(|d| self.run_finding(&run, d));
            step.findings.extend(findings);
        }
        step
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

    /// Both slots, while no checkpoint is at work.
    fn superblocks(&self) -> Step {
        let disk = self.store.0.disk.as_ref();
        let anchors = lock(&self.store.0.anchors);
        SLOTS.iter().flatten().for_each(|copy| disk.forget(*copy));
        let read = superblock::read(disk);
        drop(anchors);
        let findings = match read {
            Ok(read) => {
                let damaged = read.faults.iter().filter(|f| f.kind == FaultKind::Damaged);
                let found = damaged.map(|fault| Finding {
                    extent: Some(SLOTS[fault.slot][fault.copy]),
                    ..Finding::new(Fault::SuperblockCopy, fault.what.clone())
                });
                found.collect()
            }
            Err(e) => vec![Finding::new(Fault::Superblock, e.to_string())],
        };
        Step {
            bytes: 4 * SLOT_BYTES,
            position: 0,
            findings,
        }
    }

    /// Both copies of a part of the table. They are read beside checkpoints: what one has replaced meanwhile is no damage.
    fn table(&self, twice: &Twice) -> Step {
        let disk = self.store.0.disk.as_ref();
        let bad = |copy: usize| {
            disk.forget(twice.copies[copy]);
            read_table_copy(disk, twice, copy).err()
        };
        let found = |fault, what: String, extent| Finding {
            extent,
            ..Finding::new(fault, what)
        };
        let finding = match (bad(0), bad(1)) {
            (None, None) => None,
            (Some(a), Some(b)) => Some(found(Fault::Table, format!("{a}; {b}"), None)),
            (Some(e), None) => {
                let extent = Some(twice.copies[0]);
                Some(found(Fault::TableCopy, e.to_string(), extent))
            }
            (None, Some(e)) => {
                let extent = Some(twice.copies[1]);
                Some(found(Fault::TableCopy, e.to_string(), extent))
            }
        };
        let still_named = |_: &Finding| {
            let body = &lock(&self.store.0.anchors).body;
            body.base == *twice || body.deltas.contains(twice)
        };
        Step {
            bytes: 2 * twice.len,
            position: 0,
            findings: finding.filter(still_named).into_iter().collect(),
        }
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
