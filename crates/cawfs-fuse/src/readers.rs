//! The threads that serve a mount: one sits at the device, the others wait for its seat.
//!
//! A request costs one wake-up of the thread that reads the device, and the wake-up is cheap only
//! for the thread that just ran, near the client. So exactly one thread reads and serves what it
//! reads itself. It gives the seat away in two cases: before an operation that is known to block
//! (sync, clone, copy), and when the watchdog finds it still in the same request after a beat (a
//! read from a cold disk). So nobody waits long for another's disk, and nobody pays for threads
//! that have nothing to do.
//!
//! ```text
//! seat: even = reading (or nobody serves), odd = serving; it only grows
//!   reader:   read · n → n+1 · serve · n+1 → n+2 ?  no: the seat was given away, stand in line
//!   watchdog: same odd n at two beats · n → n+1 · wake the next in line
//! ```
//!
//! Invariant: at most one thread believes that it holds the seat, since it only keeps it by an
//! atomic exchange of the number it saw.

use crate::awake::Awake;
use crate::buffers::Buffers;
use crate::connection::{Answer, Connection};
use crate::near::Near;
use crate::wire::{Op, Request};
use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// What answers requests.
pub trait Service: Send + Sync + 'static {
    /// Answers one request; an error is a positive errno.
    ///
    /// # Errors
    /// The errno that the caller gets.
    fn serve(&self, request: &Request<'_>) -> Result<Answer, i32>;

    /// Hears that the answering of a request panicked, and what was said. The caller gets EIO.
    fn panicked(&self, request: &str, said: &(dyn Any + Send));
}

/// How long a request may keep the seat.
const BEAT: Duration = Duration::from_millis(1);
/// After this long without a request the watchdog sleeps until the next one.
const QUIET: Duration = Duration::from_millis(200);
/// Threads kept waiting in line.
const SPARE: usize = 3;

#[derive(Default)]
struct Line {
    seat_taken: bool,
    waiting: usize,
    alive: usize,
    ended: bool,
    failure: Option<io::Error>,
}

struct Shared<S> {
    connection: Arc<Connection>,
    service: Arc<S>,
    buffers: Arc<Buffers>,
    line: Mutex<Line>,
    changed: Condvar,
    seat: AtomicU64,
    dozing: AtomicBool,
}

/// Serves the connection until the mount is gone, and tells `awake` how many requests come.
///
/// # Errors
/// The failure of the device that ended it, or of starting threads.
pub fn serve<S: Service>(
    connection: Arc<Connection>,
    service: Arc<S>,
    awake: Awake,
) -> io::Result<()> {
    let shared = Arc::new(Shared {
        connection,
        service,
        buffers: Arc::default(),
        line: Mutex::default(),
        changed: Condvar::new(),
        seat: AtomicU64::new(0),
        dozing: AtomicBool::new(false),
    });
    let guard = shared.clone();
    let watchdog = std::thread::Builder::new()
        .name("cawfs-watch".into())
        .spawn(move || guard.watch(awake))?;
    for _ in 0..2 {
        shared.clone().spawn(watchdog.thread().clone())?;
    }
    let mut line = shared.line();
    while line.alive > 0 {
        line = shared
            .changed
            .wait(line)
            .unwrap_or_else(PoisonError::into_inner);
    }
    let failure = line.failure.take();
    drop(line);
    watchdog.thread().unpark();
    let _ = watchdog.join();
    failure.map_or(Ok(()), Err)
}

impl<S: Service> Shared<S> {
    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(self: Arc<Self>, watchdog: Thread) -> io::Result<()> {
        self.line().alive += 1;
        let shared = self.clone();
        let thread = std::thread::Builder::new().name("cawfs-fuse".into());
        let spawned = thread.spawn(move || {
            let read = catch_unwind(AssertUnwindSafe(|| shared.read_on(&watchdog)));
            if read.is_err() {
                // It may have had the seat: better no mount than one that hangs.
                shared.end(Some(io::Error::other(
                    "a thread that reads requests panicked",
                )));
            }
            shared.line().alive -= 1;
            shared.changed.notify_all();
        });
        if spawned.is_err() {
            self.line().alive -= 1;
        }
        spawned.map(drop)
    }

    /// Stands in line until the seat is free. False if the thread is not needed any more.
    fn sit(&self) -> bool {
        let mut line = self.line();
        if line.waiting >= SPARE && line.seat_taken {
            return false;
        }
        line.waiting += 1;
        while line.seat_taken && !line.ended {
            line = self
                .changed
                .wait(line)
                .unwrap_or_else(PoisonError::into_inner);
        }
        line.waiting -= 1;
        line.seat_taken |= !line.ended;
        !line.ended
    }

