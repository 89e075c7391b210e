//! Steps that clone.

use super::step::{PickFile, PickName, Way};
use super::tree::Id;
use super::zone::{Look, Zone};
use super::{ME, Outcome, Staged, World};
use cawfs_fs::{CloneOptions, Entry, NodeId, RenameMode, protocol};

/// Stages that wait to be completed, at most.
const STAGES: usize = 2;

/// Where a staged clone goes.
struct Target<'a> {
    dir: Id,
    name: &'a [u8],
    looked: bool,
    fresh: bool,
}

/// What came of it.
struct Completed {
    /// Whether the clone is there.
    done: bool,
    parent: NodeId,
    /// What the staged name showed, if it was looked up.
    looked: Option<Entry>,
}

impl World {
    pub fn clone(
        &mut self,
        from: Result<u32, PickFile>,
        (to, name): (u32, PickName),
        replace: bool,
        way: Way,
        look: Look,
    ) -> Outcome {
        let found = match from {
            Ok(at) => self.pick(at, |_, _| true),
            Err(file) => self.file(file)?.map(|(id, _)| id),
        };
        let (Some(source), to) = (found, self.dir(to)) else {
            return Ok(());
        };
        let name = name.on(&self.model, to);
        let (a, b) = (self.text(source), self.text_in(to, &name));
        let over = if replace { " (replace)" } else { "" };
        let look = self.fitting(source, look);
        self.say(format!("clone{over} {a} to {b}, {way:?}, {look:?}"));
        let node = match self.opened.iter().find(|(id, ..)| *id == source) {
            Some(&(_, node, _)) => node,
            None => self.node(source)?,
        };
        match way {
            Way::Call => self.clone_by_call((source, node), (to, &name), replace, look),
            Way::Staged { looked, fresh } => {
                let token = self.stage_on_fs(node, 1, replace, look)?;
                let zone = self.model.zone(source);
                let target = Target {
                    dir: to,
                    name: &name,
                    looked,
                    fresh,
                };
                // One that is refused holds its source until it is too old.
                let source = (source, zone, look);
                let completed = self.complete_one(source, (token, 0), &target, replace)?;
                self.same_node(&completed, &name)
            }
        }
    }

    fn clone_by_call(
        &mut self,
        (source, node): (Id, NodeId),
        (to, name): (Id, &[u8]),
        replace: bool,
        look: Look,
    ) -> Outcome {
        let parent = self.node(to)?;
        self.note_clone(source, to, name, replace);
        let zone = self.model.zone(source).then(&look.zone());
        let copy = self.model.copy(source);
        self.model.dress(copy, look);
        let how = (replace, !replace);
        let expected = self.model.place(copy, to, name, how, &zone);
        self.note_look(expected.is_ok(), look);
        let options = CloneOptions {
            replace,
            read_only: look.read_only,
            ids: look.ids(),
        };
        let fs = self.fs();
        let real = fs.clone_tree_with(&ME, node, (parent, name), &options);
        self.agree(real, expected).map(|_| ())
    }

    /// Only trees are read-only.
    fn fitting(&self, source: Id, look: Look) -> Look {
        Look {
            read_only: look.read_only && self.model.is_dir(source),
            ..look
        }
    }

    fn note_look(&mut self, done: bool, look: Look) {
        if done && look.map > 0 {
            self.count("mapped_clones");
        }
        if done && look.read_only {
            self.count("read_only_clones");
        }
    }

    /// Clones a directory into itself.
    pub fn nest(&mut self, dir: u32, name: PickName) -> Outcome {
        let dir = self.dir(dir);
        let name = name.on(&self.model, dir);
        let (a, b) = (self.text(dir), self.text_in(dir, &name));
        self.say(format!("clone {a} to {b}"));
        let node = self.node(dir)?;
        self.clone_by_call((dir, node), (dir, &name), true, Look::default())
    }

    /// Counts what is special about a clone.
    fn note_clone(&mut self, source: Id, to: Id, name: &[u8], replace: bool) {
        let model = &self.model;
        let target = model.entries(to).get(name).copied();
        let is_tree = |id: Id| model.is_dir(id) && !model.entries(id).is_empty();
        let into = is_tree(source) && model.is_below(to, source);
        let nameless = !model.parents.contains_key(&source) && source != super::tree::ROOT;
        let replaced = target.filter(|&id| replace && is_tree(id) && model.is_dir(source));
        let ancestor = replaced.is_some_and(|target| model.is_below(source, target));
        let facts = [
            (into, "clones_into_own_subtree"),
            (nameless, "clones_of_nameless_files"),
            (replaced.is_some(), "replaced_trees"),
            (ancestor, "replaced_ancestors"),
        ];
        for (_, fact) in facts.into_iter().filter(|(is, _)| *is) {
            self.count(fact);
        }
        self.note_removal(to, name);
    }

