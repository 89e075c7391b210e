//! The mounted volume: its state, how it begins, and what all operations share.
//!
//! * Every operation is one batch, data and records together, so a clone or a crash sees whole operations.
//! * Operations hold the namespace lock shared while they compose keys, commit and update the table; whatever moves
//!   or removes directories, or moves bodies of files with several names, holds it exclusively, and then needs no other lock, but for what closing changes:
//!   a file without a name goes with its last handle, in no namespace, so whoever reads or names one holds the file.

use crate::counters::Counters;
use crate::depth::Bounds;
use crate::errno::{Error, Kind, Result};
use crate::inode::{Inode, NoSetId, PERM_BITS};
use crate::links::{LinkId, Recent, Record};
use crate::listing::OpenDirs;
use crate::locks::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard, lock, read, write};
use crate::schema::{DATA, LIVE_VOLUME, Location, META, ORPHAN, ORPHAN_DATA, STAGED, misc, table};
use crate::stages::Stages;
use crate::table::{
    Aged, NODE_BYTES, Node, Pin, Place, Resolved, Table, pin, pin_child, pin_new_child,
};
use crate::types::{AccessTimes, Attr, Entry, FileType, NAME_MAX, NodeId, Time};
use bytes::Bytes;
use cawdb::{Batch, KeyRange, Store};
use std::collections::HashSet;

/// Version of the keys and records, and the block size, as the store names them.
const FORMAT: [u8; 8] = [2, 0, 0, 0, 0, 0, 1, 0];
/// Inode numbers taken from the store at a time.
const LEASE: u64 = 1 << 16;

/// Of the root directory so many keys are looked at, and so many trees taken, for what is read before somebody asks.
const ENTRANCE_KEYS: usize = 256;
/// See [`ENTRANCE_KEYS`].
const ENTRANCE_TREES: usize = 16;

/// How a new volume begins.
#[derive(Debug, Clone)]
pub struct FormatOptions {
    /// Owner of the root directory.
    pub uid: u32,
    /// Group of the root directory.
    pub gid: u32,
    /// Permission bits of the root directory.
    pub mode: u32,
}

impl Default for FormatOptions {
    fn default() -> Self {
        Self {
            uid: 0,
            gid: 0,
            mode: 0o755,
        }
    }
}

/// How a volume is mounted.
pub struct MountOptions {
    /// Refuse every change.
    pub read_only: bool,
    /// When reading renews access times.
    pub access_times: AccessTimes,
    /// The present.
    pub clock: Box<dyn Fn() -> Time + Send + Sync>,
    /// Memory for nodes that only a front end remembers, in bytes: beyond it, it is to forget some.
    pub handle_bytes: u64,
    /// Files that a tree shares with its outside are cloned and moved one by one up to this number, and where there are more, by
    /// ranges of keys, if they lie together.
    pub few_links: usize,
    /// Seed of what is chosen by chance: inode shifts, staging tokens.
    pub seed: u64,
}

impl Default for MountOptions {
    fn default() -> Self {
        let (clock, seed) = (Box::new(system_time), fastrand::u64(..));
        Self {
            read_only: false,
            access_times: AccessTimes::default(),
            handle_bytes: 64 << 20,
            few_links: 64,
            clock,
            seed,
        }
    }
}

/// The clock of the system.
fn system_time() -> Time {
    let since = std::time::UNIX_EPOCH.elapsed();
    let (secs, nanos) = match since {
        Ok(since) => (since.as_secs() as i64, since.subsec_nanos()),
        Err(before) => (-(before.duration().as_secs() as i64) - 1, 0),
    };
    Time { secs, nanos }
}

/// A mounted volume. Operations may be called from many threads at once.
pub struct Fs {
    pub(crate) store: Store,
    pub(crate) volume: u32,
    pub(crate) table: Mutex<Table>,
    pub(crate) names: RwLock<()>,
    pub(crate) dirs: OpenDirs,
    pub(crate) stages: Mutex<Stages>,
    /// Nodes whose access time is newer than in the store.
    pub(crate) lazy: Mutex<HashSet<NodeId>>,
    /// Names given last to files that have several.
    pub(crate) recent: Mutex<Recent>,
    access_times: Mutex<AccessTimes>,
    pub(crate) counters: Counters,
    pub(crate) bounds: Mutex<Bounds>,
    numbers: Mutex<Lease>,
    rng: Mutex<fastrand::Rng>,
    clock: Box<dyn Fn() -> Time + Send + Sync>,
    read_only: bool,
    handle_bytes: u64,
    pub(crate) few_links: usize,
}

/// Memory of the handle table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandleMemory {
    /// Nodes held.
    pub nodes: usize,
    /// Bytes that they take, about.
    pub bytes: u64,
    /// Bytes that they may take.
    pub budget: u64,
    /// Nodes let go since the mount.
    pub dropped: u64,
}

