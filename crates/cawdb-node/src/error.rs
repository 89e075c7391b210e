//! What can go wrong when nodes and runs are read or made.

/// An error of this floor.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The disk failed or is full.
    #[error(transparent)]
    Disk(cawdb_disk::Error),
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

    /// The same error; damage is said to lie in `place`.
    #[must_use]
    pub fn within(self, place: impl std::fmt::Display) -> Self {
        match self {
            Self::Corrupt(what) => Self::Corrupt(format!("{place}: {what}")),
            other => other,
        }
    }
}

impl From<cawdb_disk::Error> for Error {
    /// Damage is damage, whichever floor found it.
    fn from(error: cawdb_disk::Error) -> Self {
        match error {
            cawdb_disk::Error::Corrupt {
                what,
                expected,
                found,
            } => Self::Corrupt(format!("{what}: expected {expected}, found {found}")),
            other => Self::Disk(other),
        }
    }
}

/// The result of an operation of this floor.
pub type Result<T, E = Error> = std::result::Result<T, E>;
