//! What is inherited where an object comes from, and where it goes to: a file that leaves is made real as it was shown, a directory
//! takes along what it inherited.
//!
//! ```text
//!   from: hidden set-id bits, maps F          file:       ids kept by F become ids kept by T, what was hidden goes
//!     to: hidden set-id bits, maps T          directory:  its own maps become M, so that M and then T is what it had
//! ```
//! * What cannot be shown there as it was is EXDEV, before anything changes; `mv` copies then.
//! * Names of one file, and its home, lie in one region: where ids are shown alike, without another map between. So a body is kept
//!   by the maps of all its names, and what goes to another region must not have names both here and there.

use crate::acl::ACCESS;
use crate::change::Change;
use crate::errno::Result;
use crate::fs::Fs;
use crate::inode::{HAS_ACL, HAS_CAPS, Inode, NoSetId, SET_GID, SET_UID};
use crate::locks::lock;
use crate::maps::{Ids, elsewhere};
use crate::ops::xattr::{CAPABILITY, recoded};
use crate::schema::Location;
use crate::table::Node;
use crate::types::{FileType, NodeId};
use cawdb::Snapshot;

impl Fs {
    /// EXDEV unless two directories are in one region. O(depth).
    pub(crate) fn check_region(&self, a: NodeId, b: NodeId) -> Result<()> {
        let table = lock(&self.table);
        match table.region(a) == table.region(b) {
            true => Ok(()),
            false => Err(elsewhere()),
        }
    }

    /// Makes an object what it showed, as it goes from `at` to the orphans, where nothing is inherited.
    pub(crate) fn leave_zone(
        &self,
        change: &mut Change<'_>,
        view: &Snapshot,
        node: &Node,
        (at, inode): (&Location, &mut Inode),
        home: &Location,
    ) -> Result<()> {
        let Ok(found) = self.resolve(node) else {
            return Ok(());
        };
        drop_hidden(change, inode, found.no_set_id, home);
        let (ids, plain) = (&found.zone.ids, Ids::default());
        recode_attributes(view, change, (at, inode), home, (ids, &plain))?;
        (inode.uid, inode.gid) = (ids.user(inode.uid), ids.group(inode.gid));
        Ok(())
    }
}

/// Makes real, at `home`, what was hidden.
pub(crate) fn drop_hidden(
    change: &mut Change<'_>,
    inode: &mut Inode,
    hidden: NoSetId,
    home: &Location,
) {
    if inode.kind == FileType::Regular && hidden.hides(inode.uid) {
        inode.perm &= !(SET_UID | SET_GID);
        if inode.flags & HAS_CAPS != 0 {
            change.batch.delete(home.xattr(CAPABILITY));
            inode.flags &= !HAS_CAPS;
        }
    }
}

/// Keeps owner, group, access list and capabilities of a file, whose content was copied from `at` to `home`, by other maps. EXDEV if they
/// cannot.
pub(crate) fn recode(
    view: &Snapshot,
    change: &mut Change<'_>,
    (at, inode): (&Location, &mut Inode),
    home: &Location,
    (from, to): (&Ids, &Ids),
) -> Result<()> {
    (inode.uid, inode.gid) = from.recode((inode.uid, inode.gid), to)?;
    recode_attributes(view, change, (at, inode), home, (from, to))
}

fn recode_attributes(
    view: &Snapshot,
    change: &mut Change<'_>,
    (at, inode): (&Location, &mut Inode),
    home: &Location,
    (from, to): (&Ids, &Ids),
) -> Result<()> {
    for (flag, name) in [(HAS_ACL, ACCESS), (HAS_CAPS, CAPABILITY)] {
        if from == to || !inode.has(flag) {
            continue;
        }
        let Some(value) = view.get(&at.xattr(name))? else {
            continue;
        };
        match recoded(name, &value, from, to).map_err(|_| elsewhere())? {
            Some(value) => change.batch.put(home.xattr(name), value),
            // Only what was not seen before may go.
            None if recoded(name, &value, from, &Ids::default())?.is_some() => {
                return Err(elsewhere());
            }
            None => {
                inode.flags &= !flag;
                change.batch.delete(home.xattr(name))
            }
        };
    }
    Ok(())
}
