//! What earlier sessions merged is taken only if it can still be read; else what was merged is merged again, and background work ends.
#![allow(clippy::unwrap_used)] // A failed step is a failed test.

mod owner;

use cawdb_disk::Checksum;
use cawdb_node::{Error, MemRunBuilder, Message, Node, Result, Run, RunMeta, RunSource};
use cawdb_tree::{Known, Policy, Roots};
use owner::{Owner, owner};
use std::sync::Arc;

/// A root of twelve layers, which another version shares; always the same.
fn layered() -> Owner {
    let owner = owner(Policy::tiny(4));
    for n in 0..12_u8 {
        let mut content = MemRunBuilder::new();
        for key in 0..4_u8 {
            content.push(vec![key].into(), Message::Put(vec![n; 3].into()));
        }
        let run = owner.tree.shelf.new_run(content.finish());
        let lay = |root: &Arc<Node>| owner.tree.lay(root, std::slice::from_ref(&run)).map(Some);
        owner.replace_root(&mut |root| lay(root)).unwrap();
    }
    owner.tree.shelf.table().retain(&owner.root().slots);
    owner
}

/// Ticks to the end; how many, the errors told, and the layers left.
fn work(owner: &Owner) -> (u32, Vec<Error>, usize) {
    let (mut ticks, mut told) = (0, Vec::new());
    loop {
        match owner.tree.tick(owner, true) {
            Ok(true) => ticks += 1,
            Ok(false) => break,
            Err(error) => told.push(error),
        }
        assert!(ticks < 1000, "background work does not end");
    }
    (ticks, told, owner.root().slots[0].layers.len())
}

struct Broken;

impl RunSource for Broken {
    fn read_at(&self, _: u64, _: usize) -> Result<bytes::Bytes> {
        Err(Error::Corrupt("damaged".into()))
    }
}

/// Puts runs that cannot be read where the merges of another session lie.
fn damage(owner: &Owner, kept: &[Known]) {
    let meta = RunMeta {
        len: 4096,
        index_len: 100,
        index_checksum: Checksum(1),
        bytes: 100,
        points: 4,
        deletes: 0,
        has_delete_ranges: false,
    };
    let shelf = &owner.tree.shelf;
    for id in kept
        .iter()
        .flat_map(|known| known.pieces.iter().filter_map(|piece| piece.1))
    {
        let run = Run::on_disk(id, Arc::new(Broken), meta, shelf.cache.clone());
        shelf.table().load_run(run, 1, 100);
    }
    shelf.set_next_ids(1000, 1000);
}

#[test]
fn a_merge_that_cannot_be_read_is_done_again() {
    let first = layered();
    let (_, told, layers) = work(&first);
    assert!(told.is_empty() && layers < 12, "{told:?}, {layers} layers");
    let kept = first
        .tree
        .merges_to_keep(&first.tree.shelf.table(), true, 1 << 20);
    assert!(!kept.is_empty());

    let second = layered();
    damage(&second, &kept);
    second.tree.recall_merges(kept.clone());
    let (_, told, after) = work(&second);
    assert_eq!(after, layers);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(second.tree.counters.memo_hits.get(), 0);
}
