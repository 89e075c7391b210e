//! What can go wrong in the engine, for its callers: each kind calls for another answer.

use cawdb_disk::Error as DiskError;
use cawdb_node::Error as NodeError;

/// An error of the engine.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No space is left for the change; nothing was changed.
    #[error("the store is full: {0}")]
    Full(String),
    /// The disk failed, or an earlier failure made the store read-only until it is opened again.
    #[error("input/output error: {0}")]
    Io(String),
    /// Bytes on disk are not what was written. Says which, what was expected and what was found.
    #[error("damaged: {0}")]
    Corrupt(String),
    /// Key, value or range outside of the documented limits.
    #[error("invalid: {0}")]
    Invalid(String),
    /// Another process has the store open; says which.
    #[error("in use: {0}")]
    Busy(String),
}

/// The result of an operation of the engine.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<DiskError> for Error {
    fn from(error: DiskError) -> Self {
        let text = error.to_string();
        match error {
            DiskError::Full { .. } => Self::Full(text),
            DiskError::Corrupt { .. } => Self::Corrupt(text),
            DiskError::Busy { .. } => Self::Busy(text),
            DiskError::Invalid(_) => Self::Invalid(text),
            _ => Self::Io(text),
        }
    }
}

impl From<NodeError> for Error {
    fn from(error: NodeError) -> Self {
        match error {
            NodeError::Disk(disk) => disk.into(),
            NodeError::Corrupt(what) => Self::Corrupt(what),
            other => Self::Invalid(other.to_string()),
        }
    }
}
