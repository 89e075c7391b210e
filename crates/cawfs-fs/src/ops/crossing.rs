//! Trees that share files with their outside: names below a directory that lead to bodies whose home is above it.
//!
//! ```text
//!   home ── H id ── body               removed: the body loses the names in the tree
//!    ├─ a ── x ──► id                  cloned:  the clone gets a body of its own, for the names in the tree
//!    └─ tree ── y ──► id               moved:   the names in the tree are listed elsewhere in the home, or
//!                                               the body moves to a home further up, or along
//! ```
//! * What a tree shares costs as much as there is of it; nothing at all where no directory above is a home.
//! * References in the tree are never looked at: back-references tell all.
//! * A batch deletes back-references before it writes any, so that names may change places.

use crate::change::Change;
use crate::content;
use crate::counters::add;
use crate::errno::Result;
use crate::fs::Fs;
use crate::guards::{GUARDS, check_unguarded};
use crate::inode::{HOME, Inode};
use crate::links::LinkId;
use crate::locks::lock;
use crate::maps::elsewhere;
use crate::ops::links::{Home, Linked, id_of};
use crate::ops::remove::Moves;
use crate::schema::Location;
use crate::table::{Node, Place, pin_child};
use crate::types::{BLOCK_BYTES, NodeId};
use bytes::Bytes;
use cawdb::{KeyRange, Snapshot};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Bytes of bodies that go by value in one change, at most: a batch is held in memory.
const MOST_BY_VALUE: u64 = 16 << 20;

/// What lies below a directory and leads to bodies of a home above it.
struct Crossing {
    home: Home,
    /// What the keys start with.
    prefix: Vec<u8>,
    /// Keys of the back-references.
    keys: Vec<Bytes>,
    /// Where each of these leads.
    ids: Vec<LinkId>,
}

impl Crossing {
    /// The bodies, and how many names of each there are.
    fn counts(&self) -> BTreeMap<LinkId, u32> {
        let mut counts = BTreeMap::new();
        for id in &self.ids {
            *counts.entry(*id).or_default() += 1;
        }
        counts
    }
}

/// Back-references that change, and nodes that do, once the change is committed.
#[derive(Default)]
pub(crate) struct Backs {
    gone: Vec<Bytes>,
    new: Vec<(Vec<u8>, Bytes)>,
    pub(crate) moves: Moves,
    /// Whether bodies have moved.
    moved: bool,
}

impl Backs {
    pub(crate) fn remove(&mut self, key: impl Into<Bytes>) {
        self.gone.push(key.into());
    }
    pub(crate) fn put(&mut self, key: Vec<u8>, id: LinkId) {
        self.new.push((key, id.encode()));
    }
    /// Adds all to a change; what then moves.
    pub(crate) fn apply(self, change: &mut Change<'_>) -> Moves {
        for key in self.gone {
            change.batch.delete(key);
        }
        for (key, value) in self.new {
            change.batch.put(key, value);
        }
        self.moves
    }
}

impl Fs {
    /// What leads out of a directory that lies at `at`, to bodies above it.
    fn crossings(&self, view: &Snapshot, top: NodeId, at: &Location) -> Result<Vec<Crossing>> {
        let mut found = Vec::new();
        for home in self.homes_above(top)? {
            let prefix = home.at.backs_below(at);
            let (mut keys, mut ids) = (Vec::new(), Vec::new());
            for item in view.scan(KeyRange::prefix(prefix.clone())) {
                let (key, value) = item?;
                ids.push(id_of(&value)?);
                keys.push(key);
            }
            if !keys.is_empty() {
                found.push(Crossing {
                    home,
                    prefix,
                    keys,
                    ids,
                });
            }
        }
        Ok(found)
    }

