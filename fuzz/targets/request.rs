//! Feeds the target `request`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cawfs::fuzz::run("request", bytes));
