//! Feeds the target `superblock_body`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cawfs::fuzz::run("superblock_body", bytes));
