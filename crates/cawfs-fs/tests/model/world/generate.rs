//! Random lists of steps: single operations, and bursts, the shapes that real use has.

use super::BLOCK;
use super::step::{Allocate, Fill, Made, PickFile, PickName, Step, Way};
use super::zone::Look;
use cawfs_fs::{RenameMode, XattrMode};
use fastrand::Rng;

/// How a list is mixed. One step in so many is of a kind; 0 for never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mix {
    /// Files are of hundreds of KiB, not of hundreds of bytes.
    pub large: bool,
    /// Unmounting and mounting, or handing over.
    pub remount_every: u32,
    /// Loss of power.
    pub crash_every: u32,
    /// Making durable.
    pub sync_every: u32,
    /// Background work.
    pub tick_every: u32,
}

/// A list of at least `steps` steps (a burst may pass the end by a few).
pub fn generate(seed: u64, steps: usize, mix: Mix) -> Vec<Step> {
    let rng = Rng::with_seed(seed);
    let mut source = Source { rng, mix };
    let mut list = Vec::with_capacity(steps);
    while list.len() < steps {
        source.extend(&mut list);
    }
    list
}

struct Source {
    rng: Rng,
    mix: Mix,
}

impl Source {
    fn one_in(&mut self, n: u32) -> bool {
        n > 0 && self.rng.u32(..n) == 0
    }

    fn extend(&mut self, list: &mut Vec<Step>) {
        if self.one_in(self.mix.remount_every) {
            list.push(match self.rng.u8(..3) {
                0 => Step::HandOver,
                _ => Step::Remount(self.rng.bool(), self.rng.bool()),
            });
        } else if self.one_in(self.mix.crash_every) {
            list.push(Step::Crash(self.rng.u32(..)));
        } else if self.one_in(self.mix.sync_every) {
            list.push(match self.rng.u8(..4) {
                0 => Step::Fsync(self.file()),
                1 => Step::FsyncDir(self.pick()),
                2 => Step::SyncAll,
                _ => Step::Checkpoint,
            });
        } else if self.one_in(self.mix.tick_every) {
            list.push(Step::Tick(self.rng.u8(1..6)));
        } else if self.one_in(60) {
            self.burst(list);
        } else if self.one_in(30) {
            self.links(list);
        } else {
            list.push(self.single());
        }
    }

    fn single(&mut self) -> Step {
        match self.rng.u8(..103) {
            0..18 => self.make(),
            18..33 => self.write(),
            33..37 => Step::Truncate(self.file(), self.offset()),
            37..41 => self.allocate(),
            41..46 => self.copy(),
            46..48 => Step::Seek(self.file(), self.offset()),
            48..52 => self.link(),
            52..56 => Step::Unlink(self.pick(), self.name()),
            56..59 => Step::Rmdir(self.pick(), self.name()),
            59..61 => Step::RemoveTree(self.pick(), self.name()),
            61..73 => self.rename(),
            73..77 => self.xattr(),
            77..78 => Step::Chmod(self.pick(), self.rng.u16(..0o10000)),
            78..79 => self.chown(),
            79..87 => self.clone(),
            87..88 => Step::Nest(self.pick(), self.name()),
            88..89 => {
                let (at, count) = (self.pick(), self.rng.u8(2..4));
                Step::Stage(at, count, self.rng.bool(), self.look())
            }
            89..92 => Step::Complete(self.pick(), self.pick(), self.name(), self.staged()),
            92..94 => Step::Open(self.pick()),
            94..96 => Step::Close(self.pick()),
            96..98 => Step::Tmpfile(self.pick(), self.any(), self.fill()),
            98..100 => Step::Forget(self.rng.bool()),
            100 => Step::Guard(self.pick(), self.rng.u8(..16)),
            _ => Step::Unguard(self.pick()),
        }
    }

    /// A chain of clones of one another, or many clones of one, with edits between.
    fn burst(&mut self, list: &mut Vec<Step>) {
        let (dir, source, chain) = (self.pick(), self.pick(), self.rng.bool());
        for i in 0..self.rng.u32(3..7) {
            let from = if chain { source + i } else { source };
            let name = PickName::Any(i, false);
            let look = if chain { self.look() } else { Look::default() };
            list.push(Step::Clone(Ok(from), dir, name, true, Way::Call, look));
            list.push(self.write());
            if self.one_in(self.mix.tick_every) {
                list.push(Step::Tick(1));
            }
        }
    }

    /// Several names of one file, and what happens to the directories they are in.
    fn links(&mut self, list: &mut Vec<Step>) {
        let (file, dir) = (self.pick(), self.pick());
        for i in 0..self.rng.u32(2..5) {
            let dir = if self.rng.bool() { dir } else { self.pick() };
            let (file, name) = (Ok(file), PickName::Any(self.pick() + i, false));
            list.push(Step::Link(file, dir, name));
        }
        for _ in 0..self.rng.u32(2..5) {
            list.push(match self.rng.u8(..5) {
                0 => Step::Unlink(dir, self.name()),
                1 => self.clone(),
                2 => self.write(),
                _ => self.rename(),
            });
        }
    }

