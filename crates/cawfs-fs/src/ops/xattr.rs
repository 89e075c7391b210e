//! Extended attributes.

use crate::acl::{ACCESS, Acl, DEFAULT};
use crate::caps;
use crate::counters::add;
use crate::errno::{Error, Kind, Result};
use crate::fs::Fs;
use crate::guards::check_unguarded;
use crate::inode::{HAS_ACL, HAS_CAPS, HAS_DEFAULT_ACL, HAS_XATTRS, Inode, SET_GID};
use crate::locks::{read, write};
use crate::maps::Ids;
use crate::table::Resolved;
use crate::types::{Caller, FileType, NAME_MAX, NodeId, XATTR_VALUE_MAX, XattrMode};
use bytes::Bytes;
use cawdb::KeyRange;

/// Name of the attribute that gives a program rights.
pub(crate) const CAPABILITY: &[u8] = b"security.capability";

/// Beginning of the names that only root may use.
const TRUSTED: &[u8] = b"trusted.";

/// The flag of the record that tells of an attribute without a read.
pub(crate) fn flag_of(name: &[u8]) -> u32 {
    match name {
        CAPABILITY => HAS_CAPS,
        ACCESS => HAS_ACL,
        DEFAULT => HAS_DEFAULT_ACL,
        _ => 0,
    }
}

fn none() -> Error {
    Kind::NoAttribute.because("no such attribute")
}

fn check(name: &[u8]) -> Result<()> {
    if name.is_empty() || name.len() > NAME_MAX {
        return Err(Kind::Range.because("attribute names have 1 to 255 bytes"));
    }
    if name.contains(&0) {
        return Err(Kind::Invalid.because("not an attribute name"));
    }
    if name == ACCESS || name == DEFAULT {
        return Ok(());
    }
    // As file systems do of which the kernel knows the names they have.
    let is_in = |space: &&[u8]| name.starts_with(space);
    match [&b"user."[..], TRUSTED, b"security."]
        .iter()
        .find(|s| is_in(s))
    {
        None => Err(Kind::NotSupported.because("no such kind of attribute")),
        Some(space) if name.len() == space.len() => {
            Err(Kind::Invalid.because("an attribute without a name"))
        }
        Some(_) => Ok(()),
    }
}

impl Fs {
    /// Sets an extended attribute. Setting an access list also sets the mode.
    pub fn setxattr(
        &self,
        caller: &Caller,
        node: NodeId,
        name: &[u8],
        value: &[u8],
        mode: XattrMode,
    ) -> Result<()> {
        check(name)?;
        if value.len() > XATTR_VALUE_MAX {
            return Err(Kind::TooBig.because("an attribute of more than 64 KiB"));
        }
        add(&self.counters.xattr_changes, 1);
        let _names = self.shared();
        let node = self.node(node)?;
        let _held = write(&node.busy);
        let (Resolved { at, zone, .. }, mut inode) = (self.resolve_writable(&node)?, node.inode());
        check_unguarded(&inode)?;
        let exists = mode != XattrMode::Any
            && inode.has(HAS_XATTRS)
            && self.store.get(&at.xattr(name))?.is_some();
        match mode {
            XattrMode::Create | XattrMode::Neither if exists => {
                return Err(Kind::Exists.because("the attribute exists"));
            }
            XattrMode::Replace | XattrMode::Neither if !exists => return Err(none()),
            _ => {}
        }
        let mut change = self.change();
        inode.ctime = change.now;
        let group = zone.ids.group(inode.gid);
        if set_list((caller, group), &mut inode, name, value)? {
            inode.flags |= HAS_XATTRS | flag_of(name);
            let value = Bytes::copy_from_slice(value);
            let value = recoded(name, &value, &Ids::default(), &zone.ids)?;
            let none = || Kind::Overflow.because("the maps here do not show the superuser meant");
            let value = value.ok_or_else(none)?;
            change.batch.put(at.xattr(name), value);
        } else {
            inode.flags &= !flag_of(name);
            change.batch.delete(at.xattr(name));
        }
        change.record(&node, &at, inode);
        change.commit()
    }