impl HandleMemory {
    /// Whether there are more nodes than there is memory for.
    pub fn is_over(&self) -> bool {
        self.bytes > self.budget
    }
    /// Whether there will be soon: the budget is used up but for an eighth.
    pub fn is_near(&self) -> bool {
        self.bytes > self.budget / 8 * 7
    }
    /// Nodes that must go so that it is not.
    pub fn surplus(&self) -> usize {
        (self.bytes.saturating_sub(self.budget / 8 * 7) / NODE_BYTES) as usize
    }
}

/// Inode numbers `next..end` are ours to give.
struct Lease {
    next: u64,
    end: u64,
}

impl Fs {
    /// Makes an empty file system in a store. EEXIST if there is one.
    pub fn format(store: &Store, options: &FormatOptions) -> Result<()> {
        if store.get(&misc(0, b'F'))?.is_some() {
            return Err(Kind::Exists.because("the store holds a file system already"));
        }
        let mut root = Inode::new(
            FileType::Directory,
            options.mode as u16 & PERM_BITS,
            system_time(),
        );
        (root.uid, root.gid, root.number) = (options.uid, options.gid, 1);
        let mut listed = misc(0, b'V');
        listed.extend_from_slice(&LIVE_VOLUME.to_be_bytes());
        let mut batch = Batch::new();
        batch
            .put(misc(0, b'F'), FORMAT.to_vec())
            .put(listed, &b"live"[..])
            .put(misc(LIVE_VOLUME, b'I'), 2u64.to_le_bytes().to_vec())
            .put(Location::root(LIVE_VOLUME).record(), root.encode());
        store.commit(batch)?;
        Ok(store.sync()?)
    }

    /// Opens the file system of a store and sweeps orphans and staged clones of an earlier life.
    pub fn mount(store: Store, options: MountOptions) -> Result<Self> {
        Self::mount_with(store, options, true)
    }

    /// Mounts; sweeps unless orphans are still in use.
    pub(crate) fn mount_with(store: Store, options: MountOptions, sweeps: bool) -> Result<Self> {
        match store.get(&misc(0, b'F'))? {
            Some(found) if found[..] == FORMAT => {}
            Some(_) => return Err(Kind::Invalid.because("a file system of another version")),
            None => return Err(Kind::Invalid.because("the store holds no file system")),
        }
        let volume = LIVE_VOLUME;
        let root = store.get(&Location::root(volume).record())?;
        let root = Inode::decode(&root.ok_or_else(|| Kind::Io.because("no root directory"))?)?;
        let next = store.get(&misc(volume, b'I'))?;
        let next = next
            .as_deref()
            .and_then(|bytes| bytes.try_into().ok())
            .map(u64::from_le_bytes);
        let next = next.ok_or_else(|| Kind::Io.because("damaged count of inode numbers"))?;
        if !root.is_dir() {
            return Err(Kind::Io.because("the root is no directory"));
        }
        let bounds = Bounds::load(&store, volume)?;
        if sweeps && !options.read_only {
            sweep(&store, volume)?;
        }
        Ok(Self {
            store,
            volume,
            table: Mutex::new(Table::new(volume, root)),
            names: RwLock::new(()),
            dirs: OpenDirs::default(),
            stages: Mutex::default(),
            lazy: Mutex::default(),
            access_times: Mutex::new(options.access_times),
            recent: Mutex::default(),
            counters: Counters::default(),
            bounds: Mutex::new(bounds),
            numbers: Mutex::new(Lease { next, end: next }),
            rng: Mutex::new(fastrand::Rng::with_seed(options.seed)),
            clock: options.clock,
            read_only: options.read_only,
            handle_bytes: options.handle_bytes,
            few_links: options.few_links,
        })
    }

    /// Where the trees in the root directory lie in the store, some of them: whoever comes after a mount begins with these.
    pub fn entrance(&self) -> Vec<KeyRange> {
        let root = Location::root(self.volume);
        let entries = root.entries();
        let found = self.store.scan(KeyRange::prefix(entries.clone()));
        // What cannot be read is told to whoever wants it.
        let found = found.map_while(|item| item.ok()).take(ENTRANCE_KEYS);
        let trees = found.filter_map(|(key, value)| {
            let name = key.slice(entries.len()..);
            let is_dir = Record::decode(&value).is_ok_and(|r| r.kind() == FileType::Directory);
            // Attributes have a zero behind the name.
            (is_dir && !name.contains(&0)).then(|| root.child(name))
        });
        let both = |at: Location| [META, DATA].map(|which| at.subtree(which).1);
        trees.take(ENTRANCE_TREES).flat_map(both).collect()
    }

