//! Whether a volume in the store is a file system: the namespace invariants, over one snapshot. Reads only.
//!
//! Meta and data tables are in the same order, so both are walked once, side by side; memory is the depth of the tree,
//! and with `numbers` eight bytes an object. Where only names are checked, the data table is not walked at all: what
//! clones share would be read once for each.
//!
//! ```text
//! meta   Ea   Ed   H…   L…   Sd·Eb   Sd·Ef          each entry's directory came before it
//! data   Ea·0 Ea·1 H…·0              Sd·Ef·0        each block's file is the one the meta walk stands at
//! ```

mod guards;
mod links;
mod parts;
mod report;

use crate::errno::Result;
use crate::inode::{HAS_XATTRS, Inode};
use crate::links::{LinkId, Record};
use crate::maps::Ids;
use crate::schema::{
    DATA, ENTRY, LIVE_VOLUME, Location, META, ORPHAN, ORPHAN_DATA, STAGED, XATTR, misc,
    push_subdir, table,
};
use crate::types::{BLOCK_BYTES, FileType};
use bytes::Bytes;
use cawdb::{Batch, KeyRange, Scan, Snapshot, Store};
use std::collections::HashSet;

pub(crate) use parts::{Parts, What, split};
pub use report::{Fault, Finding, Report};

/// Rounds of a repair: each mends what the one before uncovered.
const ROUNDS: usize = 6;

/// A directory on the way from the root to where the walk stands.
struct Level {
    /// S(dir), after the table byte.
    prefix: Vec<u8>,
    path: String,
    /// Key of its record.
    record: Vec<u8>,
    inode: Inode,
    shifts: u64,
    /// As what ids are shown in it.
    ids: Ids,
}

/// The subtree of a directory comes later in key order than its record, after all of the record's neighbours; so the
/// record is read again when the subtree begins.
struct Walk<'a> {
    view: &'a Snapshot,
    report: Report,
    levels: Vec<Level>,
    /// The object whose record was read last, for the attributes and blocks that follow.
    object: Option<Object>,
    /// None if only names are checked.
    blocks: Option<Blocks>,
    numbers: Option<HashSet<u64>>,
    /// Subdirectories among the entries listed so far; none if the directory on top of `levels` is not being listed.
    subdirs: Option<u64>,
    /// The bodies of the directory that the walk stands in.
    home: Option<links::Home>,
    /// What mends that of the findings which can be mended; those of one round may be in each other's way.
    fixes: Batch,
}

struct Object {
    key: Bytes,
    path: String,
    inode: Inode,
}

/// The walk over blocks.
struct Blocks {
    scan: Scan,
    ahead: Option<(Bytes, usize)>,
}

impl Blocks {
    fn new(mut scan: Scan) -> Result<Self> {
        let ahead = take(&mut scan)?;
        Ok(Self { scan, ahead })
    }
    fn advance(&mut self) -> Result<()> {
        self.ahead = take(&mut self.scan)?;
        Ok(())
    }
}

fn take(scan: &mut Scan) -> Result<Option<(Bytes, usize)>> {
    Ok(scan
        .next()
        .transpose()?
        .map(|(key, value)| (key, value.len())))
}

/// Checks the file system of a snapshot. With `numbers`, also that no two objects show the same inode number.
pub fn check(view: &Snapshot, numbers: bool) -> Result<Report> {
    let blocks = Blocks::new(view.scan(tree_range(DATA)))?;
    Ok(walk(view, Some(blocks), numbers)?.0)
}

/// Checks directories, records and attributes, but no blocks. Memory is the depth of the tree.
pub fn check_names(view: &Snapshot) -> Result<Report> {
    Ok(walk(view, None, false)?.0)
}

/// Mends what [`Fault::is_repairable`] of the names, and nothing if they cannot all be read; what was mended.
pub fn repair_names(store: &Store) -> Result<Vec<Finding>> {
    let (first, mut fixes) = walk(&store.snapshot(), None, false)?;
    let mut left = first.findings.clone();
    for _ in 0..ROUNDS {
        if fixes.is_empty() {
            break;
        }
        store.commit(fixes)?;
        let (report, more) = walk(&store.snapshot(), None, false)?;
        (left, fixes) = (report.findings, more);
    }
    let mended = first
        .findings
        .into_iter()
        .filter(|found| !left.contains(found));
    Ok(mended.collect())
}

