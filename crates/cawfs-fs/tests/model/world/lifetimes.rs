//! Steps on open files, durability, the mount and the power.

use super::compare::read_tree;
use super::step::{Fill, PickFile, PickName};
use super::tree::Body;
use super::{ME, Outcome, Trouble, World, mount_options};
use cawdb::Store;
use cawdb::disk::FaultyDisk;
use cawfs_fs::{Fs, WriteFlags};
use std::rc::Rc;
use std::sync::Arc;

/// Files that are open at once, at most.
const OPEN: usize = 4;
/// More pieces of background work than any run leaves to be done.
const MANY_TICKS: usize = 10_000;

impl World {
    pub fn open(&mut self, at: u32) -> Outcome {
        let Some(id) = self.pick(at, |m, id| m.is_file(id)) else {
            return Ok(());
        };
        if self.opened.len() == OPEN {
            return self.close(at);
        }
        self.say(format!("open {}", self.text(id)));
        let node = self.node(id)?;
        let flags = match self.model.changeable(id) {
            Ok(()) => libc::O_RDWR,
            Err(_) => {
                let real = self.fs().open(node, libc::O_RDWR);
                self.agree(real, Err(libc::EROFS))?;
                libc::O_RDONLY
            }
        };
        let expected = self.model.unguarded(id);
        if expected.is_err() {
            let real = self.fs().open(node, libc::O_RDWR);
            return self.agree(real, expected).map(|_| ());
        }
        let handle = self.must(self.fs().open(node, flags))?;
        // The reference of the look-up stays with the handle.
        assert_eq!(self.held.pop(), Some(node));
        self.model.object(id).opens += 1;
        self.opened.push((id, node, handle));
        self.acted();
        Ok(())
    }

    pub fn close(&mut self, at: u32) -> Outcome {
        if self.opened.is_empty() {
            return Ok(());
        }
        let (id, node, handle) = self.opened.swap_remove(at as usize % self.opened.len());
        self.say(format!("close {}", self.text(id)));
        self.fs().release(node, handle);
        self.fs().forget(node, 1);
        self.model.object(id).opens -= 1;
        self.model.tidy();
        self.acted();
        Ok(())
    }

    pub fn tmpfile(&mut self, dir: u32, name: PickName, fill: Fill) -> Outcome {
        let dir = self.dir(dir);
        let name = name.on(&self.model, dir);
        let (path, Fill { tag, len }) = (self.text_in(dir, &name), fill);
        self.say(format!(
            "write {len} bytes ({tag}) to a nameless file, link it to {path}"
        ));
        let parent = self.node(dir)?;
        let group_shown = |owner: super::zone::Owner| match owner.1 {
            cawfs_fs::NO_ID => Err(libc::EOVERFLOW),
            _ => Ok(()),
        };
        let may = self
            .model
            .changeable(dir)
            .and_then(|()| self.model.mutable(dir))
            .and_then(|()| self.model.newborn(dir));
        let real = self.fs().tmpfile(&ME, parent, 0o600, libc::O_RDWR);
        if let Err(errno) = may.and_then(group_shown) {
            return self.agree(real, Err(errno)).map(|_| ());
        }
        let (entry, handle) = self.must(real)?;
        let data = fill.bytes();
        let written = self.fs().write(entry.node, 0, &data, WriteFlags::default());
        let linked = self.must(written).and_then(|_| {
            let made = self
                .model
                .make(dir, &name, Body::File(Rc::new(data)), 0o600);
            let real = self.fs().link(&ME, entry.node, parent, &name);
            self.agree(real, made.map(|_| ()))
        });
        self.fs().release(entry.node, handle);
        self.fs().forget(entry.node, 1);
        self.held.extend(linked?.map(|again| again.node));
        Ok(())
    }

    pub fn forget(&mut self, all: bool) -> Outcome {
        let keep = if all { 0 } else { self.held.len() / 2 };
        self.say(format!("forget all but {keep}"));
        self.forget_down_to(keep);
        Ok(())
    }
    fn forget_down_to(&mut self, keep: usize) {
        while self.held.len() > keep {
            let node = self.held.swap_remove(self.held.len() / 2);
            self.fs().forget(node, 1);
        }
    }

    fn synced(&mut self, real: cawfs_fs::Result<()>) -> Outcome {
        self.must(real)?;
        self.versions.synced(self.disk.position());
        Ok(())
    }
    pub fn fsync(&mut self, file: PickFile) -> Outcome {
        let Some((id, node)) = self.file(file)? else {
            return Ok(());
        };
        self.say(format!("fsync {}", self.text(id)));
        let real = self.fs().fsync(node);
        self.synced(real)
    }
    pub fn fsync_dir(&mut self, at: u32) -> Outcome {
        let id = self.dir(at);
        self.say(format!("fsync {}", self.text(id)));
        let node = self.node(id)?;
        let real = self.fs().fsync(node);
        self.synced(real)
    }
    pub fn sync_all(&mut self) -> Outcome {
        self.say("sync".into());
        let real = self.fs().sync_all();
        self.synced(real)
    }
    pub fn checkpoint(&mut self) -> Outcome {
        self.say("checkpoint".into());
        let real = self.store().checkpoint().map_err(Into::into);
        self.synced(real)
    }
    pub fn tick(&mut self, count: u8) -> Outcome {
        self.say(format!("{count} pieces of background work"));
        for _ in 0..count {
            self.must(self.store().tick().map_err(Into::into))?;
        }
        Ok(())
    }
    /// Background work until there is none left.
    pub fn settle(&mut self) -> Outcome {
        for _ in 0..MANY_TICKS {
            if !self.must(self.store().tick().map_err(Into::into))? {
                return Ok(());
            }
        }
        let counters = self.store().stats().counters;
        let tree = self.must(self.store().dump_text().map_err(Into::into))?;
        Err(Trouble::Wrong(format!(
            "background work never ends: {counters:?}\n{tree}"
        )))
    }

