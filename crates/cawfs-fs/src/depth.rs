//! How long keys grow: no tree comes to where the keys below it would be longer than the engine takes.
//!
//! Cloning or moving a tree changes the prefix of keys that nobody looks at. So what becomes of the longest of them
//! must be known before anything changes. Two bounds of the volume tell it, in bytes of a whole key:
//!
//! ```text
//! made   no key is longer where objects were made one by one, or trees came that stay within it
//! any    no key is longer at all; made ≤ any ≤ what the engine takes
//! ```
//!
//! * Of a directory two things are known, counted from its own prefix, so that they hold wherever it comes: how far what was *made* below it one by one reaches, and how
//!   far the trees that came below it do. It says the first of itself when it came to where keys may be longer than `made` ([`CAME`]); then all directories above
//!   say the second ([`HOLDS`]).
//! * What was made below a directory is not longer than `made`, or than what was made below one at or above it before that came.
//! * A tree with the prefix s that comes to the prefix d has no key longer than its bound - s + d. So neither clones of it add up, however many there are, nor does a
//!   tree that goes to and fro. What holds others keeps what it says of them when they leave, and that may add up.
//! * If the bound says that a tree does not fit, its keys are looked at, in O(their number), and it says from then on what was found: only for trees with far
//!   longer keys than most, or where trees have come and gone thousands of times.
//! * What earlier versions marked [`MOVED`] came, or holds what did: `any` bounds it, and what lies below it.
//! * What the store says of the bounds is what they are: it is written before what needs it, and not rounded, since that would add up with each mount.

use crate::change::Change;
use crate::errno::{Kind, Result};
use crate::fs::Fs;
use crate::inode::{Inode, MOVED};
use crate::locks::lock;
use crate::schema::{Location, META, misc};
use crate::table::Node;
use crate::types::{NAME_MAX, NodeId};
use cawdb::{Batch, MAX_KEY_BYTES, Snapshot};
use std::sync::Arc;

/// Both bounds are at least this, so that ordinary paths cost nothing.
const FLOOR: usize = 8 * 1024;
/// What may follow the key of a record: the tags and the name of an attribute. The number of a block is shorter.
const TAIL: usize = 2 + NAME_MAX;
/// Tag of the bounds in the table of what is never cloned.
const BOUNDS: u8 = b'K';

/// How long keys below a directory are at most, counted from its prefix, in bytes; nothing of what is no directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Reach {
    /// Those of what was made there one by one.
    made: usize,
    /// All.
    all: usize,
}

impl Reach {
    /// The same if bodies of files may be made in the directory itself, under a tag and a number of 16 bytes.
    pub(crate) fn with_bodies(self) -> Self {
        let body = 1 + 16 + TAIL;
        let [made, all] = [self.made, self.all].map(|reach| reach.max(body));
        Self { made, all }
    }
}

/// The bounds, as the store has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    made: usize,
    any: usize,
}

impl Bounds {
    /// The bounds of a volume.
    pub(crate) fn load(store: &cawdb::Store, volume: u32) -> Result<Self> {
        let [made, any] = match store.get(&misc(volume, BOUNDS))? {
            None => [FLOOR; 2],
            Some(value) => {
                read(&value).ok_or_else(|| Kind::Io.because("damaged bounds of keys"))?
            }
        };
        Ok(Self { made, any })
    }
}

fn read(value: &[u8]) -> Option<[usize; 2]> {
    let (made, any) = value.split_first_chunk()?;
    let (made, any) = (
        u32::from_le_bytes(*made),
        u32::from_le_bytes(any.try_into().ok()?),
    );
    let (made, any) = (made as usize, any as usize);
    (FLOOR <= made && made <= any && any <= MAX_KEY_BYTES).then_some([made, any])
}

impl Fs {
    /// How far the keys below a directory reach. O(depth).
    pub(crate) fn reach(&self, node: &Node, at: &Location, inode: &Inode) -> Reach {
        if !inode.is_dir() {
            return Reach::default();
        }
        let prefix = at.prefix_bytes();
        let Bounds { made, any } = *lock(&self.bounds);
        let mut longest = made.max(inode.came().map_or(0, |reach| prefix + reach));
        let above = lock(&self.table).above(node.id);
        for (dir, further) in above {
            let inode = lock(&dir.inode);
            if inode.has(MOVED) && dir.id != NodeId::ROOT {
                longest = any;
            }
            if let Some(reach) = inode.came() {
                longest = longest.max(prefix.saturating_sub(further) + reach);
            }
        }
        if inode.has(MOVED) {
            longest = any;
        }
        let made = longest.saturating_sub(prefix);
        let all = made.max(inode.holds().unwrap_or(0));
        Reach { made, all }
    }

    /// The reach of what is below `from`, known to be at most that, if it does not seem to fit below `home`: looks at all its keys then.
    pub(crate) fn look(
        &self,
        view: &Snapshot,
        (from, known): (&Location, Reach),
        home: &Location,
    ) -> Result<Option<Reach>> {
        if home.prefix_bytes() + known.all <= MAX_KEY_BYTES {
            return Ok(None);
        }
        let all = longest_below(view, from)?.saturating_sub(from.prefix_bytes());
        let made = known.made.min(all);
        Ok(Some(Reach { made, all }))
    }

