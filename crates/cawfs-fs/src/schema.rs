//! Which keys mean what.
//!
//! ```text
//! key = volume (u32 BE) · table · path key
//!
//! S(root) = ""        S(dir/name) = S(dir) 'S' name 00
//!
//! 'm' meta   S(dir) 'E' name                   inode record
//!            S(dir) 'E' name 00 'x' attr       extended attribute
//!            S(home) 'H' id (16) …             body of a file with several names: record and attributes as above
//!            S(home) 'L' (path key below home) back-reference: the id of the body that this entry leads to
//!            'T' token (8)                     in the place of S(dir): staged clones
//! 'd' data   S(dir) 'E' name 00 block (u64 BE) file block
//!            S(home) 'H' id 00 block           block of a body
//! 'x' misc   'R'                               inode record of the root directory
//!            'R' 00 'x' attr                   its extended attributes
//!            'O' id (u64 BE) …                 orphan: record and attributes as above
//!            'P' id block                      orphan: its blocks
//!            'I'                               first inode number not leased yet (u64)
//!            'K'                               bounds on the length of keys (2 x u32)
//! volume 0:  'x' 'F'                           format version and block size
//!            'x' 'V' volume (u32 BE)           list of volumes: their names
//! ```
//!
//! Names hold no 00, so nothing is escaped and an entry's keys are exactly those with the prefix `E name 00`, and its record.
//! 'E' < 'H' < 'L' < 'S': all entries of a directory are adjacent and come before what its subdirectories hold. What 'H' and
//! 'L' are for stands in `links`.

use crate::links::LinkId;
use bytes::Bytes;
use cawdb::KeyRange;

/// The volume that is mounted.
pub(crate) const LIVE_VOLUME: u32 = 1;
/// Table of records.
pub(crate) const META: u8 = b'm';
/// Table of file blocks.
pub(crate) const DATA: u8 = b'd';
/// Table of what is never cloned.
pub(crate) const MISC: u8 = b'x';
/// Tag of an entry in its directory.
pub(crate) const ENTRY: u8 = b'E';
/// Tag of the body of a file with several names, in its home.
pub(crate) const BODY: u8 = b'H';
/// Tag of a back-reference from a home to an entry.
pub(crate) const BACK: u8 = b'L';
/// Tag of the prefix of a directory.
pub(crate) const SUBDIR: u8 = b'S';
/// Tag of the prefix of a staged clone.
pub(crate) const STAGED: u8 = b'T';
/// Tag of an extended attribute.
pub(crate) const XATTR: u8 = b'x';
/// Tag of an orphan's record.
pub(crate) const ORPHAN: u8 = b'O';
/// Tag of an orphan's blocks.
pub(crate) const ORPHAN_DATA: u8 = b'P';

/// The start of all keys of a table.
pub(crate) fn table(volume: u32, table: u8) -> Vec<u8> {
    let mut key = Vec::with_capacity(64);
    push_table(&mut key, volume, table);
    key
}

/// Length of that.
const TABLE_BYTES: usize = 5;

fn push_table(key: &mut Vec<u8>, volume: u32, table: u8) {
    key.extend_from_slice(&volume.to_be_bytes());
    key.push(table);
}

/// A key of the table of what is never cloned.
pub(crate) fn misc(volume: u32, tag: u8) -> Vec<u8> {
    let mut key = table(volume, MISC);
    key.push(tag);
    key
}

/// Where an object is kept: from here follow all its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Location {
    volume: u32,
    kind: Where,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Where {
    Root,
    /// An entry, or (with its tag) a body.
    Entry {
        dir: Vec<u8>,
        tag: u8,
        name: Bytes,
    },
    Orphan(u64),
}

