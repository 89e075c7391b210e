//! POSIX files and directories on full-path keys.
//!
//! A library with typed operations by node id, usable without a kernel: [`Fs`] is the door.
#![allow(clippy::todo)]

mod errno;
mod face;
pub mod protocol;
mod types;

pub use errno::{Error, Kind, Result};
pub use face::{FormatOptions, Fs, MountOptions};
pub use types::*;