    /// The nodes that somebody holds, of files that have names below a directory and their home above it.
    pub(crate) fn crossing_nodes(&self, top: &Node) -> Result<Vec<NodeId>> {
        let (at, view) = (self.resolve(top)?.at, self.store.snapshot());
        let mut nodes = Vec::new();
        for crossing in self.crossings(&view, top.id, &at)? {
            for id in crossing.counts().into_keys() {
                let body = pin_child(&self.table, crossing.home.node.id, &id.name());
                nodes.extend(body.map(|body| body.id));
            }
        }
        Ok(nodes)
    }

    /// EPERM if a name below a directory, kept at `at`, is one of a guarded body above it.
    pub(crate) fn check_crossings_unguarded(
        &self,
        view: &Snapshot,
        top: &Node,
        at: &Location,
    ) -> Result<()> {
        for crossing in self.crossings(view, top.id, at)? {
            if !lock(&crossing.home.node.inode).has(GUARDS) {
                continue;
            }
            for id in crossing.counts().into_keys() {
                check_unguarded(&self.body_in(&crossing.home, id)?.inode())?;
            }
        }
        Ok(())
    }

    /// Takes all names below a directory, kept at `at`, from bodies above it.
    pub(crate) fn take_names_below(
        &self,
        change: &mut Change<'_>,
        view: &Snapshot,
        top: &Node,
        at: &Location,
    ) -> Result<Moves> {
        let mut moves = Vec::new();
        for crossing in self.crossings(view, top.id, at)? {
            let counts = crossing.counts();
            if crossing.keys.len() > self.few_links {
                let range = KeyRange::prefix(crossing.prefix);
                change.batch.delete_range(range);
            } else {
                for key in crossing.keys {
                    change.batch.delete(key);
                }
            }
            let mut linked = Linked {
                home: crossing.home,
                id: LinkId { number: 0, tag: 0 },
            };
            for (id, count) in counts {
                linked.id = id;
                let file = self.body_in(&linked.home, id)?;
                let place = self.take_links(change, view, &file, &linked, count)?;
                moves.extend(place.map(|place| (file.id, place)));
            }
        }
        Ok(moves)
    }

    /// Gives a clone of a directory its own bodies, for the names in it that lead out of it. `top` is the source, kept at
    /// `from`; the clone's record is the caller's, and gets marked.
    pub(crate) fn clone_bodies(
        &self,
        change: &mut Change<'_>,
        view: &Snapshot,
        (top, from): (&Node, &Location),
        (to, root): (&Location, &mut Inode),
    ) -> Result<()> {
        let (mut placed, mut bytes) = (BTreeSet::new(), 0);
        for crossing in self.crossings(view, top.id, from)? {
            let (shifts, target) = (crossing.home.node.shifts, to.backs());
            let mut counts = crossing.counts();
            if shifts == top.shifts {
                let places = (from, to);
                self.clone_runs(
                    change,
                    view,
                    &crossing.home,
                    places,
                    &mut counts,
                    &mut placed,
                )?;
            }
            for (id, count) in counts {
                let file = self.body_in(&crossing.home, id)?;
                let (mut inode, own) = (file.inode(), id.rebased(shifts, top.shifts));
                let (source, place) = (crossing.home.place(id), to.child(own.name()));
                self.admit_one(&place)?;
                copy_body(change, view, (&source, &inode), &place, &mut bytes)?;
                (inode.links, inode.number) = (count, own.number);
                change.batch.put(place.record(), inode.encode());
                placed.insert(own);
                add(&self.counters.bodies_cloned, 1);
            }
            for (key, id) in crossing.keys.iter().zip(&crossing.ids) {
                let rest = key.get(crossing.prefix.len()..).unwrap_or_default();
                let own = id.rebased(shifts, top.shifts);
                change.batch.put([&target, rest].concat(), own.encode());
            }
            root.flags |= HOME;
        }
        Ok(())
    }

