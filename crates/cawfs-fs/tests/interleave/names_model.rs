//! A file system as a set of names: what operations on names should come to. Objects are told apart by the inode numbers they
//! show, which no move changes, so that nobody need hold them.

use crate::order::Model;
use cawfs_fs::{Entry, Kind, NodeId, RenameMode};
use std::collections::{BTreeMap, BTreeSet};

/// A name that the scenarios use.
pub type Name = &'static str;

/// An object that is referred to, with the number it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Obj {
    pub node: NodeId,
    pub ino: u64,
}

impl From<Entry> for Obj {
    fn from(entry: Entry) -> Self {
        Self {
            node: entry.node,
            ino: entry.attr.ino,
        }
    }
}

/// The root directory.
pub const TOP: Obj = Obj {
    node: NodeId::ROOT,
    ino: 1,
};

/// What is asked for.
#[derive(Debug, Clone)]
pub enum Op {
    Create(Obj, Name),
    Mkdir(Obj, Name),
    Link(Obj, Obj, Name),
    Unlink(Obj, Name),
    Rmdir(Obj, Name),
    RemoveTree(Obj, Name),
    Rename((Obj, Name), (Obj, Name), RenameMode),
    Lookup(Obj, Name),
    List(Obj),
    /// The links of a file.
    Links(Obj),
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    Done,
    Object(u64),
    Names(BTreeMap<String, u64>),
    Links(u32),
}

/// A number, and whether a directory shows it.
type Child = (u64, bool);

/// All names of a file system, by the number of their directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Names {
    pub entries: BTreeMap<(u64, String), Child>,
    /// Files that are open, and so live without a name.
    pub open: BTreeSet<u64>,
}

impl Model for Names {
    type Op = Op;
    type Answer = Result<Seen, Kind>;

    fn apply(&mut self, op: &Op, seen: &Result<Seen, Kind>) -> Result<Seen, Kind> {
        let done = |()| Seen::Done;
        match *op {
            Op::Create(dir, name) => self.make((dir, name), false, seen),
            Op::Mkdir(dir, name) => self.make((dir, name), true, seen),
            Op::Link(file, dir, name) => self.link(file, (dir, name)),
            Op::Unlink(dir, name) => self.unlink((dir, name)).map(done),
            Op::Rmdir(dir, name) => self.rmdir((dir, name)).map(done),
            Op::RemoveTree(dir, name) => self.remove_tree((dir, name)).map(done),
            Op::Rename(from, to, mode) => self.rename(from, to, mode).map(done),
            Op::Lookup(dir, name) => self.existing((dir, name)).map(|c| Seen::Object(c.0)),
            Op::List(dir) => self.list(dir, seen),
            Op::Links(file) => Ok(Seen::Links(self.names(file.ino))),
        }
    }
}

impl Names {
    fn get(&self, (dir, name): (Obj, Name)) -> Option<Child> {
        self.entries.get(&(dir.ino, name.into())).copied()
    }
    fn put(&mut self, (dir, name): (Obj, Name), child: Child) {
        self.entries.insert((dir.ino, name.into()), child);
    }
    fn take(&mut self, (dir, name): (Obj, Name)) {
        self.entries.remove(&(dir.ino, name.into()));
    }
    fn names(&self, ino: u64) -> u32 {
        self.entries.values().filter(|child| child.0 == ino).count() as u32
    }
    fn children(&self, dir: u64) -> impl Iterator<Item = (&String, Child)> {
        let inside = self.entries.iter().filter(move |((d, _), _)| *d == dir);
        inside.map(|((_, name), &child)| (name, child))
    }
    fn is_empty(&self, dir: u64) -> bool {
        self.children(dir).next().is_none()
    }
    fn is_below(&self, ino: u64, above: u64) -> bool {
        let mut names = self.entries.iter().filter(|(_, child)| child.0 == ino);
        ino == above
            || names
                .next()
                .is_some_and(|((dir, _), _)| self.is_below(*dir, above))
    }
    /// ENOENT for a directory that was removed.
    fn live(&self, dir: Obj) -> Result<(), Kind> {
        match self.is_below(dir.ino, TOP.ino) {
            true => Ok(()),
            false => Err(Kind::NotFound),
        }
    }
    fn existing(&self, at: (Obj, Name)) -> Result<Child, Kind> {
        self.live(at.0)?;
        self.get(at).ok_or(Kind::NotFound)
    }
    fn free(&self, at: (Obj, Name)) -> Result<(), Kind> {
        self.live(at.0)?;
        self.get(at).map_or(Ok(()), |_| Err(Kind::Exists))
    }

