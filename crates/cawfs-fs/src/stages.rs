//! Clones that wait for their destinations (see `protocol`).
//!
//! * With one destination, only the source is remembered and held open; the clone happens at the rename.
//! * With several, a shared copy lies in the staging area of the store, so that all show one instant.
//! * A stage ends when its last destination was renamed, or after ten minutes.

use crate::depth::Reach;
use crate::errno::{Kind, Result};
use crate::inherited::Inherited;
use crate::inode::{Inode, NoSetId};
use crate::maps::Ids;
use crate::types::{Caller, NodeId, Time};
use std::collections::{HashMap, HashSet};

/// Seconds after which an unfinished stage is dropped.
pub(crate) const LIFETIME_SECS: i64 = 600;
/// Most unfinished stages; beyond, the oldest go.
pub(crate) const MAX_STAGES: usize = 1024;

/// Where the content of a staged clone comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The source itself, held open.
    Live(NodeId),
    /// The shared copy of this token.
    Copy(u64),
}

/// A staged clone.
#[derive(Debug, Clone)]
pub(crate) struct Stage {
    pub(crate) caller: Caller,
    pub(crate) source: Source,
    /// The source as it was when staged.
    pub(crate) inode: Inode,
    /// Set-id bits hidden at the source.
    pub(crate) no_set_id: NoSetId,
    /// What ids are shown as at the source.
    pub(crate) ids: Ids,
    /// What the clones make of that.
    pub(crate) inherited: Inherited,
    /// How far the keys below the source reached.
    pub(crate) reach: Reach,
    pub(crate) count: u32,
    pub(crate) replace: bool,
    pub(crate) born: Time,
    /// Destinations that exist already.
    pub(crate) done: HashSet<u32>,
    /// Nodes and numbers of the staged names that were looked up.
    pub(crate) nodes: HashMap<u32, (NodeId, u64)>,
}

/// All staged clones.
#[derive(Default)]
pub(crate) struct Stages(pub(crate) HashMap<u64, Stage>);

impl Stages {
    /// The stage of a staged name, if this caller may see it; `None` for any other name.
    pub(crate) fn find(&mut self, caller: &Caller, token: u64, index: u32) -> Option<&mut Stage> {
        let stage = self.0.get_mut(&token)?;
        let allowed = caller.is_root() || caller.uid == stage.caller.uid;
        (allowed && index < stage.count && !stage.done.contains(&index)).then_some(stage)
    }
    /// Notes that a destination exists; the stage, if that was the last.
    pub(crate) fn finish(&mut self, token: u64, index: u32) -> Option<Stage> {
        let stage = self.0.get_mut(&token)?;
        stage.done.insert(index);
        stage.nodes.remove(&index);
        let all = stage.done.len() as u64 == u64::from(stage.count);
        if all { self.0.remove(&token) } else { None }
    }
    /// Takes out the stages that are too old, or too many.
    pub(crate) fn expired(&mut self, now: Time) -> Vec<Stage> {
        let mut ages: Vec<_> = self.0.iter().map(|(&token, s)| (s.born, token)).collect();
        ages.sort_unstable();
        let excess = ages.len().saturating_sub(MAX_STAGES);
        let aged = |born: Time| now.secs.saturating_sub(born.secs) > LIFETIME_SECS;
        let old = ages
            .into_iter()
            .enumerate()
            .filter(|&(i, (born, _))| i < excess || aged(born));
        old.filter_map(|(_, (_, token))| self.0.remove(&token))
            .collect()
    }
}

/// The error for a number of destinations that makes no sense.
pub(crate) fn check_count(count: u32) -> Result<()> {
    if count == 0 || count > crate::protocol::MAX_DESTINATIONS {
        return Err(Kind::Invalid.because("a clone needs 1 to 2^20 destinations"));
    }
    Ok(())
}
