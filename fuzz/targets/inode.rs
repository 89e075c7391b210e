//! Feeds the target `inode`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cawfs::fuzz::run("inode", bytes));
