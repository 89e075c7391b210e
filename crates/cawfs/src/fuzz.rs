//! All decoders of the project for a fuzzer: those of the floors below, and the mount options.
//!
//! `fuzz/` holds a program for each; `tests/fuzz.rs` runs them without one, on inputs made by seed.

use crate::options::{Options, size};
pub use cawfs_fuse::fuzz::Target;

const OWN: &[Target] = &[Target {
    name: "options",
    run: |bytes| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let _ = (size(&text), Options::parse(&[text]));
    },
    seeds: || vec![b"ro,noatime,cache=64M,memtable=32M,commit=5,log=/tmp/x".to_vec()],
}];

/// Every target.
pub fn targets() -> impl Iterator<Item = Target> {
    cawfs_fuse::fuzz::targets().chain(OWN.iter().copied())
}

/// Feeds the target of this name.
///
/// # Panics
/// If there is none; and if the fuzzer found something.
pub fn run(name: &str, bytes: &[u8]) {
    let target = targets().find(|target| target.name == name);
    (target
        .unwrap_or_else(|| panic!("there is no target {name}"))
        .run)(bytes);
}
