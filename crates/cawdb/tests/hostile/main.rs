//! The engine among enemies: failing requests, losses of power at every write, many threads, thousands of clones,
//! full disks; and every bug found so, as a test of its own.
//!
//! Longer runs: `CAWFS_SECONDS` and `CAWFS_SEED`, see `docs/testing.md`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod below;
mod blocks;
mod commits;
mod crashes;
mod damage;
mod device;
mod faults;
mod found;
mod full;
mod heights;
mod limits;
mod support;
mod threads;
mod versions;
