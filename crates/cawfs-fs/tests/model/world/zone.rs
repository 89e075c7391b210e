//! What is inherited in the specification: owners as they are shown, and as what a directory shows ids, as plain tables.
//!
//! ```text
//!   zone   a table of all ids that are shown: 0 ─► 100, 1 ─► 101      none: every id as it is
//! ```

use super::tree::{Body, Id, Model, Name};
use cawfs_fs::{IdRange, Ids, NO_ID};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Owner and group, as they are shown.
pub type Owner = (u32, u32);

/// Ids as they are shown by what is stored; none for "all as they are".
type Table = Option<Rc<BTreeMap<u32, u32>>>;

/// How ids are shown in a directory: users, groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Zone(Table, Table);

/// What a clone is to be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Look {
    /// Which of `MAPS`, counted round and round; 0 for none.
    pub map: u8,
    /// Whether it never changes.
    pub read_only: bool,
}

/// First id stored, first id shown, how many.
type Ranges = &'static [[u32; 3]];

/// Ranges of users and groups. All ids in use are small, or hundreds.
const MAPS: [(Ranges, Ranges); 6] = [
    (&[[0, 100, 8]], &[[0, 100, 8]]),
    (&[[100, 0, 8]], &[[100, 0, 8]]),
    (&[[0, 4, 4], [4, 0, 4]], &[]),
    (&[[0, 0, 8]], &[[0, 0, 8], [100, 100, 8]]),
    (&[], &[[0, 1, 3]]),
    (&[[0, 0, 2], [100, 5, 3]], &[[0, 0, 9]]),
];

fn ranges(of: &[[u32; 3]]) -> Vec<IdRange> {
    let range = |&[inside, outside, count]: &[u32; 3]| IdRange {
        inside,
        outside,
        count,
    };
    of.iter().map(range).collect()
}

fn table(of: &[[u32; 3]]) -> Table {
    let pairs = |&[a, b, n]: &[u32; 3]| (0..n).map(move |i| (a + i, b + i));
    (!of.is_empty()).then(|| Rc::new(of.iter().flat_map(pairs).collect()))
}

fn shown(table: &Table, id: u32) -> u32 {
    match table {
        Some(table) => table.get(&id).copied().unwrap_or(NO_ID),
        None => id,
    }
}

fn then(inner: &Table, outer: &Table) -> Table {
    let (Some(a), Some(b)) = (inner, outer) else {
        return inner.clone().or_else(|| outer.clone());
    };
    let both = a.iter().filter_map(|(&id, via)| Some((id, *b.get(via)?)));
    Some(Rc::new(both.collect()))
}

/// Whether all that one shows, the other shows too.
fn shows(outer: &Table, inner: &Table) -> bool {
    match (outer, inner) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(outer), Some(inner)) => {
            let all: BTreeSet<_> = outer.values().collect();
            inner.values().all(|id| all.contains(id))
        }
    }
}

impl Look {
    /// Simpler ones, for the shrinker.
    pub fn simpler(self) -> impl Iterator<Item = Self> {
        let plain = Self { map: 0, ..self };
        let open = Self {
            read_only: false,
            ..self
        };
        [plain, open].into_iter().filter(move |&less| less != self)
    }
    fn map(self) -> Option<(Ranges, Ranges)> {
        (self.map > 0).then(|| MAPS[self.map as usize % MAPS.len()])
    }
    /// The map for the file system.
    pub fn ids(self) -> Ids {
        let (users, groups) = self.map().unwrap_or_default();
        Ids::new(&ranges(users), &ranges(groups)).unwrap()
    }
    /// The ranges of users and groups.
    pub fn ranges(self) -> (Vec<IdRange>, Vec<IdRange>) {
        let (users, groups) = self.map().unwrap_or_default();
        (ranges(users), ranges(groups))
    }
    /// The same as tables.
    pub fn zone(self) -> Zone {
        let (users, groups) = self.map().unwrap_or_default();
        Zone(table(users), table(groups))
    }
}

impl Zone {
    /// As whom it shows somebody.
    pub fn shown(&self, (user, group): Owner) -> Owner {
        let known = |table, id| if id == NO_ID { NO_ID } else { shown(table, id) };
        (known(&self.0, user), known(&self.1, group))
    }
    pub fn then(&self, outer: &Self) -> Self {
        Self(then(&self.0, &outer.0), then(&self.1, &outer.1))
    }
    fn shows(&self, inner: &Self) -> bool {
        shows(&self.0, &inner.0) && shows(&self.1, &inner.1)
    }
    pub fn shows_user(&self, id: u32) -> bool {
        self.0.is_none() || shows(&self.0, &Some(Rc::new([(0, id)].into())))
    }
    pub fn shows_group(&self, id: u32) -> bool {
        self.1.is_none() || shows(&self.1, &Some(Rc::new([(0, id)].into())))
    }
    /// Whether what belongs to these can come to where ids are shown so.
    fn takes(&self, (user, group): Owner) -> Result<(), i32> {
        let known = user != NO_ID && group != NO_ID;
        match known && self.shows_user(user) && self.shows_group(group) {
            true => Ok(()),
            false => Err(libc::EXDEV),
        }
    }
}

