//! The specification of a file system with clones, as small as it can be: a tree of values that copies by copying.
//!
//! Objects are behind `Rc`, so that a whole model is copied cheaply: versions of it are kept, to know what a crash may leave.

use super::zone::{Owner, Zone};
use cawfs_fs::FileFlags;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Names an object of the model.
pub type Id = u64;
/// A name in a directory.
pub type Name = Rc<[u8]>;
/// Extended attributes.
pub type Xattrs = BTreeMap<Vec<u8>, Rc<Vec<u8>>>;
/// The root directory.
pub const ROOT: Id = 0;

/// What an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A file and its bytes.
    File(Rc<Vec<u8>>),
    /// A directory and its entries.
    Dir(BTreeMap<Name, Id>),
    /// A symbolic link and its target.
    Link(Vec<u8>),
}

/// An object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// What it is.
    pub body: Body,
    /// Permission bits.
    pub mode: u32,
    /// Extended attributes.
    pub xattrs: Xattrs,
    /// Flags of chattr(1).
    pub flags: FileFlags,
    /// Open handles.
    pub opens: u32,
    /// As whom it is shown.
    pub owner: Owner,
    /// Of a directory: as what ids are shown in it.
    pub zone: Zone,
    /// Of a directory: whether it is the top of a read-only clone.
    pub read_only: bool,
}

/// What can be seen of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Kind and content; the entries of a directory are objects of their own.
    pub body: Body,
    /// Permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: Owner,
    /// Links.
    pub links: u32,
    /// Extended attributes.
    pub xattrs: Xattrs,
    pub flags: FileFlags,
}

/// What can be seen of a tree: each object under its path, names joined by slashes; the root under nothing.
pub type Tree = BTreeMap<Vec<u8>, Shown>;

/// All objects. Errors are errno numbers.
#[derive(Debug, Clone)]
pub struct Model {
    /// Objects, those without a name included while they are open.
    pub objects: BTreeMap<Id, Rc<Object>>,
    /// Names: directories and names of each object that has any. Only files have several.
    pub parents: BTreeMap<Id, BTreeSet<(Id, Name)>>,
    /// Roots of staged clones: they have no name, and stay.
    pub masters: BTreeSet<Id>,
    /// The next object that is made; none is called so twice.
    pub next: Id,
}

