//! Making objects: files, directories, links, devices, and files without a name.

use crate::acl::{ACCESS, Acl, DEFAULT};
#[cfg(feature = "interleave")]
use crate::broken;
use crate::change::Change;
use crate::content;
use crate::counters::add;
use crate::errno::{Kind, Result};
use crate::fs::{Fs, check_name};
use crate::guards::{INHERITED, check_mutable, check_unguarded};
use crate::inode::{HAS_ACL, HAS_DEFAULT_ACL, HAS_XATTRS, Inode, PERM_BITS, SET_GID};
use crate::locks::{lock, write};
use crate::maps::Ids;
use crate::ops::zones::recode;
use crate::schema::Location;
use crate::table::{Count, Node, Pin, Place, Resolved, pin_new, pin_new_child};
use crate::types::{Caller, Entry, FileHandle, FileType, NodeId, TARGET_MAX};
use bytes::Bytes;
use cawdb::Snapshot;

/// A new object and the lists it inherits.
struct Newborn {
    inode: Inode,
    lists: Vec<(&'static [u8], Vec<u8>)>,
}

impl Fs {
    /// Makes a regular file, pipe, socket or device. `mode` carries the kind (S_IFMT; none means regular).
    pub fn mknod(
        &self,
        caller: &Caller,
        parent: NodeId,
        name: &[u8],
        mode: u32,
        rdev: u32,
    ) -> Result<Entry> {
        let kind = match mode & libc::S_IFMT {
            0 | libc::S_IFREG => FileType::Regular,
            libc::S_IFIFO => FileType::Fifo,
            libc::S_IFSOCK => FileType::Socket,
            libc::S_IFCHR => FileType::CharDevice,
            libc::S_IFBLK => FileType::BlockDevice,
            _ => return Err(Kind::Invalid.because("mknod makes no such kind")),
        };
        let device = matches!(kind, FileType::CharDevice | FileType::BlockDevice);
        let rdev = if device { rdev } else { 0 };
        let fill = |inode: &mut Inode| inode.device = rdev;
        self.make(caller, parent, name, fill, (kind, mode, None))
    }

    /// Makes a directory.
    pub fn mkdir(&self, caller: &Caller, parent: NodeId, name: &[u8], mode: u32) -> Result<Entry> {
        let asked = (FileType::Directory, mode, None);
        self.make(caller, parent, name, |_| (), asked)
    }

    /// Makes a symbolic link; its target is 1 to 4095 bytes.
    pub fn symlink(
        &self,
        caller: &Caller,
        parent: NodeId,
        name: &[u8],
        target: &[u8],
    ) -> Result<Entry> {
        if target.is_empty() || target.contains(&0) {
            return Err(Kind::Invalid.because("not a target of a symbolic link"));
        }
        if target.len() > TARGET_MAX {
            return Err(Kind::NameTooLong.because("a target of more than 4095 bytes"));
        }
        let fill = |inode: &mut Inode| {
            inode.target = Bytes::copy_from_slice(target);
            (inode.size, inode.perm) = (target.len() as u64, 0o777);
        };
        self.make(caller, parent, name, fill, (FileType::Symlink, 0o777, None))
    }

    /// Makes and opens a regular file (flags of open(2)); EEXIST if the name is taken.
    pub fn create(
        &self,
        caller: &Caller,
        parent: NodeId,
        name: &[u8],
        mode: u32,
        flags: i32,
    ) -> Result<(Entry, FileHandle)> {
        let handle = FileHandle::from_flags(flags);
        let asked = (FileType::Regular, mode, Some(handle));
        let entry = self.make(caller, parent, name, |_| (), asked)?;
        Ok((entry, handle))
    }

