//! Mending what can be mended without guessing: lost copies, counts, what nothing refers to.
//!
//! What was lost stays lost, and is reported; a repair only ever writes what follows from what is whole. What opening
//! for writing mends by itself (superblock copies, the torn end of the journal) is mended before this begins.

use super::scrub::table_is_whole;
use super::{Fault, Finding};
use crate::error::Result;
use crate::store::Store;
use cawdb_disk::superblock;
use cawdb_disk::sync::lock;
use cawdb_tree::inspect::check;

impl Store {
    /// Mends what is wrong and can be mended without guessing; durable when it returns. What was mended, by kind; what
    /// could not be is left as it is, for [`Self::check`] to report. Nobody else may write meanwhile.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn repair(&self) -> Result<Vec<Finding>> {
        let mut mended = self.0.mended_on_opening.clone();
        self.mend_superblocks(&mut mended)?;
        self.mend_tables(&mut mended);
        self.mend_counts(&mut mended)?;
        while self.tick().unwrap_or(false) {}
        self.checkpoint()?;
        Ok(mended)
    }

    fn mend_superblocks(&self, mended: &mut Vec<Finding>) -> Result<()> {
        let _anchors = lock(&self.0.anchors);
        let found = superblock::read(self.0.disk.as_ref())?;
        superblock::heal(self.0.disk.as_ref(), &found)?;
        let copies = found.faults.iter();
        mended.extend(copies.map(|f| Finding::new(Fault::SuperblockCopy, f.what.clone())));
        Ok(())
    }

    fn mend_tables(&self, mended: &mut Vec<Finding>) {
        let mut anchors = lock(&self.0.anchors);
        let body = anchors.body.clone();
        let tables: Vec<_> = std::iter::once(&body.base).chain(&body.deltas).collect();
        if !anchors.worn && !table_is_whole(self, &tables) {
            anchors.worn = true;
            let what = "a copy of the node table was lost; it is written anew";
            mended.push(Finding::new(Fault::TableCopy, what));
        }
    }

    fn mend_counts(&self, mended: &mut Vec<Finding>) -> Result<()> {
        let inner = &self.0;
        let _agenda = inner.tree.pause();
        let _writer = lock(&inner.writer);
        let root = inner.published.pin().view.root;
        let walk = check(&inner.shelf, &[root])?;
        let counts = |f: &Finding| {
            matches!(
                f.fault,
                Fault::UnderCount | Fault::OverCount | Fault::Unreachable | Fault::Shown
            )
        };
        let findings: Vec<Finding> = walk.findings.into_iter().map(Finding::from).collect();
        // Where anything else is wrong with the tree, what refers to what is not known for certain.
        if walk.complete && !findings.is_empty() && findings.iter().all(counts) {
            inner.shelf.table().recount(&walk.counted, &walk.reached);
            inner.tree.look_again();
            mended.extend(findings);
        }
        Ok(())
    }
}
