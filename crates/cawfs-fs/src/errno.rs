//! Errors of the file system, and the only place where an errno is chosen.
//!
//! Operations name a [`Kind`]; the table in [`Kind::errno`] gives the number the kernel sees. An [`Error`] also
//! carries a sentence for people and, where there is one, the error of the engine below.

use std::borrow::Cow;
use std::fmt;

/// What went wrong, as callers tell cases apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// No such name, or the object is gone.
    NotFound,
    /// A node id that this mount does not know (any more).
    Stale,
    /// The name exists already.
    Exists,
    /// A directory was needed.
    NotDirectory,
    /// Something other than a directory was needed.
    IsDirectory,
    /// The directory has entries.
    NotEmpty,
    /// An argument makes no sense.
    Invalid,
    /// A name of more than 255 bytes.
    NameTooLong,
    /// The operation is not one of this file system.
    NotSupported,
    /// The caller's rights do not suffice, and never will for this object.
    NotPermitted,
    /// The mode bits deny the caller the access.
    AccessDenied,
    /// No room for the change.
    NoSpace,
    /// Beyond the largest file.
    FileTooBig,
    /// The extended attribute does not exist.
    NoAttribute,
    /// The buffer is too small for the answer.
    Range,
    /// An extended attribute value of more than 64 KiB.
    TooBig,
    /// No data or hole at or after the offset.
    NoData,
    /// The object is in use.
    Busy,
    /// The store, the volume or the mount is read-only.
    ReadOnly,
    /// More links than the link count holds.
    TooManyLinks,
    /// The two names cannot be served by one rename.
    CrossDevice,
    /// An id that the maps of the place do not show.
    Overflow,
    /// An ioctl that is not ours.
    UnknownIoctl,
    /// A handle that is not open for what is asked.
    BadHandle,
    /// Input or output failed, or bytes on disk are damaged.
    Io,
}

impl Kind {
    /// The number of this kind in the kernel's language.
    pub const fn errno(self) -> i32 {
        match self {
            Self::NotFound => libc::ENOENT,
            Self::Stale => libc::ESTALE,
            Self::Exists => libc::EEXIST,
            Self::NotDirectory => libc::ENOTDIR,
            Self::IsDirectory => libc::EISDIR,
            Self::NotEmpty => libc::ENOTEMPTY,
            Self::Invalid => libc::EINVAL,
            Self::NameTooLong => libc::ENAMETOOLONG,
            Self::NotSupported => libc::EOPNOTSUPP,
            Self::NotPermitted => libc::EPERM,
            Self::AccessDenied => libc::EACCES,
            Self::NoSpace => libc::ENOSPC,
            Self::FileTooBig => libc::EFBIG,
            Self::NoAttribute => libc::ENODATA,
            Self::Range => libc::ERANGE,
            Self::TooBig => libc::E2BIG,
            Self::NoData => libc::ENXIO,
            Self::Busy => libc::EBUSY,
            Self::ReadOnly => libc::EROFS,
            Self::TooManyLinks => libc::EMLINK,
            Self::CrossDevice => libc::EXDEV,
            Self::Overflow => libc::EOVERFLOW,
            Self::UnknownIoctl => libc::ENOTTY,
            Self::BadHandle => libc::EBADF,
            Self::Io => libc::EIO,
        }
    }

    /// An error of this kind with a sentence for people.
    pub fn because(self, message: impl Into<Cow<'static, str>>) -> Error {
        Error {
            kind: self,
            message: message.into(),
            source: None,
        }
    }
}

/// For what was looked up a moment ago, and is gone since: a name may lead to something else by now.
pub(crate) fn outdated(error: Error) -> Error {
    match error.kind {
        Kind::NotFound => Kind::Stale.because("it was removed since it was looked up"),
        _ => error,
    }
}

/// Why an operation failed.
#[derive(Debug, Clone)]
pub struct Error {
    kind: Kind,
    message: Cow<'static, str>,
    source: Option<cawdb::Error>,
}

impl Error {
    /// What went wrong, for code.
    pub fn kind(&self) -> Kind {
        self.kind
    }
    /// What went wrong, for the kernel.
    pub fn errno(&self) -> i32 {
        self.kind.errno()
    }
    /// What went wrong, for people.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|e| e as _)
    }
}

impl From<cawdb::Error> for Error {
    fn from(source: cawdb::Error) -> Self {
        let (kind, message) = match &source {
            cawdb::Error::Full(_) => (Kind::NoSpace, "no room in the store"),
            cawdb::Error::Invalid(_) => (Kind::Invalid, "the engine refuses the change"),
            cawdb::Error::Corrupt(_) => (Kind::Io, "damaged bytes in the store"),
            _ => (Kind::Io, "the store cannot read or write"),
        };
        Self {
            kind,
            message: Cow::Borrowed(message),
            source: Some(source),
        }
    }
}

/// Result of the operations of this crate.
pub type Result<T> = std::result::Result<T, Error>;

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    #[test]
    fn engine_errors_keep_their_cause() {
        let error = Error::from(cawdb::Error::Full("1 MiB asked".into()));
        assert_eq!((error.kind(), error.errno()), (Kind::NoSpace, libc::ENOSPC));
        assert!(error.source().unwrap().to_string().contains("1 MiB"));
        assert_eq!(
            Error::from(cawdb::Error::Corrupt("x".into())).errno(),
            libc::EIO
        );
    }
}
