//! POSIX access control lists, as far as the file system has to keep them: inheritance, and agreement with the mode.
//! The kernel checks them, except for what it does not know: the removal of a whole tree.
//!
//! ```text
//! value = version u32 = 2, then entries: tag u16, permissions u16, id u32 (little-endian)
//! ```

use crate::errno::{Kind, Result};
use crate::maps::{Ids, NO_ID};
use crate::types::Caller;

/// Name of the list that rules access.
pub(crate) const ACCESS: &[u8] = b"system.posix_acl_access";
/// Name of the list that new entries of a directory get.
pub(crate) const DEFAULT: &[u8] = b"system.posix_acl_default";

const VERSION: u32 = 2;
const USER_OBJ: u16 = 1;
const USER: u16 = 2;
const GROUP_OBJ: u16 = 4;
const GROUP: u16 = 8;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;
/// Classes beyond these make a list say more than a mode.
const PLAIN: [u16; 3] = [USER_OBJ, GROUP_OBJ, OTHER];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    tag: u16,
    perm: u16,
    id: u32,
}

/// An access control list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Acl(Vec<Entry>);

impl Acl {
    /// The list from the value of its attribute; EINVAL if it is none.
    pub(crate) fn decode(value: &[u8]) -> Result<Self> {
        let bad = || Kind::Invalid.because("not an access control list");
        let (version, rest) = value.split_first_chunk().ok_or_else(bad)?;
        let (entries, tail) = rest.as_chunks::<8>();
        let entries: Vec<Entry> = entries
            .iter()
            .map(|&[t, u, p, q, a, b, c, d]| Entry {
                tag: u16::from_le_bytes([t, u]),
                perm: u16::from_le_bytes([p, q]) & 7,
                id: u32::from_le_bytes([a, b, c, d]),
            })
            .collect();
        let has = |tag| entries.iter().filter(|e| e.tag == tag).count() == 1;
        let whole = u32::from_le_bytes(*version) == VERSION && tail.is_empty();
        if !whole || !PLAIN.into_iter().all(has) {
            return Err(bad());
        }
        Ok(Self(entries))
    }
    /// The value of the attribute.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = VERSION.to_le_bytes().to_vec();
        for entry in &self.0 {
            out.extend_from_slice(&entry.tag.to_le_bytes());
            out.extend_from_slice(&entry.perm.to_le_bytes());
            out.extend_from_slice(&entry.id.to_le_bytes());
        }
        out
    }
    /// Whether a mode says all that this list says.
    pub(crate) fn is_plain(&self) -> bool {
        self.0.iter().all(|entry| PLAIN.contains(&entry.tag))
    }
    /// Which entry the group bits of a mode mean: the mask if there is one.
    fn class(&self, entry: &Entry) -> Option<u16> {
        let masked = self.0.iter().any(|e| e.tag == MASK);
        match entry.tag {
            USER_OBJ => Some(6),
            MASK => Some(3),
            GROUP_OBJ if !masked => Some(3),
            OTHER => Some(0),
            _ => None,
        }
    }
    /// The lower nine bits of the mode that goes with this list.
    pub(crate) fn mode(&self) -> u16 {
        self.0
            .iter()
            .filter_map(|e| Some(e.perm << self.class(e)?))
            .fold(0, |a, b| a | b)
    }
    /// Whether this list gives all of `wanted` to a caller who does not own the object; `gid` is the object's group.
    pub(crate) fn allows(&self, caller: &Caller, gid: u32, wanted: u16) -> bool {
        let of = |tag: u16| self.0.iter().filter(move |entry| entry.tag == tag);
        let mask = of(MASK).next().map_or(7, |entry| entry.perm);
        let gives = |perm: u16| perm & wanted == wanted;
        if let Some(user) = of(USER).find(|entry| entry.id == caller.uid) {
            return gives(user.perm & mask);
        }
        let own = of(GROUP_OBJ).filter(|_| caller.in_group(gid));
        let named = of(GROUP).filter(|entry| caller.in_group(entry.id));
        let mut groups = own.chain(named).peekable();
        if groups.peek().is_some() {
            return groups.any(|entry| gives(entry.perm & mask));
        }
        of(OTHER).any(|entry| gives(entry.perm))
    }
    /// The list where ids are kept by other maps, so that it shows the same: entries for ids that have no image go, as nobody has
    /// these. EXDEV if an id cannot be kept there.
    pub(crate) fn recode(mut self, from: &Ids, to: &Ids) -> Result<Self> {
        if from == to {
            return Ok(self);
        }
        let known = |entry: &Entry| match entry.tag {
            USER => from.user(entry.id) != NO_ID,
            GROUP => from.group(entry.id) != NO_ID,
            _ => true,
        };
        self.0.retain(known);
        for entry in &mut self.0 {
            entry.id = match entry.tag {
                USER => to.stored_user(from.user(entry.id)),
                GROUP => to.stored_group(from.group(entry.id)),
                _ => Ok(entry.id),
            }?;
        }
        Ok(self)
    }
    /// Makes the list agree with a new mode.
    pub(crate) fn set_mode(&mut self, mode: u16) {
        let classes: Vec<_> = self.0.iter().map(|entry| self.class(entry)).collect();
        for (entry, class) in self.0.iter_mut().zip(classes) {
            if let Some(shift) = class {
                entry.perm = (mode >> shift) & 7;
            }
        }
    }
    /// What a new object gets that asks for `mode`: this default list and the mode, each limited by the other.
    pub(crate) fn inherit(mut self, mode: u16) -> (Self, u16) {
        let granted = mode & self.mode();
        self.set_mode(granted);
        (self, (mode & !0o777) | (granted & 0o777))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[(u16, u16)]) -> Acl {
        Acl(entries
            .iter()
            .map(|&(tag, perm)| Entry { tag, perm, id: 5 })
            .collect())
    }

    #[test]
    fn values_come_back_and_bad_ones_do_not() {
        let acl = list(&[(1, 7), (2, 5), (4, 5), (0x10, 7), (0x20, 0)]);
        assert_eq!(Acl::decode(&acl.encode()).unwrap(), acl);
        let value = acl.encode();
        for cut in 0..value.len() {
            assert!(Acl::decode(&value[..cut]).is_err());
        }
    }

    #[test]
    fn the_group_bits_of_a_mode_are_the_mask() {
        let mut acl = list(&[(1, 7), (2, 5), (4, 1), (0x10, 7), (0x20, 4)]);
        assert!(!acl.is_plain());
        assert_eq!(acl.mode(), 0o774);
        acl.set_mode(0o640);
        assert_eq!(acl, list(&[(1, 6), (2, 5), (4, 1), (0x10, 4), (0x20, 0)]));
    }

    #[test]
    fn the_first_entry_that_fits_decides_and_the_mask_limits_it() {
        let entry = |tag, perm, id| Entry { tag, perm, id };
        let acl = |mask| {
            Acl(vec![
                entry(USER_OBJ, 7, 0),
                entry(USER, 7, 50),
                entry(USER, 0, 51),
                entry(GROUP_OBJ, 5, 0),
                entry(GROUP, 7, 60),
                entry(MASK, mask, 0),
                entry(OTHER, 3, 0),
            ])
        };
        let may = |uid, gid, mask| {
            let caller = Caller {
                gid,
                ..Caller::user(uid)
            };
            acl(mask).allows(&caller, 40, 3)
        };
        assert!(may(50, 1, 7) && !may(50, 1, 5), "a named user");
        assert!(!may(51, 60, 7), "a named user, whatever his group has");
        assert!(!may(1, 40, 7), "the group, whatever others have");
        assert!(may(1, 60, 7) && !may(1, 60, 1), "a named group");
        assert!(may(1, 1, 7) && may(1, 1, 0), "others, without the mask");
    }

    #[test]
    fn inheritance_limits_both() {
        let default = list(&[(1, 7), (4, 5), (0x20, 1)]);
        let (acl, mode) = default.inherit(0o2666);
        assert_eq!((acl.mode(), mode), (0o640, 0o2640));
    }
}
