//! What a crash may leave: the file system as it was after some operation since the last that was made durable.
//!
//! ```text
//!  durable ──operation──► v1 ──operation──► v2 ──operation──► newest
//!  └──────────────── a crash may leave any of these ────────────────┘
//! ```

use super::compare::{Numbers, one_number_each};
use super::tree::{Id, Model, Tree};
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// One version, and what can be seen of it.
#[derive(Debug)]
struct Version {
    model: Model,
    tree: OnceCell<Tree>,
}

/// The versions that a crash may leave, oldest first; never none.
#[derive(Debug, Clone)]
pub struct Versions {
    all: Vec<Rc<Version>>,
    /// From a position in what was asked of the disk on, at least the version of this index.
    acknowledged: Vec<(usize, usize)>,
    /// Whether what no crash can leave any more is kept, for a look back.
    keeps_all: bool,
}

impl Version {
    fn new(model: &Model) -> Rc<Self> {
        Rc::new(Self {
            model: model.clone(),
            tree: OnceCell::new(),
        })
    }
    fn tree(&self) -> &Tree {
        self.tree.get_or_init(|| self.model.tree())
    }
    /// Whether each object has the number that it is known to have. What looks the same may be another object.
    fn has(&self, found: &Numbers, known: &BTreeMap<Id, u64>) -> bool {
        let places = self.model.places();
        let known = |id| known.get(id).copied();
        let right = |(path, id)| known(id).is_none_or(|number| found.get(path) == Some(&number));
        one_number_each(&places, found) && places.iter().all(right)
    }
}

impl Versions {
    /// This state is durable.
    pub fn new(model: &Model) -> Self {
        Self {
            all: vec![Version::new(model)],
            acknowledged: vec![(0, 0)],
            keeps_all: false,
        }
    }
    /// From now on all versions are kept.
    pub fn keep_all(&mut self) {
        self.keeps_all = true;
    }
    /// This state is durable: there are no others.
    pub fn restart(&mut self, model: &Model) {
        *self = Self {
            keeps_all: self.keeps_all,
            ..Self::new(model)
        };
    }
    /// An operation led to this state.
    pub fn acted(&mut self, model: &Model) {
        self.all.push(Version::new(model));
    }
    /// The newest state is durable from this position in what was asked of the disk on.
    pub fn synced(&mut self, position: usize) {
        if !self.keeps_all {
            self.all.drain(..self.all.len() - 1);
            self.acknowledged.clear();
        }
        self.acknowledged.push((position, self.all.len() - 1));
    }
    /// The state after the last operation.
    pub fn newest(&self) -> &Model {
        &self.all[self.all.len() - 1].model
    }
    /// What a crash at this position may leave.
    pub fn at(&self, position: usize) -> Self {
        let before = self.acknowledged.iter().filter(|(at, _)| *at <= position);
        let oldest = before.map(|(_, version)| *version).max().unwrap_or(0);
        Self {
            all: self.all[oldest..].to_vec(),
            acknowledged: vec![(0, 0)],
            keeps_all: self.keeps_all,
        }
    }
    /// The newest version that looks like `found` and has the numbers that are known, and how many are newer.
    ///
    /// # Errors
    /// What was found is no version: something durable is lost, or an operation is there by half. Says how it differs
    /// from the version that is most like it.
    pub fn recovered(
        &self,
        (found, numbers): (&Tree, &Numbers),
        known: &BTreeMap<Id, u64>,
    ) -> Result<(Model, usize), String> {
        let all = self.at(usize::MAX).all;
        let ages = || all.iter().rev().enumerate();
        let equal = |(_, version): &(usize, &Rc<Version>)| version.tree() == found;
        let right = |(_, version): &(usize, &Rc<Version>)| version.has(numbers, known);
        if let Some((age, version)) = ages().filter(equal).find(right) {
            return Ok((version.model.clone().orphaned(), age));
        }
        if let Some((age, _)) = ages().find(equal) {
            return Err(format!(
                "as {age} operations ago, but with other inode numbers: {numbers:?}"
            ));
        }
        let unlikeness =
            |(_, version): &(usize, &Rc<Version>)| differences(version.tree(), found).len();
        let (age, nearest) = ages().min_by_key(unlikeness).expect("there is a version");
        Err(format!(
            "none of {} versions; that of {age} operations ago is most like it: {}",
            all.len(),
            differences(nearest.tree(), found).join("; ")
        ))
    }
}

/// How two trees differ, a sentence a path.
pub fn differences(expected: &Tree, found: &Tree) -> Vec<String> {
    let more = found.keys().filter(|path| !expected.contains_key(*path));
    let paths = expected.keys().chain(more);
    let sentence = |path: &Vec<u8>| {
        let text = path.escape_ascii();
        match (expected.get(path), found.get(path)) {
            (want, got) if want == got => None,
            (Some(want), Some(got)) => Some(format!("/{text}: {}", want.difference(got))),
            (Some(_), None) => Some(format!("/{text} is missing")),
            (None, _) => Some(format!("/{text} should not be there")),
        }
    };
    paths.filter_map(sentence).collect()
}
