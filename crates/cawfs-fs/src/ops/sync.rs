//! Durability of the whole, and giving the mount to a successor.

use crate::counters::add;
use crate::errno::{Kind, Result};
use crate::fs::Fs;
use crate::locks::lock;

impl Fs {
    /// Makes everything durable, access times included if there is room for them; drops what orphans and old stages left.
    pub fn sync_all(&self) -> Result<()> {
        add(&self.counters.syncs, 1);
        if self.check_writable().is_ok() {
            self.expire_stages()?;
            self.bury()?;
            let lazy = std::mem::take(&mut *lock(&self.lazy));
            for id in lazy {
                let Ok(pin) = self.node(id) else { continue };
                match self.write_atime(&pin) {
                    // In a full store they wait until there is room: all else must not wait for them.
                    Err(full) if full.kind() == Kind::NoSpace => {
                        lock(&self.lazy).insert(id);
                    }
                    result => result?,
                }
            }
        }
        Ok(self.store.sync()?)
    }
}
