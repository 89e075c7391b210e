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
use std::time::Duration;

/// Nodes that the kernel is asked to forget at a time.
const BATCH: usize = 2048;
/// The kernel's time to hand over what it forgot, before more is asked of it; doubled whenever it forgot little.
const PAUSE: Duration = Duration::from_millis(1);
/// The longest of these.
const LONGEST_PAUSE: Duration = Duration::from_millis(256);

#[derive(Default)]
struct Orders {
    wanted: bool,
    /// Tops of trees that were removed.
    removed: Vec<NodeId>,
    ended: bool,
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

    /// Has all nodes of a removed tree forgotten, some time soon. Only for kernels that know PRUNE.
    pub fn forget_tree(&self, top: NodeId) {
        self.0.orders().removed.push(top);
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
        let idle = |orders: &Orders| !orders.wanted && orders.removed.is_empty();
        while self.wait(Duration::MAX, idle) {
            let removed = std::mem::take(&mut self.orders().removed);
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
        let nodes = self.fs.nodes_below(top);
        nodes.chunks(BATCH).all(|some| {
            let notice = Notice::Prune(some.iter().map(|node| node.0).collect());
            self.connection.notify(&notice).is_ok() && self.wait(Duration::ZERO, |_| true)
        })
    }

    /// Asks the kernel to forget nodes; false if it is gone.
    fn forget(&self, aged: Vec<Aged>) -> bool {
        if aged.is_empty() {
            return true;
        }
        if !self.by_name.load(Relaxed) {
            let nodes = aged.iter().map(|a| a.node.0).collect();
            match self.connection.notify(&Notice::Prune(nodes)) {
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
