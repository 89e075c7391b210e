//! The engine's face: open, read, commit, sync.

use crate::batch::Batch;
use crate::checkpoint::Anchors;
use crate::courtesy::Courtesy;
use crate::error::{Error, Result};
use crate::memtable::Memtable;
use crate::options::{CreateOptions, Options};
use crate::pending::Pending;
use crate::poison::Poison;
use crate::snapshot::{Scan, Snapshot};
use crate::stats::Recovery;
use crate::sync::Turns;
use crate::throttle::{Limits, Throttle};
use crate::view::Published;
use bytes::Bytes;
use cawdb_disk::sync::Mutex;
use cawdb_disk::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use cawdb_disk::{Access, Disk, FileDisk, Journal, RamDisk, SpaceMap, sync};
use cawdb_node::{KeyRange, Node, Shelf, WHOLE};
use cawdb_tree::{Roots, Tree};
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// The engine: an ordered map of byte strings whose ranges clone. Cheap to clone (a handle).
#[derive(Clone)]
pub struct Store(pub(crate) Arc<Inner>);

/// Everything behind the handle. Locks are taken in this order: checkpoint, journal, writer, and then those of
/// the floors below.
pub(crate) struct Inner {
    pub disk: Arc<dyn Disk>,
    pub space: Arc<SpaceMap>,
    pub shelf: Arc<Shelf>,
    pub tree: Tree,
    pub options: Options,
    pub published: Published,
    pub anchors: Mutex<Anchors>,
    pub journal: Mutex<Journal>,
    /// Who writes it for all who sync.
    pub turns: Turns,
    pub writer: Mutex<Writer>,
    pub poison: Poison,
    /// The last batch that is durable.
    pub durable: AtomicU64,
    /// The last batch that a durable checkpoint holds.
    pub checkpointed: AtomicU64,
    /// What clones since the last checkpoint weigh.
    pub cloned_bytes: AtomicU64,
    pub throttle: Throttle,
    pub courtesy: Courtesy,
    /// Sealed memtables, for as long as readers hold them.
    pub sealed: Mutex<Vec<Weak<Memtable>>>,
    /// Memory that the caller takes of the budget for what was read.
    pub charged: AtomicU64,
    /// Memory for unwritten changes.
    pub limits: Limits,
    /// The last checkpoint of the background threads could not be written.
    pub checkpoint_failed: AtomicBool,
    pub counters: StoreCounters,
    /// What was wrong when the store was opened, and was mended by that.
    pub mended_on_opening: Vec<crate::inspect::Finding>,
    /// What opening did.
    pub recovery: Recovery,
    /// First byte of the data area.
    pub data_start: u64,
    /// Space set aside for background work, in bytes.
    pub background_bytes: u64,
}

/// What only the writer knows.
pub(crate) struct Writer {
    /// The last batch.
    pub seq: u64,
    /// Batches that the journal does not hold yet.
    pub pending: Pending,
}

/// What the store did, beside what the tree and the disk count.
#[derive(Default)]
pub(crate) struct StoreCounters {
    pub ticks: AtomicU64,
    pub checkpoints: AtomicU64,
    pub journal_groups: AtomicU64,
    pub journal_batches: AtomicU64,
    pub replayed: AtomicU64,
    pub runs_written: AtomicU64,
    pub nodes_written: AtomicU64,
    pub written_bytes: AtomicU64,
}

/// How much room there is, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Space {
    /// Limit of the store.
    pub limit: u64,
    /// The limit, or what the store has and can still get from what is below, where that is less.
    pub total: u64,
    /// In use: on disk, plus what waits to be written.
    pub used: u64,
    /// What a caller may still write.
    pub available: u64,
}

impl Store {
    /// A new store in memory, for tests and scratch data.
    ///
    /// # Panics
    /// Never: memory can be formatted and opened.
    pub fn in_memory() -> Self {
        Self::in_memory_with(Options::default())
    }

