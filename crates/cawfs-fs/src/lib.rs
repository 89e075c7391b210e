//! POSIX files and directories on full-path keys.
//!
//! A library with typed operations by node id, usable without a kernel: [`Fs`] is the door. Objects are named by node
//! ids, which a handle table maps to places in the tree; keys are composed from those when needed, and every operation is
//! one batch of the engine. Trees and files clone in O(height).
//!
//! ```
//! use cawfs_fs::{Caller, FormatOptions, Fs, MountOptions, NodeId, WriteFlags};
//! # fn main() -> Result<(), cawfs_fs::Error> {
//! let store = cawdb::Store::in_memory();
//! Fs::format(&store, &FormatOptions::default())?;
//! let fs = Fs::mount(store, MountOptions::default())?;
//! let me = Caller::ROOT;
//! let dir = fs.mkdir(&me, NodeId::ROOT, b"original", 0o755)?;
//! let (file, handle) = fs.create(&me, dir.node, b"hello", 0o644, libc::O_RDWR)?;
//! fs.write(file.node, 0, b"world", WriteFlags::default())?;
//! fs.release(file.node, handle);
//!
//! fs.clone_tree(&me, dir.node, NodeId::ROOT, b"copy", false)?;
//! let copy = fs.lookup(&me, NodeId::ROOT, b"copy")?;
//! let hello = fs.lookup(&me, copy.node, b"hello")?;
//! assert_eq!(&fs.read(hello.node, 0, 100)?[..], b"world");
//! # Ok(())
//! # }
//! ```

mod acl;
#[cfg(feature = "interleave")]
#[doc(hidden)]
pub mod broken;
mod caps;
mod change;
mod check;
mod content;
mod counters;
mod data;
mod depth;
mod errno;
mod fs;
#[doc(hidden)]
pub mod fuzz;
mod guards;
mod handover;
mod inherited;
mod inode;
mod links;
mod listing;
mod locks;
mod maps;
mod ops;
pub mod protocol;
mod salvage;
mod schema;
mod stages;
mod table;
mod types;

pub use cawdb::disk::{Histogram, Times, meter};
pub use check::{Fault, Finding, Report, check, check_names, repair_names};
pub use counters::Counters;
pub use errno::{Error, Kind, Result};
pub use fs::{FormatOptions, Fs, HandleMemory, MountOptions};
pub use maps::{IdRange, Ids, MOST_RANGES, NO_ID};
pub use ops::NodesBelow;
pub use salvage::{Object, Salvage, Salvaged, key_name, key_range_name};
pub use table::Aged;
pub use types::*;