    /// The reach of what is below `from`: what [`Self::look`] finds, or what is known if that fits below `home`.
    pub(crate) fn closer(
        &self,
        view: &Snapshot,
        tree: (&Location, Reach),
        home: &Location,
    ) -> Result<Reach> {
        Ok(self.look(view, tree, home)?.unwrap_or(tree.1))
    }

    /// Has a directory say what was found by looking.
    pub(crate) fn found(
        &self,
        change: &mut Change<'_>,
        node: &Arc<Node>,
        found: Reach,
    ) -> Result<()> {
        let mut inode = change.inode(node);
        let (mut came, mut holds) = (inode.came(), inode.holds());
        if inode.has(MOVED) {
            // The root came from nowhere.
            came = (node.id != NodeId::ROOT).then_some(found.made);
            holds = Some(found.all);
        }
        inode.flags &= !MOVED;
        inode.set_reach(
            came.map(|came| came.min(found.made)),
            holds.map(|holds| holds.min(found.all)),
        );
        let at = self.resolve(node)?.at;
        change.record(node, &at, inode);
        Ok(())
    }

    /// Makes sure that an object may be kept at `home`: ENAMETOOLONG if its keys would be too long.
    pub(crate) fn admit_one(&self, home: &Location) -> Result<()> {
        let longest = home.record().len() + TAIL;
        if longest <= FLOOR {
            return Ok(());
        }
        fits(longest)?;
        let mut bounds = lock(&self.bounds);
        let raised = Bounds {
            made: bounds.made.max(longest),
            any: bounds.any.max(longest),
        };
        self.keep_bounds(&mut bounds, raised)
    }

    /// Makes sure that a tree of this reach may come to `home`; whether it may have keys beyond `made` there.
    pub(crate) fn admit_tree(&self, reach: Reach, home: &Location) -> Result<bool> {
        let longest = home.prefix_bytes() + reach.all;
        fits(longest)?;
        let mut bounds = lock(&self.bounds);
        let raised = Bounds {
            any: bounds.any.max(longest),
            ..*bounds
        };
        self.keep_bounds(&mut bounds, raised)?;
        Ok(longest > bounds.made)
    }

    /// Makes sure that an object, and a tree of this reach if it is one, may come to `home` in `dir`; marks what
    /// must be. Directories need the whole namespace.
    pub(crate) fn admit(
        &self,
        change: &mut Change<'_>,
        (inode, reach): (&mut Inode, Reach),
        (dir, home): (&Arc<Node>, &Location),
    ) -> Result<()> {
        self.admit_one(home)?;
        if !inode.is_dir() {
            return Ok(());
        }
        let beyond = self.admit_tree(reach, home)?;
        let holds = match inode.has(MOVED) {
            true => Some(reach.all),
            false => inode.holds().map(|holds| holds.min(reach.all)),
        };
        inode.flags &= !MOVED;
        inode.set_reach(beyond.then_some(reach.made), holds.filter(|_| beyond));
        match beyond {
            true => self.hold(change, dir, home.prefix_bytes() + reach.all),
            false => Ok(()),
        }
    }

    /// Marks a directory and those above it: below them are keys as long as that. O(depth), and as much again for each that did not say so.
    fn hold(&self, change: &mut Change<'_>, dir: &Arc<Node>, longest: usize) -> Result<()> {
        let prefix = self.resolve(dir)?.at.prefix_bytes();
        let above = lock(&self.table).above(dir.id);
        for (dir, further) in std::iter::once((dir.clone(), 0)).chain(above) {
            let reach = (longest + further).saturating_sub(prefix);
            let mut inode = change.inode(&dir);
            if inode.holds().is_none_or(|held| held < reach) {
                inode.set_reach(inode.came(), Some(reach));
                let at = self.resolve(&dir)?.at;
                change.record(&dir, &at, inode);
            }
        }
        Ok(())
    }

    /// Stores the raised bounds, if they are others, before they hold.
    fn keep_bounds(&self, bounds: &mut Bounds, raised: Bounds) -> Result<()> {
        if raised == *bounds {
            return Ok(());
        }
        let value = [raised.made, raised.any].map(|bytes| (bytes as u32).to_le_bytes());
        let mut batch = Batch::new();
        batch.put(misc(self.volume, BOUNDS), value.concat());
        self.commit(batch)?;
        *bounds = raised;
        Ok(())
    }
}

fn fits(longest: usize) -> Result<()> {
    if longest > MAX_KEY_BYTES {
        return Err(Kind::NameTooLong.because("the path is too deep for a key"));
    }
    Ok(())
}

/// Length that no key below a directory exceeds, now or with one more attribute. Reads all its records, but nothing of what its files contain: the key of
/// a block is that of its file and less than [`TAIL`].
fn longest_below(view: &Snapshot, dir: &Location) -> Result<usize> {
    let mut longest = 0;
    for item in view.scan(dir.subtree(META).1) {
        longest = longest.max(item?.0.len());
    }
    Ok(longest + TAIL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_from_disk_are_checked() {
        let value = |made: u32, any: u32| [made.to_le_bytes(), any.to_le_bytes()].concat();
        assert_eq!(read(&value(8192, 65536)), Some([8192, 65536]));
        for bad in [
            value(8191, 9000),
            value(9000, 8192),
            value(8192, 65537),
            vec![1; 7],
            vec![0; 9],
        ] {
            assert_eq!(read(&bad), None);
        }
    }
}
