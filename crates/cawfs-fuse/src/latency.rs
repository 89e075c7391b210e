//! How long requests take, by kind, and what they waited for.
//!
//! Measured from the moment a request was read to the moment its answer is ready. What the kernel does before and
//! after, and how long it lets a request wait in its queue, does not show here.

use cawfs_fs::meter::{self, Spent};
use cawfs_fs::{Histogram, Times};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Operations by their number in the protocol; those without a name have no answer to wait for.
const NAMES: [&str; 54] = [
    "",
    "lookup",
    "",
    "getattr",
    "setattr",
    "readlink",
    "symlink",
    "",
    "mknod",
    "mkdir",
    "unlink",
    "rmdir",
    "rename",
    "link",
    "open",
    "read",
    "write",
    "statfs",
    "release",
    "",
    "fsync",
    "setxattr",
    "getxattr",
    "listxattr",
    "removexattr",
    "",
    "",
    "opendir",
    "readdir",
    "releasedir",
    "fsyncdir",
    "",
    "",
    "",
    "",
    "create",
    "",
    "",
    "",
    "ioctl",
    "",
    "",
    "",
    "fallocate",
    "readdirplus",
    "rename",
    "lseek",
    "copy",
    "",
    "",
    "syncfs",
    "tmpfile",
    "statx",
    "copy",
];

/// What requests of one kind took.
#[derive(Debug, Clone, Copy)]
pub struct RequestTimes {
    /// The kind.
    pub name: &'static str,
    /// All in all.
    pub times: Times,
    /// The longest wait of a single request, for each reason.
    pub longest: Spent,
}

#[derive(Debug, Default)]
struct Kind {
    total: Histogram,
    longest: Mutex<Spent>,
}

/// Times of all requests since the mount.
#[derive(Debug)]
pub struct Latency {
    kinds: [Kind; NAMES.len()],
}

impl Default for Latency {
    fn default() -> Self {
        Self {
            kinds: std::array::from_fn(|_| Kind::default()),
        }
    }
}

impl Latency {
    /// Does what a request of the kind `opcode` asks for, and adds how long it took.
    pub fn measure<T>(&self, opcode: u32, work: impl FnOnce() -> T) -> T {
        let named = NAMES.get(opcode as usize).filter(|name| !name.is_empty());
        let Some(_) = named else { return work() };
        let (before, begun) = (meter::spent(), Instant::now());
        let result = work();
        let kind = &self.kinds[opcode as usize];
        kind.total.add(begun.elapsed());
        let waited = meter::spent() - before;
        if waited != Spent::default() {
            let mut longest = kind.longest.lock().unwrap_or_else(PoisonError::into_inner);
            *longest = greatest(*longest, waited);
        }
        result
    }

    /// The kinds that there were, in the order of their names.
    pub fn report(&self) -> Vec<RequestTimes> {
        let kinds = NAMES.iter().zip(&self.kinds).map(|(name, kind)| {
            let longest = *kind.longest.lock().unwrap_or_else(PoisonError::into_inner);
            RequestTimes {
                name,
                times: kind.total.times(),
                longest,
            }
        });
        let mut kinds: Vec<_> = kinds.filter(|kind| kind.times.count > 0).collect();
        // Old and new forms of an operation are one kind to people: a kernel uses one of them.
        kinds.sort_by_key(|kind| (kind.name, std::cmp::Reverse(kind.times.count)));
        kinds.dedup_by_key(|kind| kind.name);
        kinds
    }
}

fn greatest(a: Spent, b: Spent) -> Spent {
    let max = |f: fn(&Spent) -> Duration| f(&a).max(f(&b));
    Spent {
        disk: max(|s| s.disk),
        lock: max(|s| s.lock),
        throttle: max(|s| s.throttle),
        durability: max(|s| s.durability),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cawfs_fs::meter::Reason;

    #[test]
    fn kinds_and_reasons_are_kept_apart() {
        let latency = Latency::default();
        let nap = || std::thread::sleep(Duration::from_millis(5));
        latency.measure(16, || meter::wait(Reason::Throttle, nap));
        latency.measure(16, || meter::wait(Reason::Disk, nap));
        latency.measure(1, || ());
        latency.measure(2, nap);
        latency.measure(4711, nap);
        let report = latency.report();
        let names: Vec<_> = report.iter().map(|k| (k.name, k.times.count)).collect();
        assert_eq!(names, [("lookup", 1), ("write", 2)]);
        let write = report[1].longest;
        let least = Duration::from_millis(5);
        assert!(write.throttle >= least && write.disk >= least, "{write:?}");
        assert_eq!(write.lock, Duration::ZERO);
        assert_eq!(report[0].longest, Spent::default());
    }
}
