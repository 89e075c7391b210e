//! What can go wrong on a disk: where it happened, what was expected, what was found.
//!
//! Errors are cheap to clone, because one failed sync is the answer to many who wait for it.

use std::io;
use std::sync::Arc;

/// An error of the disk floor.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was being done, with the name of the disk.
        what: String,
        /// The system's answer.
        source: Arc<io::Error>,
    },
    /// Bytes are not what was written.
    #[error("{what} is damaged: expected {expected}, found {found}")]
    Corrupt {
        /// The thing that is damaged, and where it lies.
        what: String,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// No room.
    #[error("no room for {wanted} bytes ({free} free)")]
    Full {
        /// Bytes asked for.
        wanted: u64,
        /// Bytes that are free for this purpose, perhaps not in one piece.
        free: u64,
    },
    /// Someone else has the disk open.
    #[error("in use by {who}")]
    Busy {
        /// Who, as far as can be found out.
        who: String,
    },
    /// The caller asked for something that is not possible.
    #[error("invalid: {0}")]
    Invalid(String),
    /// An earlier write failed; what is on disk is unknown until it is opened again.
    #[error("stopped by an earlier failure: {0}")]
    Poisoned(String),
}

/// Result of the disk floor.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An [`Error::Io`] of doing `what`.
    pub fn io(what: impl Into<String>, source: io::Error) -> Self {
        Error::Io {
            what: what.into(),
            source: Arc::new(source),
        }
    }

    /// An [`Error::Corrupt`].
    pub fn corrupt(
        what: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Error::Corrupt {
            what: what.into(),
            expected: expected.into(),
            found: found.into(),
        }
    }
}
