//! The flags of chattr(1): what they keep from being done, and to which object they belong.
//!
//! ```text
//! immutable     nothing about the object changes; of a directory: no name comes or goes
//! append only   a file grows at its end only; of a directory: names come, but do not go
//!               both: no other name, no new place, no removal, no change of mode, owner, attributes
//! ```
//!
//! * The first two are *guards*. They belong to the object under whose number they were set: its record has the low half of
//!   that number. What a clone copies shows another, so a clone is as little guarded as a copy is, whatever its size.
//! * A directory without [`GUARDS`] has nothing guarded below it. Marked are all directories above what is guarded; the mark
//!   stays when the guard goes, and in a clone.

use crate::errno::{Kind, Result};
use crate::inode::Inode;
use crate::types::{FileFlags, SetAttr, SetTime};

/// Flag: nothing changes.
pub(crate) const IMMUTABLE: u32 = 64;
/// Flag: only appended to.
pub(crate) const APPEND_ONLY: u32 = 128;
/// Flag: not for dump(8).
const NO_DUMP: u32 = 256;
/// Flag: reading does not renew the access time.
pub(crate) const NO_ATIME: u32 = 512;
/// Flag: there may be something guarded below (directories).
pub(crate) const GUARDS: u32 = 1024;

const BOTH: u32 = IMMUTABLE | APPEND_ONLY;
/// What new objects have of their directory.
pub(crate) const INHERITED: u32 = NO_DUMP | NO_ATIME;

impl Inode {
    /// Whether it is immutable or only appended to.
    pub(crate) fn is_guarded(&self) -> bool {
        self.flags & BOTH != 0
    }
    /// The flags of chattr(1).
    pub(crate) fn file_flags(&self) -> FileFlags {
        FileFlags {
            immutable: self.has(IMMUTABLE),
            append_only: self.has(APPEND_ONLY),
            no_dump: self.has(NO_DUMP),
            no_atime: self.has(NO_ATIME),
        }
    }
    /// Sets them, for an object that is shown under number `ino`.
    pub(crate) fn set_file_flags(&mut self, flags: FileFlags, ino: u64) {
        let all = [
            (flags.immutable, IMMUTABLE),
            (flags.append_only, APPEND_ONLY),
            (flags.no_dump, NO_DUMP),
            (flags.no_atime, NO_ATIME),
        ];
        self.flags &= !(BOTH | INHERITED);
        for (_, flag) in all.into_iter().filter(|(set, _)| *set) {
            self.flags |= flag;
        }
        self.device = if self.is_guarded() { ino as u32 } else { 0 };
    }
    /// Whether it is guarded, if it is shown under number `ino`.
    pub(crate) fn is_guarded_as(&self, ino: u64) -> bool {
        self.is_guarded() && self.device == ino as u32
    }
    /// Takes guards away that belong to another object than the one shown under number `ino`.
    pub(crate) fn keep_own_guards(&mut self, ino: u64) {
        if self.is_guarded() && !self.is_guarded_as(ino) {
            self.unguard();
        }
    }
    /// Takes all guards away.
    pub(crate) fn unguard(&mut self) {
        if self.is_guarded() {
            self.flags &= !BOTH;
            self.device = 0;
        }
    }
}

/// EPERM for what is immutable.
pub(crate) fn check_mutable(inode: &Inode) -> Result<()> {
    match inode.has(IMMUTABLE) {
        true => Err(Kind::NotPermitted.because("it is immutable")),
        false => Ok(()),
    }
}

/// EPERM for what is immutable or only appended to.
pub(crate) fn check_unguarded(inode: &Inode) -> Result<()> {
    match inode.has(APPEND_ONLY) {
        true => Err(Kind::NotPermitted.because("it is only appended to")),
        false => check_mutable(inode),
    }
}

/// EPERM if an object may not lose its name in a directory.
pub(crate) fn check_removal(dir: &Inode, victim: &Inode) -> Result<()> {
    check_unguarded(dir)?;
    check_unguarded(victim)
}

/// EPERM if attributes may not change so. Whoever appends may also set the times to the present.
pub(crate) fn check_attributes(inode: &Inode, set: &SetAttr) -> Result<()> {
    let present = set.atime == Some(SetTime::Now) && set.mtime == Some(SetTime::Now);
    let times = (set.atime.is_some() || set.mtime.is_some()) && !present;
    let owner = set.uid.is_some() || set.gid.is_some();
    match set.mode.is_some() || owner || set.size.is_some() || times {
        true => check_unguarded(inode),
        false => check_mutable(inode),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{FileType, Time};

    #[test]
    fn guards_belong_to_one_object() {
        let mut inode = Inode::new(FileType::Regular, 0o644, Time::default());
        let flags = FileFlags {
            immutable: true,
            no_dump: true,
            ..FileFlags::default()
        };
        inode.set_file_flags(flags, 1 << 33 | 7);
        let record = inode.encode();
        let mut same = Inode::decode(&record).unwrap();
        same.keep_own_guards(1 << 33 | 7);
        assert_eq!(
            (
                same.file_flags(),
                same.attr(7, Default::default(), &Default::default()).rdev
            ),
            (flags, 0)
        );
        let mut clone = Inode::decode(&record).unwrap();
        clone.keep_own_guards(1 << 33 | 8);
        assert!(!clone.is_guarded() && clone.file_flags().no_dump);
        assert!(check_mutable(&same).is_err() && check_unguarded(&clone).is_ok());
    }

    #[test]
    fn who_appends_may_touch() {
        let mut inode = Inode::new(FileType::Regular, 0o644, Time::default());
        inode.flags |= APPEND_ONLY;
        let now = Some(SetTime::Now);
        let change = |atime, mtime, mode| SetAttr {
            atime,
            mtime,
            mode,
            ..SetAttr::default()
        };
        assert!(check_attributes(&inode, &change(now, now, None)).is_ok());
        assert!(check_attributes(&inode, &change(None, None, None)).is_ok());
        for set in [
            change(now, None, None),
            change(now, Some(SetTime::At(Time::default())), None),
            change(now, now, Some(0)),
        ] {
            assert!(check_attributes(&inode, &set).is_err());
        }
        inode.flags |= IMMUTABLE;
        assert!(check_attributes(&inode, &change(now, now, None)).is_err());
    }
}
