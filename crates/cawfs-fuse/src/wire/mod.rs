//! The bytes of the FUSE protocol (version 7.x), little-endian and 64-bit as the kernel lays them out.
//!
//! ```text
//! request:  in_header (40)  │ fixed part of the operation │ names, data │ extensions
//! reply:    out_header (16) │ fixed part                  │ names, data
//! ```
//!
//! Why not the decoder of the crate that mounts: it ties the kernel's node id to the number that
//! `stat` shows, knows neither temporary files nor birth times, and may panic on the times of a
//! hostile caller. Mounting, the handshake and notifications still come from there.
//!
//! Invariants: decoding never panics and never reads past the message; an operation that is not
//! known becomes [`Op::Unknown`], which is answered with ENOSYS.

mod cursor;
mod ops;
pub mod reply;
mod request;

pub use ops::{Op, SetAttr};
pub use request::Request;

/// Bytes of the header before each request.
pub const IN_HEADER: usize = 40;
/// Bytes of the header before each reply.
pub const OUT_HEADER: usize = 16;
/// Longest data of one WRITE or READ, in bytes.
pub const MAX_WRITE: usize = 1 << 20;
/// Bytes a reader's buffer must hold: the longest request is a WRITE, or a 64-KiB attribute.
pub const BUFFER: usize = MAX_WRITE + 8192;
