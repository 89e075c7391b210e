//! Random operations, on the file system and on its specification; both must agree on every answer and on the whole tree.
//! A failure prints its seed; `CAWFS_SEED=n` runs that one alone.
#![allow(clippy::unwrap_used)] // A failed step is a failed test.

mod common;

use cawdb::Store;
use cawfs_fs::{
    Caller, FileHandle, FormatOptions, Fs, MountOptions, NodeId, RenameMode, SetAttr, Time, Whence,
    WriteFlags, XattrMode, protocol,
};
use common::{Body, Id, Model, ROOT};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

const BLOCK: u64 = 65536;
const ME: Caller = Caller::ROOT;

struct World {
    rng: fastrand::Rng,
    store: Store,
    fs: Option<Fs>,
    clock: Arc<AtomicI64>,
    model: Model,
    /// Inode number of each object, once seen.
    numbers: BTreeMap<Id, u64>,
    /// References held beyond an operation.
    held: Vec<NodeId>,
    /// Open files.
    opened: Vec<(Id, NodeId, FileHandle)>,
    step: usize,
}

fn options(clock: &Arc<AtomicI64>, seed: u64) -> MountOptions {
    let clock = clock.clone();
    MountOptions {
        clock: Box::new(move || Time {
            secs: clock.fetch_add(1, Ordering::Relaxed),
            nanos: 7,
        }),
        seed,
        ..MountOptions::default()
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let (store, clock) = (Store::in_memory(), Arc::new(AtomicI64::new(1)));
        Fs::format(&store, &FormatOptions::default()).unwrap();
        let fs = Some(Fs::mount(store.clone(), options(&clock, seed)).unwrap());
        let rng = fastrand::Rng::with_seed(seed);
        let (model, numbers) = (Model::new(), BTreeMap::new());
        let (held, opened) = (Vec::new(), Vec::new());
        Self {
            rng,
            store,
            fs,
            clock,
            model,
            numbers,
            held,
            opened,
            step: 0,
        }
    }
    fn fs(&self) -> &Fs {
        self.fs.as_ref().unwrap()
    }
    fn pick(&mut self, filter: impl Fn(&Model, Id) -> bool) -> Option<Id> {
        let all = self.model.named(|id| filter(&self.model, id));
        self.rng.choice(all)
    }
    fn dir(&mut self) -> Id {
        self.pick(|m, id| m.is_dir(id)).unwrap()
    }
    fn name(&mut self) -> Vec<u8> {
        let long = self.rng.u8(..40) == 0;
        let name = self
            .rng
            .choice(["a", "b", "ab", "c", "E", "S\u{1}", "\u{ff}x"])
            .unwrap();
        if long {
            name.repeat(80).into_bytes()
        } else {
            name.into()
        }
    }
    /// A name of a directory, mostly one that exists.
    fn entry(&mut self, dir: Id) -> Vec<u8> {
        let names: Vec<Vec<u8>> = self.model.entries(dir).keys().cloned().collect();
        let known = self.rng.u8(..4) > 0;
        self.rng
            .choice(names)
            .filter(|_| known)
            .unwrap_or_else(|| self.name())
    }
    /// The node of an object, by walking to it; the references of the walk are given back at once, or later.
    fn node(&mut self, id: Id) -> NodeId {
        let (mut at, mut walked) = (NodeId::ROOT, Vec::new());
        for name in self.model.path(id) {
            at = self.fs().lookup(&ME, at, &name).unwrap().node;
            walked.push(at);
        }
        self.held.extend(walked);
        at
    }
    fn forget_some(&mut self) {
        let keep = if self.rng.bool() {
            self.held.len() / 2
        } else {
            0
        };
        while self.held.len() > keep {
            let node = self.held.swap_remove(self.rng.usize(..self.held.len()));
            self.fs().forget(node, 1);
        }
    }
    fn offset(&mut self) -> u64 {
        let base = self.rng.u64(..5) * BLOCK;
        match self.rng.u8(..4) {
            0 => base,
            1 => base + self.rng.u64(..BLOCK),
            2 => base.saturating_sub(self.rng.u64(..3)),
            _ => base + self.rng.u64(..3),
        }
    }
    fn fill(&mut self) -> Vec<u8> {
        let len = self.offset() / 2 + 1;
        let (byte, stride) = (self.rng.u8(1..), self.rng.u8(..7));
        (0..len)
            .map(|i| byte.wrapping_add(((i % 251) as u8).wrapping_mul(stride)) | 1)
            .collect()
    }
    fn agree<T: std::fmt::Debug>(&self, real: Result<T, cawfs_fs::Error>, model: Result<(), i32>) {
        let real = real.map(|_| ()).map_err(|error| error.errno());
        assert_eq!(real, model, "step {}", self.step);
    }

    fn make(&mut self) {
        let (dir, name, kind) = (self.dir(), self.name(), self.rng.u8(..3));
        let parent = self.node(dir);
        let body = match kind {
            0 => Body::File(Vec::new()),
            1 => Body::Dir(BTreeMap::new()),
            _ => Body::Link(b"some/where".to_vec()),
        };
        let mode = if kind == 2 { 0o777 } else { 0o4751 };
        let made = self.model.make(dir, &name, body, mode);
        let real = match kind {
            0 => self
                .fs()
                .create(&ME, parent, &name, mode, libc::O_RDWR)
                .map(|(entry, handle)| {
                    self.fs().release(entry.node, handle);
                    entry
                }),
            1 => self.fs().mkdir(&ME, parent, &name, mode),
            _ => self.fs().symlink(&ME, parent, &name, b"some/where"),
        };
        if let Ok(entry) = &real {
            self.held.push(entry.node);
        }
        self.agree(real, made.map(|_| ()));
    }
    /// A file: named, or open without a name.
    fn file(&mut self) -> Option<(Id, NodeId)> {
        if !self.opened.is_empty() && self.rng.u8(..3) == 0 {
            let (id, node, _) = self.opened[self.rng.usize(..self.opened.len())];
            return Some((id, node));
        }
        let id = self.pick(|m, id| m.is_file(id))?;
        Some((id, self.node(id)))
    }
    fn write(&mut self) {
        let Some((id, node)) = self.file() else {
            return;
        };
        let (offset, data, append) = (self.offset(), self.fill(), self.rng.u8(..5) == 0);
        let bytes = self.model.bytes(id);
        let start = if append { bytes.len() } else { offset as usize };
        bytes.resize(bytes.len().max(start + data.len()), 0);
        bytes[start..start + data.len()].copy_from_slice(&data);
        let flags = WriteFlags {
            append,
            kill_suidgid: false,
        };
        assert_eq!(
            self.fs().write(node, offset, &data, flags).unwrap() as usize,
            data.len()
        );
    }
    fn truncate(&mut self) {
        let Some((id, node)) = self.file() else {
            return;
        };
        let size = self.offset();
        self.model.bytes(id).resize(size as usize, 0);
        let change = SetAttr {
            size: Some(size),
            ..SetAttr::default()
        };
        assert_eq!(self.fs().setattr(&ME, node, &change).unwrap().size, size);
    }
    fn punch(&mut self) {
        let Some((id, node)) = self.file() else {
            return;
        };
        let (offset, len) = (self.offset(), self.offset() + 1);
        let keep = self.rng.bool();
        let mode = match (self.rng.u8(..3), keep) {
            (0, true) => libc::FALLOC_FL_KEEP_SIZE,
            (0, false) => 0,
            (1, true) => libc::FALLOC_FL_ZERO_RANGE | libc::FALLOC_FL_KEEP_SIZE,
            (1, false) => libc::FALLOC_FL_ZERO_RANGE,
            _ => libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE,
        };
        let bytes = self.model.bytes(id);
        if mode & libc::FALLOC_FL_KEEP_SIZE == 0 {
            bytes.resize(bytes.len().max((offset + len) as usize), 0);
        }
        if mode & (libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_ZERO_RANGE) != 0 {
            let (start, end) = (offset as usize, ((offset + len) as usize).min(bytes.len()));
            if start < end {
                bytes[start..end].fill(0);
            }
        }
        self.fs().fallocate(node, mode, offset, len, false).unwrap();
    }
    fn copy_range(&mut self) {
        let (Some(from), Some(to)) = (self.file(), self.file()) else {
            return;
        };
        let source = self.offset();
        let target = if self.rng.u8(..3) > 0 {
            source
        } else {
            self.offset()
        };
        let len = if self.rng.bool() {
            1 << 40
        } else {
            self.offset()
        };
        let bytes = self.model.bytes(from.0).clone();
        let len = len.min((bytes.len() as u64).saturating_sub(source));
        let overlap = from.0 == to.0 && source < target + len && target < source + len;
        let real = self.fs().copy_file_range(from.1, source, to.1, target, len);
        if overlap {
            return self.agree(real, Err(libc::EINVAL));
        }
        assert_eq!(real.unwrap(), len);
        if len > 0 {
            let out = self.model.bytes(to.0);
            out.resize(out.len().max((target + len) as usize), 0);
            out[target as usize..][..len as usize]
                .copy_from_slice(&bytes[source as usize..][..len as usize]);
        }
    }
    fn seek(&mut self) {
        let Some((id, node)) = self.file() else {
            return;
        };
        let offset = self.offset();
        let data = self
            .fs()
            .lseek(node, offset, Whence::Data)
            .map_err(|e| e.errno());
        let hole = self
            .fs()
            .lseek(node, offset, Whence::Hole)
            .map_err(|e| e.errno());
        let bytes = self.model.bytes(id);
        if offset >= bytes.len() as u64 {
            assert_eq!((data, hole), (Err(libc::ENXIO), Err(libc::ENXIO)));
            return;
        }
        let end = data.unwrap_or(bytes.len() as u64);
        assert!(
            bytes[offset as usize..end as usize].iter().all(|&b| b == 0),
            "a hole of data"
        );
        let hole = hole.unwrap();
        assert!(hole <= bytes.len() as u64 && (data == Ok(offset)) == (hole > offset));
    }
    fn unlink(&mut self) {
        let dir = self.dir();
        let (name, parent, kind) = (self.entry(dir), self.node(dir), self.rng.u8(..6));
        match kind {
            0..3 => self.agree(
                self.fs().unlink(&ME, parent, &name),
                self.model.clone().unlink(dir, &name),
            ),
            3..5 => self.agree(
                self.fs().rmdir(&ME, parent, &name),
                self.model.clone().rmdir(dir, &name),
            ),
            _ => {
                self.agree(
                    self.fs().remove_tree(&ME, parent, &name),
                    self.model.clone().remove_tree(dir, &name),
                );
            }
        }
        let _ = match kind {
            0..3 => self.model.unlink(dir, &name),
            3..5 => self.model.rmdir(dir, &name),
            _ => self.model.remove_tree(dir, &name),
        };
    }
    fn rename(&mut self) {
        let (from, to) = (self.dir(), self.dir());
        let (name, mode) = (self.entry(from), self.rng.u8(..3));
        let new = if self.rng.bool() {
            self.entry(to)
        } else {
            self.name()
        };
        let (a, b) = (self.node(from), self.node(to));
        let real = [
            RenameMode::Replace,
            RenameMode::NoReplace,
            RenameMode::Exchange,
        ][mode as usize];
        let expected = self.model.rename(from, &name, to, &new, mode);
        self.agree(self.fs().rename(&ME, a, &name, b, &new, real), expected);
    }
    fn xattr(&mut self) {
        let Some(id) = self.pick(|_, id| id != ROOT || id == ROOT) else {
            return;
        };
        let node = self.node(id);
        let name = self
            .rng
            .choice([&b"user.a"[..], b"user.ab", b"trusted.x"])
            .unwrap();
        let xattrs = &mut self.model.objects.get_mut(&id).unwrap().xattrs;
        if self.rng.u8(..3) == 0 {
            let expected = xattrs.remove(name).map(|_| ()).ok_or(libc::ENODATA);
            self.agree(self.fs().removexattr(&ME, node, name), expected);
            return;
        }
        let value = vec![self.rng.u8(..); self.rng.usize(..20_000)];
        let mode = self
            .rng
            .choice([XattrMode::Any, XattrMode::Create, XattrMode::Replace])
            .unwrap();
        let expected = match (mode, xattrs.contains_key(name)) {
            (XattrMode::Create, true) => Err(libc::EEXIST),
            (XattrMode::Replace, false) => Err(libc::ENODATA),
            _ => Ok(drop(xattrs.insert(name.to_vec(), value.clone()))),
        };
        self.agree(self.fs().setxattr(&ME, node, name, &value, mode), expected);
    }
    fn chmod(&mut self) {
        let Some(id) = self.pick(|m, id| !matches!(m.objects[&id].body, Body::Link(_))) else {
            return;
        };
        let (node, mode) = (self.node(id), self.rng.u32(..0o10000));
        self.model.objects.get_mut(&id).unwrap().mode = mode;
        let change = SetAttr {
            mode: Some(mode),
            ..SetAttr::default()
        };
        self.fs().setattr(&ME, node, &change).unwrap();
    }
    fn clone(&mut self) {
        if self.model.objects.len() > 120 {
            return;
        }
        let source = match self.opened.is_empty() || self.rng.bool() {
            true => self
                .pick(|_, _| true)
                .map(|id| (id, self.node(id)))
                .unwrap(),
            false => self
                .opened
                .iter()
                .map(|&(id, node, _)| (id, node))
                .next()
                .unwrap(),
        };
        let to = self.dir();
        let (name, replace) = (self.entry(to), self.rng.bool());
        let parent = self.node(to);
        let real = self.fs().clone_tree(&ME, source.1, parent, &name, replace);
        let copy = self.model.copy(source.0);
        let expected = self.model.place(copy, to, &name, replace, !replace);
        self.agree(real, expected);
    }
    /// The way of the command line: stage, change the source meanwhile, rename to each destination.
    fn staged(&mut self) {
        if self.model.objects.len() > 120 {
            return;
        }
        let id = self.pick(|_, _| true).unwrap();
        let (source, count) = (self.node(id), self.rng.u32(1..4));
        let flags = if self.rng.bool() {
            protocol::CLONE_REPLACE
        } else {
            0
        };
        let ask = protocol::Stage {
            count,
            flags,
            token: 0,
        }
        .encode();
        let reply = self
            .fs()
            .ioctl(&ME, source, None, protocol::CLONE_STAGE, &ask)
            .unwrap();
        let token = protocol::Stage::decode(&reply.data).unwrap().token;
        let master = self.model.copy(id);
        if count > 1 && self.rng.bool() {
            self.write();
            self.make();
        }
        for index in 0..count {
            let to = self.dir();
            let (name, fresh) = (self.entry(to), self.rng.bool());
            let (parent, staged) = (self.node(to), protocol::stage_name(token, index));
            let looked = self
                .rng
                .bool()
                .then(|| self.fs().lookup(&ME, parent, staged.as_bytes()).unwrap());
            let mode = if fresh {
                RenameMode::NoReplace
            } else {
                RenameMode::Replace
            };
            let real = self
                .fs()
                .rename(&ME, parent, staged.as_bytes(), parent, &name, mode);
            let copy = self.model.copy(master);
            let expected = self.model.place(copy, to, &name, flags != 0, fresh);
            self.agree(real, expected);
            if let Some(entry) = looked {
                assert!(!entry.cacheable);
                if expected.is_ok() {
                    assert_eq!(self.fs().getattr(entry.node).unwrap().ino, entry.attr.ino);
                    assert!(self.fs().is_cacheable(entry.node));
                    let found = self.fs().lookup(&ME, parent, &name).unwrap();
                    assert_eq!((found.node, found.attr.ino), (entry.node, entry.attr.ino));
                    self.held.push(found.node);
                }
                self.held.push(entry.node);
            }
        }
        self.model.discard(master);
    }
    fn open(&mut self) {
        if self.opened.len() < 4
            && let Some(id) = self.pick(|m, id| m.is_file(id))
        {
            let node = self.node(id);
            // The reference of the look-up stays with the handle.
            let kept = self.held.pop().unwrap();
            assert_eq!(kept, node);
            let handle = self.fs().open(&ME, node, libc::O_RDWR, false).unwrap();
            self.model.objects.get_mut(&id).unwrap().opens += 1;
            self.opened.push((id, node, handle));
        } else {
            self.close();
        }
    }
    fn close(&mut self) {
        if self.opened.is_empty() {
            return;
        }
        let (id, node, handle) = self.opened.swap_remove(self.rng.usize(..self.opened.len()));
        self.fs().release(node, handle);
        self.fs().forget(node, 1);
        self.model.objects.get_mut(&id).unwrap().opens -= 1;
        self.model.tidy();
    }
    fn tmpfile(&mut self) {
        let (dir, name) = (self.dir(), self.name());
        let parent = self.node(dir);
        let (entry, handle) = self.fs().tmpfile(&ME, parent, 0o600, libc::O_RDWR).unwrap();
        let data = self.fill();
        self.fs()
            .write(entry.node, 0, &data, WriteFlags::default())
            .unwrap();
        let made = self
            .model
            .make(dir, &name, Body::File(data), 0o600)
            .map(|_| ());
        let real = self.fs().link(&ME, entry.node, parent, &name);
        if let Ok(again) = &real {
            self.held.push(again.node);
        }
        self.agree(real, made);
        self.fs().release(entry.node, handle);
        self.fs().forget(entry.node, 1);
    }
    fn remount(&mut self) {
        if self.rng.bool() {
            let table = self.fs().hand_over().unwrap();
            let seed = self.rng.u64(..);
            self.fs = Some(
                Fs::take_over(self.store.clone(), options(&self.clock, seed), &table).unwrap(),
            );
            return;
        }
        while !self.opened.is_empty() {
            self.close();
        }
        self.held.clear();
        let seed = self.rng.u64(..);
        self.fs = Some(Fs::mount(self.store.clone(), options(&self.clock, seed)).unwrap());
    }

    fn step(&mut self) {
        match self.rng.u8(..100) {
            0..18 => self.make(),
            18..34 => self.write(),
            34..38 => self.truncate(),
            38..42 => self.punch(),
            42..50 => self.copy_range(),
            50..53 => self.seek(),
            53..61 => self.unlink(),
            61..74 => self.rename(),
            74..79 => self.xattr(),
            79..82 => self.chmod(),
            82..88 => self.clone(),
            88..91 => self.staged(),
            91..95 => self.open(),
            95..97 => self.tmpfile(),
            97..98 => self.remount(),
            _ => self.forget_some(),
        }
        let report = cawfs_fs::check(&self.store.snapshot(), true).unwrap();
        assert_eq!(report.findings, [], "step {}", self.step);
    }

    /// Compares everything.
    fn compare(&mut self) {
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
    fn compare_object(&mut self, id: Id, node: NodeId, seen: &mut BTreeSet<u64>) {
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
    fn list(&mut self, node: NodeId) -> Vec<(Vec<u8>, u64)> {
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

fn run(seed: u64, steps: usize) {
    println!("seed {seed}");
    let mut world = World::new(seed);
    for step in 0..steps {
        world.step = step;
        world.step();
        if step % 16 == 0 {
            world.compare();
        }
    }
    world.compare();
    while !world.opened.is_empty() {
        world.close();
    }
    // Stages of failed renames hold their source until they expire.
    world.clock.fetch_add(10_000, Ordering::Relaxed);
    world.fs().sync_all().unwrap();
    world
        .held
        .drain(..)
        .for_each(|node| world.fs.as_ref().unwrap().forget(node, 1));
    assert_eq!(world.fs().nodes(), 1, "nodes that nobody holds");
    let report = cawfs_fs::check(&world.store.snapshot(), true).unwrap();
    assert_eq!((report.findings, report.orphans), (vec![], 0));
}

#[test]
fn random_operations_agree_with_the_specification() {
    match std::env::var("CAWFS_SEED").map(|seed| seed.parse().expect("a number")) {
        Ok(seed) => run(seed, 600),
        Err(_) => (0..40).for_each(|seed| run(seed, 600)),
    }
}
