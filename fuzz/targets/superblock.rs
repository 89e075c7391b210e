//! Feeds the target `superblock`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cawfs::fuzz::run("superblock", bytes));
