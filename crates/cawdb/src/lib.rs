//! `cawdb`: an embeddable key-value engine whose key ranges clone in O(height).
//!
//! An ordered map of byte strings, on one file, a block device or memory, with atomic batches, snapshots, scans in
//! both directions, blind patches of values, range deletes, and *range clones*: any range of keys is copied to another
//! place at once, whatever its size. Afterwards both read and write as if each were the only one, and share what
//! neither has changed abundantly.
//!
//! ```
//! use cawdb::{Batch, Store};
//!
//! let store = Store::in_memory();
//! let mut batch = Batch::new();
//! batch.put("home/a.txt", "one").put("home/b.txt", "two");
//! store.commit(batch)?;
//!
//! // Clone everything under `home/`, and change one copy.
//! let mut batch = Batch::new();
//! batch.clone_prefix("home/", "copy/").patch("copy/a.txt", 1, "N");
//! store.commit(batch)?;
//!
//! assert_eq!(store.get(b"copy/a.txt")?.as_deref(), Some(&b"oNe"[..]));
//! assert_eq!(store.get(b"home/a.txt")?.as_deref(), Some(&b"one"[..]));
//! store.sync()?;
//! # Ok::<(), cawdb::Error>(())
//! ```
//!
//! A longer one, on a file and with a snapshot, is `examples/clone.rs`: `cargo run -p cawdb --example clone -- FILE`.
//!
//! What is committed is seen at once, and durable after [`Store::sync`]. After a crash the state is that after some
//! prefix of the batches, at or after the last sync.

mod aside;
mod background;
mod batch;
mod checkpoint;
mod commit;
mod courtesy;
mod error;
#[doc(hidden)]
pub mod fuzz;
mod image;
mod inspect;
mod memtable;
mod options;
mod pending;
mod poison;
mod record;
mod recovery;
mod room;
mod snapshot;
mod stats;
mod store;
mod sync;
mod throttle;
mod view;

pub use background::{Background, Warming};
pub use batch::{Batch, Op};
pub use cawdb_disk as disk;
pub use cawdb_node::{Compression, KeyRange, successor};
pub use cawdb_tree::Policy;
pub use error::{Error, Result};
pub use inspect::{Fault, Finding, Report, Scrub, Step};
pub use options::{CreateOptions, Options};
pub use snapshot::{Scan, Snapshot};
pub use stats::{Memory, Recovery, Stats};
pub use store::{Space, Store};

#[cfg(feature = "interleave")]
#[doc(hidden)]
pub use cawdb_disk::shuttle;

/// Longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 64 * 1024;
/// Longest value, in bytes.
pub const MAX_VALUE_BYTES: usize = 16 * 1024 * 1024;
