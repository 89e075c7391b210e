//! After a failed write or sync, or a panic, nobody knows what the disk or the memory holds: the store takes no more changes
//! until it is opened again. What can be read is still read.

use crate::error::{Error, Result};
use crate::store::Store;
use cawdb_disk::sync;
use cawdb_disk::sync::Mutex;
use std::any::Any;

/// Remembers the first failure.
#[derive(Default)]
pub struct Poison(Mutex<Option<String>>);

impl Poison {
    /// An error if something failed before.
    ///
    /// # Errors
    /// [`Error::Io`] that names the first failure.
    pub fn check(&self) -> Result<()> {
        match self.why() {
            None => Ok(()),
            Some(why) => Err(Error::Io(format!(
                "the store is read-only until it is opened again, because {why}"
            ))),
        }
    }

    /// The first failure.
    pub fn why(&self) -> Option<String> {
        sync::lock(&self.0).clone()
    }

    /// Notes a failure, and says so in the log if it is the first.
    pub fn fail(&self, why: impl FnOnce() -> String) {
        let mut first = sync::lock(&self.0);
        if first.is_none() {
            let why = why();
            tracing::error!(
                "the store takes no more changes until it is opened again, because {why}"
            );
            *first = Some(why);
        }
    }

    /// Notes a failed write; passes the error on. A full disk is an answer, not a failure.
    pub fn note(&self, error: Error) -> Error {
        if matches!(error, Error::Io(_) | Error::Corrupt(_)) {
            self.fail(|| format!("writing failed: {error}"));
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

impl Store {
    /// Notes that `what` panicked, with what its thread had to say: the store takes no more changes until it is opened
    /// again, lest something half changed is written. For whoever catches panics of code that uses the store.
    pub fn panicked(&self, what: &str, said: &(dyn Any + Send)) {
        let said = said
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| said.downcast_ref::<&str>().copied())
            .unwrap_or("no words");
        self.0.poison.fail(|| format!("{what} panicked: {said}"));
    }

    /// Why the store takes no more changes, if so: the first write that failed, or a panic.
    pub fn failure(&self) -> Option<String> {
        self.0.poison.why()
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
            let thread = std::thread::current();
            let name = thread.name().unwrap_or("without a name").to_owned();
            self.poison
                .fail(|| format!("the thread {name} panicked in the engine"));
        }
    }
}
