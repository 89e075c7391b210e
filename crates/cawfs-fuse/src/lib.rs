//! The adapter between the kernel's FUSE and the file system.