impl Model {
    /// How the ids of an object are shown: a file's as in the directory of its names.
    pub fn zone(&self, id: Id) -> Zone {
        match (&self.objects[&id].body, self.first_parent(id)) {
            (Body::Dir(_), _) => self.objects[&id].zone.clone(),
            (_, Some(dir)) => self.objects[&dir].zone.clone(),
            _ => Zone::default(),
        }
    }
    fn first_parent(&self, id: Id) -> Option<Id> {
        let names = self.parents.get(&id)?;
        names.first().map(|(dir, _)| *dir)
    }
    /// EROFS in a read-only clone.
    pub fn changeable(&self, id: Id) -> Result<(), i32> {
        let mut at = Some(id);
        while let Some(id) = at {
            if self.objects[&id].read_only {
                return Err(libc::EROFS);
            }
            at = self.first_parent(id);
        }
        Ok(())
    }
    /// Owner and group of what root makes in a directory; EOVERFLOW if they are not shown there.
    pub fn newborn(&self, dir: Id) -> Result<Owner, i32> {
        let (zone, object) = (&self.objects[&dir].zone, &self.objects[&dir]);
        let inherits = object.mode & 0o2000 != 0;
        match zone.shows_user(0) && (inherits || zone.shows_group(0)) {
            true => Ok((0, if inherits { object.owner.1 } else { 0 })),
            false => Err(libc::EOVERFLOW),
        }
    }
    /// Whether two directories are in one region: ids are shown alike all the way between.
    fn one_region(&self, a: Id, b: Id) -> bool {
        let top = |mut id: Id| {
            while let Some(dir) = self.first_parent(id)
                && self.objects[&dir].zone == self.objects[&id].zone
            {
                id = dir;
            }
            id
        };
        top(a) == top(b)
    }
    /// EXDEV if a file of this name cannot get another in this directory.
    pub fn links_to(&self, id: Id, dir: Id) -> Result<(), i32> {
        match self.first_parent(id) {
            None => self.objects[&dir]
                .zone
                .same_or_takes(&self.zone(id), self.objects[&id].owner),
            Some(home) if self.one_region(home, dir) => Ok(()),
            Some(_) => Err(libc::EXDEV),
        }
    }
    /// EXDEV if an object cannot move from one directory to another.
    pub fn moves_to(&self, id: Id, from: Id, to: Id) -> Result<(), i32> {
        let (zone, there) = (self.zone(id), &self.objects[&to].zone);
        let alike = self.one_region(from, to);
        if !self.is_dir(id) {
            return match self.parents[&id].len() > 1 && !alike {
                true => Err(libc::EXDEV),
                false => there.same_or_takes(&zone, self.objects[&id].owner),
            };
        }
        let below = |dir: Id| self.is_below(dir, id);
        let crosses = |names: &BTreeSet<(Id, Name)>| {
            let inside = names.iter().filter(|(dir, _)| below(*dir)).count();
            0 < inside && inside < names.len()
        };
        let outside = |names| !alike && crosses(names);
        let shared = self
            .parents
            .iter()
            .any(|(&other, names)| other != id && outside(names));
        match !shared && (zone == *there || there.shows(&zone)) {
            true => Ok(()),
            false => Err(libc::EXDEV),
        }
    }
    /// EXDEV if a copy that shows ids so cannot come to a directory.
    pub fn comes_to(&self, copy: Id, zone: &Zone, to: Id) -> Result<(), i32> {
        let there = &self.objects[&to].zone;
        match self.is_dir(copy) {
            false => there.same_or_takes(zone, self.objects[&copy].owner),
            true if zone == there || there.shows(zone) => Ok(()),
            true => Err(libc::EXDEV),
        }
    }
    /// Makes a copy show what a clone is to be like.
    pub fn dress(&mut self, copy: Id, look: Look) {
        let zone = look.zone();
        let all: Vec<Id> = self.objects.keys().copied().collect();
        for id in all
            .into_iter()
            .filter(|&id| self.is_below(id, copy))
            .collect::<Vec<_>>()
        {
            let object = self.object(id);
            object.owner = zone.shown(object.owner);
            object.zone = object.zone.then(&zone);
        }
        self.object(copy).read_only = look.read_only;
    }
}

impl Zone {
    /// Whether a file of such an owner, from where ids are shown like that, can come here.
    fn same_or_takes(&self, from: &Self, owner: Owner) -> Result<(), i32> {
        let nobodys = *from == Self::default() && (owner.0 == NO_ID || owner.1 == NO_ID);
        if self == from && !nobodys {
            Ok(())
        } else {
            self.takes(owner)
        }
    }
}
