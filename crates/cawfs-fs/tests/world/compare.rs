//! Comparing the whole tree, by every way to read it.

use super::tree::{Body, Id, ROOT};
use super::{ME, World};
use cawfs_fs::NodeId;
use std::collections::BTreeSet;

impl World {
    /// Compares everything.
    pub fn compare(&mut self) {
        let mut seen = BTreeSet::new();
        self.compare_object(ROOT, NodeId::ROOT, &mut seen);
        for (id, node, _) in self.opened.clone() {
            self.compare_object(id, node, &mut BTreeSet::new());
        }
        let objects = self.model.named(|_| true).len();
        assert_eq!(seen.len(), objects, "shared numbers");
        let report = cawfs_fs::check(&self.store.snapshot(), true).unwrap();
        assert_eq!(
            report.directories + report.files + report.others,
            objects as u64
        );
    }
    pub fn compare_object(&mut self, id: Id, node: NodeId, seen: &mut BTreeSet<u64>) {
        let object = self.model.objects[&id].clone();
        let attr = self.fs().getattr(node).unwrap();
        let at = format!("step {} {:?}", self.step, self.model.path(id));
        assert_eq!(
            *self.numbers.entry(id).or_insert(attr.ino),
            attr.ino,
            "number of {at}"
        );
        assert!(seen.insert(attr.ino), "number of {at} is taken");
        assert_eq!(u32::from(attr.perm), object.mode, "{at}");
        let named = id == ROOT || self.model.parents.contains_key(&id);
        for (name, value) in &object.xattrs {
            assert_eq!(self.fs().getxattr(node, name).unwrap(), value, "{at}");
        }
        let list: Vec<u8> = object
            .xattrs
            .keys()
            .flat_map(|n| [&n[..], b"\0"].concat())
            .collect();
        assert_eq!(self.fs().listxattr(node).unwrap(), list, "{at}");
        match object.body {
            Body::File(bytes) => {
                assert_eq!(
                    (attr.size, attr.nlink),
                    (bytes.len() as u64, u32::from(named)),
                    "{at}"
                );
                let real = self.fs().read(node, 0, 1 << 30).unwrap();
                assert!(real == bytes, "content of {at}");
                let (from, len) = (self.offset(), self.offset());
                let end = (from + len).min(bytes.len() as u64);
                let part = bytes.get(from as usize..end as usize).unwrap_or_default();
                assert!(
                    self.fs().read(node, from, len as u32).unwrap() == part,
                    "part of {at}"
                );
            }
            Body::Link(target) => {
                assert_eq!(self.fs().readlink(node).unwrap(), target, "{at}");
            }
            Body::Dir(entries) => {
                let dirs = entries
                    .values()
                    .filter(|&&id| self.model.is_dir(id))
                    .count();
                assert_eq!(attr.nlink as usize, 2 + dirs, "{at}");
                let names = self.list(node);
                let expected: Vec<Vec<u8>> = entries.keys().cloned().collect();
                assert_eq!(
                    names
                        .iter()
                        .map(|(name, _)| name.clone())
                        .collect::<Vec<_>>(),
                    expected,
                    "{at}"
                );
                for (name, ino) in names {
                    let entry = self.fs().lookup(&ME, node, &name).unwrap();
                    assert_eq!(entry.attr.ino, ino, "{at}");
                    self.compare_object(entries[&name], entry.node, seen);
                    self.fs().forget(entry.node, 1);
                }
            }
        }
    }
    /// Lists in small pieces, with and without attributes.
    pub fn list(&mut self, node: NodeId) -> Vec<(Vec<u8>, u64)> {
        let handle = self.fs().opendir(node).unwrap();
        let (mut names, mut from, plus) = (Vec::new(), 0, self.rng.bool());
        loop {
            let (room, before) = (self.rng.usize(1..4), from);
            let mut taken = Vec::new();
            let mut accept = |entry: cawfs_fs::DirEntry| {
                let fits = taken.len() < room;
                if fits {
                    taken.push(entry);
                }
                fits
            };
            match plus {
                true => self.fs().readdirplus(handle, from, &mut accept).unwrap(),
                false => self.fs().readdir(handle, from, &mut accept).unwrap(),
            }
            for entry in taken {
                from = entry.next;
                if let Some(found) = entry.entry {
                    assert_eq!(found.attr.ino, entry.ino);
                    self.fs().forget(found.node, 1);
                }
                names.push((entry.name.to_vec(), entry.ino));
            }
            if from == before {
                break;
            }
        }
        self.fs().releasedir(handle);
        assert_eq!((&names[0].0[..], &names[1].0[..]), (&b"."[..], &b".."[..]));
        names.split_off(2)
    }
}