    fn read_on(self: &Arc<Self>, watchdog: &Thread) {
        let (mut buffer, mut near) = (self.buffers.take(), Near::default());
        while self.sit() {
            loop {
                let length = match self.connection.receive(&mut buffer) {
                    Ok(Some(n)) => n,
                    Ok(None) => return self.end(None),
                    Err(e) => return self.end(Some(e)),
                };
                let serving = self.seat.fetch_add(1, SeqCst) + 1;
                if self.dozing.swap(false, SeqCst) {
                    watchdog.unpark();
                }
                let lent = self.buffers.lend(&mut buffer, length);
                let request = match &lent {
                    Some(message) => Request::parse_owned(message),
                    None => Request::parse(buffer.get(..length).unwrap_or_default()),
                };
                if let Some(request) = &request {
                    near.serves(request);
                }
                if self.handle(request, serving, watchdog) {
                    break;
                }
            }
        }
    }

    /// Serves one message; true if the seat is gone meanwhile.
    fn handle(
        self: &Arc<Self>,
        request: Option<Request<'_>>,
        serving: u64,
        watchdog: &Thread,
    ) -> bool {
        let Some(request) = request else {
            tracing::error!("a message without a whole header");
            return self
                .seat
                .compare_exchange(serving, serving + 1, SeqCst, SeqCst)
                .is_err();
        };
        let given = blocks(&request) && self.give_seat(serving, watchdog);
        let answer = catch_unwind(AssertUnwindSafe(|| self.service.serve(&request)));
        let answer = answer.unwrap_or_else(|said| {
            tracing::error!(header = ?request.header, "a panic while serving a request");
            let what = format!("a request ({})", request.name());
            self.service.panicked(&what, &*said);
            Err(libc::EIO)
        });
        self.connection.reply(request.header.unique, answer);
        given
            || self
                .seat
                .compare_exchange(serving, serving + 1, SeqCst, SeqCst)
                .is_err()
    }

    /// Frees the seat of whoever serves under this number; makes sure that somebody takes it.
    fn give_seat(self: &Arc<Self>, serving: u64, watchdog: &Thread) -> bool {
        if self
            .seat
            .compare_exchange(serving, serving + 1, SeqCst, SeqCst)
            .is_err()
        {
            return true;
        }
        let mut line = self.line();
        line.seat_taken = false;
        let alone = line.waiting == 0;
        drop(line);
        self.changed.notify_all();
        // If no thread can be had, the next one to finish its request sits down.
        if alone && let Err(e) = self.clone().spawn(watchdog.clone()) {
            tracing::warn!(error = %e, "no further thread for the mount");
        }
        true
    }

    fn end(&self, failure: Option<io::Error>) {
        let mut line = self.line();
        line.ended = true;
        line.seat_taken = false;
        line.failure = failure;
        drop(line);
        self.changed.notify_all();
    }

    /// Gives the seat away whenever its holder has been in one request for a whole beat.
    fn watch(self: &Arc<Self>, mut awake: Awake) {
        let (mut last, mut since) = (0, Instant::now());
        while !self.line().ended {
            let seat = self.seat.load(SeqCst);
            let now = Instant::now();
            awake.tick(seat / 2, now);
            if seat != last {
                (last, since) = (seat, now);
            } else if seat % 2 == 1 && since.elapsed() >= BEAT {
                self.give_seat(seat, &std::thread::current());
            } else if since.elapsed() > QUIET {
                self.dozing.store(true, SeqCst);
                if self.seat.load(SeqCst) == seat {
                    // Bounded, so that the end is noticed even if nobody calls.
                    std::thread::park_timeout(Duration::from_secs(5));
                }
                self.dozing.store(false, SeqCst);
                since = Instant::now();
                continue;
            }
            std::thread::sleep(BEAT);
        }
    }
}

/// Whether an operation waits for the disk or for other requests as a rule.
fn blocks(request: &Request<'_>) -> bool {
    use Op::{Copy, Fallocate, Fsync, FsyncDir, Ioctl, SyncFs};
    matches!(
        &request.op,
        Some(Fsync { .. } | FsyncDir | SyncFs | Ioctl { .. } | Copy { .. } | Fallocate { .. })
    )
}

#[cfg(test)]
mod tests;
