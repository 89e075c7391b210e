//! Feeds the target `compression`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cawfs::fuzz::run("compression", bytes));
