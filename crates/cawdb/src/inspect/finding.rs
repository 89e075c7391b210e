//! What can be found wrong in a store, each kind with a number that never changes.

use cawdb_disk::Extent;
use cawdb_node::KeyRange;
use cawdb_tree::inspect::{Fault as TreeFault, Finding as TreeFinding};

/// A kind of finding: its number and what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
pub enum Fault {
    /// One copy of the newest superblock is damaged; the other is good.
    SuperblockCopy = 101,
    /// One copy of a part of the node table is damaged; the other is good.
    TableCopy = 102,
    /// Space is allocated that nothing names.
    Leak = 103,
    /// Both copies of a part of the node table are damaged: only what is in memory still knows it.
    Table = 104,
    /// A superblock is damaged in both copies.
    Superblock = 105,
    /// A node cannot be read.
    Node = 201,
    /// Slots of a node are out of order, or a translation or an edge does not fit.
    NodeShape = 202,
    /// A slot shows more of a node than there is of it.
    NodeRange = 203,
    /// A node or run has more references than are counted.
    UnderCount = 204,
    /// A node or run has fewer references than are counted.
    OverCount = 205,
    /// Nothing refers to a node or run.
    Unreachable = 206,
    /// The bytes of a run that are shown are not what the table says.
    Shown = 207,
    /// A node or run that is referred to is not in the table.
    Missing = 208,
    /// The index of a run cannot be read: all of the run is lost.
    RunIndex = 211,
    /// A segment of a run cannot be read.
    Segment = 212,
    /// A run can be read, but its keys are out of order, or not what its index says.
    RunOrder = 213,
}

/// One thing that is wrong.
#[derive(Debug, Clone)]
pub struct Finding {
    /// What kind.
    pub fault: Fault,
    /// A sentence that names the thing, what was expected and what was found.
    pub what: String,
    /// Where it lies on the disk.
    pub extent: Option<Extent>,
    /// Keys of the store that cannot be read because of it, or some of them, if they are in many clones.
    pub keys: Vec<KeyRange>,
}

impl Fault {
    /// The number.
    pub fn code(self) -> u16 {
        self as u16
    }

    /// Whether [`crate::Store::repair`] mends it, also once the store was closed: nothing is lost, and nothing has to be
    /// guessed. Not so [`Self::Table`]: closed, the store does not open again.
    pub fn is_repairable(self) -> bool {
        matches!(
            self,
            Self::SuperblockCopy
                | Self::TableCopy
                | Self::Leak
                | Self::UnderCount
                | Self::OverCount
                | Self::Unreachable
                | Self::Shown
        )
    }
}

impl Finding {
    /// A finding that concerns no keys.
    pub(crate) fn new(fault: Fault, what: impl Into<String>) -> Self {
        Self {
            fault,
            what: what.into(),
            extent: None,
            keys: Vec::new(),
        }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "C{} {}", self.fault.code(), self.what)
    }
}

impl From<TreeFinding> for Finding {
    fn from(found: TreeFinding) -> Self {
        let fault = match found.fault {
            TreeFault::Unreadable => Fault::Node,
            TreeFault::WrongShape => Fault::NodeShape,
            TreeFault::WrongRange => Fault::NodeRange,
            TreeFault::UnderCount => Fault::UnderCount,
            TreeFault::OverCount => Fault::OverCount,
            TreeFault::Unreachable => Fault::Unreachable,
            TreeFault::WrongShown => Fault::Shown,
            TreeFault::Missing => Fault::Missing,
        };
        Self::new(fault, found.what)
    }
}
