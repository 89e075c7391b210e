//! What commands ask of a mount, beside reading and writing files.
//!
//! There are two doors to the same requests. The ioctls of [`cawfs_fs::protocol`] are for programs in
//! any language. The names below are read like extended attributes, which a program can do
//! without unsafe code; the kernel lets only those in who may read the object, and caches nothing.
//!
//! ```text
//! ioctl CLONE_STAGE     user.cawfs.clone.COUNT.FLAGS    value: the token, 16 hex digits
//! ioctl REMOVE_TREE     user.cawfs.remove.NAME          value: empty
//!                       user.cawfs.sync                 value: empty; all before is durable
//!                       user.cawfs.stats.OFFSET         value: a piece of JSON; empty at its end
//! ```
//!
//! They are not listed and cannot be set. A NAME of more than [`NAME_ROOM`] bytes does not fit.

/// What all names of this door begin with.
pub const PREFIX: &str = "user.cawfs.";
/// Name that syncs.
pub const SYNC: &str = "user.cawfs.sync";
/// Longest answer, in bytes: the longest value that the kernel passes on.
pub const VALUE_MAX: usize = 64 * 1024;
/// Longest name that REMOVE takes through this door, in bytes.
pub const NAME_ROOM: usize = 255 - "user.cawfs.remove.".len();

/// A request through a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// Stage clones of the object.
    Clone {
        /// How many destinations.
        count: u32,
        /// As in the ioctl.
        flags: u32,
    },
    /// Remove a tree by its name in the directory.
    Remove {
        /// The name.
        name: &'a [u8],
    },
    /// Make everything durable.
    Sync,
    /// A piece of the statistics.
    Stats {
        /// Where it begins, in bytes.
        offset: usize,
    },
}

impl<'a> Request<'a> {
    /// Reads a name; `None` if it is not one of ours.
    pub fn parse(name: &'a [u8]) -> Option<Self> {
        let rest = name.strip_prefix(PREFIX.as_bytes())?;
        if let Some(name) = rest.strip_prefix(b"remove.") {
            return Some(Self::Remove { name });
        }
        let mut words = std::str::from_utf8(rest).ok()?.split('.');
        let request = match words.next()? {
            "clone" => {
                let (count, flags) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
                Self::Clone { count, flags }
            }
            "stats" => Self::Stats {
                offset: words.next()?.parse().ok()?,
            },
            "sync" => Self::Sync,
            _ => return None,
        };
        words.next().is_none().then_some(request)
    }

    /// The name of this request.
    pub fn name(&self) -> Vec<u8> {
        match self {
            Self::Clone { count, flags } => format!("{PREFIX}clone.{count}.{flags}").into_bytes(),
            Self::Remove { name } => [PREFIX.as_bytes(), b"remove.", name].concat(),
            Self::Sync => SYNC.as_bytes().to_vec(),
            Self::Stats { offset } => format!("{PREFIX}stats.{offset}").into_bytes(),
        }
    }
}

/// The token in the answer to [`Request::Clone`]; `None` if it makes no sense.
pub fn read_token(value: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(value).ok()?, 16).ok()
}

/// The value that carries a token.
pub fn write_token(token: u64) -> Vec<u8> {
    format!("{token:016x}").into_bytes()
}

/// Whether an attribute belongs to this door.
pub fn is_ours(name: &[u8]) -> bool {
    name.starts_with(PREFIX.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        for request in [
            Request::Clone { count: 3, flags: 1 },
            Request::Remove { name: b"a.b \xff" },
            Request::Sync,
            Request::Stats { offset: 77 },
        ] {
            assert_eq!(Request::parse(&request.name()), Some(request));
        }
        for bad in [
            "user.cawfs.clone.1",
            "user.cawfs.sync.1",
            "user.cawfs.x",
            "user.other",
        ] {
            assert_eq!(Request::parse(bad.as_bytes()), None);
        }
        assert_eq!(read_token(&write_token(0xfeed)), Some(0xfeed));
        assert_eq!(read_token(b"x"), None);
    }
}
