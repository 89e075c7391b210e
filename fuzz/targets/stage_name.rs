//! Feeds the target `stage_name`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cawfs::fuzz::run("stage_name", bytes));