fn walk(view: &Snapshot, blocks: Option<Blocks>, numbers: bool) -> Result<(Report, Batch)> {
    let mut walk = Walk {
        view,
        report: Report::default(),
        levels: Vec::new(),
        object: None,
        blocks,
        numbers: numbers.then(HashSet::new),
        subdirs: Some(0),
        home: None,
        fixes: Batch::new(),
    };
    walk.root()?;
    for item in view.scan(tree_range(META)) {
        let (key, value) = item?;
        walk.key(&key, &value)?;
    }
    walk.leave_object()?;
    walk.leave_home();
    walk.leave_listing();
    walk.stray_blocks(None)?;
    walk.orphans()?;
    walk.beyond()?;
    Ok((walk.report, walk.fixes))
}

/// All of a table but staged clones.
fn tree_range(which: u8) -> KeyRange {
    let mut end = table(LIVE_VOLUME, which);
    end.push(STAGED);
    KeyRange::new(table(LIVE_VOLUME, which), end)
}

impl Walk<'_> {
    fn fault(&mut self, fault: Fault, place: impl Into<String>) {
        self.report.findings.push(Finding {
            fault,
            place: place.into(),
        });
    }
    fn root(&mut self) -> Result<()> {
        let at = Location::root(LIVE_VOLUME).record();
        let record = self.view.get(&at)?;
        match record.as_ref().map(Inode::decode) {
            Some(Ok(inode)) if inode.is_dir() => {
                self.report.directories = 1;
                self.number(1, "/");
                let (prefix, path, shifts) = (Vec::new(), String::new(), inode.shift);
                let ids = inode.inherited.ids.clone();
                self.levels.push(Level {
                    prefix,
                    path,
                    record: at,
                    inode,
                    shifts,
                    ids,
                });
            }
            Some(Err(_)) => self.fault(Fault::BadRecord, "/"),
            _ => self.fault(Fault::NoRoot, "/"),
        }
        Ok(())
    }
    fn number(&mut self, number: u64, path: &str) {
        if self
            .numbers
            .as_mut()
            .is_some_and(|seen| !seen.insert(number))
        {
            self.fault(Fault::SharedNumber, path);
        }
    }
    fn key(&mut self, key: &Bytes, value: &Bytes) -> Result<()> {
        let path_key = key.get(5..).unwrap_or_default();
        let Some(Parts { dir, what }) = split(path_key) else {
            self.fault(Fault::BadKey, hex(key));
            return Ok(());
        };
        let (tail, rest) = match what {
            What::Entry { name, rest } => (name, rest),
            What::Body { id, rest } => (id, rest),
            What::Back { path } => return self.back(key, dir, path, value),
        };
        match rest {
            Some([XATTR, ..]) => {
                let owner = key.slice(..5 + dir.len() + 1 + tail.len());
                let owned = |o: &Object| o.key == owner && o.inode.has(HAS_XATTRS);
                if !self.object.as_ref().is_some_and(owned) {
                    self.fault(Fault::StrayAttribute, hex(key));
                }
            }
            Some(_) => self.fault(Fault::BadKey, hex(key)),
            None => match what {
                What::Body { id, .. } => match LinkId::decode(id) {
                    Some(id) => self.body(key, dir, id, value)?,
                    None => self.fault(Fault::BadKey, hex(key)),
                },
                _ => {
                    self.leave_object()?;
                    self.leave_home();
                    self.enter(dir)?;
                    self.record(key, dir, tail, value)?;
                }
            },
        }
        Ok(())
    }
    /// Goes to the directory with this prefix.
    fn enter(&mut self, dir: &[u8]) -> Result<()> {
        if self.levels.last().is_some_and(|level| level.prefix == dir) {
            return Ok(());
        }
        self.leave_listing();
        while self
            .levels
            .last()
            .is_some_and(|level| !dir.starts_with(&level.prefix))
        {
            self.levels.pop();
        }
        while let Some(level) = self.levels.last()
            && level.prefix.len() < dir.len()
        {
            let rest = dir.get(level.prefix.len() + 1..).unwrap_or_default();
            let Some(name) = rest.split(|&b| b == 0).next() else {
                break;
            };
            let mut record = table(LIVE_VOLUME, META);
            record.extend_from_slice(&level.prefix);
            record.push(ENTRY);
            record.extend_from_slice(name);
            let path = format!("{}/{}", level.path, String::from_utf8_lossy(name));
            let found = self.view.get(&record)?;
            match found.as_ref().map(Inode::decode) {
                Some(Ok(inode)) if inode.is_dir() => {
                    let mut prefix = level.prefix.clone();
                    push_subdir(&mut prefix, name);
                    let shifts = level.shifts.wrapping_add(inode.shift);
                    let ids = inode.inherited.ids.then(&level.ids);
                    self.levels.push(Level {
                        prefix,
                        path,
                        record,
                        inode,
                        shifts,
                        ids,
                    });
                }
                _ => break,
            }
        }
        Ok(())
    }
    /// The entries of the directory that was listed last are complete.
    fn leave_listing(&mut self) {
        let Some(subdirs) = self.subdirs.take() else {
            return;
        };
        let Some(level) = self.levels.last() else {
            return;
        };
        if u64::from(level.inode.links) != subdirs + 2 {
            let (path, record) = (level.path.clone(), level.record.clone());
            if let Ok(links) = u32::try_from(subdirs + 2) {
                let right = Inode {
                    links,
                    ..level.inode.clone()
                };
                self.fixes.put(record, right.encode());
            }
            self.fault(Fault::BadLinks, path);
        }
    }
    fn record(&mut self, key: &Bytes, dir: &[u8], name: &[u8], value: &Bytes) -> Result<()> {
        let level = self.levels.last().filter(|level| level.prefix == dir);
        let Some((path, shifts)) = level.map(|l| (l.path.clone(), l.shifts)) else {
            self.fault(Fault::NoDirectory, hex(key));
            return Ok(());
        };
        let subdirs = self.subdirs.get_or_insert(0);
        let path = format!("{path}/{}", String::from_utf8_lossy(name));
        let inode = match Record::decode(value) {
            Ok(Record::Own(inode)) => inode,
            Ok(Record::Link(link)) => return self.reference(&link, name, path),
            Err(_) => {
                self.fault(Fault::BadRecord, path);
                return Ok(());
            }
        };
        *subdirs += u64::from(inode.is_dir());
        self.tell(inode.kind);
        self.number(inode.shown(shifts), &path);
        self.guards(&inode, inode.shown(shifts));
        let key = key.clone();
        self.object = Some(Object { key, path, inode });
        Ok(())
    }
    fn tell(&mut self, kind: FileType) {
        match kind {
            FileType::Directory => self.report.directories += 1,
            FileType::Regular => self.report.files += 1,
            _ => self.report.others += 1,
        }
    }
    /// All blocks of the object just left must have been stored, and no others before them.
    fn leave_object(&mut self) -> Result<()> {
        let Some(object) = self.object.take() else {
            return Ok(());
        };
        let mut prefix = object.key.to_vec();
        if let Some(byte) = prefix.get_mut(4) {
            *byte = DATA;
        }
        prefix.push(0);
        if object.inode.is_dir() {
            // Links are counted where entries are listed; a directory without entries never is.
            if object.inode.links != 2 && self.is_bare(&object)? {
                let links = 2;
                let right = Inode {
                    links,
                    ..object.inode
                };
                self.fixes.put(object.key, right.encode());
                self.fault(Fault::BadLinks, object.path);
            }
            return Ok(());
        }
        self.stray_blocks(Some(&prefix))?;
        let found = self.own_blocks(&prefix, &object)?;
        if self.blocks.is_some() && found != object.inode.blocks {
            self.fault(Fault::BadBlocks, object.path);
        }
        Ok(())
    }
    fn is_bare(&self, object: &Object) -> Result<bool> {
        let parts = split(object.key.get(5..).unwrap_or_default());
        let Some(Parts {
            dir,
            what: What::Entry { name, .. },
        }) = parts
        else {
            return Ok(false);
        };
        let mut prefix = table(LIVE_VOLUME, META);
        prefix.extend_from_slice(dir);
        push_subdir(&mut prefix, name);
        prefix.push(ENTRY);
        Ok(self
            .view
            .scan(KeyRange::prefix(prefix))
            .next()
            .transpose()?
            .is_none())
    }
    /// The next block, if blocks are walked.
    fn ahead(&self) -> Option<(Bytes, usize)> {
        self.blocks.as_ref().and_then(|blocks| blocks.ahead.clone())
    }
    fn advance(&mut self) -> Result<()> {
        self.blocks.as_mut().map_or(Ok(()), Blocks::advance)
    }
    fn own_blocks(&mut self, prefix: &[u8], object: &Object) -> Result<u64> {
        let (mut found, mut beyond) = (0, false);
        while let Some((key, len)) = self.ahead()
            && key.starts_with(prefix)
        {
            let number = key.get(prefix.len()..).and_then(|b| b.try_into().ok());
            match number.map(u64::from_be_bytes) {
                Some(number) => beyond |= !fits(number, len, object.inode.size),
                None => self.fault(Fault::BadKey, hex(&key)),
            }
            found += 1;
            self.advance()?;
        }
        if beyond {
            self.fault(Fault::BeyondEnd, &object.path);
        }
        if found > 0 && object.inode.kind != FileType::Regular {
            self.fault(Fault::StrayBlock, &object.path);
        }
        self.report.blocks += found;
        Ok(found)
    }
    /// Blocks before this key belong to nothing.
    fn stray_blocks(&mut self, before: Option<&[u8]>) -> Result<()> {
        while let Some((key, _)) = self.ahead()
            && before.is_none_or(|before| key[..] < *before)
        {
            self.fault(Fault::StrayBlock, hex(&key));
            self.advance()?;
        }
        Ok(())
    }
    /// Behind the staged clones nothing may be.
    fn beyond(&mut self) -> Result<()> {
        let tables: &[u8] = match self.blocks {
            Some(_) => &[META, DATA],
            None => &[META],
        };
        for &which in tables {
            let mut range = KeyRange::prefix(table(LIVE_VOLUME, which));
            let mut start = table(LIVE_VOLUME, which);
            start.push(STAGED + 1);
            range.lo = start.into();
            for item in self.view.scan(range) {
                self.fault(Fault::BadKey, hex(&item?.0));
            }
        }
        Ok(())
    }
    /// The orphan area, in the same way.
    fn orphans(&mut self) -> Result<()> {
        let data = misc(LIVE_VOLUME, ORPHAN_DATA);
        if self.blocks.is_some() {
            let scan = self.view.scan(KeyRange::prefix(data.clone()));
            self.blocks = Some(Blocks::new(scan)?);
        }
        let prefix = misc(LIVE_VOLUME, ORPHAN);
        for item in self.view.scan(KeyRange::prefix(prefix.clone())) {
            let (key, value) = item?;
            let id = key.get(prefix.len()..).unwrap_or_default();
            if id.len() != 8 {
                continue; // an attribute; the sweep takes it with the area
            }
            let path = format!("orphan {}", hex(id));
            let Ok(inode) = Inode::decode(&value) else {
                self.fault(Fault::BadRecord, path);
                continue;
            };
            self.report.orphans += 1;
            self.number(inode.shown(0), &path);
            let own = [&data[..], id].concat();
            let object = Object {
                key: key.clone(),
                path,
                inode,
            };
            self.stray_blocks(Some(&own))?;
            let found = self.own_blocks(&own, &object)?;
            if self.blocks.is_some() && found != object.inode.blocks {
                self.fault(Fault::BadBlocks, object.path);
            }
        }
        self.stray_blocks(None)
    }
}

/// Whether a block of this number and length lies within a file of this size.
fn fits(number: u64, len: usize, size: u64) -> bool {
    let start = number.checked_mul(BLOCK_BYTES);
    let end = start.and_then(|start| start.checked_add(len as u64));
    len as u64 <= BLOCK_BYTES
        && start.is_some_and(|start| start < size)
        && end.is_some_and(|end| end <= size)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
