//! `cawfs demo`.
use crate::args::Demo;
/// Runs the demonstration.
pub fn run(_args: &Demo) -> crate::Outcome {
    Ok(0)
}
