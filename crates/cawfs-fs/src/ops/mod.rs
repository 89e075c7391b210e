//! The operations, by theme.

mod attributes;
mod below;
mod clone;
mod copy;
mod create;
mod crossing;
mod files;
mod flags;
mod held;
mod links;
mod lookup;
mod readdir;
mod remove;
mod rename;
mod runs;
mod space;
mod stage;
mod sync;
mod xattr;
mod zones;

pub use below::NodesBelow;
pub(crate) use xattr::recoded;
