//! Background work as a function to call: `tick` does one bounded piece.
//!
//! What is to be done is found in three ways: nodes that a step made or changed are on the agenda; the root is
//! looked at in every tick; a slow sweep visits every node once when something has changed since the last one, and
//! finds what nobody was told of (a run that others stopped sharing, a child that shrank).
//!
//! Invariants: every step replaces a representation by an equal one, made from immutable input, and installs it
//! only if its input still stands; nothing is installed halfway.

use crate::flush::Fresh;
use crate::merge::{Merge, Pieces, run_merges};
use crate::plan::{Plan, carry_out};
use crate::reshape::Reshaped;
use crate::sweep::{Noted, Position, Sweep, Upkeep};
use crate::tree::{Roots, Tree};
use cawdb_disk::sync;
use cawdb_disk::sync::{Mutex, MutexGuard};
use cawdb_node::{Node, NodeHandle, NodeId, Result, Slot};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// Nodes released in one tick, at most.
const REAP_AT_ONCE: usize = 256;
/// Attempts to shape a root that changes meanwhile, before other changes are kept out.
const FREE_ATTEMPTS: usize = 3;

/// Visits of one node of an earlier session before others have their turn.
const VISITS_IN_A_ROW: u32 = 64;

/// Times a root is put in shape on behalf of one writer; others may widen it meanwhile.
const TIDY_ROUNDS: usize = 8;

/// What background work knows to be done.
#[derive(Default)]
pub(crate) struct Agenda {
    /// Nodes that earlier sessions made and did not look at, by rising id. The first stays the first until nothing is to be done there,
    /// as that is how far the next session takes these to be done.
    resumed: VecDeque<Resumed>,
    todo: VecDeque<Weak<NodeHandle>>,
    sweep: Option<Sweep>,
    /// The root that was last found to be in shape.
    settled_root: Option<(Weak<Node>, bool)>,
    last_root: Weak<Node>,
    swept: u64,
    /// What `changes` said when the root was last looked at anew for a sweep.
    root_swept: u64,
    /// Nodes from this id on may not have been looked at; before it lie only those of `resumed`.
    fresh_from: u64,
}

struct Resumed {
    id: u64,
    handle: Weak<NodeHandle>,
    visits: u32,
}

/// What others add to the agenda; apart from it, so that a writer who tidies waits for no background job.
#[derive(Default)]
pub(crate) struct Inbox {
    fresh: Mutex<Vec<Weak<NodeHandle>>>,
    changes: AtomicU64,
}

impl Resumed {
    fn new(handle: &Arc<NodeHandle>) -> Self {
        Self {
            id: handle.id().0,
            handle: Arc::downgrade(handle),
            visits: 0,
        }
    }
}

impl Inbox {
    /// Notes a step that was installed, and the nodes that it made.
    fn note(&self, fresh: &Fresh) {
        self.changes.fetch_add(1, Ordering::Relaxed);
        sync::lock(&self.fresh).extend(fresh.iter().map(Arc::downgrade));
    }

    /// Steps installed so far.
    fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }
}