    /// A directory that was removed cannot be opened; one that was open then is empty.
    fn list(&self, dir: Obj, seen: &Result<Seen, Kind>) -> Result<Seen, Kind> {
        let children = self.children(dir.ino);
        let names = children.map(|(name, child)| (name.clone(), child.0));
        let names = Ok(Seen::Names(names.collect()));
        match self.live(dir) {
            Err(_) if *seen != names => Err(Kind::Stale),
            _ => names,
        }
    }
    /// A new object shows the number that was seen, unless another has it.
    fn make(
        &mut self,
        at: (Obj, Name),
        dir: bool,
        seen: &Result<Seen, Kind>,
    ) -> Result<Seen, Kind> {
        self.free(at)?;
        let ino = match seen {
            Ok(Seen::Object(ino)) if self.names(*ino) == 0 => *ino,
            _ => u64::MAX,
        };
        self.put(at, (ino, dir));
        Ok(Seen::Object(ino))
    }
    fn link(&mut self, file: Obj, at: (Obj, Name)) -> Result<Seen, Kind> {
        self.free(at)?;
        if self.names(file.ino) == 0 && !self.open.contains(&file.ino) {
            return Err(Kind::NotFound);
        }
        self.put(at, (file.ino, false));
        Ok(Seen::Object(file.ino))
    }
    fn unlink(&mut self, at: (Obj, Name)) -> Result<(), Kind> {
        if self.existing(at)?.1 {
            return Err(Kind::IsDirectory);
        }
        self.take(at);
        Ok(())
    }
    fn rmdir(&mut self, at: (Obj, Name)) -> Result<(), Kind> {
        match self.existing(at)? {
            (_, false) => return Err(Kind::NotDirectory),
            (ino, true) if !self.is_empty(ino) => return Err(Kind::NotEmpty),
            _ => self.take(at),
        }
        Ok(())
    }
    fn remove_tree(&mut self, at: (Obj, Name)) -> Result<(), Kind> {
        let (top, _) = self.existing(at)?;
        let names = self.entries.keys().cloned();
        let below: Vec<_> = names.filter(|(dir, _)| self.is_below(*dir, top)).collect();
        self.entries.retain(|key, _| !below.contains(key));
        self.take(at);
        Ok(())
    }
    fn rename(&mut self, x: (Obj, Name), y: (Obj, Name), mode: RenameMode) -> Result<(), Kind> {
        self.live(x.0)?;
        self.live(y.0)?;
        let (source, target) = (self.existing(x)?, self.get(y));
        match (target, mode) {
            (Some(_), RenameMode::NoReplace) => return Err(Kind::Exists),
            (None, RenameMode::Exchange) => return Err(Kind::NotFound),
            (Some(target), _) if target == source => return Ok(()),
            _ => {}
        }
        let into_itself = |(ino, is_dir): Child, dir: Obj| is_dir && self.is_below(dir.ino, ino);
        let swapped = target.filter(|_| mode == RenameMode::Exchange);
        if into_itself(source, y.0) || swapped.is_some_and(|target| into_itself(target, x.0)) {
            return Err(Kind::Invalid);
        }
        match target.filter(|_| swapped.is_none()) {
            Some((_, false)) if source.1 => return Err(Kind::NotDirectory),
            Some((_, true)) if !source.1 => return Err(Kind::IsDirectory),
            Some((ino, true)) if !self.is_empty(ino) => return Err(Kind::NotEmpty),
            _ => {}
        }
        match swapped {
            Some(target) => self.put(x, target),
            None => self.take(x),
        }
        self.put(y, source);
        Ok(())
    }
}
