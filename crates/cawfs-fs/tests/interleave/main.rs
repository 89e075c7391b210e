//! Threads on one file system under a scheduler that chooses at every lock, wait and atomic number, of the file system and of the engine
//! below it, who goes on. A thread that nobody wakes any more is found as a deadlock.
//!
//! ```sh
//! cargo test -p cawfs-fs --features interleave --test interleave                        # a slice
//! CAWFS_SCHEDULES=20000 cargo test -p cawfs-fs --features interleave --test interleave -- --nocapture
//! ```
//!
//! A failure prints the seed, which replays the run, and the schedule, to be replayed with `shuttle::replay`.
#![allow(clippy::unwrap_used)] // A failed step is a failed test.

mod clones;
mod contents;
mod explore;
mod names;
mod names_model;
mod order;
mod orphans;
mod teeth;
mod trees;
mod world;
