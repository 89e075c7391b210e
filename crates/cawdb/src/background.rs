//! The one place with threads: it reads ahead after opening, calls [`Store::tick`] while there is work, and syncs from time to time.
//! A thread that panics ends, and the store takes no more changes.

use crate::Store;
use crate::aside::{MUCH, PIECE};
use cawdb_disk::sync::{Condvar, Mutex};
use cawdb_disk::sync::{lock, wait_while};
use cawdb_node::KeyRange;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the worker rests when there is nothing to do.
const REST: Duration = Duration::from_millis(100);

/// Background threads of a store; they end when this is dropped.
pub struct Background {
    store: Store,
    stop: Arc<(Mutex<bool>, Condvar)>,
    threads: Vec<JoinHandle<()>>,
}

impl Background {
    /// Starts a thread that ticks, one that writes checkpoints when memory for changes is used up, and one that makes
    /// everything durable every `commit` at the latest.
    pub fn start(store: &Store, commit: Duration) -> Self {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        store.spare_reads(true);
        let ticking = spawn("cawdb-tick", store, &stop, move |store, stop| {
            let mut pace = Pace {
                at_opening: AT_OPENING,
                next_sweep: Instant::now() + AFTER_OPENING,
                written: (store.0.published.seq(), Instant::now()),
                not_before: Instant::now() + AFTER_OPENING,
            };
            while !rest(stop, REST) {
                work(store, stop, &mut pace);
            }
        });
        let syncing = spawn("cawdb-commit", store, &stop, move |store, stop| {
            while !rest(stop, commit) {
                if let Err(error) = store.commit_periodically() {
                    tracing::error!(%error, "periodic commit");
                }
            }
        });
        let checkpoints = spawn("cawdb-checkpoint", store, &stop, write_checkpoints);
        store.0.throttle.set_threads(checkpoints.is_some());
        Self {
            store: store.clone(),
            stop,
            threads: [ticking, syncing, checkpoints]
                .into_iter()
                .flatten()
                .collect(),
        }
    }
}

/// Reads, right after a store was opened, what its first users will want: the top of the tree, up to some MiB. Ends by itself, and at once when
/// this is dropped.
pub struct Warming {
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

impl Warming {
    /// Starts the thread; without one, everything is read when it is needed. What ranges are likely to be read or cloned `first`, it
    /// asks as soon as it has read the upper nodes.
    pub fn start(store: &Store, first: impl FnOnce() -> Vec<KeyRange> + Send + 'static) -> Self {
        let stop = Stop::default();
        let thread = spawn("cawdb-warm", store, &stop, move |store, stop| {
            warm_up(store, first, &|| !*lock(&stop.0));
        });
        Self { stop, thread }
    }

    /// Waits until it has ended.
    pub fn wait(mut self) {
        self.join();
    }

    fn join(&mut self) {
        if self.thread.take().is_some_and(|t| t.join().is_err()) {
            tracing::error!("the thread that reads ahead panicked");
        }
    }
}

impl Drop for Warming {
    fn drop(&mut self) {
        *lock(&self.stop.0) = true;
        self.join();
    }
}

/// What is read ahead of its users: so many bytes, and at most this part of the cache.
const WARM_BYTES: u64 = 8 << 20;
/// See [`WARM_BYTES`].
const WARM_SHARE: u64 = 8;
/// Ranges whose ends are read together.
const AT_ONCE: usize = 2;

/// Reads the upper nodes, then the way to both ends of each of `first`, then the rest of the top, while `go_on` says so. What cannot
/// be read is left to whoever needs it.
fn warm_up(store: &Store, first: impl FnOnce() -> Vec<KeyRange>, go_on: &dyn Fn() -> bool) {
    let (view, tree) = (store.snapshot(), &store.0.tree);
    let root = &view.pinned.view.root;
    let budget = WARM_BYTES.min(store.0.options.cache_bytes / WARM_SHARE);
    let top = tree.warm_nodes(root, budget, go_on);
    for range in first().chunks(AT_ONCE).take_while(|_| go_on()) {
        let _ = tree.warm_ends(root, range);
    }
    tree.warm_indexes(top, go_on);
}

type Stop = Arc<(Mutex<bool>, Condvar)>;

fn spawn(
    name: &str,
    store: &Store,
    stop: &Stop,
    run: impl FnOnce(&Store, &Stop) + Send + 'static,
) -> Option<JoinHandle<()>> {
    let (store, stop) = (store.clone(), stop.clone());
    let thread = std::thread::Builder::new()
        .name(name.into())
        .spawn(move || {
            let ran = catch_unwind(AssertUnwindSafe(|| run(&store, &stop)));
            if let Err(said) = ran {
                store.panicked("background work", &*said);
            }
        });
    thread
        .inspect_err(|error| tracing::error!(%error, "starting {name}"))
        .ok()
}

/// How long a checkpoint that failed is let be.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// When the next sweep over the tree may begin: a sweep looks at every node, so that sweeps get a quarter of the time
/// at most, and what others wait for comes first.
struct Pace {
    /// What of the sweep is still done at once.
    at_opening: u32,
    next_sweep: Instant,
    /// The last batch that was seen, and since when it is the last.
    written: (u64, Instant),
    /// Then the first users have had their time: what a journal brought back is not sealed, and merged, beside them.
    not_before: Instant,
}

impl Pace {
    /// Seals what was written once nobody has written for a moment: who clones it then need not.
    fn seal_idle(&mut self, store: &Store) -> crate::Result<()> {
        let seq = store.0.published.seq();
        if seq != self.written.0 {
            self.written = (seq, Instant::now());
        } else if self.written.1.elapsed() >= IDLE && Instant::now() >= self.not_before {
            store.0.seal_aside(MUCH, PIECE)?;
        }
        Ok(())
    }

