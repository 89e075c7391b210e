//! Open directories: each holds a snapshot, so that a listing neither skips nor repeats while names change.
//!
//! The cookie of an entry is its ordinal in that snapshot (0 `.`, 1 `..`, then the names). A sparse index of every 256th name
//! makes a seek a short walk; going on where the last reply ended costs nothing.
//!
//! The snapshot is renewed when the first names are asked for, as the kernel may remember names for others: those of the
//! time when it first asked. Whoever goes on where the kernel's memory ended gets the one of the opening. And as a cookie means something in one listing only, it may
//! remember those of one open directory at a time: the first of each directory.

use crate::errno::{Kind, Result};
use crate::links::Record;
use crate::locks::{Mutex, lock};
use crate::types::{DirHandle, NodeId};
use bytes::Bytes;
use cawdb::{KeyRange, Scan, Snapshot};
use std::collections::HashMap;
use std::sync::Arc;

/// Names between two entries of the index.
const STRIDE: u64 = 256;

/// All open directories.
#[derive(Default)]
pub(crate) struct OpenDirs(Mutex<Open>);

#[derive(Default)]
struct Open {
    next: u64,
    dirs: HashMap<DirHandle, OpenDir>,
    /// Open handles of each directory.
    handles: HashMap<NodeId, usize>,
}

struct OpenDir {
    node: NodeId,
    listing: Arc<Mutex<Listing>>,
    /// Whether the directory was not open before.
    first: bool,
}

impl Open {
    fn insert(&mut self, handle: DirHandle, node: NodeId, listing: Listing) {
        let count = self.handles.entry(node).or_default();
        *count += 1;
        let first = *count == 1;
        let listing = Arc::new(Mutex::new(listing));
        let opened = OpenDir {
            node,
            listing,
            first,
        };
        self.dirs.insert(handle, opened);
    }
}

impl OpenDirs {
    /// Adds an open directory.
    pub(crate) fn add(&self, node: NodeId, listing: Listing) -> DirHandle {
        let mut open = lock(&self.0);
        open.next += 1;
        let handle = DirHandle(open.next);
        open.insert(handle, node, listing);
        handle
    }
    /// The directory and listing of a handle.
    pub(crate) fn get(&self, handle: DirHandle) -> Result<(NodeId, Arc<Mutex<Listing>>)> {
        let open = lock(&self.0);
        let found = open.dirs.get(&handle).map(|d| (d.node, d.listing.clone()));
        found.ok_or_else(|| Kind::BadHandle.because("not an open directory"))
    }
    /// Whether the directory was not open before it was opened as this handle.
    pub(crate) fn is_first(&self, handle: DirHandle) -> bool {
        lock(&self.0).dirs.get(&handle).is_some_and(|d| d.first)
    }
    /// Closes; the directory, if it was open.
    pub(crate) fn remove(&self, handle: DirHandle) -> Option<NodeId> {
        let mut open = lock(&self.0);
        let node = open.dirs.remove(&handle)?.node;
        if let Some(count) = open.handles.get_mut(&node) {
            *count -= 1;
            if *count == 0 {
                open.handles.remove(&node);
            }
        }
        Some(node)
    }
    /// All that are open, for a hand-over.
    pub(crate) fn all(&self) -> Vec<(DirHandle, NodeId)> {
        lock(&self.0)
            .dirs
            .iter()
            .map(|(&handle, opened)| (handle, opened.node))
            .collect()
    }
    /// Memory of all that are open, in bytes, about; those in use at this moment count as if nothing was read.
    pub(crate) fn memory(&self) -> u64 {
        let open = lock(&self.0);
        let listing = |dir: &OpenDir| {
            let listing = dir.listing.try_lock();
            let keys = listing.map_or(0, |l| {
                l.index.iter().map(|k| k.len() + size_of::<Bytes>()).sum()
            });
            size_of::<(DirHandle, OpenDir)>() + size_of::<Listing>() + keys
        };
        open.dirs.values().map(listing).sum::<usize>() as u64
    }
    /// Opens again under the old handle.
    pub(crate) fn restore(&self, handle: DirHandle, node: NodeId, listing: Listing) {
        let mut open = lock(&self.0);
        open.next = open.next.max(handle.0);
        open.insert(handle, node, listing);
    }
}

/// One walk over the names of a directory in a snapshot.
pub(crate) struct Listing {
    /// Snapshot and prefix of the records; none for a directory that was removed.
    source: Option<(Snapshot, Bytes)>,
    scan: Option<Scan>,
    /// Ordinal of the next name of `scan`.
    next: u64,
    /// Keys of the names with ordinals 0, STRIDE, 2 STRIDE …
    index: Vec<Bytes>,
    /// A name that was read and not accepted.
    refused: Option<Name>,
}

/// A name of a listing.
#[derive(Clone)]
pub(crate) struct Name {
    /// Ordinal among the names.
    pub(crate) ordinal: u64,
    /// The name.
    pub(crate) name: Bytes,
    /// Its record in the snapshot.
    pub(crate) record: Record,
}

impl Listing {
    /// A listing of the names whose records start with `prefix`; without a source it is empty.
    pub(crate) fn new(source: Option<(Snapshot, Vec<u8>)>) -> Self {
        let source = source.map(|(snapshot, prefix)| (snapshot, Bytes::from(prefix)));
        Self {
            source,
            scan: None,
            next: 0,
            index: Vec::new(),
            refused: None,
        }
    }
    /// Goes to the name with this ordinal (or to the end).
    pub(crate) fn seek(&mut self, ordinal: u64) -> Result<()> {
        if self
            .refused
            .as_ref()
            .is_some_and(|name| name.ordinal == ordinal)
        {
            return Ok(());
        }
        self.refused = None;
        if self.scan.is_none() || self.next != ordinal {
            let at = (ordinal / STRIDE).min((self.index.len() as u64).saturating_sub(1));
            self.start(at);
            while self.next < ordinal && self.read()?.is_some() {}
        }
        Ok(())
    }
    fn start(&mut self, at: u64) {
        let Some((snapshot, prefix)) = &self.source else {
            return;
        };
        let mut range = KeyRange::prefix(prefix.clone());
        self.next = 0;
        if let Some(key) = self.index.get(at as usize) {
            range.lo = key.clone();
            self.next = at * STRIDE;
        }
        self.scan = Some(snapshot.scan(range));
    }
    /// The next name.
    pub(crate) fn read(&mut self) -> Result<Option<Name>> {
        if let Some(name) = self.refused.take() {
            return Ok(Some(name));
        }
        let read = self.scanned();
        if read.is_err() {
            // A scan that failed ends there; who goes on would take that for the end of the directory.
            self.scan = None;
        }
        read
    }
    fn scanned(&mut self) -> Result<Option<Name>> {
        let (Some((_, prefix)), Some(scan)) = (&self.source, &mut self.scan) else {
            return Ok(None);
        };
        for item in scan {
            let (key, value) = item?;
            let name = key.slice(prefix.len().min(key.len())..);
            if name.contains(&0) {
                continue; // an extended attribute
            }
            let ordinal = self.next;
            self.next += 1;
            if ordinal == self.index.len() as u64 * STRIDE {
                self.index.push(key);
            }
            return Ok(Some(Name {
                ordinal,
                name,
                record: Record::decode(&value)?,
            }));
        }
        Ok(None)
    }
    /// Takes back a name that the reader had no room for.
    pub(crate) fn refuse(&mut self, name: Name) {
        self.refused = Some(name);
    }
}
