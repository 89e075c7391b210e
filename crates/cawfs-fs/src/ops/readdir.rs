//! Listing directories.

use crate::counters::add;
use crate::errno::{Result, outdated};
use crate::fs::Fs;
use crate::inode::avoid_reserved;
use crate::links::Record;
use crate::listing::{Listing, Name};
use crate::locks::{lock, read};
use crate::schema::Location;
use crate::table::{Count, Node, Pin, Place, pin_child, pin_new_child};
use crate::types::{AccessTimes, DirEntry, DirHandle, FileType, NodeId, With};
use bytes::Bytes;
use cawdb::{KeyRange, Scan};

/// Cookies below this are `.` and `..`.
const DOTS: u64 = 2;

impl Fs {
    /// Opens a directory; ESTALE if it was removed since it was looked up. Its content is that of the moment when names are first asked for.
    pub fn opendir(&self, node: NodeId) -> Result<DirHandle> {
        add(&self.counters.opendirs, 1);
        let _names = self.shared();
        let dir = self.dir(node)?;
        let _held = read(&dir.busy);
        self.resolve(&dir).map_err(outdated)?;
        let handle = self.dirs.add(node, self.listing(&dir));
        lock(&self.table).count(node, Count::Open(false));
        Ok(handle)
    }

    /// Whether a front end may remember the names that this handle lists, for others: cookies of two handles must not be
    /// mixed.
    pub fn may_cache_names(&self, handle: DirHandle) -> bool {
        self.dirs.is_first(handle)
    }

    /// Closes a directory.
    pub fn releasedir(&self, handle: DirHandle) {
        if let Some(node) = self.dirs.remove(handle) {
            self.close(node, false);
        }
    }

    /// Lists from the cookie `from` on (0: from the start, with present content) until `accept` says false. The entry that
    /// was not accepted comes again next time.
    pub fn readdir(
        &self,
        handle: DirHandle,
        from: u64,
        accept: &mut dyn FnMut(DirEntry) -> bool,
    ) -> Result<()> {
        self.list(handle, from, None, accept)
    }

    /// Like [`Fs::readdir`], `with` node and attributes as they are now; each accepted entry that has them gives the caller
    /// one more reference to its node.
    pub fn readdirplus(
        &self,
        handle: DirHandle,
        from: u64,
        with: With,
        accept: &mut dyn FnMut(DirEntry) -> bool,
    ) -> Result<()> {
        self.list(handle, from, Some(with), accept)
    }

    /// A listing of what a directory holds now; empty if it was removed.
    pub(crate) fn listing(&self, dir: &Node) -> Listing {
        let found = self.resolve(dir).ok();
        Listing::new(found.map(|found| (self.store.snapshot(), found.at.entries())))
    }

    fn list(
        &self,
        handle: DirHandle,
        from: u64,
        with: Option<With>,
        accept: &mut dyn FnMut(DirEntry) -> bool,
    ) -> Result<()> {
        let (node, listing) = self.dirs.get(handle)?;
        let _names = self.shared();
        let dir = self.dir(node)?;
        let _held = read(&dir.busy);
        let mut listing = lock(&listing);
        let epoch = lock(&self.table).epoch(dir.id);
        if from == 0 {
            *listing = self.listing(&dir);
        }
        if from == 0 || self.access_times() == AccessTimes::Always {
            self.accessed(&dir);
        }
        if !self.list_dots(&dir, from, accept)? {
            return Ok(());
        }
        listing.seek(from.saturating_sub(DOTS))?;
        // Each entry with its node gives the caller a node to remember: not while there are too many.
        let roomy = || self.handle_memory();
        let with = with.filter(|_| roomy().bytes <= roomy().budget / 4 * 5);
        let found = with.and_then(|_| self.resolve(&dir).ok());
        let mut live = found.map(|found| Live::new(self, &dir, found.at, epoch, from == 0));
        let wanted = |name: &Name| match with {
            Some(With::Directories) => name.record.kind() == FileType::Directory,
            _ => true,
        };
        while let Some(name) = listing.read()? {
            let pin = match &mut live {
                Some(live) if wanted(&name) => live.find(&name)?,
                _ => None,
            };
            if !self.offer(&dir, &name, pin, accept) {
                listing.refuse(name);
                break;
            }
            add(&self.counters.listed, 1);
        }
        Ok(())
    }

