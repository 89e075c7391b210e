//! A store in a file: a batch, a clone of a prefix, a snapshot that stays as it was, and durability.
//!
//! ```sh
//! cargo run -p cawdb --example clone -- /tmp/example.cawdb
//! ```

use cawdb::{Batch, CreateOptions, KeyRange, Options, Snapshot, Store};
use std::path::{Path, PathBuf};
use std::time::Duration;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// How long to wait for a store that another process has open.
const WAIT: Duration = Duration::from_secs(5);

fn main() -> Result<()> {
    let path = std::env::args_os().nth(1).map(PathBuf::from);
    let path = path.ok_or("usage: clone FILE, which is made, or emptied if it exists")?;
    write(&path)?;
    read_again(&path)
}

/// Makes a store, and clones what it holds.
fn write(path: &Path) -> Result<()> {
    let create = CreateOptions {
        size: 1 << 30, // how far it may grow; the file is sparse
        ..CreateOptions::default()
    };
    Store::create_path(path, &create, WAIT)?;
    let store = Store::open_path(path, Options::default(), WAIT)?;

    // A batch is atomic: readers and crashes meet all of it or nothing.
    let mut batch = Batch::new();
    for n in 0..1000 {
        batch.put(format!("fruit/{n:04}"), format!("apple {n}"));
    }
    store.commit(batch)?;

    // Some four slots of the root change, whether the prefix holds a thousand keys or a billion.
    let mut batch = Batch::new();
    batch.clone_prefix("fruit/", "copy/");
    store.commit(batch)?;

    // A snapshot shows this instant for as long as it is kept, and holds up nobody.
    let before = store.snapshot();
    let mut batch = Batch::new();
    batch
        .patch("copy/0007", 0, "APPLE") // blind: nothing is read
        .delete("fruit/0007");
    store.commit(batch)?;

    println!("before: {}", show(&before)?);
    println!("after:  {}", show(&store.snapshot())?);

    // What was committed is seen at once, and durable from here on.
    store.sync()?;
    Ok(())
}

/// Opens the store again, and walks over one of its ranges.
fn read_again(path: &Path) -> Result<()> {
    let store = Store::open_path(path, Options::default(), WAIT)?;
    println!("again:  {}", show(&store.snapshot())?);
    for pair in store.scan(KeyRange::prefix("copy/")).take(3) {
        let (key, value) = pair?;
        println!("{} = {}", key.escape_ascii(), value.escape_ascii());
    }
    Ok(())
}

/// How many keys there are under each prefix, and what both say about number 7.
fn show(snapshot: &Snapshot) -> Result<String> {
    let mut said = Vec::new();
    for prefix in ["fruit/", "copy/"] {
        let mut keys = 0;
        for pair in snapshot.scan(KeyRange::prefix(prefix)) {
            pair?;
            keys += 1;
        }
        let seven = snapshot.get(format!("{prefix}0007").as_bytes())?;
        let seven = seven.map_or("nothing".into(), |v| v.escape_ascii().to_string());
        said.push(format!("{prefix} has {keys} keys, 0007 is {seven}"));
    }
    Ok(said.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_shows_is_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        write(&path).unwrap();
        read_again(&path).unwrap();
        let store = Store::open_path(&path, Options::default(), WAIT).unwrap();
        assert_eq!(
            show(&store.snapshot()).unwrap(),
            "fruit/ has 999 keys, 0007 is nothing; copy/ has 1000 keys, 0007 is APPLE 7"
        );
    }
}
