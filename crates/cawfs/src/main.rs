//! The command line of cawfs.
fn main() {}
