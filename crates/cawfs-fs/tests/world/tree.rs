//! The specification of a file system with clones, as small as it can be: a tree of values that copies by copying.

use std::collections::{BTreeMap, BTreeSet};

/// Names an object of the model.
pub type Id = u64;
/// The root directory.
pub const ROOT: Id = 0;

/// What an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A file and its bytes.
    File(Vec<u8>),
    /// A directory and its entries.
    Dir(BTreeMap<Vec<u8>, Id>),
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
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Open handles.
    pub opens: u32,
}

/// All objects. Errors are errno numbers.
#[derive(Debug, Clone)]
pub struct Model {
    /// Objects, those without a name included while they are open.
    pub objects: BTreeMap<Id, Object>,
    /// Names: directory and name of each object that has one.
    pub parents: BTreeMap<Id, (Id, Vec<u8>)>,
    next: Id,
}

impl Model {
    /// An empty root.
    pub fn new() -> Self {
        let root = Object::new(Body::Dir(BTreeMap::new()), 0o755);
        Self {
            objects: [(ROOT, root)].into(),
            parents: BTreeMap::new(),
            next: 1,
        }
    }
    /// Entries of a directory.
    pub fn entries(&self, dir: Id) -> &BTreeMap<Vec<u8>, Id> {
        match &self.objects[&dir].body {
            Body::Dir(entries) => entries,
            _ => panic!("not a directory"),
        }
    }
    fn entries_mut(&mut self, dir: Id) -> &mut BTreeMap<Vec<u8>, Id> {
        match &mut self.objects.get_mut(&dir).unwrap().body {
            Body::Dir(entries) => entries,
            _ => panic!("not a directory"),
        }
    }
    /// Bytes of a file.
    pub fn bytes(&mut self, file: Id) -> &mut Vec<u8> {
        match &mut self.objects.get_mut(&file).unwrap().body {
            Body::File(bytes) => bytes,
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
    /// Whether `id` is `ancestor` or below it.
    pub fn is_below(&self, mut id: Id, ancestor: Id) -> bool {
        while id != ancestor {
            match self.parents.get(&id) {
                Some((parent, _)) => id = *parent,
                None => return false,
            }
        }
        true
    }
    /// Names from the root to an object.
    pub fn path(&self, mut id: Id) -> Vec<Vec<u8>> {
        let mut path = Vec::new();
        while let Some((parent, name)) = self.parents.get(&id) {
            path.push(name.clone());
            id = *parent;
        }
        path.reverse();
        path
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
        self.objects.insert(id, Object::new(body, mode));
        id
    }
    /// Gives an object a name.
    pub fn attach(&mut self, id: Id, dir: Id, name: &[u8]) {
        self.entries_mut(dir).insert(name.to_vec(), id);
        self.parents.insert(id, (dir, name.to_vec()));
    }
    /// Makes an object.
    pub fn make(&mut self, dir: Id, name: &[u8], body: Body, mode: u32) -> Result<Id, i32> {
        if self.entries(dir).contains_key(name) {
            return Err(libc::EEXIST);
        }
        let inherits = matches!(body, Body::Dir(_)) && self.objects[&dir].mode & 0o2000 != 0;
        let id = self.add(body, if inherits { mode | 0o2000 } else { mode });
        self.attach(id, dir, name);
        Ok(id)
    }
    fn find(&self, dir: Id, name: &[u8]) -> Result<Id, i32> {
        self.entries(dir).get(name).copied().ok_or(libc::ENOENT)
    }
    fn detach(&mut self, id: Id) {
        let (dir, name) = self.parents.remove(&id).unwrap();
        self.entries_mut(dir).remove(&name);
    }
    /// Takes an object and all below it out of the tree; open files stay.
    fn drop_tree(&mut self, id: Id) {
        self.detach(id);
        let mut todo = vec![id];
        while let Some(id) = todo.pop() {
            self.parents.remove(&id);
            if let Body::Dir(entries) = &self.objects[&id].body {
                todo.extend(entries.values());
            }
            if self.is_dir(id) || self.objects[&id].opens == 0 {
                self.objects.remove(&id);
            }
        }
    }
    /// unlink(2).
    pub fn unlink(&mut self, dir: Id, name: &[u8]) -> Result<(), i32> {
        let id = self.find(dir, name)?;
        if self.is_dir(id) {
            return Err(libc::EISDIR);
        }
        self.drop_tree(id);
        Ok(())
    }
    /// rmdir(2).
    pub fn rmdir(&mut self, dir: Id, name: &[u8]) -> Result<(), i32> {
        let id = self.find(dir, name)?;
        if !self.is_dir(id) {
            return Err(libc::ENOTDIR);
        }
        if !self.entries(id).is_empty() {
            return Err(libc::ENOTEMPTY);
        }
        self.drop_tree(id);
        Ok(())
    }
    /// Removal of all below a name.
    pub fn remove_tree(&mut self, dir: Id, name: &[u8]) -> Result<(), i32> {
        let id = self.find(dir, name)?;
        self.drop_tree(id);
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
        if let Some(target) = target {
            if mode == 2 {
                if self.is_below(dir, target) {
                    return Err(libc::EINVAL);
                }
                self.detach(source);
                self.detach(target);
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
            self.drop_tree(target);
        }
        self.detach(source);
        self.attach(source, to, new);
        Ok(())
    }
    /// A deep copy without a name.
    pub fn copy(&mut self, id: Id) -> Id {
        let mut object = self.objects[&id].clone();
        object.opens = 0;
        let copy = self.add(Body::Link(Vec::new()), 0);
        if let Body::Dir(entries) = &mut object.body {
            for (name, child) in entries.iter_mut() {
                *child = self.copy(*child);
                self.parents.insert(*child, (copy, name.clone()));
            }
        }
        self.objects.insert(copy, object);
        copy
    }
    /// Puts a copy (made before) under a name; what was there goes if `replace` or if rename would replace it.
    pub fn place(
        &mut self,
        copy: Id,
        dir: Id,
        name: &[u8],
        replace: bool,
        fresh: bool,
    ) -> Result<(), i32> {
        let result = self.may_place(copy, dir, name, replace, fresh);
        match result {
            Ok(target) => {
                if let Some(target) = target {
                    self.drop_tree(target);
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
        self.attach(copy, ROOT, b"\0gone");
        self.drop_tree(copy);
    }
    fn may_place(
        &self,
        copy: Id,
        dir: Id,
        name: &[u8],
        replace: bool,
        fresh: bool,
    ) -> Result<Option<Id>, i32> {
        let Some(&target) = self.entries(dir).get(name) else {
            return Ok(None);
        };
        if fresh {
            return Err(libc::EEXIST);
        }
        match (self.is_dir(copy), self.is_dir(target)) {
            (true, false) => Err(libc::ENOTDIR),
            (false, true) => Err(libc::EISDIR),
            (true, true) if !replace && !self.entries(target).is_empty() => Err(libc::ENOTEMPTY),
            _ => Ok(Some(target)),
        }
    }
    /// Forgets files without a name that nobody has open.
    pub fn tidy(&mut self) {
        let named: BTreeSet<Id> = self.named(|_| true).into_iter().collect();
        self.objects
            .retain(|id, object| named.contains(id) || object.opens > 0);
    }
}

impl Object {
    fn new(body: Body, mode: u32) -> Self {
        Self {
            body,
            mode,
            xattrs: BTreeMap::new(),
            opens: 0,
        }
    }
}
