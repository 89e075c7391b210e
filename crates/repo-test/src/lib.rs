//! Tests of the repository itself: rules that good will alone does not keep.
//!
//! ```text
//!  files ──► Repo ──┬──► floors    who may import whom
//!                   ├──► source    sizes, opening comments, forbidden words
//!                   └──► documents links, decision pages, promises and their tests
//! ```
//!
//! A rule is a function from the files to a list of complaints; `tests/tidy.rs` runs each on the repository,
//! where it must find nothing, and on a bad example, where it must find something.
mod documents;
mod floors;
mod lexer;
mod manifest;
mod repo;
mod source;

pub use documents::{
    dead_links, decisions_unlinked, format_version, pages_unlinked, promises_without_test,
};
pub use floors::{
    edges_in_manifests, edges_in_sources, fuser_outside_its_floor, locks_past_the_door,
};
pub use repo::{File, Repo};
pub use source::{
    forbidden_words, long_files, long_functions, machine_paths, opening_comments, stale_exceptions,
    stray_files, unsafe_outside_its_rooms,
};
