//! The thread that makes the kernel forget nodes which nobody uses: when there are more than our memory is for, and when the
//! tree they were in is removed.
//!
//! ```text
//!   request makes a node ─► more than the budget? ─► thread: the oldest idle ones ─► PRUNE ─► kernel: FORGET, in its
//!                                                      └────────── until there are few ◄──── own time, to the readers
//! ```
//! The kernel remembers names and inodes for as long as it has memory, and each is a node here. PRUNE (protocol 7.45) drops
//! what is not in use, many at a time and without a directory's lock. Older kernels get a notification for each name;
//! it drops names that are in use as well, which would make a process lose its working directory, so directories
//! are spared.
//!
//! Invariant: this thread holds no lock of ours while it talks to the kernel, and nobody waits for it.

use crate::connection::{Connection, Notice};
use cawfs_fs::{Aged, FileType, Fs, NodeId};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Nodes that are looked for at a time, to be forgotten.
const BATCH: usize = 2048;
/// The kernel's time to hand over what it forgot, before more is asked of it; doubled whenever it forgot little.
const PAUSE: Duration = Duration::from_millis(1);
/// Nodes in one message. The kernel takes some 4 µs for each, and what it forgot comes as one message to the thread
/// that answers, which is woken on this processor more often than not, and gets up to sixteen such messages before a request.
const PIECE: usize = 16;
/// What whoever removed a tree gets to take his answer, before its nodes are gathered and forgotten: that takes some 0.3 s for 50,000,
/// and where the scheduler puts this thread on his processor, or on that of the thread which answers, he would wait for it.
const ANSWER: Duration = Duration::from_millis(2);
/// The longest of these.
const LONGEST_PAUSE: Duration = Duration::from_millis(256);

#[derive(Default)]
struct Orders {
    wanted: bool,
    /// Tops of trees that were removed, and when.
    removed: Vec<(NodeId, Instant)>,
    ended: bool,
}

impl Orders {
    /// How long from `now` on until there is something to do; none while nothing is ordered.
    fn rest(&self, now: Instant) -> Option<Duration> {
        if self.wanted || self.ended {
            return Some(Duration::ZERO);
        }
        let first = self.removed.first()?.1;
        Some((first + ANSWER).saturating_duration_since(now))
    }

    /// Takes the trees whose removal was answered meanwhile.
    fn take_removed(&mut self, now: Instant) -> Vec<NodeId> {
        let due = self.removed.partition_point(|(_, at)| *at + ANSWER <= now);
        self.removed.drain(..due).map(|(top, _)| top).collect()
    }
}

struct Shared {
    fs: Arc<Fs>,
    connection: Arc<Connection>,
    orders: Mutex<Orders>,
    changed: Condvar,
    /// Spares those who call often the lock.
    awake: AtomicBool,
    /// The kernel does not know PRUNE.
    by_name: AtomicBool,
}

/// The running thread. It must be ended, as it holds the file system.
pub struct Pruner {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// Wakes the thread; cheap to clone.
#[derive(Clone)]
pub struct Waker(Arc<Shared>);

impl Waker {
    /// To be called after a request that made a node: sees to it that the table keeps its budget.
    pub fn look(&self) {
        if !self.0.awake.load(Relaxed) && self.0.fs.handle_memory().is_over() {
            self.0.awake.store(true, Relaxed);
            self.0.orders().wanted = true;
            self.0.changed.notify_all();
        }
    }

    /// Has all nodes of a removed tree forgotten, soon, but not before whoever removed it could take his answer. Only for kernels that know PRUNE.
    pub fn forget_tree(&self, top: NodeId) {
        self.0.orders().removed.push((top, Instant::now()));
        self.0.changed.notify_all();
    }
}

impl Pruner {
    /// Starts the thread.
    ///
    /// # Errors
    /// If no thread can be had.
    pub fn start(connection: Arc<Connection>, fs: Arc<Fs>) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            fs,
            connection,
            orders: Mutex::default(),
            changed: Condvar::new(),
            awake: AtomicBool::new(false),
            by_name: AtomicBool::new(false),
        });
        let running = shared.clone();
        let thread = std::thread::Builder::new().name("cawfs-prune".into());
        let thread = Some(thread.spawn(move || running.run())?);
        Ok(Self { shared, thread })
    }

    /// What wakes it.
    pub fn waker(&self) -> Waker {
        Waker(self.shared.clone())
    }
}

impl Drop for Pruner {
    fn drop(&mut self) {
        self.shared.orders().ended = true;
        self.shared.changed.notify_all();
        if self.thread.take().is_some_and(|t| t.join().is_err()) {
            tracing::error!("the thread that prunes had panicked");
        }
    }
}

