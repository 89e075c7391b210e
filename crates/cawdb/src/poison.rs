//! After a failed write or sync nobody knows what the disk holds: the store answers errors until it is opened again.

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
}
