//! Errors for people: what failed and where, and what to do about it.
//!
//! ```text
//! cawfs clone: /srv/a: it is not on a cawfs mount
//!        hint: mount a store there with: cawfs mount STORE DIR
//! ```

use std::io;
use std::path::Path;
use std::process::ExitCode;

/// Exit code: the operation failed.
pub const FAILED: u8 = 1;
/// Exit code: the command makes no sense.
pub const USAGE: u8 = 2;

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// What failed, where, why.
    pub text: String,
    /// What to do.
    pub hint: Option<String>,
    /// Whether bytes in the store are not what was written.
    pub damaged: bool,
}

impl Failure {
    /// A failure with exit code 1.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            code: FAILED,
            text: text.into(),
            hint: None,
            damaged: false,
        }
    }

    /// A failure of the command line itself.
    pub fn usage(text: impl Into<String>) -> Self {
        Self {
            code: USAGE,
            ..Self::new(text)
        }
    }

    /// A failure at a path.
    pub fn at(path: &Path, why: impl std::fmt::Display) -> Self {
        Self::new(format!("{}: {why}", path.display()))
    }

    /// A failed system call at a path, in the words of the system; a mount whose daemon has died is explained.
    pub fn io(path: &Path, doing: &str, e: impl Into<io::Error>) -> Self {
        let e = e.into();
        match crate::mounts::is_stale(&e) {
            true => crate::control::stale(path),
            false => Self::at(path, format_args!("{doing}: {}", plain(&e))),
        }
    }

    /// Adds what to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Replaces the exit code.
    pub fn code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// Prints it for a command and gives the exit code.
    pub fn report(&self, verb: &str) -> ExitCode {
        eprintln!("cawfs {verb}: {}", self.text);
        if let Some(hint) = &self.hint {
            let margin = "cawfs ".len() + verb.len();
            eprintln!("{:>margin$}: {hint}", "hint");
        }
        ExitCode::from(self.code)
    }
}

/// An error of the system without its number.
pub fn plain(e: &io::Error) -> String {
    let text = e.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    match letters.next() {
        // "No such file" reads better in the middle of a line as "no such file".
        Some(first) if letters.clone().next().is_some_and(char::is_lowercase) => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => text.to_owned(),
    }
}
