//! Steps on clones, open files, and the mount.

use super::tree::Body;
use super::{ME, World, engine, options};
use cawdb::Store;
use cawfs_fs::{Fs, RenameMode, WriteFlags, protocol};

impl World {
    pub fn clone(&mut self) {
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
    pub fn staged(&mut self) {
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
    pub fn open(&mut self) {
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
    pub fn close(&mut self) {
        if self.opened.is_empty() {
            return;
        }
        let (id, node, handle) = self.opened.swap_remove(self.rng.usize(..self.opened.len()));
        self.fs().release(node, handle);
        self.fs().forget(node, 1);
        self.model.objects.get_mut(&id).unwrap().opens -= 1;
        self.model.tidy();
    }
    pub fn tmpfile(&mut self) {
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
    pub fn remount(&mut self) {
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
        self.fs().sync_all().unwrap();
        // Everything comes back from the disk, journal or checkpoint.
        if self.rng.bool() {
            self.store.checkpoint().unwrap();
        }
        (self.fs, self.store) = (None, Store::in_memory());
        self.store = engine(&self.disk, self.seed);
        let options = options(&self.clock, self.rng.u64(..));
        self.fs = Some(Fs::mount(self.store.clone(), options).unwrap());
    }
}
