//! What versions cost: a chain of clones, each with a small edit in every file, must not pay for others that share its source.
use super::heights::{FILES, directory, key, rest, store};
use cawdb::{Batch, Store};

const VERSIONS: usize = 300;

/// Versions of `base`, each of the one before or each of `base` itself; bytes that one costs.
fn versions(store: &Store, kind: &str, chained: bool) -> u64 {
    let before = rest(store);
    let mut from = String::from("base");
    for n in 0..VERSIONS {
        let to = format!("{kind}{n:04}");
        let mut batch = Batch::new();
        batch.clone_prefix(format!("{from}/"), format!("{to}/"));
        store.commit(batch).unwrap();
        let mut batch = Batch::new();
        for file in 0..FILES {
            let value = (n * FILES + file) as u64;
            let at = (value * 37 % 240) as u32;
            batch.patch(key(&to, file), at, value.to_le_bytes().to_vec());
        }
        store.commit(batch).unwrap();
        while store.tick().unwrap() {}
        if chained {
            from = to;
        }
    }
    (rest(store) - before) / VERSIONS as u64
}

#[test]
fn a_chain_beside_many_clones_costs_what_it_costs_alone() {
    let alone = store();
    directory(&alone, "base", 0);
    let alone = versions(&alone, "chain", true);
    let beside = store();
    directory(&beside, "base", 0);
    let fan = versions(&beside, "fan", false);
    let beside = versions(&beside, "chain", true);
    println!("a clone with its edits: {alone} bytes in a chain, {beside} beside a fan of {fan}");
    assert!(
        beside <= alone + alone / 20,
        "{beside} bytes beside others, {alone} alone"
    );
}
