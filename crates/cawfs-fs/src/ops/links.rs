//! What operations do with files that have several names (see [`crate::links`]).
//!
//! * A name comes or goes with its directory and the body held; a body moves, or gets a home, only while the namespace is held
//!   exclusively.

use crate::change::Change;
use crate::content;
use crate::counters::add;
use crate::errno::{Kind, Result};
use crate::fs::Fs;
use crate::inode::{HOME, Inode};
use crate::links::{LinkId, Reference};
use crate::locks::lock;
use crate::ops::crossing::Backs;
use crate::ops::remove::Moves;
use crate::ops::zones::drop_hidden;
use crate::schema::Location;
use crate::table::{Node, Pin, Place};
use crate::types::NodeId;
use bytes::Bytes;
use cawdb::{KeyRange, Snapshot};
use std::sync::Arc;

/// Among so many neighbours the last name of a file is looked for, so that it becomes an ordinary file again.
const NEIGHBOURS: usize = 16;

/// A home, and where it is.
pub(crate) struct Home {
    pub(crate) node: Arc<Node>,
    pub(crate) at: Location,
}

impl Home {
    /// Where a body of it lies.
    pub(crate) fn place(&self, id: LinkId) -> Location {
        self.at.child(id.name())
    }
}

/// The body of a file with several names.
pub(crate) struct Linked {
    pub(crate) home: Home,
    pub(crate) id: LinkId,
}

fn damaged() -> crate::errno::Error {
    Kind::Io.because("a name of a file that is not there")
}

pub(crate) fn id_of(value: &[u8]) -> Result<LinkId> {
    LinkId::decode(value).ok_or_else(|| Kind::Io.because("a damaged back-reference"))
}

impl Fs {
    fn home(&self, node: Arc<Node>) -> Result<Home> {
        let at = self.resolve(&node)?.at;
        Ok(Home { node, at })
    }

    /// The homes at and above a directory, nearest first.
    pub(crate) fn homes(&self, dir: NodeId) -> Result<Vec<Home>> {
        let homes = lock(&self.table).homes(dir);
        homes.into_iter().map(|node| self.home(node)).collect()
    }

    /// The homes above an object.
    pub(crate) fn homes_above(&self, id: NodeId) -> Result<Vec<Home>> {
        let place = lock(&self.table).place(id);
        match place {
            Some(Place::Child(parent, _)) => self.homes(parent),
            _ => Ok(Vec::new()),
        }
    }

