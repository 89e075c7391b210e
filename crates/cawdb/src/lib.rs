//! `cawdb`: an embeddable key-value engine whose key ranges clone in O(height).
mod batch;
mod provisional;
pub use batch::{Batch, Op};
pub use cawdb_node::KeyRange;
pub use provisional::{Error, Scan, Snapshot, Space, Store};
/// Longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 64 * 1024;
/// Longest value, in bytes.
pub const MAX_VALUE_BYTES: usize = 16 * 1024 * 1024;
