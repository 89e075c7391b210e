//! What a directory makes itself and all below it inherit, beside shifted numbers and hidden set-id bits.
//!
//! ```text
//!   record of a directory … user u32 ║ bits u8 (1 read-only, 2 users, 4 groups) · map of users · map of groups
//!                                      map: count u16, then so many (stored u32, shown u32, count u32)
//! ```
//! * A record says what its own directory adds; a node has the sum of all on the path (see `table`), which never changes: a move
//!   re-bases the record, so that all below is shown as before.
//! * Nothing is written for a directory that adds nothing, and there is one form for all others.

use crate::errno::{Kind, Result};
use crate::inode::Reader;
use crate::maps::{GROUPS, Ids, USERS};

/// Bit: all is read-only.
const READ_ONLY: u8 = 1;

/// What a directory adds, or what holds in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Inherited {
    /// How the ids of itself and of all below are shown.
    pub(crate) ids: Ids,
    /// Whether it and all below never change.
    pub(crate) read_only: bool,
}

impl Inherited {
    /// Whether it is nothing.
    pub(crate) fn is_nothing(&self) -> bool {
        self.ids.is_plain() && !self.read_only
    }
    /// What holds in a directory that adds `own` to this.
    pub(crate) fn with(&self, own: &Self) -> Self {
        Self {
            ids: own.ids.then(&self.ids),
            read_only: self.read_only || own.read_only,
        }
    }
    /// EROFS where nothing may change.
    pub(crate) fn check_writable(&self) -> Result<()> {
        if self.read_only {
            return Err(Kind::ReadOnly.because("it lies in a read-only clone"));
        }
        Ok(())
    }
    /// Appends it to a record; nothing if it is nothing.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        if self.is_nothing() {
            return;
        }
        let mut maps = Vec::new();
        let bits = self.ids.encode(&mut maps) | if self.read_only { READ_ONLY } else { 0 };
        out.push(bits);
        out.append(&mut maps);
    }
    /// What [`Self::encode`] has written if that was not nothing.
    pub(crate) fn read(r: &mut Reader<'_>) -> Option<Self> {
        let bits = r.u8()?;
        if bits & !(READ_ONLY | USERS | GROUPS) != 0 {
            return None;
        }
        let found = Self {
            ids: Ids::read(r, bits)?,
            read_only: bits & READ_ONLY != 0,
        };
        (!found.is_nothing()).then_some(found)
    }
}
