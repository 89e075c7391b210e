//! What a store may be after a crash, moment by moment.
//!
//! ```text
//!   position in the recording   0 ───────── 12 ─────────── 20 ──────►
//!   handed in                   v1 v2          v3 v4                    newest allowed at 15: v4
//!   acknowledged                            v2                          oldest allowed at 15: v2
//! ```
//! Invariant: versions are those after each batch, in order, and a batch is in a version wholly or not at all. A batch
//! may be seen from the moment it was handed in; what was acknowledged must be seen from that moment on.
use bytes::Bytes;
use cawfs_sim::{KvModel, Span};
use std::ops::RangeInclusive;

/// Everything that a store shows.
pub type Content = Vec<(Bytes, Bytes)>;

/// The versions of a store, and when each was possible.
#[derive(Debug, Clone)]
pub struct History {
    versions: Vec<Content>,
    /// Position at which the batch that makes each version was handed in.
    begun: Vec<usize>,
    /// From a position on, at least that version.
    acknowledged: Vec<(usize, usize)>,
}

impl History {
    /// A history that begins with a durable state.
    pub fn new(first: Content) -> Self {
        Self {
            versions: vec![first],
            begun: vec![0],
            acknowledged: vec![(0, 0)],
        }
    }

    /// A batch, handed in at this position, has led to this state.
    pub fn committed(&mut self, position: usize, model: &KvModel) {
        let content = shared(model, &self.versions[self.versions.len() - 1]);
        self.versions.push(content);
        self.begun.push(position);
    }

    /// The newest version was acknowledged as durable before this position.
    pub fn acknowledge(&mut self, position: usize) {
        self.acknowledged.push((position, self.newest()));
    }

    /// Number of the newest version.
    pub fn newest(&self) -> usize {
        self.versions.len() - 1
    }

    /// A version.
    pub fn version(&self, number: usize) -> &Content {
        &self.versions[number]
    }

    /// The versions that a loss of power at this position may leave.
    pub fn allowed(&self, position: usize) -> RangeInclusive<usize> {
        let before = self.acknowledged.iter().filter(|(p, _)| *p <= position);
        let oldest = before.map(|(_, version)| *version).max().unwrap_or(0);
        let newest = self.begun.iter().rposition(|p| *p <= position);
        oldest..=newest.unwrap_or(0)
    }

    /// The newest allowed version that equals what was found.
    ///
    /// # Errors
    /// What was found is none of them: something acknowledged is lost, or a batch is there by half.
    pub fn find(&self, position: usize, found: &Content) -> Result<usize, String> {
        let allowed = self.allowed(position);
        let equal = |number: &usize| self.versions[*number] == *found;
        if let Some(number) = allowed.clone().rev().find(equal) {
            return Ok(number);
        }
        let other = (0..self.versions.len()).rev().find(equal);
        let keys = found.len();
        Err(match other {
            Some(number) => format!("version {number} is none of {allowed:?}"),
            None => format!("{keys} keys are no version at all; {allowed:?} are allowed"),
        })
    }
}

/// The content of a model; what is as in `last` is shared with it.
fn shared(model: &KvModel, last: &Content) -> Content {
    let mut old = last.iter().peekable();
    let mut content = Content::new();
    for (key, value) in model.scan(&Span::all()) {
        while old.next_if(|(k, _)| *k < key).is_some() {}
        content.push(match old.next_if(|(k, v)| *k == key && *v == value) {
            Some(pair) => pair.clone(),
            None => (key.into(), value.into()),
        });
    }
    content
}