impl Tree {
    fn agenda(&self) -> MutexGuard<'_, Agenda> {
        sync::lock(&self.agenda)
    }

    /// Does one bounded piece of background work: releases nodes, tends the root, visits one node. With `sweep` it
    /// also goes through the whole tree, node by node, if anything changed since it last did. False if there was
    /// nothing to do. What cannot be read is left as it is, for a while unvisited; other work goes on.
    ///
    /// # Errors
    /// Once nothing else is to be done: what could not be read, each error once.
    pub fn tick(&self, roots: &dyn Roots, sweep: bool) -> Result<bool> {
        self.troubles.tick();
        if self.work(roots, sweep)? {
            return Ok(true);
        }
        self.untold().map(|()| false)
    }

    /// Goes on where it was left when the store was closed, with `root` at that moment.
    pub fn resume(&self, root: &Arc<Node>, upkeep: &Upkeep) {
        let mut agenda = self.agenda();
        agenda.last_root = Arc::downgrade(root);
        agenda.fresh_from = self.shelf.next_ids().0;
        let table = self.shelf.table();
        let fresh = table.nodes().map(|entry| &entry.handle);
        let fresh = fresh.filter(|handle| handle.id().0 >= upkeep.fresh_from);
        let mut resumed: Vec<_> = fresh.map(Resumed::new).collect();
        drop(table);
        resumed.sort_unstable_by_key(|node| node.id);
        agenda.resumed = resumed.into();
        match upkeep.sweep {
            None => agenda.settled_root = Some((Arc::downgrade(root), true)),
            Some(left_at) => {
                self.inbox.note(&Fresh::new());
                // It goes on from now: what changes before its next step leads to another.
                agenda.sweep = (!left_at.is_top())
                    .then(|| Sweep::begin(&self.shelf, Some(left_at), self.inbox.changes()));
            }
        }
        self.note_upkeep(&mut agenda);
    }

    /// Says that counts were mended: background work may find something to do anywhere.
    pub fn look_again(&self) {
        self.inbox.note(&Fresh::new());
    }

    /// What would be left to be done if the store were closed now, with this root. Waits for no background job.
    pub fn upkeep(&self, root: &Arc<Node>) -> Upkeep {
        let noted = sync::lock(&self.noted);
        let same_root = std::ptr::eq(noted.root.as_ptr(), Arc::as_ptr(root));
        let unchanged = same_root && noted.changes == self.inbox.changes();
        let changed = |at: Position| Position {
            again: !at.is_top(),
            ..at
        };
        Upkeep {
            sweep: match unchanged {
                true => noted.upkeep.sweep,
                false => Some(noted.upkeep.sweep.map_or(Position::TOP, changed)),
            },
            ..noted.upkeep
        }
    }

    fn note_upkeep(&self, agenda: &mut Agenda) {
        let changes = self.inbox.changes();
        if agenda.todo.is_empty() && sync::lock(&self.inbox.fresh).is_empty() {
            agenda.fresh_from = self.shelf.next_ids().0;
        }
        let begun = agenda.sweep.as_ref().map(|s| s.position(changes));
        let owed = (agenda.swept != changes).then_some(Position::TOP);
        *sync::lock(&self.noted) = Noted {
            upkeep: Upkeep {
                fresh_from: agenda
                    .resumed
                    .front()
                    .map_or(agenda.fresh_from, |node| node.id),
                sweep: begun.or(owed),
            },
            changes,
            root: agenda.last_root.clone(),
        };
    }

    fn work(&self, roots: &dyn Roots, sweep: bool) -> Result<bool> {
        let mut agenda = self.agenda();
        let worked = self.work_on(roots, sweep, &mut agenda);
        self.note_upkeep(&mut agenda);
        worked
    }

    fn work_on(&self, roots: &dyn Roots, sweep: bool, agenda: &mut Agenda) -> Result<bool> {
        let mut reaped = 0;
        let mut set_aside = 0;
        while set_aside < REAP_AT_ONCE {
            match self.spared(self.shelf.reap(REAP_AT_ONCE)) {
                Some(n) => {
                    reaped = n;
                    break;
                }
                None => set_aside += 1,
            }
        }
        self.counters.reaped.add(reaped as u64);
        let mut busy = reaped > 0;
        if busy {
            self.inbox.note(&Fresh::new());
        }
        busy |= self.tend_root(roots, agenda, false)?;
        agenda.todo.extend(sync::lock(&self.inbox.fresh).drain(..));
        while let Some(mut node) = agenda.resumed.pop_front() {
            let Some(handle) = node.handle.upgrade() else {
                continue;
            };
            if self.spared(self.visit(roots, &handle, false)) == Some(true) {
                node.visits += 1;
                match node.visits < VISITS_IN_A_ROW {
                    true => agenda.resumed.push_front(node),
                    false => agenda.todo.push_back(node.handle),
                }
            }
            return Ok(true);
        }
        while let Some(weak) = agenda.todo.pop_front() {
            let Some(handle) = weak.upgrade() else {
                continue;
            };
            if self.spared(self.visit(roots, &handle, false)) == Some(true) {
                agenda.todo.push_back(weak);
            }
            return Ok(true);
        }
        if busy || !sweep {
            return Ok(busy);
        }
        self.sweep_on(roots, agenda)
    }

    /// What could not be read lately, if nobody was told yet.
    fn untold(&self) -> Result<()> {
        self.troubles.untold().map_or(Ok(()), Err)
    }

    /// Keeps background work out for as long as the result lives.
    pub fn pause(&self) -> impl Drop + '_ {
        self.agenda()
    }

    /// Puts the root in shape at once: for writers who made it too wide. Merges nothing, and waits for no
    /// background job.
    ///
    /// # Errors
    /// If a node or run cannot be read.
    pub fn tidy(&self, roots: &dyn Roots) -> Result<()> {
        for _ in 0..TIDY_ROUNDS {
            if !self.shape_root(roots, false)? {
                break;
            }
        }
        self.untold()
    }

    /// Merges small layers of the slots of the root that are too deep, at once: for writers who made them so. Waits for no background job.
    ///
    /// # Errors
    /// If a run cannot be read.
    pub fn relieve(&self, roots: &dyn Roots) -> Result<()> {
        let deep = |slot: &Slot| slot.layers.len() > self.policy.root_max_layers;
        let mut plans = self.plan_of(&roots.root(), deep);
        plans.retain(|p| p.merge.bytes() <= self.policy.small_own);
        if !plans.is_empty() {
            let done = self.merged(plans, &|| ());
            roots.replace_root(&mut |now| Ok(carry_out(self, now, &done)))?;
            self.inbox.note(&Fresh::new());
        }
        self.untold()
    }

    fn sweep_on(&self, roots: &dyn Roots, agenda: &mut Agenda) -> Result<bool> {
        if agenda.sweep.is_none() {
            if self.inbox.changes() == agenda.swept {
                return Ok(false);
            }
            let changes_before = self.inbox.changes();
            // The same root may have come to hold what only it shows now.
            if agenda.root_swept != changes_before {
                agenda.root_swept = changes_before;
                agenda.settled_root = None;
            }
            if self.tend_root(roots, agenda, true)? {
                return Ok(true);
            }
            agenda.sweep = Some(Sweep::begin(&self.shelf, None, changes_before));
        }
        let Some(sweep) = &mut agenda.sweep else {
            return Ok(false);
        };
        if let Some(at) = sweep.next() {
            let table = self.shelf.table();
            let alive = table.node(NodeId(at.id)).filter(|e| e.count > 0);
            let handle = alive.map(|e| e.handle.clone());
            drop(table);
            let Some(handle) = handle else {
                return Ok(true);
            };
            let behind = match self.spares_reads() {
                true => self.spared(self.read_next_child(&handle, at.slot)),
                false => None,
            };
            if self.spared(self.visit(roots, &handle, true)) == Some(true) {
                agenda.todo.push_back(Arc::downgrade(&handle));
            }
            let next = behind
                .flatten()
                .and_then(|lo| self.spared(self.slot_from(&handle, &lo)));
            if let (Some(sweep), Some(slot)) = (&mut agenda.sweep, next.flatten()) {
                sweep.go_on_with(Position { slot, ..at });
            }
            return Ok(true);
        }
        self.counters.sweeps.bump();
        let changes = self.inbox.changes();
        if !sweep.again(changes) {
            agenda.swept = changes;
        }
        agenda.sweep = None;
        Ok(agenda.swept != changes)
    }

    /// One step on the root: its shape, or else a job of merges. Whether anything was done.
    fn tend_root(&self, roots: &dyn Roots, agenda: &mut Agenda, eager: bool) -> Result<bool> {
        let root = roots.root();
        if !std::ptr::eq(agenda.last_root.as_ptr(), Arc::as_ptr(&root)) {
            agenda.last_root = Arc::downgrade(&root);
            self.inbox.note(&Fresh::new());
        }
        let settled = agenda.settled_root.as_ref();
        if settled
            .is_some_and(|(r, e)| std::ptr::eq(r.as_ptr(), Arc::as_ptr(&root)) && (*e || !eager))
        {
            return Ok(false);
        }
        if self.shape_root(roots, eager)? {
            return Ok(true);
        }
        let root = roots.root();
        let plans = self.plan(&root);
        if plans.is_empty() {
            agenda.settled_root = Some((Arc::downgrade(&root), eager));
            return Ok(false);
        }
        let done = self.merged(plans, &|| roots.breathe());
        if done.is_empty() {
            agenda.settled_root = Some((Arc::downgrade(&root), eager));
            return Ok(false);
        }
        roots.replace_root(&mut |now| Ok(carry_out(self, now, &done)))?;
        self.inbox.note(&Fresh::new());
        Ok(true)
    }

    /// Brings the root into shape, from outside if nobody changes it meanwhile, or else with others kept out.
    fn shape_root(&self, roots: &dyn Roots, eager: bool) -> Result<bool> {
        for _ in 0..FREE_ATTEMPTS {
            let root = roots.root();
            let Some(shaped) = self.shaped_root(&root, eager)? else {
                return Ok(false);
            };
            let mut node = Some(shaped.node);
            let installed = roots.replace_root(&mut |now| {
                Ok(if Arc::ptr_eq(now, &root) {
                    node.take()
                } else {
                    None
                })
            })?;
            if installed {
                self.inbox.note(&shaped.fresh);
                return Ok(true);
            }
        }
        let mut fresh = Fresh::new();
        let installed = roots.replace_root(&mut |now| {
            let shaped = self.shaped_root(now, eager)?;
            Ok(shaped.map(|s| {
                fresh = s.fresh;
                s.node
            }))
        })?;
        if installed {
            self.inbox.note(&fresh);
        }
        Ok(installed)
    }

    fn shaped_root(&self, root: &Node, eager: bool) -> Result<Option<Reshaped>> {
        let reads = eager || !self.spares_reads();
        let shaped = self.shaped(root, eager, reads)?;
        let mut fresh = Fresh::new();
        let leveled = self.level(shaped.as_ref().map_or(root, |s| &s.node), &mut fresh);
        let leveled = self.spared(leveled).flatten();
        Ok(match (shaped, leveled) {
            (shaped, None) => shaped,
            (shaped, Some(node)) => {
                fresh.extend(shaped.into_iter().flat_map(|s| s.fresh));
                Some(Reshaped { node, fresh })
            }
        })
    }

    fn shaped(&self, node: &Node, eager: bool, reads: bool) -> Result<Option<Reshaped>> {
        match node.height {
            0 => Ok(self.shape_leaf(node)?.map(|node| Reshaped {
                node,
                fresh: Fresh::new(),
            })),
            _ => self.reshape(node, eager, reads),
        }
    }

    /// Shapes a node, or merges in it if it is in shape. Whether anything was done, so that it is to be looked at again.
    fn visit(&self, roots: &dyn Roots, handle: &Arc<NodeHandle>, eager: bool) -> Result<bool> {
        let alive = self
            .shelf
            .table()
            .node(handle.id())
            .is_some_and(|e| e.count > 0);
        if !alive {
            return Ok(false);
        }
        self.counters.visits.bump();
        let rep = self.shelf.load(handle)?;
        let (node, fresh) = match self.shaped(&rep, eager, !self.spares_reads())? {
            Some(shaped) => (shaped.node, shaped.fresh),
            None => {
                let plans = self.plan(&rep);
                if plans.is_empty() {
                    return Ok(false);
                }
                let Some(node) = carry_out(self, &rep, &self.merged(plans, &|| roots.breathe()))
                else {
                    return Ok(false);
                };
                (node, Fresh::new())
            }
        };
        if self.shelf.replace(handle, &rep, node) {
            self.inbox.note(&fresh);
        }
        // If it was evicted meanwhile, the work is still to be done.
        Ok(true)
    }

    fn merged(&self, plans: Vec<Plan>, breathe: &dyn Fn()) -> Vec<(Plan, Pieces)> {
        let merges: Vec<&Merge> = plans.iter().map(|p| &p.merge).collect();
        if let Some(pieces) = self.spared(run_merges(self, &merges, breathe)) {
            return plans.into_iter().zip(pieces).collect();
        }
        // One of them cannot be read: each alone.
        let mut done = Vec::new();
        for plan in plans {
            let alone = run_merges(self, &[&plan.merge], breathe).map(|mut all| all.pop());
            if let Some(pieces) = self.spared_for(plan.slots(), alone).flatten() {
                done.push((plan, pieces));
            }
        }
        done
    }
}
