//! What can go wrong when nodes and runs are read or made.

/// An error of this floor.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The disk failed, is full, or holds other bytes than were written.
    #[error(transparent)]
    Disk(#[from] cawdb_disk::Error),
    /// Bytes were read, but are not what was written.
    #[error("damaged: {0}")]
    Corrupt(String),
    /// The caller asked for something that cannot be.
    #[error("not possible: {0}")]
    Invalid(String),
}

impl Error {
    /// Damage found in `what`: the sentence names what was expected and what was found.
    pub fn mismatch(
        what: impl std::fmt::Display,
        expected: impl std::fmt::Debug,
        found: impl std::fmt::Debug,
    ) -> Self {
        Self::Corrupt(format!("{what}: expected {expected:?}, found {found:?}"))
    }
}

/// The result of an operation of this floor.
pub type Result<T, E = Error> = std::result::Result<T, E>;