    pub fn hand_over(&mut self) -> Outcome {
        self.say("hand over to a successor".into());
        let table = self.must(self.fs().hand_over())?;
        self.versions.synced(self.disk.position());
        self.count_done(false);
        let options = mount_options(&self.clock, self.mounts.u64(..));
        let successor = Fs::take_over(self.store().clone(), options, &table);
        self.fs = Some(self.must(successor)?);
        self.forget_stages();
        self.count("hand_overs");
        Ok(())
    }
    fn forget_stages(&mut self) {
        for stage in std::mem::take(&mut self.stages) {
            self.model.discard(stage.master);
        }
        self.acted();
    }

    pub fn remount(&mut self, settled: bool, checkpoint: bool) -> Outcome {
        self.say(format!(
            "remount (work done: {settled}, checkpoint: {checkpoint})"
        ));
        self.leave()?;
        if settled {
            self.settle()?;
        }
        if checkpoint {
            self.must(self.store().checkpoint().map_err(Into::into))?;
        }
        self.stop();
        self.start()?;
        self.count("remounts");
        self.agree_with_disk()
    }
    /// Closes everything and makes it durable, as unmounting does.
    pub fn leave(&mut self) -> Outcome {
        while !self.opened.is_empty() {
            self.close(0)?;
        }
        self.forget_down_to(0);
        self.forget_stages();
        let real = self.fs().sync_all();
        self.synced(real)
    }
    /// Lets go of the store.
    pub fn stop(&mut self) {
        self.count_done(true);
        (self.fs, self.store) = (None, None);
    }
    /// Opens and mounts what is on the disk.
    pub fn start(&mut self) -> Outcome {
        let store = Store::open(self.disk.clone(), self.shape.options());
        let store = self.must(store.map_err(Into::into))?;
        let options = mount_options(&self.clock, self.mounts.u64(..));
        let fs = Fs::mount(store.clone(), options);
        (self.fs, self.store) = (Some(self.must(fs)?), Some(store));
        Ok(())
    }

    pub fn crash(&mut self, fate: u32) -> Outcome {
        self.say(format!("lose power (fate {fate})"));
        let image = self.disk.crash(u64::from(fate));
        self.stop();
        self.disk = Arc::new(FaultyDisk::new(image).unwrap());
        self.start()?;
        self.count("crashes");
        self.agree_with_disk()
    }
    /// After opening: the tree is one of the versions, and it stays that one.
    pub fn agree_with_disk(&mut self) -> Outcome {
        self.held.clear();
        self.opened.clear();
        self.stages.clear();
        let read = read_tree(self.fs.as_ref().unwrap(), &mut self.rng);
        let (tree, numbers) = self.must(read)?;
        let found = (&tree, &numbers);
        let (model, age) = self.versions.recovered(found, &self.numbers)?;
        let next = self.model.next;
        self.model = model;
        self.model.next = next;
        self.versions.restart(&self.model);
        self.compare_numbers(&numbers)?;
        if age > 0 {
            self.count("crashes_that_lost_something");
        }
        let report = self.must(self.store().check(true).map_err(Into::into))?;
        let planned =
            |found: &cawdb::Finding| self.failing && found.what.contains("planned failure");
        let text = format!("after opening: {report:?}");
        match (&report.findings[..], report.leaked_bytes) {
            ([], 0) => Ok(()),
            (findings, 0) if findings.iter().all(planned) => Err(Trouble::Failed(text)),
            _ => Err(Trouble::Wrong(text)),
        }
    }

    /// Gives everything back, and checks that nothing is kept for nobody.
    pub fn finish(&mut self) -> Outcome {
        self.leave()?;
        // Refused clones hold their source until they are too old.
        self.clock
            .fetch_add(10_000_000, std::sync::atomic::Ordering::Relaxed);
        let real = self.fs().sync_all();
        self.synced(real)?;
        let report = self.must(cawfs_fs::check(&self.store().snapshot(), true))?;
        assert_eq!((report.findings, report.orphans), (vec![], 0));
        self.compare()?;
        assert_eq!(self.fs().nodes(), 1, "nodes that nobody holds");
        self.count_done(true);
        Ok(())
    }

    /// Adds up what a mount, and a store if it ends with it, did.
    pub fn count_done(&mut self, store_ends: bool) {
        let done = self
            .fs
            .as_ref()
            .map_or(Vec::new(), |fs| fs.counters().all());
        done.into_iter()
            .for_each(|(name, n)| *self.seen.entry(name).or_default() += n);
        if let Some(store) = self.store.as_ref().filter(|_| store_ends) {
            let done = store.stats().counters;
            done.into_iter()
                .for_each(|(name, n)| *self.engine.entry(name).or_default() += n);
        }
    }
}
