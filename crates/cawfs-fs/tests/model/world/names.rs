//! Steps on names and attributes.

use super::step::{Fill, Made, PickFile, PickName};
use super::tree::{Body, Id};
use super::{ME, Outcome, World};
use cawfs_fs::{RenameMode, SetAttr, XattrMode};
use std::collections::BTreeMap;
use std::rc::Rc;

const TARGET: &[u8] = b"some/where";
const XATTRS: [&[u8]; 3] = [b"user.a", b"user.ab", b"trusted.x"];

/// The ways to remove a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    Unlink,
    Rmdir,
    Tree,
}

impl World {
    pub fn make(&mut self, dir: u32, name: PickName, made: Made) -> Outcome {
        let dir = self.dir(dir);
        let name = name.on(&self.model, dir);
        self.say(format!("make {made:?} {}", self.text_in(dir, &name)));
        let parent = self.node(dir)?;
        let (body, mode) = match made {
            Made::File => (Body::File(Rc::default()), 0o4751),
            Made::Dir => (Body::Dir(BTreeMap::new()), 0o4751),
            Made::Link => (Body::Link(TARGET.to_vec()), 0o777),
        };
        let expected = self.model.make(dir, &name, body, mode).map(|_| ());
        let fs = self.fs();
        let real = match made {
            Made::File => {
                fs.create(&ME, parent, &name, mode, libc::O_RDWR)
                    .map(|(entry, handle)| {
                        fs.release(entry.node, handle);
                        entry
                    })
            }
            Made::Dir => fs.mkdir(&ME, parent, &name, mode),
            Made::Link => fs.symlink(&ME, parent, &name, TARGET),
        };
        let made = self.agree(real, expected)?;
        self.held.extend(made.map(|entry| entry.node));
        Ok(())
    }

    pub fn link(&mut self, from: Result<u32, PickFile>, (dir, name): (u32, PickName)) -> Outcome {
        let found = match from {
            Ok(at) if at % 16 == 0 => self.pick(at, |_, _| true),
            Ok(at) => self.pick(at, |m, id| !m.is_dir(id)),
            Err(file) => self.file(file)?.map(|(id, _)| id),
        };
        let (Some(id), dir) = (found, self.dir(dir)) else {
            return Ok(());
        };
        let name = name.on(&self.model, dir);
        let (a, b) = (self.text(id), self.text_in(dir, &name));
        self.say(format!("link {a} to {b}"));
        let parent = self.node(dir)?;
        let node = match self.opened.iter().find(|(open, ..)| *open == id) {
            Some(&(_, node, _)) => node,
            None => self.node(id)?,
        };
        let nameless = !self.model.parents.contains_key(&id) && id != super::tree::ROOT;
        let expected = self.model.link(id, dir, &name);
        if expected.is_ok() && nameless {
            self.count("links_of_nameless_files");
        }
        let real = self.fs().link(&ME, node, parent, &name);
        let linked = self.agree(real, expected)?;
        if let Some(entry) = linked {
            self.held.push(entry.node);
            assert_eq!(
                (entry.node, entry.attr.nlink),
                (node, self.model.shown(id).links)
            );
        }
        Ok(())
    }

    pub fn remove(&mut self, dir: u32, name: PickName, how: Removal) -> Outcome {
        let dir = self.dir(dir);
        let name = name.on(&self.model, dir);
        self.say(format!("remove ({how:?}) {}", self.text_in(dir, &name)));
        let parent = self.node(dir)?;
        self.note_removal(dir, &name);
        let (expected, real) = match how {
            Removal::Unlink => {
                let expected = self.model.unlink(dir, &name);
                (expected, self.fs().unlink(&ME, parent, &name))
            }
            Removal::Rmdir => {
                let expected = self.model.rmdir(dir, &name);
                (expected, self.fs().rmdir(&ME, parent, &name))
            }
            Removal::Tree => {
                let expected = self.model.remove_tree(dir, &name);
                let real = self.fs().remove_tree(&ME, parent, &name);
                (expected, real.map(|_| ()))
            }
        };
        if expected.is_ok() && how == Removal::Tree {
            self.count("trees_removed");
        }
        self.agree(real, expected).map(|_| ())
    }

    /// Counts open files that may lose their name when what a name means goes.
    pub fn note_removal(&mut self, dir: Id, name: &[u8]) {
        let Some(&top) = self.model.entries(dir).get(name) else {
            return;
        };
        for at in 0..self.opened.len() {
            let id = self.opened[at].0;
            if id == top {
                self.count("open_at_a_removed_name");
            } else if self.model.is_below(id, top) {
                self.count("open_below_a_removed_tree");
            }
        }
    }

