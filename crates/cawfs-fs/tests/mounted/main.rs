//! The file system on a mount in memory, driven as the kernel would drive it.
#![allow(clippy::unwrap_used)] // A failed step is a failed test.

mod depth;
mod full;
mod lifetimes;
mod mount;
mod semantics;