    /// The same with other options.
    ///
    /// # Panics
    /// If the options are not valid.
    pub fn in_memory_with(options: Options) -> Self {
        let disk = Arc::new(RamDisk::new());
        let create = CreateOptions {
            journal_bytes: Some(4 << 20),
            ..CreateOptions::default()
        };
        Self::create(disk.clone(), &create).expect("memory can be formatted");
        Self::open(disk, options).expect("a new store opens")
    }

    /// Makes `disk` an empty store, whatever it held.
    ///
    /// # Errors
    /// If the disk cannot be written, or is too small.
    pub fn create(disk: Arc<dyn Disk>, options: &CreateOptions) -> Result<()> {
        crate::recovery::create(disk, options)
    }

    /// Opens the store on `disk`: the newest checkpoint, and then every batch in the journal after it.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is no store, [`Error::Corrupt`] if it is damaged, [`Error::Io`].
    pub fn open(disk: Arc<dyn Disk>, options: Options) -> Result<Self> {
        Ok(Self(Arc::new(crate::recovery::open(disk, options)?)))
    }

    /// Opens what is left of a damaged store, for reading only: the newest checkpoint that can be opened, be it an older
    /// one, and what of the journal can be applied. Second: what could not be had, one sentence each.
    ///
    /// # Errors
    /// As [`Self::open`], if no checkpoint can be opened.
    pub fn open_rescue(disk: &Arc<dyn Disk>, options: &Options) -> Result<(Self, Vec<String>)> {
        let (inner, notes) = crate::recovery::open_rescue(disk, options)?;
        Ok((Self(Arc::new(inner)), notes))
    }

    /// Makes a new store in a file or on a block device, and locks it while doing so.
    ///
    /// # Errors
    /// [`Error::Busy`] if it is open elsewhere; those of [`Self::create`].
    pub fn create_path(path: &Path, options: &CreateOptions, wait: Duration) -> Result<()> {
        Self::create(
            Arc::new(FileDisk::open(path, Access::Create, wait)?),
            options,
        )
    }

    /// Opens the store in a file or on a block device, locked for as long as the store lives; waits for the lock.
    ///
    /// # Errors
    /// [`Error::Busy`] if it stays open elsewhere; those of [`Self::open`].
    pub fn open_path(path: &Path, options: Options, wait: Duration) -> Result<Self> {
        let access = if options.read_only {
            Access::Read
        } else {
            Access::Write
        };
        Self::open(Arc::new(FileDisk::open(path, access, wait)?), options)
    }

    /// The value of a key. Cold: O(height) nodes, and one segment of each run that may hold it.
    ///
    /// # Errors
    /// If it cannot be read, or is damaged.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        self.0.get_at(&self.0.published.pin(), key, &WHOLE)
    }

    /// Applies a batch atomically. It is seen at once, and durable after the next [`Self::sync`].
    ///
    /// # Errors
    /// [`Error::Invalid`] for keys, values or ranges beyond the limits, [`Error::Full`]: nothing was changed.
    pub fn commit(&self, batch: Batch) -> Result<()> {
        self.0.commit(batch)
    }

    /// A consistent view of this instant. O(1), also to keep: it pins what it shows.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            inner: self.0.clone(),
            pinned: self.0.published.pin(),
        }
    }

    /// Ordered walk over a fresh snapshot.
    pub fn scan(&self, range: KeyRange) -> Scan {
        self.snapshot().scan(range)
    }

    /// Makes everything committed before durable: by the journal, or by a checkpoint if that is less to write.
    /// Callers that come while one is at work share its request to the disk.
    ///
    /// # Errors
    /// If the disk fails; the store is then read-only until it is opened again.
    pub fn sync(&self) -> Result<()> {
        self.0.sync()
    }

    /// Writes a checkpoint: everything committed before is durable without the journal, and space freed before the
    /// last checkpoint can be used again.
    ///
    /// # Errors
    /// As [`Self::sync`].
    pub fn checkpoint(&self) -> Result<()> {
        self.0.checkpoint()
    }

    /// Does one bounded piece of background work; false if there was none: then the tree is in shape, after a sweep over
    /// all of it.
    ///
    /// # Errors
    /// If something cannot be read or written. The content is as before.
    pub fn tick(&self) -> Result<bool> {
        self.0.tick(true)
    }

    /// Says whether background work is to spare the disk: for a store that was just opened, and whose first users want it for themselves. Then only
    /// sweeps read nodes to see how wide they are.
    pub fn spare_reads(&self, spare: bool) {
        self.0.tree.spare_reads(spare);
    }

    /// The memory budget for what was read, in bytes.
    pub fn cache_bytes(&self) -> u64 {
        self.0.options.cache_bytes
    }

    /// Says how much memory of that budget the caller takes for what it knows of the content.
    pub fn charge(&self, bytes: u64) {
        self.0.charged.store(bytes, Ordering::Relaxed);
    }

    /// How much room there is.
    pub fn space(&self) -> Space {
        self.0.space()
    }
}

