//! Random operations, on the file system and on its specification; both must agree on every answer and on the whole tree.
//! A failure prints its seed; `CAWFS_SEED=n` runs that one alone, `CAWFS_SEEDS=n` the first n.
#![allow(clippy::unwrap_used)] // A failed step is a failed test.

mod world;

use std::sync::atomic::Ordering;
use world::World;

fn run(seed: u64, steps: usize) {
    println!("seed {seed}");
    let mut world = World::new(seed);
    for step in 0..steps {
        world.step = step;
        world.step();
        if step % 16 == 0 {
            world.compare();
        }
    }
    world.compare();
    while !world.opened.is_empty() {
        world.close();
    }
    // Stages of failed renames hold their source until they expire.
    world.clock.fetch_add(10_000, Ordering::Relaxed);
    world.fs().sync_all().unwrap();
    world
        .held
        .drain(..)
        .for_each(|node| world.fs.as_ref().unwrap().forget(node, 1));
    assert_eq!(world.fs().nodes(), 1, "nodes that nobody holds");
    let report = cawfs_fs::check(&world.store.snapshot(), true).unwrap();
    assert_eq!((report.findings, report.orphans), (vec![], 0));
}

#[test]
fn random_operations_agree_with_the_specification() {
    match std::env::var("CAWFS_SEED").map(|seed| seed.parse().expect("a number")) {
        Ok(seed) => run(seed, 300),
        Err(_) => {
            let count = std::env::var("CAWFS_SEEDS").map_or(4, |n| n.parse().expect("a number"));
            (0..count).for_each(|seed| run(seed, 300));
        }
    }
}