    /// The store below.
    pub fn store(&self) -> &Store {
        &self.store
    }
    /// Notes that `what` panicked, with what its thread had to say: from now on nothing is changed, lest something half
    /// changed is written; what is there can be read.
    pub fn panicked(&self, what: &str, said: &(dyn std::any::Any + Send)) {
        self.store.panicked(what, said);
    }
    /// Whether every change is refused.
    pub fn read_only(&self) -> bool {
        self.read_only
    }
    /// When reading renews access times; never where every change is refused.
    pub fn access_times(&self) -> AccessTimes {
        match self.read_only {
            true => AccessTimes::Never,
            false => *lock(&self.access_times),
        }
    }
    /// Decides it anew, for what is read from now on.
    pub fn set_access_times(&self, when: AccessTimes) {
        *lock(&self.access_times) = when;
    }
    /// What was done since the mount.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
    /// Nodes that are held in memory.
    pub fn nodes(&self) -> usize {
        lock(&self.table).len()
    }
    /// Nodes that are held in memory, and what they take; tells it to the store, too.
    pub fn handle_memory(&self) -> HandleMemory {
        let table = lock(&self.table);
        let (nodes, bytes, dropped) = (table.len(), table.memory(), table.dropped());
        drop(table);
        self.store.charge(bytes);
        HandleMemory {
            nodes,
            bytes,
            budget: self.handle_bytes,
            dropped,
        }
    }
    /// Memory of open directories, in bytes, about; what their snapshots hold is the store's to tell.
    pub fn listing_memory(&self) -> u64 {
        self.dirs.memory()
    }
    /// Up to `most` nodes that somebody remembers but nobody uses, the oldest first: a front end that forgets them frees
    /// their memory.
    pub fn aged_nodes(&self, most: usize) -> Vec<Aged> {
        lock(&self.table).aged(most)
    }

