//! The operations, by theme.

mod attributes;
mod clone;
mod copy;
mod create;
mod files;
mod lookup;
mod readdir;
mod remove;
mod rename;
mod space;
mod stage;
mod sync;
mod xattr;