    /// What moving a directory changes for names in it that lead out of it: it goes from `from` in `from_dir` to `to` in
    /// `to_dir`. In an exchange this is called for both, also for a file, the second time with `done`.
    pub(crate) fn carry_links(
        &self,
        change: &mut Change<'_>,
        view: &Snapshot,
        (from_dir, from): (&Node, &Location),
        (to_dir, to): (&Node, &Location),
        (exchange, done): (bool, bool),
        backs: &mut Backs,
    ) -> Result<()> {
        for home in self.homes(from_dir.id)? {
            let source = home.at.backs_below(from);
            if lock(&self.table).is_below(to_dir.id, home.node.id) {
                let target = home.at.backs_below(to);
                if !done {
                    let few = self.few_links;
                    let sides = (source, target);
                    let moved = move_backs(change, view, sides, (exchange, few), backs)?;
                    add(&self.counters.back_references_moved, moved);
                }
                continue;
            }
            let mut ids = BTreeSet::new();
            for item in view.scan(KeyRange::prefix(source.clone())) {
                ids.insert(id_of(&item?.1)?);
            }
            if ids.is_empty() {
                continue;
            }
            let next = self.common(home.node.id, to_dir.id)?;
            let target = next.at.backs_below(to);
            let moved = |key: &Bytes| {
                let rest = key.strip_prefix(&source[..])?;
                Some([&target, rest].concat())
            };
            self.move_home(change, view, (&home, &next), &ids, &moved, backs)?;
        }
        Ok(())
    }

    /// What moving a directory to another region changes for names in it that lead out of it: bodies that have no names outside
    /// come along, into its new place `to`. The marks that it gets; EXDEV if there are others.
    pub(crate) fn take_links_along(
        &self,
        change: &mut Change<'_>,
        view: &Snapshot,
        top: &Arc<Node>,
        (from, to): (&Location, &Location),
        backs: &mut Backs,
    ) -> Result<u32> {
        let (mut bytes, mut marks) = (0, 0);
        for crossing in self.crossings(view, top.id, from)? {
            let (home, target) = (&crossing.home, to.backs());
            let shifts = (home.node.shifts, top.shifts);
            for (id, count) in crossing.counts() {
                let (file, own) = (self.body_in(home, id)?, id.rebased(shifts.0, shifts.1));
                let (old, new) = (home.place(id), to.child(own.name()));
                let mut inode = change.inode(&file);
                if inode.links != count {
                    return Err(elsewhere());
                }
                self.admit_one(&new)?;
                copy_body(change, view, (&old, &inode), &new, &mut bytes)?;
                content::erase(&mut change.batch, &old, &inode);
                self.enter_zone(change, (&home.node, top), &mut inode, &new)?;
                inode.number = own.number;
                let guarded = inode.is_guarded();
                change.record(&file, &new, inode);
                let place = Place::Child(top.id, own.name());
                backs.moves.push((file.id, place));
                add(&self.counters.bodies_moved, 1);
                marks |= HOME | if guarded { GUARDS } else { 0 };
            }
            for (key, id) in crossing.keys.iter().zip(&crossing.ids) {
                let rest = key.get(crossing.prefix.len()..).unwrap_or_default();
                backs.remove(key.clone());
                backs.put([&target, rest].concat(), id.rebased(shifts.0, shifts.1));
            }
        }
        Ok(marks)
    }

    /// A name of a body that moves from one entry to another.
    pub(crate) fn carry_name(
        &self,
        change: &mut Change<'_>,
        view: &Snapshot,
        (file, linked): (&Arc<Node>, Linked),
        from: &Location,
        (dir, to): (&Node, &Location),
        backs: &mut Backs,
    ) -> Result<()> {
        self.put_reference(change, file, &linked, (dir, to));
        let Linked { home, id } = linked;
        let old = home.at.back(from);
        let at = if lock(&self.table).is_below(dir.id, home.node.id) {
            backs.remove(old);
            backs.put(home.at.back(to), id);
            home.place(id)
        } else {
            let next = self.common(home.node.id, dir.id)?;
            let moved = |key: &Bytes| (*key == old).then(|| next.at.back(to));
            let ids = [id].into();
            self.move_home(change, view, (&home, &next), &ids, &moved, backs)?;
            next.place(id.rebased(home.node.shifts, next.node.shifts))
        };
        let mut inode = change.inode(file);
        inode.ctime = change.now;
        change.record(file, &at, inode);
        Ok(())
    }

