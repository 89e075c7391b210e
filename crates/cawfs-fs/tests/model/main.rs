//! The file system against its specification, a file tree with clone: by random operations, over every loss of power, and
//! on a disk that fails.
//!
//! Replays, longer runs: see `docs/testing.md`. Every bug found here becomes a test of its own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod faults;
mod outages;
mod random;
mod workloads;
mod world;
