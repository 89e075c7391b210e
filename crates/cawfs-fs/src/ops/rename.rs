//! Renaming: files under the shared namespace lock, directories under the exclusive one, each as one batch.

use crate::change::Change;
use crate::content;
use crate::counters::add;
use crate::errno::{Kind, Result};
use crate::fs::{Fs, check_name};
use crate::guards::{GUARDS, check_mutable, check_removal};
use crate::inode::{HAS_CAPS, Inode, NoSetId, SET_GID, SET_UID};
use crate::locks::{lock, write};
use crate::ops::crossing::Backs;
use crate::ops::xattr::CAPABILITY;
use crate::protocol::parse_stage_name;
use crate::schema::Location;
use crate::table::{Node, Pin, Place};
use crate::types::{Caller, FileType, NodeId, RenameMode};
use bytes::Bytes;
use std::sync::Arc;

/// One side of a rename.
struct Side<'a> {
    dir: &'a Pin<'a>,
    at: Location,
    no_set_id: NoSetId,
    name: Bytes,
}

impl Side<'_> {
    fn home(&self) -> Location {
        self.at.child(self.name.clone())
    }
    fn place(&self) -> Place {
        Place::Child(self.dir.id, self.name.clone())
    }
}

impl Fs {
    /// Renames. O(height) for a tree, whatever its size. A staged name (see [`crate::protocol`]) becomes a clone.
    pub fn rename(
        &self,
        caller: &Caller,
        parent: NodeId,
        name: &[u8],
        new_parent: NodeId,
        new_name: &[u8],
        mode: RenameMode,
    ) -> Result<()> {
        let (name, new_name) = (check_name(name)?, check_name(new_name)?);
        self.check_writable()?;
        if let Some((token, index)) = parse_stage_name(&name)
            && self.complete_clone(caller, token, index, (new_parent, &new_name), mode)?
        {
            return Ok(());
        }
        if let Some((token, index)) = parse_stage_name(&new_name)
            && lock(&self.stages).find(caller, token, index).is_some()
        {
            // It would stand there unseen, behind the staged one.
            return Err(Kind::NotPermitted.because("nothing goes over a staged clone"));
        }
        add(&self.counters.renames, 1);
        {
            let _names = self.shared();
            let (from, to) = (self.dir(parent)?, self.dir(new_parent)?);
            let (low, high) = if from.id < to.id {
                (&from, &to)
            } else {
                (&to, &from)
            };
            let _low = write(&low.busy);
            let _high = (low.id != high.id).then(|| write(&high.busy));
            if self.rename_held((&from, name.clone()), (&to, new_name.clone()), mode, false)? {
                return Ok(());
            }
        }
        let _names = self.exclusive();
        let (from, to) = (self.dir(parent)?, self.dir(new_parent)?);
        self.rename_held((&from, name), (&to, new_name), mode, true)?;
        Ok(())
    }

