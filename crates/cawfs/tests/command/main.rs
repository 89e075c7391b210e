//! The program as a whole: its command line, and real mounts driven through the kernel.
//!
//! The mount tests run as root and need `/dev/fuse`; without them they fail with one clear line.

#[cfg(test)]
mod access;
#[cfg(test)]
mod awake;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod clones;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod files;
#[cfg(test)]
mod flags;
#[cfg(test)]
mod instants;
#[cfg(test)]
mod ioctls;
#[cfg(test)]
mod kernel;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod life;
mod listing;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod panics;
#[cfg(test)]
mod places;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod scrub;
#[cfg(test)]
mod site;
#[cfg(test)]
mod unprivileged;
