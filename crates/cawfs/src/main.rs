//! The program `cawfs`; everything is in the library, so that tests can reach it.
//!
//! It brings its own allocator. The daemon's threads free what other threads allocated; the C library keeps such memory
//! for the thread that had it, and what is freed grows to several times what is in use.

use mimalloc::MiMalloc;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    cawfs::run(std::env::args_os().collect())
}
