//! POSIX files and directories on full-path keys.
