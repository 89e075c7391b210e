//! After a failed write or sync, or a panic, nobody knows what the disk holds: the store answers errors until it is opened again.

use crate::error::{Error, Result};
use cawdb_disk::sync;
use std::sync::Mutex;

/// Remembers the first failure.
#[derive(Default)]
pub struct Poison(Mutex<Option<String>>);

impl Poison {
    /// An error if something failed before.
    ///
    /// # Errors
    /// [`Error::Io`] that names the first failure.
    pub fn check(&self) -> Result<()> {
        match &*sync::lock(&self.0) {
            None => Ok(()),
            Some(why) => Err(Error::Io(format!(
                "the store is read-only until it is opened again, because writing failed: {why}"
            ))),
        }
    }

    /// Notes a failed write; passes the error on. A full disk is an answer, not a failure.
    pub fn note(&self, error: Error) -> Error {
        if matches!(error, Error::Io(_) | Error::Corrupt(_)) {
            sync::lock(&self.0).get_or_insert_with(|| error.to_string());
        }
        error
    }

    /// Notes a panic of this thread while the result lives: what it left half changed must not be written.
    pub fn guard(&self) -> Guard<'_> {
        Guard {
            poison: self,
            panicking: std::thread::panicking(),
        }
    }
}

/// See [`Poison::guard`].
pub struct Guard<'a> {
    poison: &'a Poison,
    /// Whether the thread was unwinding before.
    panicking: bool,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() && !self.panicking {
            sync::lock(&self.poison.0).get_or_insert_with(|| "a thread panicked".into());
        }
    }
}