impl Shared {
    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut pause = PAUSE;
        while let Some(removed) = self.next_orders() {
            if !removed.into_iter().all(|top| self.forget_tree(top)) {
                return;
            }
            if !std::mem::take(&mut self.orders().wanted) {
                continue;
            }
            loop {
                let before = self.fs.handle_memory();
                if !before.is_near() {
                    self.awake.store(false, Relaxed);
                    break;
                }
                let aged = self.fs.aged_nodes(before.surplus().min(BATCH));
                let asked = aged.len();
                if !self.forget(aged) || !self.wait(pause, |_| true) {
                    return;
                }
                let dropped = self.fs.handle_memory().dropped - before.dropped;
                pause = match asked > 0 && dropped >= asked as u64 / 4 {
                    true => PAUSE,
                    false => (pause * 2).min(LONGEST_PAUSE),
                };
            }
        }
    }

    /// Waits for something to do; the trees that are to be forgotten. None if the thread is to end.
    fn next_orders(&self) -> Option<Vec<NodeId>> {
        let mut orders = self.orders();
        loop {
            let now = Instant::now();
            match orders.rest(now) {
                Some(Duration::ZERO) => break (!orders.ended).then(|| orders.take_removed(now)),
                rest => {
                    let rest = rest.unwrap_or(Duration::MAX);
                    let waited = self.changed.wait_timeout(orders, rest);
                    orders = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    /// Waits while `waiting`, at most so long; false if the thread is to end.
    fn wait(&self, time: Duration, mut waiting: impl FnMut(&Orders) -> bool) -> bool {
        let waiting = |orders: &mut Orders| !orders.ended && waiting(orders);
        let waited = self
            .changed
            .wait_timeout_while(self.orders(), time, waiting);
        !waited.unwrap_or_else(PoisonError::into_inner).0.ended
    }

    /// Asks the kernel to forget a removed tree, from the leaves up; false if it is gone.
    fn forget_tree(&self, top: NodeId) -> bool {
        self.fs.nodes_below(top, PIECE).all(|some| {
            let told = self.prune(some.into_iter());
            told.is_ok() && self.wait(Duration::ZERO, |_| true)
        })
    }

    /// Has the kernel forget some nodes; who was woken by that on this processor goes first then.
    fn prune(&self, nodes: impl Iterator<Item = NodeId>) -> io::Result<()> {
        let told = self
            .connection
            .notify(&Notice::Prune(nodes.map(|node| node.0).collect()));
        std::thread::yield_now();
        told
    }

    /// Asks the kernel to forget nodes; false if it is gone.
    fn forget(&self, aged: Vec<Aged>) -> bool {
        if aged.is_empty() {
            return true;
        }
        if !self.by_name.load(Relaxed) {
            match aged
                .chunks(PIECE)
                .try_for_each(|some| self.prune(some.iter().map(|a| a.node)))
            {
                Err(e) if e.kind() == io::ErrorKind::Unsupported => {
                    tracing::info!("the kernel cannot prune; it is told to forget name by name");
                    self.by_name.store(true, Relaxed);
                }
                Err(error) => {
                    tracing::debug!(%error, "pruning ends");
                    return false;
                }
                Ok(()) => return true,
            }
        }
        let files = aged.into_iter().filter(|a| a.kind != FileType::Directory);
        for (parent, name) in files.filter_map(|a| a.entry) {
            let name = name.to_vec();
            let notice = Notice::Entry {
                parent: parent.0,
                name,
                expire: false,
            };
            // A directory that is not empty, or gone: nothing to forget there.
            if let Err(error) = self.connection.notify(&notice) {
                tracing::debug!(%error, "a name stays");
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removal_is_answered_before_its_nodes_are_gathered() {
        let (mut orders, now) = (Orders::default(), Instant::now());
        assert_eq!(orders.rest(now), None);
        let later = now + ANSWER / 2;
        orders.removed = vec![(NodeId(7), now), (NodeId(9), later)];
        assert_eq!(orders.rest(now), Some(ANSWER));
        assert!(orders.take_removed(later).is_empty());
        // Memory does not wait for it.
        orders.wanted = true;
        assert_eq!(orders.rest(later), Some(Duration::ZERO));
        assert!(orders.take_removed(later).is_empty());
        orders.wanted = false;
        assert_eq!(orders.take_removed(now + ANSWER), [NodeId(7)]);
        assert_eq!(orders.rest(now + ANSWER), Some(ANSWER / 2));
        assert_eq!(orders.take_removed(later + ANSWER), [NodeId(9)]);
        assert_eq!(orders.rest(later + ANSWER), None);
        orders.ended = true;
        assert_eq!(orders.rest(now), Some(Duration::ZERO));
    }
}
