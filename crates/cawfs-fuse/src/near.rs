//! Keeps the thread that serves on the processor of the client that waits for it.
//!
//! ```text
//!   together   client asks · sleeps ─► daemon serves · replies · sleeps ─► client       one processor, two switches
//!   apart      client asks · wakes another processor … which wakes the first one …      each way as long as a disk read
//! ```
//! Both arrangements last: a scheduler lets a thread wake where it slept. In a virtual machine a trip costs 10 µs in the first and
//! 50 to 200 µs in the second. So after some requests the thread looks where its client sleeps, and if that is elsewhere it goes there. It may run
//! everywhere again at once: the scheduler stays free to part them, and where it does so time and again it is left alone more and more.
//!
//! Large reads and writes do not count, because there client and daemon work at the same time.
//!
//! Invariant: after a look the thread may run where it might before.

use crate::wire::{Op, Request};
use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

/// Requests between two looks, of which each costs as much as one: after a move, while all is well, and at most, where the
/// scheduler parts them again and again.
const LOOK_SOON: u32 = 128;
const LOOK_EVERY: u32 = 512;
const LOOK_RARELY: u32 = 4096;
/// From so many bytes on a read or write is a part of a stream.
const BULK: usize = 64 << 10;

/// What one thread knows of where its clients are.
pub struct Near {
    trips: u32,
    every: u32,
    moved: bool,
}

impl Default for Near {
    fn default() -> Self {
        Self {
            trips: 0,
            every: LOOK_SOON,
            moved: false,
        }
    }
}

impl Near {
    /// To be told of each request before it is served, while its caller waits.
    pub fn serves(&mut self, request: &Request<'_>) {
        if !self.is_due(&request.op, request.header.pid) {
            return;
        }
        let Some(cpu) = processor_of(request.header.pid) else {
            return;
        };
        let apart = cpu != sched_getcpu();
        self.found(apart);
        self.moved = apart && go(cpu);
    }

    /// Counts a request of a process; whether it is time to look.
    fn is_due(&mut self, op: &Option<Op<'_>>, process: u32) -> bool {
        if is_bulk(op) {
            self.trips = 0;
            return false;
        }
        self.trips += 1;
        let due = self.trips >= self.every && process != 0 && waits(op);
        if due {
            self.trips = 0;
        }
        due
    }

    /// Decides how soon to look again.
    fn found(&mut self, apart: bool) {
        self.every = match (apart, self.moved) {
            (false, _) => LOOK_EVERY,
            (true, false) => LOOK_SOON,
            (true, true) => (self.every * 2).min(LOOK_RARELY),
        };
    }
}

fn is_bulk(op: &Option<Op<'_>>) -> bool {
    match op {
        Some(Op::Read { size, .. }) => *size as usize >= BULK,
        Some(Op::Write { data, .. }) => data.len() >= BULK,
        _ => false,
    }
}

/// Whether the caller waits for the answer.
fn waits(op: &Option<Op<'_>>) -> bool {
    use Op::{BatchForget, Forget, Interrupt, Release, ReleaseDir};
    !matches!(
        op,
        Some(Forget { .. } | BatchForget { .. } | Interrupt | Release { .. } | ReleaseDir { .. })
    )
}

/// The processor on which a thread runs, or ran before it slept. None if we may not know.
fn processor_of(thread: u32) -> Option<usize> {
    let text = std::fs::read(format!("/proc/{thread}/stat")).ok()?;
    parse_processor(&text)
}

/// The 39th field of the kernel's line about a thread. The second is its name in parentheses, with anything in it.
fn parse_processor(line: &[u8]) -> Option<usize> {
    let behind_name = line.iter().rposition(|&b| b == b')')? + 1;
    let rest = std::str::from_utf8(line.get(behind_name..)?).ok()?;
    rest.split_ascii_whitespace().nth(39 - 3)?.parse().ok()
}

/// Moves this thread to a processor, if it may run there; false if it may not.
fn go(cpu: usize) -> bool {
    let Ok(allowed) = sched_getaffinity(None) else {
        return false;
    };
    if cpu >= CpuSet::MAX_CPU || !allowed.is_set(cpu) {
        return false;
    }
    let mut there = CpuSet::new();
    there.set(cpu);
    let moved = sched_setaffinity(None, &there).is_ok();
    if moved && let Err(e) = sched_setaffinity(None, &allowed) {
        tracing::warn!(error = %e, cpu, "a thread stays on one processor");
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn a_name_may_hold_anything() {
        let fields: Vec<String> = (3..=52).map(|n| n.to_string()).collect();
        let line = format!("17 (a) b 1 2) {}\n", fields.join(" "));
        assert_eq!(parse_processor(line.as_bytes()), Some(39));
        assert_eq!(parse_processor(b"17 (a) S 1 2"), None);
        assert_eq!(parse_processor(b""), None);
    }

    #[test]
    fn a_thread_goes_where_its_client_sleeps_and_stays_free() {
        let allowed = sched_getaffinity(None).unwrap();
        for cpu in (0..CpuSet::MAX_CPU).filter(|&cpu| allowed.is_set(cpu)) {
            let (told, tid) = channel();
            let (end, ended) = channel::<()>();
            let client = std::thread::spawn(move || {
                assert!(go(cpu));
                told.send(rustix::thread::gettid()).unwrap();
                let _ = ended.recv();
            });
            let tid = tid.recv().unwrap().as_raw_nonzero().get() as u32;
            // It may be seen a moment before it sleeps, and be moved when it wakes; it tells of one processor that is allowed.
            let there = processor_of(tid).unwrap();
            assert!(allowed.is_set(there));
            assert!(go(there));
            assert_eq!(sched_getaffinity(None).unwrap(), allowed);
            drop(end);
            client.join().unwrap();
        }
        assert!(!go(CpuSet::MAX_CPU));
        assert_eq!(processor_of(u32::MAX), None);
    }

    #[test]
    fn it_looks_rarely_where_looking_changes_nothing() {
        let next = |near: &mut Near| (1..).find(|_| near.is_due(&Some(Op::GetAttr), 7));
        let mut near = Near::default();
        assert_eq!(next(&mut near), Some(LOOK_SOON));
        near.found(false);
        assert_eq!(next(&mut near), Some(LOOK_EVERY));
        near.found(true);
        near.moved = true;
        assert_eq!(next(&mut near), Some(LOOK_SOON));
        (0..20).for_each(|_| near.found(true));
        assert_eq!(next(&mut near), Some(LOOK_RARELY));
        near.found(false);
        assert_eq!(next(&mut near), Some(LOOK_EVERY));
    }

    #[test]
    fn streams_and_what_nobody_waits_for_are_let_be() {
        let mut near = Near::default();
        for _ in 0..10 {
            assert!((1..LOOK_SOON).all(|_| !near.is_due(&Some(Op::GetAttr), 7)));
            let stream = Op::Read {
                fh: 0,
                offset: 0,
                size: BULK as u32,
                flags: 0,
            };
            assert!(!near.is_due(&Some(stream), 7));
        }
        assert!((1..LOOK_SOON).all(|_| !near.is_due(&Some(Op::GetAttr), 7)));
        assert!(!near.is_due(&Some(Op::Release { fh: 1 }), 7));
        assert!(!near.is_due(&Some(Op::GetAttr), 0));
        assert!(near.is_due(&Some(Op::GetAttr), 7));
    }
}
