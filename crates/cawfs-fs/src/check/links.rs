//! The check of files with several names: each name leads to a body and is known to its home, each body has as many names as
//! it says. Memory: some words for each body of one home at a time.

use super::{Fault, Object, Walk, hex};
use crate::errno::Result;
use crate::inode::{HOME, Inode};
use crate::links::{LinkId, Record, Reference};
use crate::schema::{BACK, BODY, LIVE_VOLUME, META, table};
use bytes::Bytes;
use std::collections::BTreeMap;

/// Where each body is, what its record says, and how many back-references there are.
type Bodies = BTreeMap<LinkId, (String, Inode, u32)>;

/// The bodies and back-references of a directory adjoin; they are judged when they are behind.
pub(super) struct Home {
    prefix: Vec<u8>,
    bodies: Bodies,
}

fn key(dir: &[u8], tag: u8, rest: &[u8]) -> Vec<u8> {
    let mut key = table(LIVE_VOLUME, META);
    key.extend_from_slice(dir);
    key.push(tag);
    key.extend_from_slice(rest);
    key
}

impl Walk<'_> {
    /// A name that leads to a body, in the directory on top of the levels.
    pub(super) fn reference(&mut self, link: &Reference, name: &[u8], path: String) -> Result<()> {
        let Some(dir) = self.levels.last() else {
            return Ok(());
        };
        for home in self
            .levels
            .iter()
            .rev()
            .filter(|level| level.inode.has(HOME))
        {
            let id = link.id.rebased(dir.shifts, home.shifts);
            let Some(body) = self.view.get(&key(&home.prefix, BODY, &id.encode()))? else {
                continue;
            };
            let inner = dir.prefix.get(home.prefix.len()..).unwrap_or_default();
            let back = key(&home.prefix, BACK, &[inner, b"E", name].concat());
            if self.view.get(&back)? != Some(id.encode()) {
                self.fixes.put(back, id.encode());
                self.fault(Fault::BadBackReference, path);
            } else if Inode::decode(&body).is_ok_and(|inode| inode.kind != link.kind) {
                self.fault(Fault::BadRecord, path);
            } else if self.crosses_maps(home.prefix.len()) {
                self.fault(Fault::CrossedMaps, path);
            }
            return Ok(());
        }
        self.fault(Fault::NoBody, path);
        Ok(())
    }

    /// Whether ids are shown otherwise in a directory on the way than in the home, whose prefix has this length.
    fn crosses_maps(&self, home: usize) -> bool {
        let behind = self
            .levels
            .iter()
            .filter(|level| level.prefix.len() >= home);
        let mut ids = behind.map(|level| &level.ids);
        ids.next().is_some_and(|first| ids.any(|ids| ids != first))
    }

    /// The record of a body in a directory.
    pub(super) fn body(&mut self, at: &Bytes, dir: &[u8], id: LinkId, value: &Bytes) -> Result<()> {
        self.leave_object()?;
        self.enter(dir)?;
        let level = self.levels.last().filter(|level| level.prefix == dir);
        let Some((path, shifts)) = level.map(|l| (l.path.clone(), l.shifts)) else {
            self.fault(Fault::NoDirectory, hex(at));
            return Ok(());
        };
        let marked = level.is_some_and(|level| level.inode.has(HOME));
        let path = format!("{path}/ (file {:016x} with several names)", id.tag);
        let Ok(inode) = Inode::decode(value) else {
            self.fault(Fault::BadRecord, path);
            return Ok(());
        };
        if !marked && let Some(level) = self.levels.last() {
            let mut right = level.inode.clone();
            right.flags |= HOME;
            self.fixes.put(level.record.clone(), right.encode());
            self.fault(Fault::UnmarkedHome, &path);
        }
        if inode.number != id.number || inode.is_dir() {
            self.fault(Fault::BadRecord, &path);
        }
        self.tell(inode.kind);
        self.number(inode.shown(shifts), &path);
        self.guards(&inode, inode.shown(shifts));
        let body = (path.clone(), inode.clone(), 0);
        self.home(dir).insert(id, body);
        let key = at.clone();
        self.object = Some(Object { key, path, inode });
        Ok(())
    }

    /// A back-reference of a directory, to the entry of this path key below it.
    pub(super) fn back(&mut self, at: &Bytes, dir: &[u8], path: &[u8], value: &[u8]) -> Result<()> {
        self.leave_object()?;
        let mut entry = table(LIVE_VOLUME, META);
        entry.extend_from_slice(dir);
        entry.extend_from_slice(path);
        let id = LinkId::decode(value);
        let entry = self.view.get(&entry)?;
        let led = match entry.as_ref().map(Record::decode) {
            Some(Ok(Record::Link(link))) => id.filter(|id| id.tag == link.id.tag),
            _ => None,
        };
        let body = led.and_then(|id| self.home(dir).get_mut(&id));
        match body {
            Some((_, _, names)) => *names += 1,
            None => {
                self.fixes.delete(at.clone());
                self.fault(Fault::BadBackReference, hex(at));
            }
        }
        Ok(())
    }

    fn home(&mut self, dir: &[u8]) -> &mut Bodies {
        if self.home.as_ref().is_some_and(|home| home.prefix != dir) {
            self.leave_home();
        }
        let home = self.home.get_or_insert_with(|| Home {
            prefix: dir.to_vec(),
            bodies: BTreeMap::new(),
        });
        &mut home.bodies
    }

    /// All bodies and back-references of a directory have been seen.
    pub(super) fn leave_home(&mut self) {
        let Some(Home { prefix, bodies }) = self.home.take() else {
            return;
        };
        for (id, (path, inode, names)) in bodies {
            if names == 0 {
                self.fault(Fault::NoName, path);
            } else if inode.links != names {
                let links = names;
                let right = Inode { links, ..inode };
                let at = key(&prefix, BODY, &id.encode());
                self.fixes.put(at, right.encode());
                self.fault(Fault::BadLinks, path);
            }
        }
    }
}