impl Roots for Inner {
    fn root(&self) -> Arc<Node> {
        self.published.pin().view.root
    }

    fn replace_root(
        &self,
        make: &mut dyn FnMut(&Arc<Node>) -> cawdb_node::Result<Option<Node>>,
    ) -> cawdb_node::Result<bool> {
        let writer = sync::lock(&self.writer);
        let mut view = self.published.pin().view;
        let Some(root) = make(&view.root)? else {
            return Ok(false);
        };
        self.shelf.exchange_root(&view.root.slots, &root.slots);
        view.root = Arc::new(root);
        self.published.replace(view, writer.seq);
        Ok(true)
    }

    fn breathe(&self) {
        // Nothing is evicted here: the node that is worked on would be the first, and all for nothing.
        self.rest_for_others();
    }
}

impl Inner {
    /// One piece of background work; with `sweep` also of a sweep over the whole tree, if nothing else is to be done.
    pub(crate) fn tick(&self, sweep: bool) -> Result<bool> {
        self.poison.check()?;
        if self.options.read_only {
            return Ok(false);
        }
        let _guard = self.poison.guard();
        if self.throttle.has_threads() {
            self.make_way();
        } else if self.checkpoint_due() {
            match self.checkpoint() {
                // Something may have been deleted: background work makes room of it.
                Err(Error::Full(why)) => tracing::warn!(why, "no room for a checkpoint"),
                result => return result.map(|()| true),
            }
        }
        self.counters.ticks.fetch_add(1, Ordering::Relaxed);
        self.courtesy.begin();
        let busy = self.tree.tick(self, sweep)?;
        // After each piece: readers bring nodes while it rests.
        self.keep_budget();
        if busy {
            self.rest_for_others();
            return Ok(true);
        }
        self.courtesy.all_done();
        Ok(self.space.punch(self.disk.as_ref(), PUNCH_AT_ONCE)? > 0)
    }
}

impl Inner {
    /// What the thread of background work does about memory, as another writes checkpoints: it asks for one, and lets it
    /// come first when memory is short, since merges take memory too.
    fn make_way(&self) {
        if !self.checkpoint_due() {
            return;
        }
        self.throttle.ask();
        let short = self.unwritten_memory() > self.limits.begin.midpoint(self.limits.end);
        if short && !self.checkpoint_failed.load(Ordering::Acquire) {
            self.throttle.wait_until_freed(MAKE_WAY);
        }
    }
}

/// How long a piece of background work waits for a checkpoint, at most.
const MAKE_WAY: Duration = Duration::from_millis(50);
/// Bytes given back to the file system below in one piece of background work.
const PUNCH_AT_ONCE: u64 = 64 << 20;

/// So that errors of the disk on the way out are not lost in silence.
impl Drop for Inner {
    fn drop(&mut self) {
        // What a panic left half changed is not written down; recovery starts from the last sync.
        let untold = self.options.read_only || self.poison.check().is_err();
        if untold || std::thread::panicking() {
            return;
        }
        // Where a checkpoint finds no room, the journal may.
        if let Err(error) = self.checkpoint_at_closing().or_else(|_| self.sync()) {
            tracing::error!(%error, "closing the store");
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "store on {}", self.0.disk.name())
    }
}

/// Says why nothing can be written; used by several rooms.
pub(crate) fn read_only() -> Error {
    Error::Io("the store is open for reading only".into())
}