    fn list_dots(
        &self,
        dir: &Node,
        from: u64,
        accept: &mut dyn FnMut(DirEntry) -> bool,
    ) -> Result<bool> {
        let parent = match lock(&self.table).place(dir.id) {
            Some(Place::Child(parent, _)) => parent,
            _ => dir.id,
        };
        let parent = self.node(parent)?.ino;
        for (ordinal, name, ino) in [(0, &b"."[..], dir.ino), (1, b"..", parent)] {
            let (name, kind) = (Bytes::from_static(name), FileType::Directory);
            let entry = DirEntry {
                name,
                ino,
                kind,
                next: ordinal + 1,
                entry: None,
            };
            if ordinal >= from && !accept(entry) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn offer(
        &self,
        dir: &Node,
        name: &Name,
        pin: Option<Pin<'_>>,
        accept: &mut dyn FnMut(DirEntry) -> bool,
    ) -> bool {
        let entry = pin.as_ref().map(|pin| self.entry(pin));
        let (node, ino, kind) = match &entry {
            Some(entry) => (Some(entry.node), entry.attr.ino, entry.attr.kind),
            None => {
                let ino = avoid_reserved(dir.shifts.wrapping_add(name.record.relative()));
                (None, ino, name.record.kind())
            }
        };
        let next = name.ordinal + DOTS + 1;
        let accepted = accept(DirEntry {
            name: name.name.clone(),
            ino,
            kind,
            next,
            entry,
        });
        if let (false, Some(node)) = (accepted, node) {
            lock(&self.table).uncount(node, Count::Lookup, 1);
        }
        accepted
    }
}

/// Walks the live directory beside the listing, so that finding all nodes costs one scan; or none, where the listing is of this moment.
struct Live<'a, 'b> {
    fs: &'a Fs,
    dir: &'b Node,
    at: Location,
    /// Read before the listing was made; the directory is held since.
    epoch: u64,
    /// Whether the listing was made since then.
    fresh: bool,
    scan: Option<Scan>,
    /// The name the scan stands at, with its record.
    ahead: Option<(Bytes, Bytes)>,
}

impl<'a, 'b> Live<'a, 'b> {
    fn new(fs: &'a Fs, dir: &'b Node, at: Location, epoch: u64, fresh: bool) -> Self {
        Self {
            fs,
            dir,
            at,
            epoch,
            fresh,
            scan: None,
            ahead: None,
        }
    }
    /// The node of a name, if it lives. Names come in rising order.
    fn find(&mut self, name: &Name) -> Result<Option<Pin<'a>>> {
        if let Some(pin) = pin_child(&self.fs.table, self.dir.id, &name.name) {
            return Ok(Some(pin));
        }
        let record = match self.fresh {
            true => name.record.clone(),
            false => match self.record(&name.name)? {
                Some(record) => record,
                None => return Ok(None),
            },
        };
        let inode = match record {
            Record::Own(inode) => inode,
            Record::Link(link) => return self.fs.body(self.dir, &link).map(Some),
        };
        match pin_new_child(
            &self.fs.table,
            self.dir,
            &name.name,
            inode,
            Some(self.epoch),
        ) {
            Some(pin) => Ok(Some(pin)),
            None => self.fs.child(self.dir, &self.at, &name.name),
        }
    }

    /// What the store says of a name now.
    fn record(&mut self, name: &Bytes) -> Result<Option<Record>> {
        let prefix = self.at.entries();
        let scan = self.scan.get_or_insert_with(|| {
            let mut range = KeyRange::prefix(prefix.clone());
            range.lo = [&prefix[..], name].concat().into();
            self.fs.store.scan(range)
        });
        while self.ahead.as_ref().is_none_or(|(ahead, _)| ahead < name) {
            let Some(item) = scan.next() else {
                return Ok(None);
            };
            let (key, value) = item?;
            self.ahead = Some((key.slice(prefix.len().min(key.len())..), value));
        }
        let found = self.ahead.as_ref().filter(|(ahead, _)| ahead == name);
        found.map(|(_, record)| Record::decode(record)).transpose()
    }
}