    /// The file that a reference in `dir` leads to.
    pub(crate) fn body(&self, dir: &Node, link: &Reference) -> Result<Pin<'_>> {
        for home in self.homes(dir.id)? {
            let name = link.id.rebased(dir.shifts, home.node.shifts).name();
            if let Some(body) = self.child(&home.node, &home.at, &name)? {
                return Ok(body);
            }
        }
        Err(damaged())
    }

    pub(crate) fn body_in(&self, home: &Home, id: LinkId) -> Result<Pin<'_>> {
        self.child(&home.node, &home.at, &id.name())?
            .ok_or_else(damaged)
    }

    /// Home and id of a file that has several names; none for any other object.
    pub(crate) fn linked(&self, node: &Node) -> Result<Option<Linked>> {
        let found = lock(&self.table).home(node.id);
        let Some((home, id)) = found else {
            return Ok(None);
        };
        let home = self.home(Arc::clone(&*self.node(home)?))?;
        Ok(Some(Linked { home, id }))
    }

    /// What is kept under a name of a node: all of it, or nothing beside a reference.
    pub(crate) fn kept(&self, node: &Node) -> Inode {
        let mut inode = node.inode();
        if lock(&self.table).home(node.id).is_some() {
            (inode.flags, inode.size, inode.blocks) = (0, 0, 0);
        }
        inode
    }

    /// Whether a file would have a name outside its home, if it got one in `dir`.
    pub(crate) fn leaves_home(&self, node: &Node, dir: &Node) -> bool {
        let table = lock(&self.table);
        let home = table.home(node.id);
        home.is_some_and(|(home, _)| !table.is_below(dir.id, home))
    }

    /// The lowest directory at or above both.
    pub(crate) fn common(&self, a: NodeId, b: NodeId) -> Result<Home> {
        let id = lock(&self.table).common(a, b);
        self.home(Arc::clone(&*self.node(id)?))
    }

    pub(crate) fn mark_home(&self, change: &mut Change<'_>, home: &Home) {
        let mut inode = change.inode(&home.node);
        if !inode.has(HOME) {
            inode.flags |= HOME;
            change.record(&home.node, &home.at, inode);
        }
    }

    /// Gives a file that has a name another one, kept at `entry` in `dir`; where bodies went.
    pub(crate) fn link_again(
        &self,
        change: &mut Change<'_>,
        view: &Snapshot,
        file: &Arc<Node>,
        (dir, entry, name): (&Node, &Location, Bytes),
    ) -> Result<Moves> {
        let mut backs = Backs::default();
        // Of what cannot have names, the reason why.
        let first = self.resolve(file)?.at;
        let place = lock(&self.table).place(file.id);
        if let Some(Place::Child(parent, _)) = place {
            self.check_region(parent, dir.id)?;
        }
        let linked = match (self.linked(file)?, place) {
            (Some(linked), _) if !self.leaves_home(file, dir) => linked,
            (Some(Linked { home, id }), _) => {
                let next = self.common(home.node.id, dir.id)?;
                let (ids, moved) = ([id].into(), |_: &Bytes| None);
                let homes = (&home, &next);
                self.move_home(change, view, homes, &ids, &moved, &mut backs)?;
                let id = id.rebased(home.node.shifts, next.node.shifts);
                Linked { home: next, id }
            }
            (None, Some(Place::Child(parent, _))) => {
                let (home, parent) = (self.common(parent, dir.id)?, self.node(parent)?);
                let linked = self.make_body(change, view, file, (&parent, &first), home)?;
                let place = Place::Child(linked.home.node.id, linked.id.name());
                backs.moves.push((file.id, place));
                linked
            }
            _ => return Err(Kind::NotPermitted.because("it has no place in the tree")),
        };
        self.add_name(change, file, &linked, (dir, entry))?;
        if linked.home.node.id == dir.id {
            lock(&self.recent).note(file.id, name);
        }
        Ok(backs.apply(change))
    }

    /// Gives an ordinary file, kept at `entry` in `dir`, a body in a home, and makes its name a reference.
    pub(crate) fn make_body(
        &self,
        change: &mut Change<'_>,
        view: &Snapshot,
        file: &Arc<Node>,
        (dir, entry): (&Node, &Location),
        home: Home,
    ) -> Result<Linked> {
        let mut inode = file.inode();
        let (number, tag) = (inode.number, self.random());
        let own = LinkId { number, tag };
        let id = own.rebased(dir.shifts, home.node.shifts);
        let at = home.place(id);
        self.admit_one(&at)?;
        content::carry(view, &mut change.batch, (entry, &inode), (&at, None))?;
        content::erase(&mut change.batch, entry, &inode);
        let kind = file.kind;
        let link = Reference { kind, id: own };
        change.batch.put(entry.record(), link.encode());
        change.batch.insert(home.at.back(entry), id.encode());
        self.enter_zone(change, (dir, &home.node), &mut inode, &at)?;
        inode.number = id.number;
        change.first_record(file, &at, inode);
        self.mark_home(change, &home);
        add(&self.counters.bodies_made, 1);
        Ok(Linked { home, id })
    }

    /// Drops set-id bits that were hidden in one directory, where another does not hide the same.
    pub(crate) fn enter_zone(
        &self,
        change: &mut Change<'_>,
        (from, to): (&Node, &Node),
        inode: &mut Inode,
        at: &Location,
    ) -> Result<()> {
        let (hidden, there) = (self.resolve(from)?.no_set_id, self.resolve(to)?.no_set_id);
        if hidden != there {
            drop_hidden(change, inode, hidden, at);
        }
        Ok(())
    }

    /// Adds a name to a body, at or below its home.
    pub(crate) fn add_name(
        &self,
        change: &mut Change<'_>,
        file: &Arc<Node>,
        linked: &Linked,
        (dir, entry): (&Node, &Location),
    ) -> Result<()> {
        let mut inode = change.inode(file);
        let links = inode.links.checked_add(1);
        inode.links = links.ok_or_else(|| Kind::TooManyLinks.because("too many links"))?;
        inode.ctime = change.now;
        let home = &linked.home;
        change.record(file, &home.place(linked.id), inode);
        self.put_reference(change, file, linked, (dir, entry));
        change.batch.insert(home.at.back(entry), linked.id.encode());
        Ok(())
    }

    pub(crate) fn put_reference(
        &self,
        change: &mut Change<'_>,
        file: &Node,
        linked: &Linked,
        (dir, entry): (&Node, &Location),
    ) {
        let id = linked.id.rebased(linked.home.node.shifts, dir.shifts);
        let link = Reference {
            kind: file.kind,
            id,
        };
        change.batch.put(entry.record(), link.encode());
    }

    /// Takes one name, kept at `entry`, from a body; where the node goes if that was the last. The record of the name is
    /// the caller's.
    pub(crate) fn take_name(
        &self,
        change: &mut Change<'_>,
        view: &Snapshot,
        file: &Arc<Node>,
        linked: &Linked,
        entry: &Location,
    ) -> Result<Option<Place>> {
        change.batch.delete(linked.home.at.back(entry));
        self.take_links(change, view, file, linked, 1)
    }

    pub(crate) fn take_links(
        &self,
        change: &mut Change<'_>,
        view: &Snapshot,
        file: &Arc<Node>,
        linked: &Linked,
        count: u32,
    ) -> Result<Option<Place>> {
        let (at, mut inode) = (linked.home.place(linked.id), change.inode(file));
        inode.links = inode.links.saturating_sub(count);
        if inode.links > 0 {
            inode.ctime = change.now;
            change.record(file, &at, inode);
            return Ok(None);
        }
        let place = self.displace_one(change, view, file, &at)?;
        content::erase(&mut change.batch, &at, &inode);
        Ok(Some(place))
    }

    /// Where the body of a file lies of which `entry` is the last name, so that it can be an ordinary file wherever it goes; none
    /// for any other. The name goes.
    pub(crate) fn free_last_name(
        &self,
        change: &mut Change<'_>,
        file: &Node,
        entry: &Location,
    ) -> Result<Option<Location>> {
        let Some(linked) = self.linked(file)?.filter(|_| lock(&file.inode).links == 1) else {
            return Ok(None);
        };
        change.batch.delete(linked.home.at.back(entry));
        change.batch.delete(entry.record());
        add(&self.counters.bodies_unmade, 1);
        Ok(Some(linked.home.place(linked.id)))
    }

    /// Makes a body with one name left an ordinary file again, if that name is in its home, which is `dir`, and near. Both are
    /// held.
    pub(crate) fn unmake_body(
        &self,
        change: &mut Change<'_>,
        view: &Snapshot,
        (file, linked): (&Arc<Node>, &Linked),
        (dir, gone): (&Node, &Location),
        moves: &mut Moves,
    ) -> Result<()> {
        let (home, mut inode) = (&linked.home, change.inode(file));
        if inode.links != 1 || home.node.id != dir.id {
            return Ok(());
        }
        let Some(name) = self.last_name(view, (file, linked), gone)? else {
            return Ok(());
        };
        let (at, entry) = (home.place(linked.id), home.at.child(name.clone()));
        content::carry(view, &mut change.batch, (&at, &inode), (&entry, None))?;
        content::erase(&mut change.batch, &at, &inode);
        change.batch.delete(home.at.back(&entry));
        inode.number = linked.id.number;
        change.record(file, &entry, inode);
        moves.push((file.id, Place::Child(dir.id, name)));
        add(&self.counters.bodies_unmade, 1);
        Ok(())
    }

    /// The name in its home that a file has beside the one kept at `gone`, if it is the one given last, or near.
    fn last_name(
        &self,
        view: &Snapshot,
        (file, linked): (&Node, &Linked),
        gone: &Location,
    ) -> Result<Option<Bytes>> {
        let home = &linked.home.at;
        let gone = home.back(gone);
        let given = lock(&self.recent).take(file.id);
        if let Some(name) = given {
            let key = home.back(&home.child(name.clone()));
            let value = view.get(&key)?.filter(|_| key[..] != gone[..]);
            if value.is_some_and(|value| value == linked.id.encode()) {
                return Ok(Some(name));
            }
        }
        let prefix = home.entry_backs();
        for item in view.scan(KeyRange::prefix(prefix.clone())).take(NEIGHBOURS) {
            let (key, value) = item?;
            if key[..] != gone[..] && id_of(&value)? == linked.id {
                return Ok(Some(key.slice(prefix.len()..)));
            }
        }
        Ok(None)
    }
}