    /// Makes and opens a regular file without a name; it lives until it is closed, or gets a name by [`Fs::link`].
    pub fn tmpfile(
        &self,
        caller: &Caller,
        parent: NodeId,
        mode: u32,
        flags: i32,
    ) -> Result<(Entry, FileHandle)> {
        let _names = self.shared();
        self.check_writable()?;
        let (dir, handle) = (self.dir(parent)?, FileHandle::from_flags(flags));
        let found = self.resolve_writable(&dir)?;
        check_mutable(&dir.inode())?;
        let mut born = self.newborn(caller, &dir.inode(), &found, (FileType::Regular, mode))?;
        born.inode.number = self.new_number()?;
        born.inode.links = 0;
        born.bare(&found.zone.ids)?;
        let pin = pin_new(
            &self.table,
            born.inode.clone(),
            born.inode.number,
            Place::Orphan,
        )?;
        let mut change = self.change();
        let home = Location::orphan(self.volume, pin.id.0);
        put_lists(&mut change.batch, &home, &born);
        change.record(&pin, &home, born.inode);
        change.commit()?;
        lock(&self.table).count(pin.id, Count::Open(handle.writable()));
        Ok((self.entry(&pin), handle))
    }

    /// Gives an object another name; its first, if it was made by [`Fs::tmpfile`]. EPERM for directories.
    pub fn link(
        &self,
        _caller: &Caller,
        node: NodeId,
        parent: NodeId,
        name: &[u8],
    ) -> Result<Entry> {
        let name = check_name(name)?;
        let _names = self.exclusive();
        self.check_writable()?;
        let (dir, file) = (self.dir(parent)?, self.node(node)?);
        if file.is_dir() {
            return Err(Kind::NotPermitted.because("a directory has one name"));
        }
        let kept = self.keep_content(&file);
        let Resolved { at, zone, .. } = self.resolve_writable(&dir)?;
        if self.child(&dir, &at, &name)?.is_some() {
            return Err(Kind::Exists.because("the name exists"));
        }
        if lock(&self.table).is_read_only(node) {
            return Err(Kind::ReadOnly.because("it lies in a read-only clone"));
        }
        check_mutable(&dir.inode())?;
        check_unguarded(&file.inode())?;
        let to = at.child(name.clone());
        self.admit_one(&to)?;
        let (mut change, view) = (self.change(), self.store.snapshot());
        let place = lock(&self.table).place(node);
        let moves = match place {
            Some(Place::Orphan) => {
                self.name_orphan(&mut change, &view, &file, (&dir, &to), &zone.ids)?;
                vec![(node, Place::Child(parent, name))]
            }
            _ => self.link_again(&mut change, &view, &file, (&dir, &to, name))?,
        };
        change.touch(&dir, &at, 0)?;
        change.commit()?;
        add(&self.counters.links, 1);
        self.settle(moves);
        drop(kept);
        Ok(self.entry(&file))
    }

    fn name_orphan(
        &self,
        change: &mut Change<'_>,
        view: &Snapshot,
        file: &Pin<'_>,
        (dir, to): (&Node, &Location),
        ids: &Ids,
    ) -> Result<()> {
        let (mut inode, from) = (file.inode(), self.resolve(file)?.at);
        content::carry(view, &mut change.batch, (&from, &inode), (to, None))?;
        recode(
            view,
            change,
            (&from, &mut inode),
            to,
            (&Ids::default(), ids),
        )?;
        content::erase(&mut change.batch, &from, &inode);
        (inode.links, inode.ctime) = (1, change.now);
        inode.number = file.ino.wrapping_sub(dir.shifts);
        change.record(file, to, inode);
        Ok(())
    }

