//! The Bε-DAG: cut, clone, flush, merge, rebase, split, join, trim, release.
