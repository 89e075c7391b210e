//! A tree with nodes and runs in memory, and the owner of its root.
#![allow(clippy::unwrap_used)] // A failed step is a failed test.

use cawdb_disk::{RamDisk, SpaceMap};
use cawdb_node::{Cache, Compression, KeyRange, Node, Shelf};
use cawdb_tree::{Policy, Roots, Tree};
use std::sync::{Arc, Mutex};

pub struct Owner {
    pub tree: Tree,
    root: Mutex<Arc<Node>>,
}

impl Roots for Owner {
    fn root(&self) -> Arc<Node> {
        self.root.lock().unwrap().clone()
    }
    fn replace_root(
        &self,
        make: &mut dyn FnMut(&Arc<Node>) -> cawdb_node::Result<Option<Node>>,
    ) -> cawdb_node::Result<bool> {
        let mut root = self.root.lock().unwrap();
        let Some(new) = make(&root)? else {
            return Ok(false);
        };
        self.tree.shelf.exchange_root(&root.slots, &new.slots);
        *root = Arc::new(new);
        Ok(true)
    }
    /// Others change the root meanwhile, and wait for nothing.
    fn breathe(&self) {
        self.tree.tidy(self).unwrap();
        self.tree.relieve(self).unwrap();
    }
}

pub fn owner(policy: Policy) -> Owner {
    let disk = Arc::new(RamDisk::new());
    let space = Arc::new(SpaceMap::new(1 << 20, None).unwrap());
    let cache = Arc::new(Cache::new(1 << 20));
    let shelf = Arc::new(Shelf::new(disk, space, cache, Compression::None));
    let root = Mutex::new(Arc::new(Node::empty(0, KeyRange::all())));
    Owner {
        tree: Tree::new(shelf, policy),
        root,
    }
}
