//! Names in a removed tree that somebody may still go on to, from a directory that he has open, stands in, or holds by `O_PATH`.
//!
//! The kernel goes on to a name that it remembers without asking. So it is told which ones it must ask for, before the removal is
//! answered; it takes about 2 µs a name. All others it forgets by and by, from the leaves up. (Where a clone takes the place of a
//! tree the kernel drops what is not in use by itself, and is told a little later.)
//!
//! * Names in open directories, and of what is open itself: all, however many.
//! * Which other directories are held we do not know. So names in all of them, if there are few; see [`FEW`].
//! * Names of files with several names are not in the handle table: back-references of the homes tell which there are.

use crate::errno::Result;
use crate::fs::Fs;
use crate::locks::lock;
use crate::schema::{ENTRY, Location};
use crate::table::Node;
use crate::types::{Invalidation, NodeId};
use bytes::Bytes;
use cawdb::{KeyRange, Snapshot};
use std::collections::BTreeMap;

/// Of names in directories that are not open, so many are told; if more nodes are known in the tree, none.
const FEW: usize = 256;

/// Which names are to be told.
#[derive(Default)]
pub(crate) struct Held {
    /// Directory and name.
    names: Vec<(NodeId, Bytes)>,
    /// What back-references start with that are to entries of a directory; and whether that is open.
    backs: Vec<(NodeId, Vec<u8>, bool)>,
}

impl Held {
    /// Tells the names, as they were in `view`. What cannot be read is left to be forgotten.
    pub(crate) fn expire(self, view: &Snapshot) -> impl Iterator<Item = Invalidation> {
        let (mut names, mut left) = (self.names, FEW);
        for (dir, prefix, open) in self.backs {
            let known = names.len();
            let scan = view.scan(KeyRange::prefix(prefix.clone()));
            let keys = scan.map_while(|item| item.ok()).map(|(key, _)| key);
            let new = keys.map(|key| (dir, key.slice(prefix.len()..)));
            if open {
                names.extend(new);
            } else {
                names.extend(new.take(left));
                left -= names.len() - known;
            }
        }
        names.sort_unstable();
        names.dedup();
        let expired = |(parent, name)| Invalidation::Expired { parent, name };
        names.into_iter().map(expired)
    }
}

impl Fs {
    /// The names at or below a directory, kept at `at`, that somebody may go on to if it goes. The namespace is held.
    pub(crate) fn held_below(&self, view: &Snapshot, top: &Node, at: &Location) -> Result<Held> {
        if !top.is_dir() {
            return Ok(Held::default());
        }
        let table = lock(&self.table);
        let mut names = table.names_of_open_below(top.id);
        let open = table.open_dirs_below(top.id);
        let few = table.few_dirs_below(top.id, FEW).into_iter();
        let mut dirs: BTreeMap<_, _> = few.map(|dir| (dir, false)).collect();
        dirs.extend(open.into_iter().map(|dir| (dir, true)));
        names.extend(dirs.keys().flat_map(|&dir| table.names_in(dir)));
        drop(table);
        // Of the homes above, those that have names here.
        let mut above = BTreeMap::new();
        for home in self.homes(top.id)? {
            let below = KeyRange::prefix(home.at.backs_below(at));
            above.insert(home.node.id, view.scan(below).next().is_some());
        }
        let mut backs = Vec::new();
        for (dir, open) in dirs {
            let Ok(node) = self.node(dir) else { continue };
            let place = self.resolve(&node)?.at;
            for home in self.homes(dir)? {
                if above.get(&home.node.id).is_none_or(|&has| has) {
                    let mut prefix = home.at.backs_below(&place);
                    prefix.push(ENTRY);
                    backs.push((dir, prefix, open));
                }
            }
        }
        Ok(Held { names, backs })
    }
}