    /// Value of an extended attribute; ENODATA if there is none. No read if the object has none at all.
    pub fn getxattr(&self, node: NodeId, name: &[u8]) -> Result<Bytes> {
        check(name)?;
        let _names = self.shared();
        let node = self.node(node)?;
        let _held = read(&node.busy);
        let inode = node.inode();
        let flag = flag_of(name);
        if !inode.has(HAS_XATTRS) || (flag != 0 && !inode.has(flag)) {
            return Err(none());
        }
        let found = self.resolve(&node)?;
        if name == CAPABILITY && found.no_set_id.hides(inode.uid) {
            return Err(none());
        }
        let value = self.store.get(&found.at.xattr(name))?.ok_or_else(none)?;
        recoded(name, &value, &found.zone.ids, &Ids::default())?.ok_or_else(none)
    }

    /// Names of all extended attributes, each followed by a NUL; those that only root may read are told to root only.
    pub fn listxattr(&self, caller: &Caller, node: NodeId) -> Result<Vec<u8>> {
        let _names = self.shared();
        let node = self.node(node)?;
        let _held = read(&node.busy);
        let (mut out, inode) = (Vec::new(), node.inode());
        if !inode.has(HAS_XATTRS) {
            return Ok(out);
        }
        let found = self.resolve(&node)?;
        let prefix = found.at.attributes();
        for item in self.store.scan(KeyRange::prefix(prefix.clone())) {
            let (key, value) = item?;
            let name = key.get(prefix.len()..).unwrap_or_default();
            let secret = name.starts_with(TRUSTED) && !caller.is_root();
            let hidden = name == CAPABILITY
                && (found.no_set_id.hides(inode.uid)
                    || caps::recode(&value, &found.zone.ids, &Ids::default()).is_none());
            if !secret && !hidden {
                out.extend_from_slice(name);
                out.push(0);
            }
        }
        Ok(out)
    }

    /// Removes an extended attribute; ENODATA if there is none. An access list that is not there is removed all the same.
    pub fn removexattr(&self, _caller: &Caller, node: NodeId, name: &[u8]) -> Result<()> {
        check(name)?;
        add(&self.counters.xattr_changes, 1);
        let _names = self.shared();
        let node = self.node(node)?;
        let _held = write(&node.busy);
        let (at, mut inode) = (self.resolve_writable(&node)?.at, node.inode());
        check_unguarded(&inode)?;
        if !inode.has(HAS_XATTRS) || self.store.get(&at.xattr(name))?.is_none() {
            let is_list = name == ACCESS || name == DEFAULT;
            return if is_list { Ok(()) } else { Err(none()) };
        }
        let mut change = self.change();
        change.batch.delete(at.xattr(name));
        inode.flags &= !flag_of(name);
        if !self.has_other_xattrs(&at.attributes(), name)? {
            inode.flags &= !HAS_XATTRS;
        }
        inode.ctime = change.now;
        change.record(&node, &at, inode);
        change.commit()
    }

    fn has_other_xattrs(&self, prefix: &[u8], name: &[u8]) -> Result<bool> {
        for item in self.store.scan(KeyRange::prefix(prefix.to_vec())).take(2) {
            if item?.0.get(prefix.len()..) != Some(name) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The value of an attribute where ids are kept by other maps; none if it means nothing there.
pub(crate) fn recoded(name: &[u8], value: &Bytes, from: &Ids, to: &Ids) -> Result<Option<Bytes>> {
    if from == to {
        return Ok(Some(value.clone()));
    }
    Ok(match name {
        CAPABILITY => caps::recode(value, from, to).map(Bytes::from),
        ACCESS | DEFAULT => Some(Acl::decode(value)?.recode(from, to)?.encode().into()),
        _ => Some(value.clone()),
    })
}

/// What setting an access control list does to the inode; false if it is not to be stored, as the mode says the same.
fn set_list(
    (caller, group): (&Caller, u32),
    inode: &mut Inode,
    name: &[u8],
    value: &[u8],
) -> Result<bool> {
    if name == DEFAULT {
        if inode.kind != FileType::Directory {
            return Err(Kind::AccessDenied.because("only directories have default lists"));
        }
        // An empty list takes the list away.
        return if value.len() == 4 {
            Ok(false)
        } else {
            Acl::decode(value).map(|_| true)
        };
    }
    if name != ACCESS {
        return Ok(true);
    }
    if value.len() == 4 {
        return Ok(false);
    }
    let acl = Acl::decode(value)?;
    inode.perm = (inode.perm & !0o777) | acl.mode();
    // Only a list of groups says whether a caller may keep it; the kernel clears it for those it knows.
    if !caller.is_root() && !caller.groups.is_empty() && !caller.in_group(group) {
        inode.perm &= !SET_GID;
    }
    Ok(!acl.is_plain())
}
