//! What was done since the mount, for statistics.

use crate::locks::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($name:ident),* $(,)?) => {
        /// Counts since the mount; each only rises.
        #[derive(Debug, Default)]
        pub struct Counters { $(pub(crate) $name: AtomicU64),* }

        impl Counters {
            /// Names and values of all counts.
            pub fn all(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.load(Ordering::Relaxed))),*]
            }
        }
    };
}

counters! {
    lookups, creates, links, bodies_made, bodies_unmade, bodies_moved, bodies_cloned, bodies_in_ranges, back_references_moved, removes, renames, setattrs, xattr_changes, opens, opendirs, listed,
    reads, read_bytes, writes, written_bytes, copied_bytes, shared_bytes, clones, trees_removed, syncs,
}

/// Adds to a count.
pub(crate) fn add(counter: &AtomicU64, value: u64) {
    counter.fetch_add(value, Ordering::Relaxed);
}
