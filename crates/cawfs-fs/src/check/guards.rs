//! The check of the marks above what is guarded (see [`crate::guards`]): without them the removal of a tree would not find the guard.
//! A mark above nothing that is guarded is right: it stays when the guard goes.

use super::{Fault, Finding, Walk};
use crate::guards::GUARDS;
use crate::inode::Inode;

impl Walk<'_> {
    /// An object that shows itself under number `ino`, in the directory on top of the levels. If it is guarded, all of them must be
    /// marked; each is told of once.
    pub(super) fn guards(&mut self, inode: &Inode, ino: u64) {
        if !inode.is_guarded_as(ino) {
            return;
        }
        for level in &mut self.levels {
            if level.inode.has(GUARDS) {
                continue;
            }
            level.inode.flags |= GUARDS;
            let record = level.record.clone();
            self.fixes.put(record, level.inode.encode());
            self.report.findings.push(Finding {
                fault: Fault::UnmarkedGuard,
                place: format!("{}/", level.path),
            });
        }
    }
}
