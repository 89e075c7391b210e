//! Reading the whole tree by every way there is, and comparing it.

use super::tree::{Body, Id, Shown, Tree, Xattrs, join};
use super::versions::differences;
use super::{ME, Outcome, Trouble, World};
use cawfs_fs::{DirEntry, FileFlags, FileType, Fs, NodeId, With};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Reads everything; also the inode number under each path. What two ways to read tell differently is an error.
pub fn read_tree(fs: &Fs, rng: &mut fastrand::Rng) -> cawfs_fs::Result<(Tree, Numbers)> {
    let mut reader = Reader { fs, rng };
    let (mut tree, mut numbers) = (Tree::new(), BTreeMap::new());
    reader.collect(NodeId::ROOT, Vec::new(), (&mut tree, &mut numbers))?;
    Ok((tree, numbers))
}

/// Inode numbers by path.
pub type Numbers = BTreeMap<Vec<u8>, u64>;

struct Reader<'a> {
    fs: &'a Fs,
    rng: &'a mut fastrand::Rng,
}

impl Reader<'_> {
    fn collect(
        &mut self,
        node: NodeId,
        path: Vec<u8>,
        (tree, numbers): (&mut Tree, &mut Numbers),
    ) -> cawfs_fs::Result<()> {
        let (shown, ino) = self.object(node)?;
        if let Body::Dir(_) = &shown.body {
            for (name, listed) in self.list(node)? {
                let entry = self.fs.lookup(&ME, node, &name)?;
                assert_eq!(entry.attr.ino, listed, "number of a listed name");
                let inside = self.collect(entry.node, join(&path, &name), (tree, numbers));
                self.fs.forget(entry.node, 1);
                inside?;
            }
        }
        assert_eq!(tree.insert(path.clone(), shown), None, "listed twice");
        numbers.insert(path, ino);
        Ok(())
    }

    /// What can be seen of one object, and its number.
    fn object(&mut self, node: NodeId) -> cawfs_fs::Result<(Shown, u64)> {
        let attr = self.fs.getattr(node)?;
        let body = match attr.kind {
            FileType::Directory => Body::Dir(BTreeMap::new()),
            FileType::Symlink => Body::Link(self.fs.readlink(node)?.to_vec()),
            _ => {
                // First, so that nobody who read all of it led there.
                let (from, len) = (self.rng.u64(..=attr.size), self.rng.usize(..200_000));
                let len = [len, len % 8192][self.rng.usize(..2)];
                let read = self.fs.read(node, from, len as u32)?.to_vec();
                let bytes = self.fs.read(node, 0, 1 << 30)?.to_vec();
                assert_eq!(attr.size, bytes.len() as u64, "size and content");
                let part = cawfs_sim::clipped(&bytes, &(from as usize..from as usize + len));
                assert!(read == part, "a part is not as the whole");
                Body::File(Rc::new(bytes))
            }
        };
        let mut xattrs = Xattrs::new();
        let list = self.fs.listxattr(&ME, node)?;
        for name in list.split(|&b| b == 0).filter(|name| !name.is_empty()) {
            let value = self.fs.getxattr(node, name)?.to_vec();
            xattrs.insert(name.to_vec(), Rc::new(value));
        }
        let flags = match attr.kind {
            FileType::Symlink => FileFlags::default(),
            _ => self.fs.flags(node)?,
        };
        let shown = Shown {
            body,
            mode: u32::from(attr.perm),
            owner: (attr.uid, attr.gid),
            links: attr.nlink,
            xattrs,
            flags,
        };
        Ok((shown, attr.ino))
    }

    /// Lists in small pieces, with and without attributes; in order, and without what every directory has.
    fn list(&mut self, node: NodeId) -> cawfs_fs::Result<Vec<(Vec<u8>, u64)>> {
        let handle = self.fs.opendir(node)?;
        let names = self.list_open(handle);
        self.fs.releasedir(handle);
        let mut names = names?;
        assert_eq!((&names[0].0[..], &names[1].0[..]), (&b"."[..], &b".."[..]));
        let names = names.split_off(2);
        assert!(
            names.is_sorted_by(|a, b| a.0 < b.0),
            "out of order: {names:?}"
        );
        Ok(names)
    }

    fn list_open(&mut self, handle: cawfs_fs::DirHandle) -> cawfs_fs::Result<Vec<(Vec<u8>, u64)>> {
        let (mut names, mut from, plus) = (Vec::new(), 0, self.rng.bool());
        let with = match self.rng.bool() {
            true => With::All,
            false => With::Directories,
        };
        loop {
            let (room, before) = (self.rng.usize(1..5), from);
            let mut taken = Vec::new();
            let mut accept = |entry: DirEntry| {
                let fits = taken.len() < room;
                if fits {
                    taken.push(entry);
                }
                fits
            };
            match plus {
                true => self.fs.readdirplus(handle, from, with, &mut accept)?,
                false => self.fs.readdir(handle, from, &mut accept)?,
            }
            for entry in taken {
                from = entry.next;
                if let Some(found) = entry.entry {
                    assert_eq!(found.attr.ino, entry.ino);
                    assert!(with == With::All || found.attr.kind == FileType::Directory);
                    self.fs.forget(found.node, 1);
                }
                names.push((entry.name.to_vec(), entry.ino));
            }
            if from == before {
                return Ok(names);
            }
        }
    }
}