    fn make(
        &self,
        caller: &Caller,
        parent: NodeId,
        name: &[u8],
        fill: impl FnOnce(&mut Inode),
        (kind, mode, open): (FileType, u32, Option<FileHandle>),
    ) -> Result<Entry> {
        let name = check_name(name)?;
        let _names = self.shared();
        self.check_writable()?;
        let dir = self.dir(parent)?;
        let _held = write(&dir.busy);
        let found = self.resolve_writable(&dir)?;
        let at = &found.at;
        if self.child(&dir, at, &name)?.is_some() {
            return Err(Kind::Exists.because("the name exists"));
        }
        #[cfg(feature = "interleave")]
        let _held = broken::again(broken::Fault::LooksFirst, _held, || write(&dir.busy));
        check_mutable(&dir.inode())?;
        let mut born = self.newborn(caller, &dir.inode(), &found, (kind, mode))?;
        fill(&mut born.inode);
        let ino = self.new_number()?;
        born.inode.number = ino.wrapping_sub(dir.shifts);
        let home = at.child(name.clone());
        self.admit_one(&home)?;
        let mut change = self.change();
        put_lists(&mut change.batch, &home, &born);
        change.batch.insert(home.record(), born.inode.encode());
        change.touch(&dir, at, i64::from(kind == FileType::Directory))?;
        change.commit()?;
        add(&self.counters.creates, 1);
        let pin = pin_new_child(&self.table, &dir, &name, born.inode, None);
        let pin = pin.ok_or_else(|| Kind::Stale.because("the directory is not known any more"))?;
        // Counted before the directory is let go: whoever removes the tree next must see an open file.
        if let Some(handle) = open {
            lock(&self.table).count(pin.id, Count::Open(handle.writable()));
        }
        // With the namespace held, as whoever removes the tree keeps it by other maps, and then puts it elsewhere.
        Ok(self.entry(&pin))
    }

    /// Owner, mode and inherited lists of a new object.
    fn newborn(
        &self,
        caller: &Caller,
        dir: &Inode,
        Resolved { at, zone, .. }: &Resolved,
        (kind, mode): (FileType, u32),
    ) -> Result<Newborn> {
        let mut inode = Inode::new(kind, mode as u16 & PERM_BITS, self.now());
        inode.uid = zone.ids.stored_user(caller.uid)?;
        inode.flags |= dir.flags & INHERITED;
        if dir.perm & SET_GID == 0 {
            inode.gid = zone.ids.stored_group(caller.gid)?;
        } else {
            inode.gid = dir.gid;
            let theirs = caller.is_root() || caller.in_group(zone.ids.group(dir.gid));
            if kind == FileType::Directory {
                inode.perm |= SET_GID;
            } else if inode.perm & 0o010 != 0 && !theirs {
                inode.perm &= !SET_GID;
            }
        }
        let mut lists = Vec::new();
        let default = match dir.has(HAS_DEFAULT_ACL) && kind != FileType::Symlink {
            true => self.store.get(&at.xattr(DEFAULT))?,
            false => None,
        };
        if let Some(value) = default {
            let (access, perm) = Acl::decode(&value)?.inherit(inode.perm);
            inode.perm = perm;
            if !access.is_plain() {
                inode.flags |= HAS_XATTRS | HAS_ACL;
                lists.push((ACCESS, access.encode()));
            }
            if kind == FileType::Directory {
                inode.flags |= HAS_XATTRS | HAS_DEFAULT_ACL;
                lists.push((DEFAULT, value.to_vec()));
            }
        } else {
            inode.perm &= !(caller.umask as u16 & 0o777);
        }
        Ok(Newborn { inode, lists })
    }
}

impl Newborn {
    /// Makes its ids those that are shown where they are kept by `ids`; EOVERFLOW if one has no image.
    fn bare(&mut self, ids: &Ids) -> Result<()> {
        let plain = Ids::default();
        let owner = ids.recode((self.inode.uid, self.inode.gid), &plain);
        let none = || Kind::Overflow.because("the group of the directory has no image");
        (self.inode.uid, self.inode.gid) = owner.map_err(|_| none())?;
        for (_, list) in &mut self.lists {
            *list = Acl::decode(list)?.recode(ids, &plain)?.encode();
        }
        Ok(())
    }
}

fn put_lists(batch: &mut cawdb::Batch, at: &Location, born: &Newborn) {
    for (name, value) in &born.lists {
        batch.put(at.xattr(name), value.clone());
    }
}
