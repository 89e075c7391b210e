//! Keys, messages and translations; immutable runs and the nodes over them, in memory and as bytes.
mod key;
pub use key::{Key, KeyRange, hi_less, successor};
