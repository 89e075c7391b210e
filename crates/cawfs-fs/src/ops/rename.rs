//! Renaming: files under the shared namespace lock, directories under the exclusive one, each as one batch.

use crate::change::Change;
use crate::content;
use crate::counters::add;
use crate::errno::{Kind, Result};
use crate::fs::{Fs, check_name};
use crate::guards::{GUARDS, check_mutable, check_removal};
use crate::inherited::Inherited;
use crate::inode::{Inode, NoSetId};
use crate::locks::{lock, rises, write};
use crate::ops::crossing::Backs;
use crate::ops::links::Linked;
use crate::ops::zones::{drop_hidden, recode};
use crate::protocol::parse_stage_name;
use crate::schema::Location;
use crate::table::{Node, Pin, Place};
use crate::types::{Caller, NodeId, RenameMode};
use bytes::Bytes;
use cawdb::Snapshot;
use std::sync::Arc;

/// One side of a rename.
struct Side<'a> {
    dir: &'a Pin<'a>,
    at: Location,
    no_set_id: NoSetId,
    zone: Inherited,
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

/// One of two objects that change places.
struct Half<'a> {
    node: &'a Pin<'a>,
    /// What is kept under its name, or all of it if its body was freed.
    inode: Inode,
    /// Where its content is.
    content_at: Location,
    freed: bool,
    from: &'a Side<'a>,
    to: &'a Side<'a>,
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
            let (low, high) = if rises(from.id, to.id) {
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
        let (a, b) = (self.resolve_writable(from)?, self.resolve_writable(to)?);
        let from = Side {
            dir: from,
            at: a.at,
            no_set_id: a.no_set_id,
            zone: a.zone,
            name,
        };
        let to = Side {
            dir: to,
            at: b.at,
            no_set_id: b.no_set_id,
            zone: b.zone,
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
        // Nobody may see a file between its record and its place where these differ in what ids mean.
        let recodes = from.zone.ids != to.zone.ids;
        if (dirs || leaves || recodes) && !exclusive {
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
        let known = self.reach(source, &from_home, &inode);
        let reach = self.closer(&view, (&from_home, known), &to_home)?;
        self.admit(&mut change, (&mut inode, reach), (to.dir, &to_home))?;
        if inode.has(GUARDS) {
            self.mark_guarded(&mut change, to.dir)?;
        }
        let target_at = (&to_home, old.as_ref());
        content::carry(&view, &mut change.batch, (content_at, &inode), target_at)?;
        if inode.is_dir() && content::is_empty(&view, &from_home)? {
            content::erase_alone(&mut change.batch, &from_home, &inode);
        } else {
            content::erase(&mut change.batch, content_at, &inode);
        }
        let mut backs = Backs::default();
        if source.is_dir() {
            let how = (false, false);
            self.carry_tree(
                &mut change,
                &view,
                (&**source, &mut inode),
                (from, to),
                how,
                &mut backs,
            )?;
        }
        let linked = self.linked(source)?.filter(|_| body.is_none());
        let stays = linked.is_some();
        match linked {
            Some(linked) => {
                let file = (&**source, linked);
                self.carry_file(&mut change, &view, file, (from, to), &mut backs)?;
            }
            None => {
                let arrival = (&**source, content_at, inode);
                self.arrive(&mut change, &view, arrival, from, to)?;
            }
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
        self.inherit_hidden(source);
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
        let mut a = self.half(&mut change, source, (from, to))?;
        let mut b = self.half(&mut change, target, (to, from))?;
        let (at_a, at_b) = (from.home(), to.home());
        let reach = |half: &Half<'_>, from, to| {
            let known = self.reach(half.node, from, &half.inode);
            self.closer(&view, (from, known), to)
        };
        let reach = [reach(&a, &at_a, &at_b)?, reach(&b, &at_b, &at_a)?];
        self.admit(&mut change, (&mut a.inode, reach[0]), (to.dir, &at_b))?;
        self.admit(&mut change, (&mut b.inode, reach[1]), (from.dir, &at_a))?;
        for (inode, dir) in [(&a.inode, to.dir), (&b.inode, from.dir)] {
            if inode.has(GUARDS) {
                self.mark_guarded(&mut change, dir)?;
            }
        }
        for (half, other, at) in [(&a, &b, &at_b), (&b, &a, &at_a)] {
            let content = (&half.content_at, &half.inode);
            content::carry(&view, &mut change.batch, content, (at, Some(&other.inode)))?;
        }
        for half in [&a, &b].into_iter().filter(|half| half.freed) {
            content::erase(&mut change.batch, &half.content_at, &half.inode);
        }
        let mut backs = Backs::default();
        let trees = source.is_dir() || target.is_dir();
        for (i, mut half) in [a, b].into_iter().enumerate() {
            let sides = (half.from, half.to);
            if trees {
                let tree = (&**half.node, &mut half.inode);
                self.carry_tree(&mut change, &view, tree, sides, (true, i > 0), &mut backs)?;
            }
            match self.linked(half.node)?.filter(|_| !half.freed) {
                Some(linked) => {
                    let file = (&**half.node, linked);
                    self.carry_file(&mut change, &view, file, sides, &mut backs)?;
                }
                None => {
                    backs.moves.push((half.node.id, half.to.place()));
                    let arrival = (&**half.node, &half.content_at, half.inode);
                    self.arrive(&mut change, &view, arrival, half.from, half.to)?;
                }
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
        drop(table);
        self.inherit_hidden(source);
        self.inherit_hidden(target);
        Ok(())
    }

    /// An object on its way in an exchange. The last name of a file that goes to another region becomes the file itself.
    fn half<'a>(
        &self,
        change: &mut Change<'_>,
        node: &'a Pin<'a>,
        (from, to): (&'a Side<'a>, &'a Side<'a>),
    ) -> Result<Half<'a>> {
        let body = match self.check_region(from.dir.id, to.dir.id) {
            Ok(()) => None,
            Err(_) => self.free_last_name(change, node, &from.home())?,
        };
        let freed = body.is_some();
        let inode = if freed { node.inode() } else { self.kept(node) };
        Ok(Half {
            node,
            inode,
            content_at: body.unwrap_or_else(|| from.home()),
            freed,
            from,
            to,
        })
    }

    /// What moving a directory changes for names in it that lead out of it. For `how` see [`Fs::carry_links`].
    fn carry_tree(
        &self,
        change: &mut Change<'_>,
        view: &Snapshot,
        (node, inode): (&Arc<Node>, &mut Inode),
        (from, to): (&Side<'_>, &Side<'_>),
        how: (bool, bool),
        backs: &mut Backs,
    ) -> Result<()> {
        let (start, end) = (from.home(), to.home());
        if self.check_region(from.dir.id, to.dir.id).is_ok() {
            let (start, end) = ((&***from.dir, &start), (&***to.dir, &end));
            return self.carry_links(change, view, start, end, how, backs);
        }
        if node.is_dir() {
            let marks = self.take_links_along(change, view, node, (&start, &end), backs)?;
            inode.flags |= marks;
            if marks & GUARDS != 0 {
                self.mark_guarded(change, to.dir)?;
            }
        }
        Ok(())
    }

    /// Moves one of several names of a file; EXDEV to another region.
    fn carry_file(
        &self,
        change: &mut Change<'_>,
        view: &Snapshot,
        file: (&Arc<Node>, Linked),
        (from, to): (&Side<'_>, &Side<'_>),
        backs: &mut Backs,
    ) -> Result<()> {
        self.check_region(from.dir.id, to.dir.id)?;
        let (start, end) = (from.home(), to.home());
        self.carry_name(change, view, file, &start, (to.dir, &end), backs)
    }

    /// Writes the record of an object that moved, and whose content was at `at`, so that its numbers and ids stay and what it
    /// inherited is not lost.
    fn arrive(
        &self,
        change: &mut Change<'_>,
        view: &Snapshot,
        (node, at, mut inode): (&Arc<Node>, &Location, Inode),
        from: &Side<'_>,
        to: &Side<'_>,
    ) -> Result<()> {
        inode.ctime = change.now;
        let (home, from_ids, to_ids) = (to.home(), &from.zone.ids, &to.zone.ids);
        let own = if node.is_dir() {
            &node.zone.ids
        } else {
            from_ids
        };
        let hidden = from.no_set_id.recode(from_ids, own);
        let changes = hidden != to.no_set_id.recode(to_ids, own);
        if node.is_dir() {
            inode.shift = node.shifts.wrapping_sub(to.dir.shifts);
            if from_ids != to_ids {
                inode.inherited.ids = own.within(to_ids)?;
            }
            if changes {
                inode.no_set_id = inode.no_set_id.and(hidden);
            }
        } else {
            if changes {
                drop_hidden(change, &mut inode, hidden, &home);
            }
            recode(view, change, (at, &mut inode), &home, (from_ids, to_ids))?;
            inode.number = node.ino.wrapping_sub(to.dir.shifts);
        }
        change.record(node, &home, inode);
        Ok(())
    }

    /// Remembers what a directory that moved makes all below it inherit.
    fn inherit_hidden(&self, node: &Node) {
        if node.is_dir() {
            let no_set_id = lock(&node.inode).no_set_id;
            lock(&self.table).set_no_set_id(node.id, no_set_id);
        }
    }
}
