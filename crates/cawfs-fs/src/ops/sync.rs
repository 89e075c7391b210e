//! Durability of the whole, and giving the mount to a successor.

use crate::counters::add;
use crate::errno::Result;
use crate::fs::Fs;
use crate::locks::lock;

impl Fs {
    /// Makes everything durable, access times included; drops what orphans and old stages left.
    pub fn sync_all(&self) -> Result<()> {
        add(&self.counters.syncs, 1);
        if self.check_writable().is_ok() {
            self.expire_stages()?;
            self.bury()?;
            let lazy = std::mem::take(&mut *lock(&self.lazy));
            for id in lazy {
                if let Ok(pin) = self.node(id) {
                    self.write_atime(&pin)?;
                }
            }
        }
        Ok(self.store.sync()?)
    }
}