impl Model {
    /// An empty root.
    pub fn new() -> Self {
        let root = Object::new(Body::Dir(BTreeMap::new()), 0o755);
        Self {
            objects: [(ROOT, Rc::new(root))].into(),
            parents: BTreeMap::new(),
            masters: BTreeSet::new(),
            next: 1,
        }
    }
    /// Entries of a directory.
    pub fn entries(&self, dir: Id) -> &BTreeMap<Name, Id> {
        match &self.objects[&dir].body {
            Body::Dir(entries) => entries,
            _ => panic!("not a directory"),
        }
    }
    fn entries_mut(&mut self, dir: Id) -> &mut BTreeMap<Name, Id> {
        match &mut self.object(dir).body {
            Body::Dir(entries) => entries,
            _ => panic!("not a directory"),
        }
    }
    /// An object, to be changed.
    pub fn object(&mut self, id: Id) -> &mut Object {
        Rc::make_mut(self.objects.get_mut(&id).unwrap())
    }
    /// Bytes of a file.
    pub fn bytes(&self, file: Id) -> &Rc<Vec<u8>> {
        match &self.objects[&file].body {
            Body::File(bytes) => bytes,
            _ => panic!("not a file"),
        }
    }
    /// Bytes of a file, to be changed.
    pub fn bytes_mut(&mut self, file: Id) -> &mut Vec<u8> {
        match &mut self.object(file).body {
            Body::File(bytes) => Rc::make_mut(bytes),
            _ => panic!("not a file"),
        }
    }
    /// Whether an object is a directory.
    pub fn is_dir(&self, id: Id) -> bool {
        matches!(self.objects[&id].body, Body::Dir(_))
    }
    /// Whether an object is a file.
    pub fn is_file(&self, id: Id) -> bool {
        matches!(self.objects[&id].body, Body::File(_))
    }
    fn names(&self, id: Id) -> impl Iterator<Item = &(Id, Name)> {
        self.parents.get(&id).into_iter().flatten()
    }
    /// Whether `id` is `ancestor` or has a name below it.
    pub fn is_below(&self, id: Id, ancestor: Id) -> bool {
        id == ancestor
            || self
                .names(id)
                .any(|(parent, _)| self.is_below(*parent, ancestor))
    }
    /// Names from the root to an object, one list for each of its own names.
    pub fn paths(&self, id: Id) -> Vec<Vec<Name>> {
        let mut paths = Vec::new();
        for (parent, name) in self.names(id) {
            let mut path = self.path(*parent);
            path.push(name.clone());
            paths.push(path);
        }
        if paths.is_empty() {
            paths.push(Vec::new());
        }
        paths
    }
    /// Names from the root to an object, by the first of its own names.
    pub fn path(&self, id: Id) -> Vec<Name> {
        self.paths(id).swap_remove(0)
    }
    /// The object under each path that leads to one.
    pub fn places(&self) -> BTreeMap<Vec<u8>, Id> {
        let all = self.named(|_| true).into_iter();
        let places = all.flat_map(|id| self.paths(id).into_iter().map(move |path| (path, id)));
        let text = |path: Vec<Name>| path.iter().fold(Vec::new(), |all, name| join(&all, name));
        places.map(|(path, id)| (text(path), id)).collect()
    }
    /// Objects that a path leads to.
    pub fn named(&self, filter: impl Fn(Id) -> bool) -> Vec<Id> {
        let all = self.objects.keys().copied();
        all.filter(|&id| self.is_below(id, ROOT))
            .filter(|&id| filter(id))
            .collect()
    }
    /// Adds an object without a name.
    pub fn add(&mut self, body: Body, mode: u32) -> Id {
        let id = self.next;
        self.next += 1;
        self.objects.insert(id, Rc::new(Object::new(body, mode)));
        id
    }
    /// Gives an object a name.
    pub fn attach(&mut self, id: Id, dir: Id, name: &[u8]) {
        let name: Name = name.into();
        self.entries_mut(dir).insert(name.clone(), id);
        self.parents.entry(id).or_default().insert((dir, name));
    }
    /// Makes an object.
    pub fn make(&mut self, dir: Id, name: &[u8], body: Body, mode: u32) -> Result<Id, i32> {
        self.changeable(dir)?;
        if self.entries(dir).contains_key(name) {
            return Err(libc::EEXIST);
        }
        self.mutable(dir)?;
        let owner = self.newborn(dir)?;
        let inherits = matches!(body, Body::Dir(_)) && self.objects[&dir].mode & 0o2000 != 0;
        let id = self.add(body, if inherits { mode | 0o2000 } else { mode });
        if !matches!(self.objects[&id].body, Body::Link(_)) {
            self.object(id).flags = FileFlags {
                immutable: false,
                append_only: false,
                ..self.objects[&dir].flags
            };
        }
        let zone = self.objects[&dir].zone.clone();
        (self.object(id).owner, self.object(id).zone) = (owner, zone);
        self.attach(id, dir, name);
        Ok(id)
    }
    fn find(&self, dir: Id, name: &[u8]) -> Result<Id, i32> {
        self.entries(dir).get(name).copied().ok_or(libc::ENOENT)
    }
    fn detach(&mut self, dir: Id, name: &[u8]) -> Id {
        let id = self.entries_mut(dir).remove(name).unwrap();
        let names = self.parents.get_mut(&id).unwrap();
        names.remove(&(dir, name.into()));
        if names.is_empty() {
            self.parents.remove(&id);
        }
        id
    }
    /// Takes a name and all below it out of the tree; files stay that are open or have other names.
    fn drop_tree(&mut self, dir: Id, name: &[u8]) {
        let id = self.detach(dir, name);
        if self.parents.contains_key(&id) {
            return;
        }
        if self.is_dir(id) {
            let names: Vec<Name> = self.entries(id).keys().cloned().collect();
            names.iter().for_each(|name| self.drop_tree(id, name));
        }
        if self.is_dir(id) || self.objects[&id].opens == 0 {
            self.objects.remove(&id);
        }
    }
    /// link(2). An open file without a name gets its first one.
    pub fn link(&mut self, id: Id, dir: Id, name: &[u8]) -> Result<(), i32> {
        if self.is_dir(id) {
            return Err(libc::EPERM);
        }
        self.changeable(dir)?;
        if self.entries(dir).contains_key(name) {
            return Err(libc::EEXIST);
        }
        self.changeable(id)?;
        self.mutable(dir)?;
        self.unguarded(id)?;
        self.links_to(id, dir)?;
        self.attach(id, dir, name);
        Ok(())
    }
    /// unlink(2).
    pub fn unlink(&mut self, dir: Id, name: &[u8]) -> Result<(), i32> {
        self.changeable(dir)?;
        let id = self.find(dir, name)?;
        self.removable(dir, id)?;
        if self.is_dir(id) {
            return Err(libc::EISDIR);
        }
        self.drop_tree(dir, name);
        Ok(())
    }
    /// rmdir(2).
    pub fn rmdir(&mut self, dir: Id, name: &[u8]) -> Result<(), i32> {
        self.changeable(dir)?;
        let id = self.find(dir, name)?;
        self.removable(dir, id)?;
        if !self.is_dir(id) {
            return Err(libc::ENOTDIR);
        }
        if !self.entries(id).is_empty() {
            return Err(libc::ENOTEMPTY);
        }
        self.drop_tree(dir, name);
        Ok(())
    }
    /// Removal of all below a name.
    pub fn remove_tree(&mut self, dir: Id, name: &[u8]) -> Result<(), i32> {
        self.changeable(dir)?;
        let id = self.find(dir, name)?;
        self.removable_tree(dir, id)?;
        self.drop_tree(dir, name);
        Ok(())
    }
    /// renameat2(2): mode 0 replace, 1 refuse, 2 exchange.
    pub fn rename(
        &mut self,
        dir: Id,
        name: &[u8],
        to: Id,
        new: &[u8],
        mode: u8,
    ) -> Result<(), i32> {
        self.changeable(dir)?;
        self.changeable(to)?;
        let source = self.find(dir, name)?;
        let target = self.entries(to).get(new).copied();
        match (target, mode) {
            (Some(_), 1) => return Err(libc::EEXIST),
            (None, 2) => return Err(libc::ENOENT),
            (Some(target), _) if target == source => return Ok(()),
            _ => {}
        }
        if self.is_below(to, source) {
            return Err(libc::EINVAL);
        }
        if target.is_some_and(|target| mode == 2 && self.is_below(dir, target)) {
            return Err(libc::EINVAL);
        }
        self.removable(dir, source)?;
        match target {
            Some(target) => self.removable(to, target)?,
            None => self.mutable(to)?,
        }
        if let Some(target) = target {
            if mode == 2 {
                self.moves_to(source, dir, to)?;
                self.moves_to(target, to, dir)?;
                self.detach(dir, name);
                self.detach(to, new);
                self.attach(source, to, new);
                self.attach(target, dir, name);
                return Ok(());
            }
            match (self.is_dir(source), self.is_dir(target)) {
                (true, false) => return Err(libc::ENOTDIR),
                (false, true) => return Err(libc::EISDIR),
                (true, true) if !self.entries(target).is_empty() => return Err(libc::ENOTEMPTY),
                _ => {}
            }
        }
        self.moves_to(source, dir, to)?;
        if target.is_some() {
            self.drop_tree(to, new);
        }
        self.detach(dir, name);
        self.attach(source, to, new);
        Ok(())
    }
    /// A deep copy without a name. Names of one file are names of one file in the copy.
    pub fn copy(&mut self, id: Id) -> Id {
        self.copy_into(id, &mut BTreeMap::new())
    }
    fn copy_into(&mut self, id: Id, copies: &mut BTreeMap<Id, Id>) -> Id {
        if let Some(&copy) = copies.get(&id) {
            return copy;
        }
        let mut object = Object::clone(&self.objects[&id]);
        object.opens = 0;
        (object.flags.immutable, object.flags.append_only) = (false, false);
        let copy = self.add(Body::Link(Vec::new()), 0);
        copies.insert(id, copy);
        if let Body::Dir(entries) = &mut object.body {
            for (name, child) in entries.iter_mut() {
                *child = self.copy_into(*child, copies);
                let names = self.parents.entry(*child).or_default();
                names.insert((copy, name.clone()));
            }
        }
        self.objects.insert(copy, Rc::new(object));
        copy
    }
    /// Puts a copy (made before) under a name; what was there goes if `replace` or if rename would replace it.
    pub fn place(
        &mut self,
        copy: Id,
        dir: Id,
        name: &[u8],
        (replace, fresh): (bool, bool),
        zone: &Zone,
    ) -> Result<(), i32> {
        let result = self.may_place(copy, dir, name, replace, fresh);
        let result = result.and_then(|target| self.comes_to(copy, zone, dir).map(|()| target));
        match result {
            Ok(target) => {
                if target {
                    self.drop_tree(dir, name);
                }
                self.attach(copy, dir, name);
                Ok(())
            }
            Err(errno) => {
                self.discard(copy);
                Err(errno)
            }
        }
    }
    /// Forgets a copy that has no name.
    pub fn discard(&mut self, copy: Id) {
        self.masters.remove(&copy);
        self.attach(copy, ROOT, b"\0gone");
        self.drop_tree(ROOT, b"\0gone");
    }
    fn may_place(
        &self,
        copy: Id,
        dir: Id,
        name: &[u8],
        replace: bool,
        fresh: bool,
    ) -> Result<bool, i32> {
        self.changeable(dir)?;
        let Some(&target) = self.entries(dir).get(name) else {
            return self.mutable(dir).map(|()| false);
        };
        if fresh {
            return Err(libc::EEXIST);
        }
        match (self.is_dir(copy), self.is_dir(target)) {
            (true, false) => Err(libc::ENOTDIR),
            (false, true) => Err(libc::EISDIR),
            (true, true) if !replace && !self.entries(target).is_empty() => Err(libc::ENOTEMPTY),
            _ => self.removable_tree(dir, target).map(|()| true),
        }
    }
    /// Forgets what has no name, is no staged clone, and that nobody has open.
    pub fn tidy(&mut self) {
        let kept = |id: &Id| {
            let mut roots = self.masters.iter().chain([&ROOT]);
            roots.any(|&root| self.is_below(*id, root)) || self.objects[id].opens > 0
        };
        let kept: BTreeSet<Id> = self.objects.keys().copied().filter(kept).collect();
        self.objects.retain(|id, _| kept.contains(id));
        self.parents.retain(|id, _| kept.contains(id));
    }
    /// What is left when all that was open or staged is gone, as after a loss of power.
    pub fn orphaned(mut self) -> Self {
        self.masters.clear();
        self.objects
            .values_mut()
            .filter(|object| object.opens > 0)
            .for_each(|object| Rc::make_mut(object).opens = 0);
        self.tidy();
        self
    }
    /// What can be seen of an object.
    pub fn shown(&self, id: Id) -> Shown {
        let object = &self.objects[&id];
        let (body, links) = match &object.body {
            Body::Dir(entries) => {
                let dirs = entries.values().filter(|&&id| self.is_dir(id)).count();
                (Body::Dir(BTreeMap::new()), 2 + dirs as u32)
            }
            other => (other.clone(), self.names(id).count() as u32),
        };
        Shown {
            body,
            mode: object.mode,
            owner: object.owner,
            links,
            xattrs: object.xattrs.clone(),
            flags: object.flags,
        }
    }
    /// What can be seen of the whole tree.
    pub fn tree(&self) -> Tree {
        let mut tree = Tree::new();
        self.collect(ROOT, Vec::new(), &mut tree);
        tree
    }
    fn collect(&self, id: Id, path: Vec<u8>, tree: &mut Tree) {
        if let Body::Dir(entries) = &self.objects[&id].body {
            for (name, &child) in entries {
                self.collect(child, join(&path, name), tree);
            }
        }
        tree.insert(path, self.shown(id));
    }
}

/// The path of a name in a directory.
pub fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    match dir.is_empty() {
        true => name.to_vec(),
        false => [dir, b"/", name].concat(),
    }
}

impl Object {
    fn new(body: Body, mode: u32) -> Self {
        Self {
            body,
            mode,
            xattrs: BTreeMap::new(),
            flags: FileFlags::default(),
            opens: 0,
            owner: (0, 0),
            zone: Zone::default(),
            read_only: false,
        }
    }
}
