//! Rings that wait for the next request, and whether there are any to be had.
//!
//! Invariant: where requests fail again and again, one after the other, no more are made: what is the medium's fault is said to who reads the other way.

use super::flight::Ring;
use crate::sync::{Mutex, lock};

/// So many failures in a row mean that this does not work here.
const FAILURES: usize = 8;

/// Rings without a request.
#[derive(Default)]
pub(super) struct Rings(Mutex<Idle>);

#[derive(Default)]
struct Idle {
    rings: Vec<Ring>,
    /// Failures since the last success.
    failed: usize,
}

impl Rings {
    /// One, if there is one to be had.
    pub fn take(&self) -> Option<Ring> {
        let mut idle = lock(&self.0);
        if idle.failed >= FAILURES {
            return None;
        }
        let ring = idle.rings.pop().or_else(Ring::new);
        idle.failed += usize::from(ring.is_none());
        ring
    }

    /// Takes one back.
    pub fn put(&self, ring: Ring) {
        lock(&self.0).rings.push(ring);
    }

    /// Notes whether a request came to something.
    pub fn tell(&self, succeeded: bool) {
        let mut idle = lock(&self.0);
        idle.failed = match succeeded {
            true => 0,
            false => idle.failed + 1,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_fails_again_and_again_is_not_asked_any_more() {
        let rings = Rings::default();
        if rings.take().is_none() {
            return println!("this kernel refuses io_uring: there are no rings");
        }
        (1..FAILURES).for_each(|_| rings.tell(false));
        assert!(rings.take().is_some());
        rings.tell(true);
        (1..FAILURES).for_each(|_| rings.tell(false));
        assert!(rings.take().is_some(), "they were not in a row");
        rings.tell(false);
        assert!(rings.take().is_none());
    }
}
