//! A change of records: the batch being made, and the inodes that will be so once it is committed.

use crate::errno::{Kind, Result};
use crate::fs::Fs;
use crate::inode::Inode;
use crate::locks::lock;
use crate::schema::Location;
use crate::table::Node;
use crate::types::{NodeId, Time};
use cawdb::Batch;
use std::sync::Arc;

impl Fs {
    /// A change that begins now.
    pub(crate) fn change(&self) -> Change<'_> {
        Change {
            fs: self,
            batch: Batch::new(),
            records: Vec::new(),
            now: self.now(),
        }
    }
}

/// A batch being made, with the inodes that will be so once it is committed.
pub(crate) struct Change<'a> {
    fs: &'a Fs,
    pub(crate) batch: Batch,
    records: Vec<(Arc<Node>, Inode)>,
    /// The instant of the change.
    pub(crate) now: Time,
}

impl Change<'_> {
    /// Gives a node a new inode, kept at `at`.
    pub(crate) fn record(&mut self, node: &Arc<Node>, at: &Location, inode: Inode) {
        self.batch.put(at.record(), inode.encode());
        self.records.push((node.clone(), inode));
    }
    /// The same where nothing was.
    pub(crate) fn first_record(&mut self, node: &Arc<Node>, at: &Location, inode: Inode) {
        self.batch.insert(at.record(), inode.encode());
        self.records.push((node.clone(), inode));
    }
    /// Notes in a directory that its entries changed, and that it has `links` more subdirectories.
    pub(crate) fn touch(&mut self, dir: &Arc<Node>, at: &Location, links: i64) -> Result<()> {
        let mut inode = self.inode(dir);
        (inode.mtime, inode.ctime) = (self.now, self.now);
        let count = i64::from(inode.links)
            .checked_add(links)
            .and_then(|n| u32::try_from(n).ok());
        inode.links = count.ok_or_else(|| Kind::TooManyLinks.because("too many subdirectories"))?;
        self.record(dir, at, inode);
        Ok(())
    }
    /// The inode of a node, as this change makes it so far.
    pub(crate) fn inode(&self, node: &Node) -> Inode {
        let known = self
            .records
            .iter()
            .rev()
            .find(|(known, _)| known.id == node.id);
        known.map_or_else(|| node.inode(), |(_, inode)| inode.clone())
    }
    /// The nodes that it gives new inodes.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.records.iter().map(|(node, _)| node.id)
    }
    /// Gives a node a new inode that no key of the store holds.
    pub(crate) fn remember(&mut self, node: &Arc<Node>, inode: Inode) {
        self.records.push((node.clone(), inode));
    }
    /// Makes it so.
    pub(crate) fn commit(self) -> Result<()> {
        self.fs.commit(self.batch)?;
        for (node, inode) in self.records {
            *lock(&node.inode) = inode;
        }
        Ok(())
    }
}