    /// Spares reads no longer, once the first users had their time.
    fn spare_reads(&self, store: &Store) {
        if Instant::now() >= self.next_sweep {
            store.spare_reads(false);
        }
    }
}

/// How long nobody writes before what was written is sealed.
const IDLE: Duration = Duration::from_millis(100);
/// How long the first users of a store that was just opened have the disk to themselves.
const AFTER_OPENING: Duration = Duration::from_secs(2);
/// Nodes, and children of nodes, that a sweep looks at before that, so that it gets on also where a store is never open for longer. A
/// sweep comes to each node twice: for itself, and beside its neighbours.
const AT_OPENING: u32 = 16;

/// A sweep took so long; at least so many times as long is rested after it.
const REST_AFTER_SWEEP: u32 = 3;

/// Ticks until there is nothing to do, or an error: then it rests before it tries again.
fn work(store: &Store, stop: &Stop, pace: &mut Pace) {
    if let Err(error) = work_off(store, stop, pace) {
        tracing::error!(%error, "background work");
        rest(stop, Duration::from_secs(1));
    }
}

fn work_off(store: &Store, stop: &Stop, pace: &mut Pace) -> crate::Result<()> {
    // However long this takes: children that are not looked at are neither split nor joined.
    pace.seal_idle(store)?;
    while !*lock(&stop.0) && store.0.tick(false)? {
        pace.seal_idle(store)?;
        pace.spare_reads(store);
    }
    while pace.at_opening > 0 && !*lock(&stop.0) && store.0.tick(true)? {
        pace.at_opening -= 1;
    }
    pace.at_opening = 0;
    pace.spare_reads(store);
    if Instant::now() < pace.next_sweep {
        return Ok(());
    }
    let (begun, sweeps) = (Instant::now(), store.0.tree.counters.sweeps.get());
    while !*lock(&stop.0) && store.0.tick(true)? {
        pace.seal_idle(store)?;
        if store.0.tree.counters.sweeps.get() > sweeps {
            break;
        }
    }
    pace.next_sweep = Instant::now() + begun.elapsed() * REST_AFTER_SWEEP;
    Ok(())
}

/// Writes a checkpoint whenever one is asked for and due.
fn write_checkpoints(store: &Store, stop: &Stop) {
    let inner = &store.0;
    while !*lock(&stop.0) {
        inner.throttle.wait_until_asked(Duration::from_secs(1));
        if *lock(&stop.0) || !inner.checkpoint_due() {
            continue;
        }
        let written = inner.checkpoint_if(|| inner.checkpoint_due());
        inner
            .checkpoint_failed
            .store(written.is_err(), Ordering::Release);
        inner.throttle.freed();
        if let Err(error) = written {
            tracing::warn!(%error, "a checkpoint in the background");
            rest(stop, AFTER_FAILURE);
        }
    }
}

/// Waits; true if the store is being closed.
fn rest(stop: &Stop, time: Duration) -> bool {
    *wait_while(&stop.1, lock(&stop.0), time, |stop| !*stop)
}

impl Drop for Background {
    fn drop(&mut self) {
        *lock(&self.stop.0) = true;
        self.stop.1.notify_all();
        // Whoever waits for memory looks after it himself from now on.
        self.store.0.throttle.set_threads(false);
        self.store.0.throttle.freed();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a background thread panicked");
            }
        }
    }
}
