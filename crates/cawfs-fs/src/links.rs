//! Files with several names: what their keys hold. What operations do with them is in `ops::links`.
//!
//! ```text
//!   home ── H id ──► body: record, attributes, blocks            id = (number relative to home, tag)
//!    ├─ L Ea ─► id                     back-references of home: one for each name, under its path
//!    ├─ L Sd·Eb ─► id
//!    ├─ Ea ──► reference (kind, number relative to this directory, tag)
//!    └─ d ── Eb ──► reference (kind, number relative to d, tag)
//! ```
//! A file with one name has its record there, and none of this. Once it gets a second one, its *body* lies in its *home*, a
//! directory at or above all that hold its names, and its names are references.
//!
//! Invariants:
//! 1. A home is marked ([`HOME`](crate::inode::HOME)); every reference has one back-reference in the home of its body, and the
//!    body's link count is the number of them.
//! 2. A reference does not say where the home is: it shows a number as any record does (its own and the shifts above it), and
//!    its body is the one that shows the same number and has the same tag, in the nearest of the homes above. So whatever
//!    moves or clones a tree changes no reference in it: numbers relative to each other stay. Clones are told apart by
//!    their shifts, and the tag, drawn by chance, makes up for numbers that meet by chance.
//! 3. What a tree shares with its outside is found by the back-references of the homes above it that start with its path.
//! 4. A home holds bodies only while it holds names of them, so a directory without entries has no keys.

use crate::errno::{Kind, Result};
use crate::inode::{Inode, Reader, kind_code, kind_from};
use crate::types::{FileType, NodeId};
use bytes::Bytes;
use std::collections::VecDeque;

/// Stands in a record for "a reference"; the kinds of objects are below.
const REFERENCE: u8 = 8;
/// Of both forms of records.
const VERSION: u8 = 1;
/// In the handle table a body is a child of its home, under a name that no entry has.
const MARK: u8 = b'/';

/// Length of an id, in bytes.
pub(crate) const ID_BYTES: usize = 16;

/// Names a body in its home.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LinkId {
    /// Relative inode number of the body.
    pub(crate) number: u64,
    /// Drawn by chance when the file got its second name; copies in clones have the same.
    pub(crate) tag: u64,
}

impl LinkId {
    /// As in keys, and as values of back-references.
    pub(crate) fn encode(self) -> Bytes {
        let bytes = [self.number.to_be_bytes(), self.tag.to_be_bytes()];
        Bytes::from(bytes.concat())
    }
    /// The id in these bytes.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (number, tag) = bytes.split_first_chunk()?;
        Some(Self {
            number: u64::from_be_bytes(*number),
            tag: u64::from_be_bytes(tag.try_into().ok()?),
        })
    }
    /// Name of the body in the handle table.
    pub(crate) fn name(self) -> Bytes {
        [&[MARK], &self.encode()[..]].concat().into()
    }
    /// What such a name is in keys; none for the name of an entry.
    pub(crate) fn key_of(name: &Bytes) -> Option<Bytes> {
        (name.first() == Some(&MARK)).then(|| name.slice(1..))
    }
    /// The id in such a name; none for the name of an entry.
    pub(crate) fn of_name(name: &Bytes) -> Option<Self> {
        Self::decode(&Self::key_of(name)?)
    }
    /// The same body, in a home whose shifts add up to `to` instead of `from`.
    pub(crate) fn rebased(self, from: u64, to: u64) -> Self {
        let number = self.number.wrapping_add(from).wrapping_sub(to);
        Self { number, ..self }
    }
}

/// How many names are remembered that were given last: more than programs that link and unlink at once.
const RECENT: usize = 64;

/// The names that files with several were given last, in their homes: who writes a file under another name links it to its own and removes
/// the other one at once. Only hints: whoever takes one reads whether it is so.
#[derive(Debug, Default)]
pub(crate) struct Recent(VecDeque<(NodeId, Bytes)>);

impl Recent {
    /// Remembers a name, and forgets the oldest if there are too many.
    pub(crate) fn note(&mut self, file: NodeId, name: Bytes) {
        if self.0.len() >= RECENT {
            self.0.pop_front();
        }
        self.0.push_back((file, name));
    }
    /// Takes the newest name of a file out.
    pub(crate) fn take(&mut self, file: NodeId) -> Option<Bytes> {
        let at = self.0.iter().rposition(|(known, _)| *known == file)?;
        self.0.remove(at).map(|(_, name)| name)
    }
}

/// A name of a file that has, or had, several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reference {
    /// Kind of the body.
    pub(crate) kind: FileType,
    /// The body, its number relative to the directory of this name.
    pub(crate) id: LinkId,
}

impl Reference {
    /// As the value of an entry.
    pub(crate) fn encode(&self) -> Bytes {
        [
            &[VERSION, REFERENCE, kind_code(self.kind)],
            &self.id.encode()[..],
        ]
        .concat()
        .into()
    }
}

/// What the value of an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record {
    /// The object itself.
    Own(Inode),
    /// A reference to a body.
    Link(Reference),
}

impl Record {
    /// The value of an entry from its bytes; an error if they are none.
    pub(crate) fn decode(bytes: &Bytes) -> Result<Self> {
        if bytes.get(1) != Some(&REFERENCE) {
            return Inode::decode(bytes).map(Self::Own);
        }
        let link = || {
            let mut reader = Reader(bytes);
            let [version, _, kind] = reader.array()?;
            let (kind, id) = (kind_from(kind)?, LinkId::decode(reader.0)?);
            let whole = version == VERSION && kind != FileType::Directory;
            whole.then_some(Self::Link(Reference { kind, id }))
        };
        link().ok_or_else(|| Kind::Io.because("a damaged reference to a file"))
    }
    /// Kind of the object.
    pub(crate) fn kind(&self) -> FileType {
        match self {
            Self::Own(inode) => inode.kind,
            Self::Link(link) => link.kind,
        }
    }
    /// What to add to the shifts of the directories above for the number shown.
    pub(crate) fn relative(&self) -> u64 {
        match self {
            Self::Own(inode) => inode.relative(),
            Self::Link(link) => link.id.number,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Time;

    #[test]
    fn references_and_ids_come_back() {
        let id = LinkId {
            number: 7,
            tag: u64::MAX,
        };
        assert_eq!(LinkId::of_name(&id.name()), Some(id));
        assert_eq!(LinkId::of_name(&Bytes::from_static(b"a")), None);
        assert_eq!(id.rebased(3, 5).rebased(5, 3), id);
        let link = Reference {
            kind: FileType::Symlink,
            id,
        };
        let bytes = link.encode();
        assert_eq!(Record::decode(&bytes).unwrap(), Record::Link(link));
        for bad in [
            &bytes[..18],
            &[&bytes[..], &[0]].concat(),
            &[1, 8, 2],
            &[1, 8],
        ] {
            assert!(Record::decode(&Bytes::copy_from_slice(bad)).is_err());
        }
        let inode = Inode::new(FileType::Regular, 0o644, Time::default());
        assert_eq!(Record::decode(&inode.encode()).unwrap(), Record::Own(inode));
    }
}
