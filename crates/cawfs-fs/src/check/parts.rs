//! Path keys taken apart: the directory, and what a key in it is. None for what is no key of ours, whatever its bytes.

use crate::links::ID_BYTES;
use crate::schema::{BACK, BODY, ENTRY, SUBDIR};

/// A path key in parts: S(dir), and what it is there.
pub(crate) struct Parts<'a> {
    pub(crate) dir: &'a [u8],
    pub(crate) what: What<'a>,
}

/// What a key in a directory is. `rest` is what follows the 00 behind it if anything does.
#[derive(Clone, Copy)]
pub(crate) enum What<'a> {
    Entry {
        name: &'a [u8],
        rest: Option<&'a [u8]>,
    },
    Body {
        id: &'a [u8],
        rest: Option<&'a [u8]>,
    },
    /// A back-reference to an entry: its path key below the directory.
    Back { path: &'a [u8] },
}

pub(crate) fn split(key: &[u8]) -> Option<Parts<'_>> {
    let mut at = 0;
    while key.get(at) == Some(&SUBDIR) {
        at += key.get(at..)?.iter().position(|&b| b == 0)? + 1;
    }
    let (dir, inside) = key.split_at_checked(at)?;
    let (tag, tail) = inside.split_first()?;
    let what = match *tag {
        ENTRY => match tail.iter().position(|&b| b == 0) {
            Some(end) => What::Entry {
                name: tail.get(..end)?,
                rest: tail.get(end + 1..),
            },
            None => What::Entry {
                name: tail,
                rest: None,
            },
        },
        BODY => {
            let (id, rest) = tail.split_at_checked(ID_BYTES)?;
            let rest = match rest {
                [] => None,
                rest => Some(rest.strip_prefix(&[0])?),
            };
            What::Body { id, rest }
        }
        BACK => What::Back { path: tail },
        _ => return None,
    };
    Some(Parts { dir, what })
}