    fn stage_on_fs(&mut self, node: NodeId, count: u32, replace: bool, look: Look) -> Outcome<u64> {
        let mut flags = if replace { protocol::CLONE_REPLACE } else { 0 };
        if look.read_only {
            flags |= protocol::CLONE_READ_ONLY;
        }
        let ask = protocol::Stage {
            count,
            flags,
            token: 0,
        };
        let (users, groups) = look.ranges();
        let (command, bytes) = match look.map {
            0 => (protocol::CLONE_STAGE, ask.encode().to_vec()),
            _ => (
                protocol::CLONE_STAGE_MAPPED,
                protocol::encode_mapped(ask, &users, &groups)
                    .unwrap()
                    .to_vec(),
            ),
        };
        let reply = self.fs().ioctl(&ME, node, None, command, &bytes);
        let reply = self.must(reply)?;
        Ok(protocol::Stage::decode(&reply.data).unwrap().token)
    }

    /// Stages several clones of one instant.
    pub fn stage(&mut self, at: u32, count: u8, replace: bool, look: Look) -> Outcome {
        if self.stages.len() == STAGES {
            return Ok(());
        }
        let (id, count) = (self.pick(at, |_, _| true).unwrap(), u32::from(count));
        let over = if replace { " (replace)" } else { "" };
        let look = self.fitting(id, look);
        self.say(format!(
            "stage{over} {count} clones of {}, {look:?}",
            self.text(id)
        ));
        let (node, zone) = (self.node(id)?, self.model.zone(id));
        let token = self.stage_on_fs(node, count, replace, look)?;
        let master = self.model.copy(id);
        self.model.masters.insert(master);
        self.stages.push(Staged {
            token,
            master,
            next: 0,
            count,
            replace,
            look,
            zone,
        });
        self.acted();
        Ok(())
    }

    /// Makes the next clone of a stage real; the stage ends with the last.
    pub fn complete(&mut self, at: u32, (to, name): (u32, PickName), way: Way) -> Outcome {
        if self.stages.is_empty() {
            return Ok(());
        }
        let (at, dir) = (at as usize % self.stages.len(), self.dir(to));
        let name = name.on(&self.model, dir);
        let stage = &self.stages[at];
        let (token, index, master) = (stage.token, stage.next, stage.master);
        let (last, replace) = (index + 1 == stage.count, stage.replace);
        let source = (master, stage.zone.clone(), stage.look);
        let path = self.text_in(dir, &name);
        self.say(format!(
            "complete clone {index} of stage {at} as {path}, {way:?}"
        ));
        let (looked, fresh) = match way {
            Way::Call => (false, false),
            Way::Staged { looked, fresh } => (looked, fresh),
        };
        let target = Target {
            dir,
            name: &name,
            looked,
            fresh,
        };
        let completed = self.complete_one(source, (token, index), &target, replace)?;
        if completed.done {
            self.count("completed_stages");
            self.stages[at].next += 1;
            if last {
                self.stages.remove(at);
                self.model.discard(master);
                self.acted();
            }
        }
        self.same_node(&completed, &name)
    }

    /// Renames a staged name to where it goes. Whether it went there: a refused one stays as it was.
    fn complete_one(
        &mut self,
        (source, zone, look): (Id, Zone, Look),
        (token, index): (u64, u32),
        target: &Target<'_>,
        replace: bool,
    ) -> Outcome<Completed> {
        let Target {
            dir, name, fresh, ..
        } = *target;
        let (parent, staged) = (self.node(dir)?, protocol::stage_name(token, index));
        let staged = staged.as_bytes();
        let looked = match target.looked {
            true => Some(self.must(self.fs().lookup(&ME, parent, staged))?),
            false => None,
        };
        self.held.extend(looked.as_ref().map(|entry| entry.node));
        self.note_clone(source, dir, name, replace && !fresh);
        let copy = self.model.copy(source);
        self.model.dress(copy, look);
        let (how, zone) = ((replace, fresh), zone.then(&look.zone()));
        let expected = self.model.place(copy, dir, name, how, &zone);
        self.note_look(expected.is_ok(), look);
        let mode = match fresh {
            true => RenameMode::NoReplace,
            false => RenameMode::Replace,
        };
        let real = self.fs().rename(&ME, parent, staged, parent, name, mode);
        self.agree(real, expected)?;
        if expected.is_ok() {
            self.count("staged_clones");
        }
        Ok(Completed {
            done: expected.is_ok(),
            parent,
            looked,
        })
    }

    /// A node that was looked up by its staged name is that of the clone now.
    fn same_node(&mut self, completed: &Completed, name: &[u8]) -> Outcome {
        let Some(entry) = &completed.looked else {
            return Ok(());
        };
        assert!(!entry.cacheable, "a staged name may be cached");
        if completed.done {
            let now = self.must(self.fs().getattr(entry.node))?;
            assert_eq!(now.ino, entry.attr.ino, "number of a completed clone");
            assert!(self.fs().is_cacheable(entry.node));
            let found = self.must(self.fs().lookup(&ME, completed.parent, name))?;
            self.held.push(found.node);
            assert_eq!((found.node, found.attr.ino), (entry.node, entry.attr.ino));
        }
        Ok(())
    }
}
