//! The search for an order that explains what threads saw (linearizability): a file system as a set of names, and the brute force
//! over all orders in which nothing comes before what had ended when it began.

use cawfs_fs::{Kind, NodeId, RenameMode};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// A name that the scenarios use.
pub type Name = &'static str;

/// What is asked for.
#[derive(Debug, Clone)]
pub enum Op {
    Create(NodeId, Name),
    Mkdir(NodeId, Name),
    Link(NodeId, NodeId, Name),
    Unlink(NodeId, Name),
    Rmdir(NodeId, Name),
    RemoveTree(NodeId, Name),
    Rename((NodeId, Name), (NodeId, Name), RenameMode),
    Lookup(NodeId, Name),
    List(NodeId),
    /// The links of a file.
    Links(NodeId),
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    Done,
    Node(NodeId),
    Names(BTreeSet<String>),
    Links(u32),
}

/// What a thread asked, and saw, from one instant to another.
#[derive(Debug, Clone)]
pub struct Event {
    pub thread: usize,
    pub op: Op,
    pub answer: Result<Seen, Kind>,
    pub began: u64,
    pub ended: u64,
}

/// All names of a file system, by directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Names {
    pub entries: BTreeMap<(NodeId, String), NodeId>,
    /// All that are or were directories.
    pub dirs: BTreeSet<NodeId>,
}

impl Names {
    fn get(&self, dir: NodeId, name: Name) -> Option<NodeId> {
        self.entries.get(&(dir, name.into())).copied()
    }
    fn names(&self, node: NodeId) -> usize {
        self.entries.values().filter(|&&n| n == node).count()
    }
    fn children(&self, dir: NodeId) -> impl Iterator<Item = (&String, NodeId)> {
        let inside = self.entries.iter().filter(move |((d, _), _)| *d == dir);
        inside.map(|((_, name), &node)| (name, node))
    }
    fn parent(&self, node: NodeId) -> Option<NodeId> {
        let mut names = self.entries.iter().filter(|(_, n)| **n == node);
        names.next().map(|((dir, _), _)| *dir)
    }
    fn is_below(&self, node: NodeId, above: NodeId) -> bool {
        node == above || self.parent(node).is_some_and(|p| self.is_below(p, above))
    }
    /// ENOENT for a directory that was removed.
    fn live(&self, dir: NodeId) -> Result<(), Kind> {
        match self.is_below(dir, NodeId::ROOT) {
            true => Ok(()),
            false => Err(Kind::NotFound),
        }
    }
    fn existing(&self, dir: NodeId, name: Name) -> Result<NodeId, Kind> {
        self.live(dir)?;
        self.get(dir, name).ok_or(Kind::NotFound)
    }
    fn free(&self, dir: NodeId, name: Name) -> Result<(), Kind> {
        self.live(dir)?;
        self.get(dir, name).map_or(Ok(()), |_| Err(Kind::Exists))
    }
    fn put(&mut self, dir: NodeId, name: Name, node: NodeId) {
        self.entries.insert((dir, name.into()), node);
    }
    fn take(&mut self, dir: NodeId, name: Name) {
        self.entries.remove(&(dir, name.to_string()));
    }
    fn remove_below(&mut self, top: NodeId) {
        let inside: Vec<_> = self
            .children(top)
            .map(|(n, node)| (n.clone(), node))
            .collect();
        for (name, node) in inside {
            self.entries.remove(&(top, name));
            if self.dirs.contains(&node) {
                self.remove_below(node);
            }
        }
    }

    /// Does it. What is made gets the node that was answered.
    fn apply(&mut self, op: &Op, made: Option<NodeId>) -> Result<Seen, Kind> {
        match *op {
            Op::Create(dir, name) | Op::Mkdir(dir, name) => {
                self.free(dir, name)?;
                // Where the answer was an error, this one differs from it whatever it names.
                let node = made.filter(|&node| self.names(node) == 0);
                let node = node.unwrap_or(NodeId(u64::MAX));
                if matches!(op, Op::Mkdir(..)) {
                    self.dirs.insert(node);
                }
                self.put(dir, name, node);
                Ok(Seen::Node(node))
            }
            Op::Link(file, dir, name) => {
                self.free(dir, name)?;
                if self.names(file) == 0 {
                    return Err(Kind::NotFound);
                }
                self.put(dir, name, file);
                Ok(Seen::Node(file))
            }
            Op::Unlink(dir, name) => {
                let node = self.existing(dir, name)?;
                if self.dirs.contains(&node) {
                    return Err(Kind::IsDirectory);
                }
                self.take(dir, name);
                Ok(Seen::Done)
            }
            Op::Rmdir(dir, name) => {
                let node = self.existing(dir, name)?;
                if !self.dirs.contains(&node) {
                    return Err(Kind::NotDirectory);
                }
                if self.children(node).next().is_some() {
                    return Err(Kind::NotEmpty);
                }
                self.take(dir, name);
                Ok(Seen::Done)
            }
            Op::RemoveTree(dir, name) => {
                let node = self.existing(dir, name)?;
                self.take(dir, name);
                self.remove_below(node);
                Ok(Seen::Done)
            }
            Op::Rename(from, to, mode) => self.rename(from, to, mode),
            Op::Lookup(dir, name) => self.existing(dir, name).map(Seen::Node),
            Op::List(dir) => Ok(Seen::Names(
                self.children(dir).map(|(name, _)| name.clone()).collect(),
            )),
            Op::Links(file) => Ok(Seen::Links(self.names(file) as u32)),
        }
    }