    pub fn rename(
        &mut self,
        (from, name): (u32, PickName),
        (to, new): (u32, PickName),
        mode: RenameMode,
    ) -> Outcome {
        let (from, to) = (self.dir(from), self.dir(to));
        let (name, new) = (name.on(&self.model, from), new.on(&self.model, to));
        let (source, target) = (self.text_in(from, &name), self.text_in(to, &new));
        self.say(format!("rename ({mode:?}) {source} to {target}"));
        let (a, b) = (self.node(from)?, self.node(to)?);
        self.note_removal(to, &new);
        let (source, target) = (
            self.model.entries(from).get(&name[..]).copied(),
            self.model.entries(to).get(&new[..]).copied(),
        );
        let number = match mode {
            RenameMode::Replace => 0,
            RenameMode::NoReplace => 1,
            RenameMode::Exchange => 2,
        };
        let is_dir = source.is_some_and(|id| self.model.is_dir(id));
        let zones = [from, to].map(|dir| self.model.objects[&dir].zone.clone());
        let expected = self.model.rename(from, &name, to, &new, number);
        if expected.is_ok() && source != target && zones[0] != zones[1] {
            self.count("moves_between_maps");
        }
        if expected.is_ok() && source != target {
            match (mode, target) {
                (RenameMode::Exchange, _) => self.count("exchanges"),
                (_, Some(_)) => self.count("renames_over"),
                (_, None) if is_dir => self.count("moved_directories"),
                (_, None) => self.count("moved_files"),
            }
        }
        let real = self.fs().rename(&ME, a, &name, b, &new, mode);
        self.agree(real, expected).map(|_| ())
    }

    fn object(&mut self, at: u32) -> Id {
        self.pick(at, |_, _| true).unwrap()
    }

    pub fn set_xattr(&mut self, at: u32, name: u32, fill: Fill, mode: XattrMode) -> Outcome {
        let (id, name) = (self.object(at), XATTRS[name as usize % XATTRS.len()]);
        let (path, len) = (self.text(id), fill.len);
        let attribute = name.escape_ascii();
        self.say(format!(
            "set attribute {attribute} of {path} ({mode:?}, {len} bytes)"
        ));
        let (node, value) = (self.node(id)?, fill.bytes());
        let there = self.model.objects[&id].xattrs.contains_key(name);
        let expected = match (mode, there) {
            _ if self.model.changeable(id).is_err() => Err(libc::EROFS),
            _ if self.model.unguarded(id).is_err() => Err(libc::EPERM),
            (XattrMode::Create, true) => Err(libc::EEXIST),
            (XattrMode::Replace, false) => Err(libc::ENODATA),
            _ => Ok(()),
        };
        if expected.is_ok() {
            let xattrs = &mut self.model.object(id).xattrs;
            xattrs.insert(name.to_vec(), Rc::new(value.clone()));
        }
        let real = self.fs().setxattr(&ME, node, name, &value, mode);
        self.agree(real, expected).map(|_| ())
    }

    pub fn remove_xattr(&mut self, at: u32, name: u32) -> Outcome {
        let (id, name) = (self.object(at), XATTRS[name as usize % XATTRS.len()]);
        let (path, attribute) = (self.text(id), name.escape_ascii());
        self.say(format!("remove attribute {attribute} of {path}"));
        let node = self.node(id)?;
        let may = self.model.changeable(id).and(self.model.unguarded(id));
        let expected = may.and_then(|()| {
            let gone = self.model.object(id).xattrs.remove(name);
            gone.map(|_| ()).ok_or(libc::ENODATA)
        });
        let real = self.fs().removexattr(&ME, node, name);
        self.agree(real, expected).map(|_| ())
    }

    pub fn chmod(&mut self, at: u32, mode: u16) -> Outcome {
        let no_link = |m: &super::Model, id| !matches!(m.objects[&id].body, Body::Link(_));
        let id = self.pick(at, no_link).unwrap();
        self.say(format!("set mode {mode:o} of {}", self.text(id)));
        let node = self.node(id)?;
        let expected = self.model.changeable(id).and(self.model.unguarded(id));
        if expected.is_ok() {
            self.model.object(id).mode = u32::from(mode);
        }
        let change = SetAttr {
            mode: Some(u32::from(mode)),
            ..SetAttr::default()
        };
        let real = self.fs().setattr(&ME, node, &change);
        self.agree(real, expected).map(|_| ())
    }

    pub fn chown(&mut self, at: u32, (user, group): (u8, u8)) -> Outcome {
        let (id, owner) = (self.object(at), (u32::from(user), u32::from(group)));
        self.say(format!("give {} to {owner:?}", self.text(id)));
        let (node, zone) = (self.node(id)?, self.model.zone(id));
        let shown = zone.shows_user(owner.0) && zone.shows_group(owner.1);
        let shown = if shown { Ok(()) } else { Err(libc::EOVERFLOW) };
        let may = self.model.changeable(id).and(self.model.unguarded(id));
        let expected = may.and(shown);
        if expected.is_ok() {
            let dir = self.model.is_dir(id);
            let object = self.model.object(id);
            object.owner = owner;
            if !dir {
                object.mode &= if object.mode & 0o010 != 0 {
                    !0o6000
                } else {
                    !0o4000
                };
            }
        }
        let change = SetAttr {
            uid: Some(owner.0),
            gid: Some(owner.1),
            ..SetAttr::default()
        };
        let real = self.fs().setattr(&ME, node, &change);
        self.agree(real, expected).map(|_| ())
    }
}
