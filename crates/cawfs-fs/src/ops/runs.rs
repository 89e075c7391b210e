//! Bodies that lie together in their home are cloned and moved as ranges of keys, where there are many.
//!
//! ```text
//!   old home   H 3   H 4   H 5   H 6   H 7       asked for: 3 4 6 7
//!   new home   H 3   H 4    ·    H 6   H 7       one range, and the deletion of 5
//! ```
//! * Only where ids stay the same, because both homes have the same shifts.
//! * A range replaces what is in it. So the new home must have nothing there, from before or from the same change.

use super::crossing::Backs;
use crate::change::Change;
use crate::content;
use crate::counters::add;
use crate::errno::Result;
use crate::fs::Fs;
use crate::inode::Inode;
use crate::links::LinkId;
use crate::ops::links::Home;
use crate::schema::{DATA, Location, META};
use crate::table::{Place, pin_child};
use cawdb::Snapshot;
use std::collections::{BTreeMap, BTreeSet};

/// A run has at least this part of [`few_links`](crate::MountOptions) bodies.
const TOGETHER: usize = 8;
/// Others that may lie between two bodies of a run.
const GAP: usize = 8;

/// Bodies that lie together in a home, as the store has them.
#[derive(Default)]
struct Run {
    /// Those that are asked for.
    bodies: Vec<(LinkId, Inode)>,
    /// Those that lie between them.
    others: Vec<(LinkId, Inode)>,
}

impl Run {
    fn ends(&self) -> (LinkId, LinkId) {
        let nothing = LinkId { number: 0, tag: 0 };
        let id = |body: Option<&(LinkId, Inode)>| body.map_or(nothing, |body| body.0);
        (id(self.bodies.first()), id(self.bodies.last()))
    }
    /// Clones the bodies, and not the others, from one home to another.
    fn clone(&self, change: &mut Change<'_>, from: &Location, to: &Location) {
        for which in [META, DATA] {
            let (source, target) = (from.bodies(which), to.bodies(which));
            let range = from.body_range(which, self.ends());
            change.batch.clone_range(range, source, target);
        }
        for (id, inode) in &self.others {
            content::erase(&mut change.batch, &to.child(id.name()), inode);
        }
    }
    /// Deletes the bodies, and not the others, from their home.
    fn erase(&self, change: &mut Change<'_>, from: &Location) {
        if self.others.is_empty() {
            for which in [META, DATA] {
                let range = from.body_range(which, self.ends());
                change.batch.delete_range(range);
            }
            return;
        }
        for (id, inode) in &self.bodies {
            content::erase(&mut change.batch, &from.child(id.name()), inode);
        }
    }
}

impl Fs {
    /// Clones bodies that lie together under the same ids; takes them from `counts`. A range replaces what is in it: nothing of
    /// the cloned directory's own may lie there, nor what was `placed` before.
    pub(super) fn clone_runs(
        &self,
        change: &mut Change<'_>,
        view: &Snapshot,
        home: &Home,
        (from, to): (&Location, &Location),
        counts: &mut BTreeMap<LinkId, u32>,
        placed: &mut BTreeSet<LinkId>,
    ) -> Result<()> {
        let ids = counts.keys().copied().collect();
        for run in self.runs(view, home, &ids)? {
            let (first, last) = run.ends();
            let own = from.body_range(META, (first, last));
            let taken = view.scan(own).next().transpose()?.is_some();
            if taken || placed.range(first..=last).next().is_some() {
                continue;
            }
            run.clone(change, &home.at, to);
            for (id, mut inode) in run.bodies {
                let place = to.child(id.name());
                self.admit_one(&place)?;
                inode.links = counts.remove(&id).unwrap_or(inode.links);
                change.batch.put(place.record(), inode.encode());
                placed.insert(id);
                add(&self.counters.bodies_cloned, 1);
                add(&self.counters.bodies_in_ranges, 1);
            }
        }
        Ok(())
    }

    /// Moves bodies that lie together, under the same ids; takes them from `ids`.
    pub(super) fn move_runs(
        &self,
        change: &mut Change<'_>,
        view: &Snapshot,
        (home, next): (&Home, &Home),
        ids: &mut BTreeSet<LinkId>,
        backs: &mut Backs,
    ) -> Result<()> {
        let zone = |home: &Home| self.resolve(&home.node).map(|found| found.no_set_id);
        if zone(home)? != zone(next)? {
            return Ok(());
        }
        let changed: BTreeSet<_> = change.nodes().collect();
        for run in self.runs(view, home, ids)? {
            let names = run.bodies.iter().map(|(id, _)| id.name());
            let known: Vec<_> = names
                .filter_map(|name| Some((pin_child(&self.table, home.node.id, &name)?.id, name)))
                .collect();
            let place = next.at.body_range(META, run.ends());
            let taken = view.scan(place).next().transpose()?.is_some();
            if taken || known.iter().any(|(node, _)| changed.contains(node)) {
                continue;
            }
            run.clone(change, &home.at, &next.at);
            run.erase(change, &home.at);
            for (id, _) in &run.bodies {
                self.admit_one(&next.place(*id))?;
                ids.remove(id);
                add(&self.counters.bodies_moved, 1);
                add(&self.counters.bodies_in_ranges, 1);
            }
            let moved = |(node, name)| (node, Place::Child(next.node.id, name));
            backs.moves.extend(known.into_iter().map(moved));
        }
        Ok(())
    }

    /// Of many bodies of a home those that lie together. O(bodies that are asked for).
    fn runs(&self, view: &Snapshot, home: &Home, ids: &BTreeSet<LinkId>) -> Result<Vec<Run>> {
        let (Some(&first), Some(&last)) = (ids.first(), ids.last()) else {
            return Ok(Vec::new());
        };
        if ids.len() <= self.few_links {
            return Ok(Vec::new());
        }
        let (mut runs, mut run, mut gap) = (Vec::new(), Run::default(), Vec::new());
        let (prefix, mut seen) = (home.at.bodies(META), 0);
        for item in view.scan(home.at.body_range(META, (first, last))) {
            let (key, value) = item?;
            let Some(id) = key.get(prefix.len()..).and_then(LinkId::decode) else {
                continue; // an attribute
            };
            let body = (id, Inode::decode(&value)?);
            if ids.contains(&id) {
                run.others.append(&mut gap);
                run.bodies.push(body);
                continue;
            }
            seen += 1;
            if seen > ids.len() * GAP {
                break;
            }
            if !run.bodies.is_empty() {
                gap.push(body);
            }
            if gap.len() > GAP {
                gap.clear();
                runs.push(std::mem::take(&mut run));
            }
        }
        runs.push(run);
        let least = (self.few_links / TOGETHER).max(1);
        runs.retain(|run| run.bodies.len() >= least);
        Ok(runs)
    }
}