    fn rename(
        &mut self,
        (a, x): (NodeId, Name),
        (b, y): (NodeId, Name),
        mode: RenameMode,
    ) -> Result<Seen, Kind> {
        self.live(a)?;
        self.live(b)?;
        let (source, target) = (self.existing(a, x)?, self.get(b, y));
        match (target, mode) {
            (Some(_), RenameMode::NoReplace) => return Err(Kind::Exists),
            (None, RenameMode::Exchange) => return Err(Kind::NotFound),
            (Some(target), _) if target == source => return Ok(Seen::Done),
            _ => {}
        }
        let is_dir = |node| self.dirs.contains(&node);
        let swaps = target.filter(|_| mode == RenameMode::Exchange);
        if (is_dir(source) && self.is_below(b, source))
            || swaps.is_some_and(|target| is_dir(target) && self.is_below(a, target))
        {
            return Err(Kind::Invalid);
        }
        if let Some(target) = swaps {
            self.put(a, x, target);
            self.put(b, y, source);
            return Ok(Seen::Done);
        }
        match target.map(|target| (is_dir(source), is_dir(target), target)) {
            Some((true, false, _)) => return Err(Kind::NotDirectory),
            Some((false, true, _)) => return Err(Kind::IsDirectory),
            Some((true, true, target)) if self.children(target).next().is_some() => {
                return Err(Kind::NotEmpty);
            }
            _ => {}
        }
        self.take(a, x);
        self.put(b, y, source);
        Ok(Seen::Done)
    }
}

/// Asserts that some order leads from one state to the other and explains every answer.
pub fn assert_explained(start: &Names, events: &[Event], end: &Names) {
    let (mut tried, mut open) = (HashSet::new(), vec![(0u64, start.clone())]);
    let all = (1u64 << events.len()) - 1;
    while let Some((done, names)) = open.pop() {
        if done == all && names.entries == end.entries {
            return;
        }
        let left = |i: &usize| done & (1 << i) == 0;
        let remaining = (0..events.len()).filter(left);
        let first_end = remaining.clone().map(|i| events[i].ended).min();
        for i in remaining.filter(|&i| Some(events[i].began) <= first_end) {
            let (event, mut next) = (&events[i], names.clone());
            let made = match &event.answer {
                Ok(Seen::Node(node)) => Some(*node),
                _ => None,
            };
            if next.apply(&event.op, made) == event.answer {
                let next = (done | 1 << i, next);
                if tried.insert(next.clone()) {
                    open.push(next);
                }
            }
        }
    }
    let mut shown = events.to_vec();
    shown.sort_by_key(|event| event.began);
    let line = |e: &Event| {
        let (op, answer) = (&e.op, &e.answer);
        format!(
            "  thread {}, {}..{}: {op:?}: {answer:?}\n",
            e.thread, e.began, e.ended
        )
    };
    let lines: String = shown.iter().map(line).collect();
    panic!("no order explains what was seen\nfrom {start:?}\n{lines}to {end:?}");
}

#[test]
fn what_has_no_order_is_told() {
    let file = |n| Ok(Seen::Node(NodeId(n)));
    let event = |thread, op, answer, began, ended| Event {
        thread,
        op,
        answer,
        began,
        ended,
    };
    let create = || Op::Create(NodeId::ROOT, "x");
    let end = |n| Names {
        entries: [((NodeId::ROOT, "x".into()), NodeId(n))].into(),
        ..Names::default()
    };
    let start = Names::default();
    // Two made it, and it never went.
    let twice = [
        event(0, create(), file(2), 0, 3),
        event(1, create(), file(3), 1, 2),
    ];
    let found = || assert_explained(&start, &twice, &end(3));
    assert!(std::panic::catch_unwind(found).is_err());
    // Somebody saw it missing after it had been made; at the same time is something else.
    for (began, explained) in [(4, false), (2, true)] {
        let looks = event(
            1,
            Op::Lookup(NodeId::ROOT, "x"),
            Err(Kind::NotFound),
            began,
            5,
        );
        let events = [event(0, create(), file(2), 0, 3), looks];
        let found = std::panic::catch_unwind(|| assert_explained(&start, &events, &end(2)));
        assert_eq!(found.is_ok(), explained);
    }
}
