//! Feeds the target `run_index`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cawfs::fuzz::run("run_index", bytes));