/// Whether names of one object show one number, and no two objects the same.
pub fn one_number_each(places: &BTreeMap<Vec<u8>, Id>, found: &Numbers) -> bool {
    let mut owners = BTreeMap::new();
    let numbers: BTreeSet<_> = found.values().collect();
    let objects: BTreeSet<_> = places.values().collect();
    let mut shown = places
        .iter()
        .filter_map(|(path, id)| Some((found.get(path)?, id)));
    numbers.len() == objects.len()
        && shown.all(|(number, id)| *owners.entry(number).or_insert(id) == id)
}

impl World {
    /// Compares everything: the tree, open files, numbers, and what the checker of files counts.
    pub fn compare(&mut self) -> Outcome {
        self.count("comparisons");
        let read = read_tree(self.fs.as_ref().unwrap(), &mut self.rng);
        let (tree, numbers) = self.must(read)?;
        let expected = self.model.tree();
        if tree != expected {
            return Err(Trouble::Wrong(differences(&expected, &tree).join("; ")));
        }
        self.compare_numbers(&numbers)?;
        self.compare_nodes()?;
        for (id, node, _) in self.opened.clone() {
            let (fs, rng) = (self.fs.as_ref().unwrap(), &mut self.rng);
            let read = Reader { fs, rng }.object(node);
            let (found, ino) = self.must(read)?;
            let expected = self.model.shown(id);
            if found != expected {
                let (name, how) = (self.text(id), expected.difference(&found));
                return Err(Trouble::Wrong(format!("open {name}: {how}")));
            }
            self.same_number(id, ino)?;
        }
        let report = self.must(cawfs_fs::check(&self.store().snapshot(), true))?;
        let counted = report.directories + report.files + report.others;
        let objects = self.model.named(|_| true).len();
        if counted != objects as u64 {
            let what = format!("the checker counts {counted} objects of {objects}");
            return Err(Trouble::Wrong(what));
        }
        Ok(())
    }

    /// Inode numbers are those that were seen before, and each object has its own, under all its names.
    pub fn compare_numbers(&mut self, found: &Numbers) -> Outcome {
        let places = self.model.places();
        if !one_number_each(&places, found) {
            return Err(Trouble::Wrong(format!("shared numbers: {found:?}")));
        }
        for (path, id) in places {
            self.same_number(id, found[&path])?;
        }
        Ok(())
    }

    /// All names of a file lead to one node.
    fn compare_nodes(&mut self) -> Outcome {
        for id in self
            .model
            .named(|id| self.model.parents.get(&id).is_some_and(|p| p.len() > 1))
        {
            self.count("files_with_several_names");
            let (mut nodes, held) = (BTreeSet::new(), self.held.len());
            for path in self.model.paths(id) {
                let node = self.walk(&path)?;
                nodes.insert(node);
            }
            assert_eq!(nodes.len(), 1, "nodes of {}", self.text(id));
            for node in self.held.split_off(held) {
                self.fs().forget(node, 1);
            }
        }
        Ok(())
    }

    fn same_number(&mut self, id: Id, ino: u64) -> Outcome {
        let before = *self.numbers.entry(id).or_insert(ino);
        match before == ino {
            true => Ok(()),
            false => {
                let name = self.text(id);
                Err(Trouble::Wrong(format!(
                    "{name} had number {before}, has {ino}"
                )))
            }
        }
    }
}
