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
//! * A directory without [`MOVED`] has no key below it that is longer than `made`; marked are a tree that came and may
//!   have longer ones, and all directories above it.
//! * A tree with the prefix s that comes to the prefix d has no key longer than its bound - s + d. So clones of what was
//!   only made do not add up, however many there are.
//! * If the bound says that a tree does not fit, its keys are looked at, in O(their number): only for trees that hold
//!   clones, in a volume where trees have gone deeper thousands of times.
//! * What the store says of the bounds is what they are: it is written before what needs it, and not rounded, since that would add up with each mount.

use crate::change::Change;
use crate::errno::{Kind, Result};
use crate::fs::Fs;
use crate::inode::{Inode, MOVED};
use crate::locks::lock;
use crate::schema::{Location, META, misc};
use crate::table::{Node, Place};
use crate::types::NAME_MAX;
use cawdb::{Batch, MAX_KEY_BYTES, Snapshot};

/// Both bounds are at least this, so that ordinary paths cost nothing.
const FLOOR: usize = 8 * 1024;
/// What may follow the key of a record: the tags and the name of an attribute. The number of a block is shorter.
const TAIL: usize = 2 + NAME_MAX;
/// Tag of the bounds in the table of what is never cloned.
const BOUNDS: u8 = b'K';

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
    /// Longest that the keys below a directory are, counted from its prefix; at most.
    pub(crate) fn reach(&self, at: &Location, inode: &Inode) -> usize {
        let bounds = lock(&self.bounds);
        let bound = match inode.has(MOVED) {
            true => bounds.any,
            false => bounds.made,
        };
        bound.saturating_sub(at.prefix_bytes())
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

    /// Makes sure that what is below `from`, of this reach, may come to `home`. True if it may then have keys beyond
    /// `made`.
    pub(crate) fn admit_tree(
        &self,
        view: &Snapshot,
        (from, reach): (&Location, usize),
        home: &Location,
    ) -> Result<bool> {
        let mut longest = home.prefix_bytes() + reach;
        if longest > MAX_KEY_BYTES {
            let below = longest_below(view, from)?.saturating_sub(from.prefix_bytes());
            longest = home.prefix_bytes() + below;
        }
        fits(longest)?;
        let mut bounds = lock(&self.bounds);
        let raised = Bounds {
            any: bounds.any.max(longest),
            ..*bounds
        };
        self.keep_bounds(&mut bounds, raised)?;
        Ok(longest > bounds.made)
    }

    /// Makes sure that an object, and a tree of this reach if it is one, may come from `from` to `home` in `dir`; marks what
    /// must be. Directories need the whole namespace.
    pub(crate) fn admit(
        &self,
        change: &mut Change<'_>,
        view: &Snapshot,
        (from, inode, reach): (&Location, &mut Inode, usize),
        (dir, home): (&Node, &Location),
    ) -> Result<()> {
        self.admit_one(home)?;
        if inode.is_dir() && self.admit_tree(view, (from, reach), home)? {
            inode.flags |= MOVED;
            self.mark(change, dir, MOVED)?;
        }
        Ok(())
    }

    /// Marks a directory and those above it with a flag.
    pub(crate) fn mark(&self, change: &mut Change<'_>, dir: &Node, flag: u32) -> Result<()> {
        let mut id = dir.id;
        loop {
            let node = self.node(id)?;
            let mut inode = change.inode(&node);
            if !inode.has(flag) {
                inode.flags |= flag;
                let at = self.resolve(&node)?.at;
                change.record(&node, &at, inode);
            }
            let place = lock(&self.table).place(id);
            match place {
                Some(Place::Child(parent, _)) => id = parent,
                _ => return Ok(()),
            }
        }
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