    /// Moves bodies to a home above theirs. `moved` tells new keys of back-references, where the name itself moves too.
    /// O(back-references of the old home).
    pub(crate) fn move_home(
        &self,
        change: &mut Change<'_>,
        view: &Snapshot,
        (home, next): (&Home, &Home),
        ids: &BTreeSet<LinkId>,
        moved: &dyn Fn(&Bytes) -> Option<Vec<u8>>,
        backs: &mut Backs,
    ) -> Result<()> {
        let shifts = (home.node.shifts, next.node.shifts);
        let (prefix, target) = (home.at.backs(), next.at.backs_below(&home.at));
        for item in view.scan(KeyRange::prefix(prefix.clone())) {
            let (key, value) = item?;
            let id = id_of(&value)?;
            if !ids.contains(&id) {
                continue;
            }
            let rest = key.get(prefix.len()..).unwrap_or_default();
            let new = moved(&key).unwrap_or_else(|| [&target, rest].concat());
            backs.put(new, id.rebased(shifts.0, shifts.1));
            backs.remove(key);
        }
        let mut single = ids.clone();
        if shifts.0 == shifts.1 && !backs.moved {
            self.move_runs(change, view, (home, next), &mut single, backs)?;
        }
        backs.moved = true;
        let mut bytes = 0;
        for id in single {
            let (file, own) = (self.body_in(home, id)?, id.rebased(shifts.0, shifts.1));
            let (from, to) = (home.place(id), next.place(own));
            let mut inode = change.inode(&file);
            self.admit_one(&to)?;
            copy_body(change, view, (&from, &inode), &to, &mut bytes)?;
            content::erase(&mut change.batch, &from, &inode);
            self.enter_zone(change, (&home.node, &next.node), &mut inode, &to)?;
            inode.number = own.number;
            change.record(&file, &to, inode);
            let place = Place::Child(next.node.id, own.name());
            backs.moves.push((file.id, place));
            add(&self.counters.bodies_moved, 1);
        }
        self.mark_home(change, next);
        Ok(())
    }
}

/// Copies one body; `bytes` counts what went by value.
fn copy_body(
    change: &mut Change<'_>,
    view: &Snapshot,
    (from, inode): (&Location, &Inode),
    to: &Location,
    bytes: &mut u64,
) -> Result<()> {
    *bytes += inode.size.min(BLOCK_BYTES);
    if *bytes > MOST_BY_VALUE {
        return content::share(view, &mut change.batch, (from, inode), to);
    }
    content::copy(view, &mut change.batch, (from, inode), (to, None))
}

/// Moves the back-references of a directory that stays below their home, or exchanges those of two. How many were seen.
fn move_backs(
    change: &mut Change<'_>,
    view: &Snapshot,
    (source, target): (Vec<u8>, Vec<u8>),
    (exchange, most): (bool, usize),
    backs: &mut Backs,
) -> Result<u64> {
    let few = |prefix: &[u8]| -> Result<Vec<(Bytes, Bytes)>> {
        let scan = view.scan(KeyRange::prefix(prefix.to_vec()));
        Ok(scan.take(most + 1).collect::<cawdb::Result<_>>()?)
    };
    let going = few(&source)?;
    let coming = if exchange { few(&target)? } else { Vec::new() };
    let seen = (going.len() + coming.len()) as u64;
    if going.len() > most || coming.len() > most {
        change.batch.clone_prefix(source.clone(), target.clone());
        if exchange {
            change.batch.clone_prefix(target, source);
        } else {
            change.batch.delete_range(KeyRange::prefix(source));
        }
        return Ok(seen);
    }
    for (all, from, to) in [(going, &source, &target), (coming, &target, &source)] {
        for (key, value) in all {
            let rest = key.get(from.len()..).unwrap_or_default();
            backs.new.push(([to, rest].concat(), value));
            backs.gone.push(key);
        }
    }
    Ok(seen)
}
