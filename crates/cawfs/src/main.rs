//! The program `cawfs`; everything is in the library, so that tests can reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    cawfs::run(std::env::args_os().collect())
}
