//! Feeds the target `ioctl`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cawfs::fuzz::run("ioctl", bytes));