    pub(crate) fn now(&self) -> Time {
        (self.clock)()
    }
    pub(crate) fn random(&self) -> u64 {
        lock(&self.rng).u64(..)
    }
    pub(crate) fn check_writable(&self) -> Result<()> {
        if self.read_only {
            return Err(Kind::ReadOnly.because("the mount is read-only"));
        }
        Ok(())
    }
    /// For operations that leave directories where they are.
    pub(crate) fn shared(&self) -> RwLockReadGuard<'_, ()> {
        read(&self.names)
    }
    /// For operations that move or remove directories.
    pub(crate) fn exclusive(&self) -> RwLockWriteGuard<'_, ()> {
        write(&self.names)
    }
    /// Keeps closing from taking the content of a file without a name along, for whoever holds the namespace exclusively.
    pub(crate) fn keep_content<'a>(&self, node: &'a Node) -> Option<RwLockWriteGuard<'a, ()>> {
        let held = (!node.is_dir()).then(|| write(&node.busy));
        #[cfg(feature = "interleave")]
        let held = crate::broken::without(crate::broken::Fault::OrphanNotHeld, held).flatten();
        held
    }
    /// The node of an id.
    pub(crate) fn node(&self, id: NodeId) -> Result<Pin<'_>> {
        pin(&self.table, id)
    }
    /// The node of an id, which must be a directory.
    pub(crate) fn dir(&self, id: NodeId) -> Result<Pin<'_>> {
        let node = self.node(id)?;
        if !node.is_dir() {
            return Err(Kind::NotDirectory.because("not a directory"));
        }
        Ok(node)
    }
    /// The node of an id, which must be a regular file.
    pub(crate) fn file(&self, id: NodeId) -> Result<Pin<'_>> {
        let node = self.node(id)?;
        match node.kind {
            FileType::Regular => Ok(node),
            FileType::Directory => Err(Kind::IsDirectory.because("a directory")),
            _ => Err(Kind::Invalid.because("not a regular file")),
        }
    }
    /// Where a node is that is to be changed; EROFS in a read-only clone. The namespace lock must be held.
    pub(crate) fn resolve_writable(&self, node: &Node) -> Result<Resolved> {
        let found = self.resolve(node)?;
        found.zone.check_writable()?;
        Ok(found)
    }
    /// Where a node is. The namespace lock must be held.
    pub(crate) fn resolve(&self, node: &Node) -> Result<Resolved> {
        lock(&self.table).resolve(node.id)
    }
    /// The object of a name; `None` if there is none. The directory must be held (or the whole namespace).
    pub(crate) fn child(
        &self,
        parent: &Node,
        at: &Location,
        name: &Bytes,
    ) -> Result<Option<Pin<'_>>> {
        loop {
            if let Some(pin) = pin_child(&self.table, parent.id, name) {
                return Ok(Some(pin));
            }
            let epoch = lock(&self.table).epoch(parent.id);
            let Some(record) = self.store.get(&at.child(name.clone()).record())? else {
                return Ok(None);
            };
            let inode = match Record::decode(&record)? {
                Record::Own(inode) => inode,
                Record::Link(link) if LinkId::key_of(name).is_none() => {
                    return self.body(parent, &link).map(Some);
                }
                Record::Link(_) => return Err(Kind::Io.because("a body that is none")),
            };
            if inode.is_dir() && LinkId::key_of(name).is_some() {
                return Err(Kind::Io.because("a body that is none"));
            }
            if let Some(pin) = pin_new_child(&self.table, parent, name, inode, Some(epoch)) {
                return Ok(Some(pin));
            }
        }
    }
    /// Attributes of a node as they are shown.
    pub(crate) fn attr(&self, node: &Node) -> Attr {
        let mut ids = lock(&self.table).ids(node.id);
        // Where ids are mapped, a file that goes changes its record and its place, one after the other.
        let mapped = !ids.is_plain() && !node.is_dir();
        let _held = mapped.then(|| read(&node.busy));
        if mapped {
            ids = lock(&self.table).ids(node.id);
        }
        let inode = node.inode();
        let set_id = inode.perm & (crate::inode::SET_UID | crate::inode::SET_GID) != 0;
        // Only set-id bits depend on the directories above; most objects are spared the walk.
        let hidden = match set_id && inode.kind == FileType::Regular {
            true => self.resolve(node).map_or(NoSetId::None, |r| r.no_set_id),
            false => NoSetId::None,
        };
        inode.attr(node.ino, hidden, &ids)
    }
    /// The inode of a node, with owner and group as they are shown.
    pub(crate) fn shown(&self, node: &Node) -> Inode {
        let (mut inode, ids) = (node.inode(), lock(&self.table).ids(node.id));
        (inode.uid, inode.gid) = (ids.user(inode.uid), ids.group(inode.gid));
        inode
    }
    /// The reply for an object; `pin` becomes a reference of the caller.
    pub(crate) fn entry(&self, pin: &Pin<'_>) -> Entry {
        let mut table = lock(&self.table);
        table.count(pin.id, crate::table::Count::Lookup);
        let cacheable = table.place(pin.id) != Some(Place::Staged);
        drop(table);
        Entry {
            node: pin.id,
            attr: self.attr(pin),
            cacheable,
        }
    }
    /// A fresh inode number.
    pub(crate) fn new_number(&self) -> Result<u64> {
        let mut lease = lock(&self.numbers);
        if lease.next == lease.end {
            let end = lease.end + LEASE;
            let mut batch = Batch::new();
            batch.put(misc(self.volume, b'I'), end.to_le_bytes().to_vec());
            self.commit(batch)?;
            lease.end = end;
        }
        lease.next += 1;
        Ok(lease.next - 1)
    }
    pub(crate) fn commit(&self, batch: Batch) -> Result<()> {
        self.check_writable()?;
        self.store.commit(batch).map_err(Error::from)
    }
    /// Deletes what orphans left that nobody holds any more.
    pub(crate) fn bury(&self) -> Result<()> {
        let dead = std::mem::take(&mut lock(&self.table).dead);
        for id in dead {
            let at = Location::orphan(self.volume, id.0);
            let Some(record) = self.store.get(&at.record())? else {
                continue;
            };
            let mut batch = Batch::new();
            crate::content::erase(&mut batch, &at, &Inode::decode(&record)?);
            self.commit(batch)?;
        }
        Ok(())
    }
}

/// Removes orphans and staged clones that an earlier mount left.
fn sweep(store: &Store, volume: u32) -> Result<()> {
    let mut staged = [table(volume, META), table(volume, DATA)];
    staged.iter_mut().for_each(|key| key.push(STAGED));
    let [meta, data] = staged;
    let mut batch = Batch::new();
    for prefix in [misc(volume, ORPHAN), misc(volume, ORPHAN_DATA), meta, data] {
        let range = KeyRange::prefix(prefix);
        if store.scan(range.clone()).next().transpose()?.is_some() {
            batch.delete_range(range);
        }
    }
    if !batch.is_empty() {
        store.commit(batch)?;
    }
    Ok(())
}

/// A name that may be made or found in a directory.
pub(crate) fn check_name(name: &[u8]) -> Result<Bytes> {
    if name.len() > NAME_MAX {
        return Err(Kind::NameTooLong.because("a name of more than 255 bytes"));
    }
    if name.is_empty()
        || name == b"."
        || name == b".."
        || name.iter().any(|b| matches!(b, 0 | b'/'))
    {
        return Err(Kind::Invalid.because("not a name"));
    }
    Ok(Bytes::copy_from_slice(name))
}
