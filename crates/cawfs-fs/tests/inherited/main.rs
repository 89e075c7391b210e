//! Clones that show other ids, and clones that never change: what is inherited below a directory.
#![allow(clippy::unwrap_used)] // A failed step is a failed test.

mod maps;
mod moves;
mod read_only;
mod site;