    fn pick(&mut self) -> u32 {
        self.rng.u32(..10_000)
    }

    fn any(&mut self) -> PickName {
        PickName::Any(self.pick(), self.one_in(40))
    }

    /// Mostly a name that exists.
    fn name(&mut self) -> PickName {
        match self.rng.u8(..4) {
            0 => self.any(),
            _ => PickName::Known(self.pick()),
        }
    }

    fn file(&mut self) -> PickFile {
        match self.rng.u8(..3) {
            0 => PickFile::Open(self.pick()),
            _ => PickFile::Named(self.pick()),
        }
    }

    /// Near the ends of blocks, and anywhere; in small files mostly near the beginning.
    fn offset(&mut self) -> u64 {
        if !self.mix.large && self.rng.u8(..4) > 0 {
            return self.rng.u64(..400);
        }
        let base = self.rng.u64(..5) * BLOCK;
        match self.rng.u8(..4) {
            0 => base,
            1 => base + self.rng.u64(..BLOCK),
            2 => base.saturating_sub(self.rng.u64(..3)),
            _ => base + self.rng.u64(..3),
        }
    }

    fn fill(&mut self) -> Fill {
        let most = match (self.mix.large, self.rng.u8(..20)) {
            (true, 0..10) => 5 * BLOCK as u32 / 2,
            (true, _) => 2 * BLOCK as u32,
            (false, 0..14) => 300,
            (false, 14..19) => 3000,
            (false, _) => BLOCK as u32,
        };
        let len = self.rng.u32(1..=most);
        Fill {
            tag: self.rng.u8(1..),
            len,
        }
    }

    fn make(&mut self) -> Step {
        let made = [Made::File, Made::Dir, Made::Link, Made::File, Made::Dir];
        let made = made[self.rng.usize(..made.len())];
        Step::Make(self.pick(), self.any(), made)
    }

    fn link(&mut self) -> Step {
        let from = match self.rng.u8(..4) {
            0 => Err(PickFile::Open(self.pick())),
            _ => Ok(self.pick()),
        };
        Step::Link(from, self.pick(), self.any())
    }

    fn write(&mut self) -> Step {
        let append = self.one_in(5);
        Step::Write(self.file(), self.offset(), self.fill(), append)
    }

    fn allocate(&mut self) -> Step {
        let what = [Allocate::Reserve, Allocate::Zero, Allocate::Punch];
        let what = what[self.rng.usize(..3)];
        let keep = what == Allocate::Punch || self.rng.bool();
        Step::Allocate(self.file(), what, keep, self.offset(), self.offset() + 1)
    }

    fn copy(&mut self) -> Step {
        let source = self.offset();
        let target = match self.rng.u8(..3) {
            0 => self.offset(),
            _ => source,
        };
        let len = if self.rng.bool() {
            1 << 40
        } else {
            self.offset()
        };
        Step::Copy(self.file(), source, self.file(), target, len)
    }

    fn rename(&mut self) -> Step {
        let modes = [
            RenameMode::Replace,
            RenameMode::NoReplace,
            RenameMode::Exchange,
        ];
        let mode = modes[self.rng.usize(..3)];
        let new = if self.rng.bool() {
            self.name()
        } else {
            self.any()
        };
        Step::Rename(self.pick(), self.name(), self.pick(), new, mode)
    }

    fn xattr(&mut self) -> Step {
        if self.one_in(3) {
            return Step::RemoveXattr(self.pick(), self.pick());
        }
        let modes = [XattrMode::Any, XattrMode::Create, XattrMode::Replace];
        let most = if self.mix.large || self.one_in(10) {
            20_000
        } else {
            200
        };
        let fill = Fill {
            tag: self.rng.u8(..),
            len: self.rng.u32(..most),
        };
        Step::SetXattr(self.pick(), self.pick(), fill, modes[self.rng.usize(..3)])
    }

    fn clone(&mut self) -> Step {
        let from = match self.rng.u8(..4) {
            0 => Err(self.file()),
            _ => Ok(self.pick()),
        };
        let way = if self.rng.bool() {
            Way::Call
        } else {
            self.staged()
        };
        let (to, name, replace) = (self.pick(), self.name(), self.rng.bool());
        Step::Clone(from, to, name, replace, way, self.look())
    }

    /// Mostly a plain one.
    fn look(&mut self) -> Look {
        Look {
            map: if self.one_in(6) { self.rng.u8(1..) } else { 0 },
            read_only: self.one_in(20),
        }
    }

    fn chown(&mut self) -> Step {
        let mut id = || self.rng.u8(..8) + if self.rng.bool() { 100 } else { 0 };
        let (user, group) = (id(), id());
        Step::Chown(self.pick(), user, group)
    }

    fn staged(&mut self) -> Way {
        Way::Staged {
            looked: self.rng.bool(),
            fresh: self.rng.bool(),
        }
    }
}