impl Location {
    /// The root directory.
    pub(crate) fn root(volume: u32) -> Self {
        Self {
            volume,
            kind: Where::Root,
        }
    }
    /// An unlinked object that is still open.
    pub(crate) fn orphan(volume: u32, id: u64) -> Self {
        Self {
            volume,
            kind: Where::Orphan(id),
        }
    }
    /// The shared copy of a clone that waits for its destinations.
    pub(crate) fn staged(volume: u32, token: u64) -> Self {
        let mut dir = vec![STAGED];
        dir.extend_from_slice(&token.to_be_bytes());
        Self {
            volume,
            kind: Where::Entry {
                dir,
                tag: ENTRY,
                name: Bytes::from_static(b"s"),
            },
        }
    }
    /// The object `name` of this directory. The name of a [`LinkId`] means the body that has its home here.
    pub(crate) fn child(&self, name: Bytes) -> Self {
        Self::in_dir(self.volume, self.dir_key(), name)
    }
    /// What the bodies that have their home here start with, in a table.
    pub(crate) fn bodies(&self, which: u8) -> Vec<u8> {
        tag(&self.subtree(which).0, BODY)
    }
    /// The bodies from `first` to `last`, both included, in a table.
    pub(crate) fn body_range(&self, which: u8, (first, last): (LinkId, LinkId)) -> KeyRange {
        let key = |id: LinkId| [&self.bodies(which), &id.encode()[..]].concat();
        KeyRange {
            lo: key(first).into(),
            hi: KeyRange::prefix(key(last)).hi,
        }
    }
    /// What back-references to all that is below this directory start with.
    pub(crate) fn backs(&self) -> Vec<u8> {
        tag(&self.subtree(META).0, BACK)
    }
    /// What back-references to the entries of this directory itself start with.
    pub(crate) fn entry_backs(&self) -> Vec<u8> {
        tag(&self.backs(), ENTRY)
    }
    /// What back-references from this directory to entries below `top`, a directory in it, start with.
    pub(crate) fn backs_below(&self, top: &Self) -> Vec<u8> {
        let (own, inner) = (self.dir_key(), top.dir_key());
        debug_assert!(inner.starts_with(&own), "not below");
        [&self.backs(), inner.get(own.len()..).unwrap_or_default()].concat()
    }
    /// Key of the back-reference from this directory to an entry at or below it.
    pub(crate) fn back(&self, entry: &Self) -> Vec<u8> {
        let (own, record) = (self.subtree(META).0, entry.record());
        debug_assert!(record.starts_with(&own), "not below");
        [&self.backs(), record.get(own.len()..).unwrap_or_default()].concat()
    }
    /// The object to which names lead from the root, the last one first; as [`Self::child`] after [`Self::child`], but with one
    /// allocation for the key of its directory.
    pub(crate) fn of_path(volume: u32, upwards: &[&Bytes]) -> Self {
        let Some((&name, dirs)) = upwards.split_first() else {
            return Self::root(volume);
        };
        let mut dir = Vec::with_capacity(dirs.iter().map(|name| name.len() + 2).sum());
        for name in dirs.iter().rev() {
            push_subdir(&mut dir, name);
        }
        Self::in_dir(volume, dir, name.clone())
    }
    fn in_dir(volume: u32, dir: Vec<u8>, name: Bytes) -> Self {
        let (tag, name) = match LinkId::key_of(&name) {
            Some(key) => (BODY, key),
            None => (ENTRY, name),
        };
        let kind = Where::Entry { dir, tag, name };
        Self { volume, kind }
    }
    /// S(this): what the path keys of everything inside this directory start with.
    fn dir_key(&self) -> Vec<u8> {
        match &self.kind {
            Where::Entry { dir, name, .. } => {
                let mut key = Vec::with_capacity(dir.len() + name.len() + 2);
                key.extend_from_slice(dir);
                push_subdir(&mut key, name);
                key
            }
            // Orphans are never directories; as one it would be empty.
            Where::Root | Where::Orphan(_) => Vec::new(),
        }
    }
    /// Key of the inode record.
    pub(crate) fn record(&self) -> Vec<u8> {
        match &self.kind {
            Where::Root => misc(self.volume, b'R'),
            Where::Entry { .. } => self.entry_in(META, 0),
            Where::Orphan(id) => tagged(self.volume, ORPHAN, *id),
        }
    }
    /// The key of the entry in a table, with room for `more` bytes behind it: a key is kept as it was allocated.
    fn entry_in(&self, which: u8, more: usize) -> Vec<u8> {
        let Where::Entry { dir, tag, name } = &self.kind else {
            return table(self.volume, which);
        };
        let mut key = Vec::with_capacity(TABLE_BYTES + dir.len() + 1 + name.len() + more);
        push_table(&mut key, self.volume, which);
        key.extend_from_slice(dir);
        key.push(*tag);
        key.extend_from_slice(name);
        key
    }
    /// Length of what all keys inside this directory start with.
    pub(crate) fn prefix_bytes(&self) -> usize {
        self.subtree(META).0.len()
    }
    /// Prefix of everything that hangs on the record: the extended attributes.
    pub(crate) fn attributes(&self) -> Vec<u8> {
        let mut key = self.record();
        key.extend_from_slice(&[0, XATTR]);
        key
    }
    /// Key of an extended attribute.
    pub(crate) fn xattr(&self, name: &[u8]) -> Vec<u8> {
        let mut key = self.attributes();
        key.extend_from_slice(name);
        key
    }
    /// Prefix of the blocks of a file.
    pub(crate) fn blocks(&self) -> Vec<u8> {
        self.blocks_and(0)
    }
    fn blocks_and(&self, more: usize) -> Vec<u8> {
        match &self.kind {
            Where::Orphan(id) => tagged(self.volume, ORPHAN_DATA, *id),
            Where::Root | Where::Entry { .. } => {
                let mut key = self.entry_in(DATA, 1 + more);
                key.push(0);
                key
            }
        }
    }
    /// Key of a block of a file.
    pub(crate) fn block(&self, number: u64) -> Vec<u8> {
        let number = number.to_be_bytes();
        let mut key = self.blocks_and(number.len());
        key.extend_from_slice(&number);
        key
    }
    /// Blocks `from..to` of a file, or all from `from` on.
    pub(crate) fn block_range(&self, from: u64, to: Option<u64>) -> KeyRange {
        match to {
            Some(to) => KeyRange::new(self.block(from), self.block(to)),
            None => KeyRange {
                lo: self.block(from).into(),
                hi: KeyRange::prefix(self.blocks()).hi,
            },
        }
    }
    /// What this directory holds in a table: the prefix that all keys carry, and their range.
    pub(crate) fn subtree(&self, which: u8) -> (Vec<u8>, KeyRange) {
        let mut prefix = table(self.volume, which);
        prefix.extend_from_slice(&self.dir_key());
        let range = if self.kind == Where::Root {
            // Everything from the first entry to the last subdirectory, without staged clones.
            KeyRange::new(tag(&prefix, ENTRY), tag(&prefix, SUBDIR + 1))
        } else {
            KeyRange::prefix(prefix.clone())
        };
        (prefix, range)
    }
    /// Prefix of the records (and their attributes) of this directory's entries.
    pub(crate) fn entries(&self) -> Vec<u8> {
        let (prefix, _) = self.subtree(META);
        tag(&prefix, ENTRY)
    }
}

