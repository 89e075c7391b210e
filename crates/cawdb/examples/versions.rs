//! What versions cost in space: clones of one tree of 256 MiB in 64 files, each with 16 bytes changed in every file.
//!
//! ```sh
//! cargo run --release -p cawdb --example versions -- fan 1000 chain 1000
//! ```
//! Each pair is a kind and a number of clones, one after the other in one store: `fan`, of the original, or `chain`, each of
//! the one before. After each hundred, and at the end of each kind, everything is checkpointed and background work
//! finished; then all clones are removed.

use cawdb::disk::RamDisk;
use cawdb::{Batch, CreateOptions, KeyRange, Options, Store};
use std::sync::Arc;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const FILES: u64 = 64;
const BLOCKS: u64 = 64;
const BLOCK: usize = 64 << 10;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let disk = Arc::new(RamDisk::new());
    let create = CreateOptions {
        size: 4 << 30,
        ..CreateOptions::default()
    };
    Store::create(disk.clone(), &create)?;
    let store = Store::open(disk, Options::default())?;
    load(&store)?;
    let loaded = at_rest(&store)?;
    println!("loaded: {} KiB", loaded >> 10);
    let mut rng = fastrand::Rng::with_seed(1);
    for pair in arguments.chunks(2) {
        let [kind, count] = pair else {
            return Err("usage: versions [fan|chain COUNT]...".into());
        };
        versions(&store, kind, count.parse()?, &mut rng)?;
    }
    store.commit(removal("fan-", "fan."))?;
    store.commit(removal("chain-", "chain."))?;
    let back = at_rest(&store)?;
    println!("removed: {} KiB", back >> 10);
    Ok(())
}

fn removal(from: &str, to: &str) -> Batch {
    let mut batch = Batch::new();
    batch.delete_range(KeyRange {
        lo: from.as_bytes().to_vec().into(),
        hi: Some(to.as_bytes().to_vec().into()),
    });
    batch
}

fn block(tree: &str, file: u64, block: u64) -> String {
    format!("{tree}/data/{file:04}/{block:04}")
}

fn load(store: &Store) -> Result<()> {
    let mut rng = fastrand::Rng::with_seed(0);
    for file in 0..FILES {
        let mut batch = Batch::new();
        batch.put(format!("base/meta/{file:04}"), vec![0; 100]);
        for at in 0..BLOCKS {
            let mut bytes = vec![0; BLOCK];
            rng.fill(&mut bytes);
            batch.put(block("base", file, at), bytes);
        }
        store.commit(batch)?;
        while store.tick()? {}
    }
    Ok(())
}

fn versions(store: &Store, kind: &str, count: usize, rng: &mut fastrand::Rng) -> Result<()> {
    let before = at_rest(store)?;
    let mut from = String::from("base");
    for n in 1..=count {
        let to = format!("{kind}-{n:05}");
        let mut batch = Batch::new();
        batch.clone_prefix(format!("{from}/"), format!("{to}/"));
        store.commit(batch)?;
        for file in 0..FILES {
            edit(store, &to, file, rng)?;
        }
        while store.tick()? {}
        if n % 100 == 0 || n == count {
            let bytes = at_rest(store)?.saturating_sub(before);
            let stats = store.stats();
            println!(
                "{kind} {n}: {:.1} KiB each, {} runs, {} nodes, height {}",
                bytes as f64 / n as f64 / 1024.0,
                stats.runs,
                stats.nodes,
                stats.height
            );
        }
        if kind == "chain" {
            from = to;
        }
    }
    Ok(())
}

/// What one write of 16 bytes through a mount comes to: the bytes, and the file's record.
fn edit(store: &Store, tree: &str, file: u64, rng: &mut fastrand::Rng) -> Result<()> {
    let mut bytes = vec![0; 16];
    rng.fill(&mut bytes);
    let mut record = vec![0; 100];
    rng.fill(&mut record[..16]);
    let mut batch = Batch::new();
    let at = rng.u64(0..BLOCKS * BLOCK as u64 - 16);
    batch.patch(
        block(tree, file, at / BLOCK as u64),
        (at % BLOCK as u64).min(BLOCK as u64 - 16) as u32,
        bytes,
    );
    batch.put(format!("{tree}/meta/{file:04}"), record);
    store.commit(batch)?;
    Ok(())
}

/// Bytes allocated once nothing is left to do.
fn at_rest(store: &Store) -> Result<u64> {
    for _ in 0..3 {
        while store.tick()? {}
        store.checkpoint()?;
    }
    Ok(store.stats().allocated_bytes)
}