    /// With both directories held. False if the exclusive lock is needed and not held.
    fn rename_held(
        &self,
        (from, name): (&Pin<'_>, Bytes),
        (to, new_name): (&Pin<'_>, Bytes),
        mode: RenameMode,
        exclusive: bool,
    ) -> Result<bool> {
        let (a, b) = (self.resolve(from)?, self.resolve(to)?);
        let from = Side {
            dir: from,
            at: a.at,
            no_set_id: a.no_set_id,
            name,
        };
        let to = Side {
            dir: to,
            at: b.at,
            no_set_id: b.no_set_id,
            name: new_name,
        };
        let source = self.existing(from.dir, &from.at, &from.name)?;
        let target = self.child(to.dir, &to.at, &to.name)?;
        match (&target, mode) {
            (Some(_), RenameMode::NoReplace) => return Err(Kind::Exists.because("the name exists")),
            (None, RenameMode::Exchange) => {
                return Err(Kind::NotFound.because("nothing to exchange with"));
            }
            (Some(target), _) if target.id == source.id => return Ok(true),
            _ => {}
        }
        let dirs = source.is_dir() || target.as_ref().is_some_and(|target| target.is_dir());
        let exchanged = target.as_ref().filter(|_| mode == RenameMode::Exchange);
        let leaves = self.leaves_home(&source, to.dir)
            || exchanged.is_some_and(|target| self.leaves_home(target, from.dir));
        if (dirs || leaves) && !exclusive {
            return Ok(false);
        }
        self.check_nesting(&source, target.as_ref(), &from, &to, mode)?;
        let files = [Some(&source), target.as_ref()];
        let mut files: Vec<&Node> = files.into_iter().flatten().map(|pin| &***pin).collect();
        files.sort_by_key(|node| node.id);
        let _held: Vec<_> = files.iter().map(|node| write(&node.busy)).collect();
        match &target {
            Some(target) if mode == RenameMode::Exchange => {
                self.exchange(&from, &source, &to, target)?;
            }
            target => self.replace(&from, &source, &to, target.as_ref())?,
        }
        Ok(true)
    }

    fn check_nesting(
        &self,
        source: &Node,
        target: Option<&Pin<'_>>,
        from: &Side<'_>,
        to: &Side<'_>,
        mode: RenameMode,
    ) -> Result<()> {
        let table = lock(&self.table);
        let inside = Kind::Invalid.because("a directory cannot move into itself");
        if source.is_dir() && table.is_below(to.dir.id, source.id) {
            return Err(inside);
        }
        let exchanged = target.filter(|_| mode == RenameMode::Exchange);
        if exchanged.is_some_and(|t| t.is_dir() && table.is_below(from.dir.id, t.id)) {
            return Err(inside);
        }
        drop(table);
        check_removal(&from.dir.inode(), &source.inode())?;
        match target {
            Some(target) => check_removal(&to.dir.inode(), &target.inode())?,
            None => check_mutable(&to.dir.inode())?,
        }
        let Some(target) = target.filter(|_| mode != RenameMode::Exchange) else {
            return Ok(());
        };
        match (source.is_dir(), target.is_dir()) {
            (true, false) => Err(Kind::NotDirectory.because("the target is not a directory")),
            (false, true) => Err(Kind::IsDirectory.because("the target is a directory")),
            (true, true) if !content::is_empty(&self.store.snapshot(), &to.home())? => {
                Err(Kind::NotEmpty.because("the target has entries"))
            }
            _ => Ok(()),
        }
    }

    fn replace(
        &self,
        from: &Side<'_>,
        source: &Pin<'_>,
        to: &Side<'_>,
        target: Option<&Pin<'_>>,
    ) -> Result<()> {
        let (mut change, view) = (self.change(), self.store.snapshot());
        let old = target.map(|target| self.kept(target));
        let mut moves = match target {
            Some(target) => self.displace(&mut change, &view, target, &to.home())?,
            None => Vec::new(),
        };
        let (from_home, to_home) = (from.home(), to.home());
        let body = self.free_last_name(&mut change, source, &from_home)?;
        let (content_at, mut inode) = match &body {
            Some(at) => (at, source.inode()),
            None => (&from_home, self.kept(source)),
        };
        let reach = self.reach(&from_home, &inode);
        let tree = (&from_home, &mut inode, reach);
        self.admit(&mut change, &view, tree, (to.dir, &to_home))?;
        if inode.has(GUARDS) {
            self.mark(&mut change, to.dir, GUARDS)?;
        }
        let target_at = (&to_home, old.as_ref());
        content::copy(&view, &mut change.batch, (content_at, &inode), target_at)?;
        if inode.is_dir() && content::is_empty(&view, &from_home)? {
            content::erase_alone(&mut change.batch, &from_home, &inode);
        } else {
            content::erase(&mut change.batch, content_at, &inode);
        }
        let mut backs = Backs::default();
        if source.is_dir() {
            let (start, target) = ((&***from.dir, &from_home), (&***to.dir, &to_home));
            let how = (false, false);
            self.carry_links(&mut change, &view, start, target, how, &mut backs)?;
        }
        let linked = self.linked(source)?.filter(|_| body.is_none());
        let stays = linked.is_some();
        match linked {
            Some(linked) => {
                let (file, target) = ((&**source, linked), (&***to.dir, &to_home));
                self.carry_name(&mut change, &view, file, &from_home, target, &mut backs)?;
            }
            None => self.arrive(&mut change, source, inode, from, to),
        }
        moves.extend(backs.apply(&mut change));
        let dir = |node: Option<&Pin<'_>>| i64::from(node.is_some_and(|node| node.is_dir()));
        change.touch(from.dir, &from.at, -dir(Some(source)))?;
        change.touch(to.dir, &to.at, dir(Some(source)) - dir(target))?;
        change.commit()?;
        self.settle(moves);
        if !stays {
            lock(&self.table).put(source.id, to.place());
        }
        Ok(())
    }

    fn exchange(
        &self,
        from: &Side<'_>,
        source: &Pin<'_>,
        to: &Side<'_>,
        target: &Pin<'_>,
    ) -> Result<()> {
        let (mut change, view) = (self.change(), self.store.snapshot());
        let (mut a, mut b) = (self.kept(source), self.kept(target));
        let (at_a, at_b) = (from.home(), to.home());
        let reach = [self.reach(&at_a, &a), self.reach(&at_b, &b)];
        let trees = [(&at_a, &mut a, reach[0]), (&at_b, &mut b, reach[1])];
        let [first, second] = trees;
        self.admit(&mut change, &view, first, (to.dir, &at_b))?;
        self.admit(&mut change, &view, second, (from.dir, &at_a))?;
        for (inode, dir) in [(&a, to.dir), (&b, from.dir)] {
            if inode.has(GUARDS) {
                self.mark(&mut change, dir, GUARDS)?;
            }
        }
        content::copy(&view, &mut change.batch, (&at_a, &a), (&at_b, Some(&b)))?;
        content::copy(&view, &mut change.batch, (&at_b, &b), (&at_a, Some(&a)))?;
        let mut backs = Backs::default();
        let sides = [(source, a, from, to), (target, b, to, from)];
        for (i, (node, inode, from, to)) in sides.into_iter().enumerate() {
            let (from_home, to_home) = (from.home(), to.home());
            let arrival = (&***to.dir, &to_home);
            if source.is_dir() || target.is_dir() {
                let (start, how) = ((&***from.dir, &from_home), (true, i > 0));
                self.carry_links(&mut change, &view, start, arrival, how, &mut backs)?;
            }
            if let Some(linked) = self.linked(node)? {
                let file = (&**node, linked);
                self.carry_name(&mut change, &view, file, &from_home, arrival, &mut backs)?;
            } else {
                self.arrive(&mut change, node, inode, from, to);
                backs.moves.push((node.id, to.place()));
            }
        }
        let moves = backs.apply(&mut change);
        let links = i64::from(source.is_dir()) - i64::from(target.is_dir());
        change.touch(from.dir, &from.at, -links)?;
        change.touch(to.dir, &to.at, links)?;
        change.commit()?;
        // Each leaves its place before the other comes to it.
        let mut table = lock(&self.table);
        for id in [source.id, target.id] {
            if moves.iter().any(|(moved, _)| *moved == id) {
                table.put(id, Place::Gone);
            }
        }
        for (id, place) in moves {
            table.put(id, place);
        }
        Ok(())
    }

    /// Writes the record of an object that moved, so that its numbers stay and what it inherited is not lost.
    fn arrive(
        &self,
        change: &mut Change<'_>,
        node: &Arc<Node>,
        mut inode: Inode,
        from: &Side<'_>,
        to: &Side<'_>,
    ) {
        inode.ctime = change.now;
        let home = to.home();
        if node.is_dir() {
            inode.shift = node.shifts.wrapping_sub(to.dir.shifts);
            if from.no_set_id != to.no_set_id {
                inode.no_set_id = inode.no_set_id.and(from.no_set_id);
                lock(&self.table).set_no_set_id(node.id, inode.no_set_id);
            }
        } else {
            if from.no_set_id != to.no_set_id {
                drop_hidden(change, &mut inode, from.no_set_id, &home);
            }
            inode.number = node.ino.wrapping_sub(to.dir.shifts);
        }
        change.record(node, &home, inode);
    }

    /// Drops set-id bits that were hidden where a file was, as it goes to where nothing hides them.
    pub(crate) fn leave_zone(
        &self,
        change: &mut Change<'_>,
        node: &Node,
        inode: &mut Inode,
        home: &Location,
    ) {
        let hidden = self
            .resolve(node)
            .map_or(NoSetId::None, |found| found.no_set_id);
        drop_hidden(change, inode, hidden, home);
    }
}

/// Makes real, at `home`, what was hidden.
pub(crate) fn drop_hidden(
    change: &mut Change<'_>,
    inode: &mut Inode,
    hidden: NoSetId,
    home: &Location,
) {
    if inode.kind == FileType::Regular && hidden.hides(inode.uid) {
        inode.perm &= !(SET_UID | SET_GID);
        if inode.flags & HAS_CAPS != 0 {
            change.batch.delete(home.xattr(CAPABILITY));
            inode.flags &= !HAS_CAPS;
        }
    }
}