fn tag(prefix: &[u8], tag: u8) -> Vec<u8> {
    [prefix, &[tag]].concat()
}

fn tagged(volume: u32, tag: u8, id: u64) -> Vec<u8> {
    let mut key = misc(volume, tag);
    key.extend_from_slice(&id.to_be_bytes());
    key
}

/// Extends S(dir) to S(dir/name).
pub(crate) fn push_subdir(key: &mut Vec<u8>, name: &[u8]) {
    key.push(SUBDIR);
    key.extend_from_slice(name);
    key.push(0);
}

/// By how many bytes S(dir/name) is longer than S(dir).
pub(crate) fn subdir_bytes(name: &[u8]) -> usize {
    name.len() + 2
}

/// The block number at the end of a block's key.
pub(crate) fn block_number(key: &[u8]) -> Option<u64> {
    key.last_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &str) -> Location {
        path.split('/').fold(Location::root(1), |dir, name| {
            dir.child(name.to_owned().into())
        })
    }

    #[test]
    fn an_entry_owns_its_keys_and_no_others() {
        let (foo, bar) = (at("d/foo"), at("d/foobar"));
        assert_eq!(foo.record(), b"\0\0\0\x01mSd\0Efoo");
        assert_eq!(foo.block(1), b"\0\0\0\x01dSd\0Efoo\0\0\0\0\0\0\0\0\x01");
        assert!(!KeyRange::prefix(foo.attributes()).contains(&bar.record()));
        assert!(!KeyRange::prefix(foo.blocks()).contains(&bar.block(0)));
        assert!(!foo.block_range(3, None).contains(&foo.block(2)));
        assert!(foo.block_range(3, None).contains(&foo.block(u64::MAX)));
        assert!(foo.block_range(3, Some(5)).contains(&foo.block(4)));
    }

    #[test]
    fn a_path_leads_where_its_names_lead_one_by_one() {
        let body = LinkId { number: 7, tag: 9 }.name();
        for last in [Bytes::from_static(b"x"), body] {
            let names = [Bytes::from_static(b"d"), Bytes::from_static(b"in"), last];
            for depth in 0..=names.len() {
                let upwards: Vec<_> = names[..depth].iter().rev().collect();
                let one_by_one = names[..depth]
                    .iter()
                    .fold(Location::root(1), |dir, name| dir.child(name.clone()));
                let found = Location::of_path(1, &upwards);
                assert_eq!(found, one_by_one);
                assert_eq!(found.block(3), one_by_one.block(3));
            }
        }
        let (key, block) = (at("d/foo").record(), at("d/foo").block(1));
        assert_eq!((key.len(), block.len()), (key.capacity(), block.capacity()));
    }

    #[test]
    fn entries_come_before_subtrees_and_siblings_do_not_mix() {
        let (dir, inner) = (at("d"), at("d/a/b"));
        assert!(at("d/zz").record() < inner.record());
        assert!(dir.subtree(META).1.contains(&inner.record()));
        assert!(!dir.subtree(META).1.contains(&at("dd/x").record()));
        assert!(!dir.subtree(META).1.contains(&dir.record()));
    }

    #[test]
    fn bodies_and_back_references_go_with_their_home() {
        let (home, entry) = (at("d"), at("d/in/x"));
        let id = LinkId { number: 1, tag: 2 };
        let body = home.child(id.name());
        let key = b"\0\0\0\x01mSd\0H\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02";
        assert_eq!(body.record(), key);
        assert_eq!(home.back(&entry), b"\0\0\0\x01mSd\0LSin\0Ex");
        assert!(
            home.back(&entry)
                .starts_with(&home.backs_below(&at("d/in")))
        );
        assert!(
            !home
                .back(&at("d/in"))
                .starts_with(&home.backs_below(&at("d/in")))
        );
        for key in [body.record(), home.back(&entry)] {
            assert!(home.subtree(META).1.contains(&key));
            assert!(!key.starts_with(&home.entries()));
        }
        assert!(home.subtree(DATA).1.contains(&body.block(3)));
        let root = Location::root(1);
        assert!(root.subtree(META).1.contains(&root.back(&entry)));
    }

    #[test]
    fn the_root_holds_all_but_what_is_staged() {
        let (_, range) = Location::root(1).subtree(META);
        assert!(range.contains(&at("\u{ff}/x").record()) && range.contains(&at("a").record()));
        assert!(!range.contains(&Location::staged(1, 7).record()));
        assert!(!range.contains(&Location::root(1).record()));
    }
}
