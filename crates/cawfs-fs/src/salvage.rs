//! What can still be read of a damaged store, object by object, without a mount.
//!
//! ```text
//!   meta table, in key order:   ▓▓▓▓▓▓░░░░▓▓▓▓▓▓▓▓░▓▓▓▓      ░ unreadable: passed over, and reported
//!   for each file, its blocks:  ▓▓▓▓░░▓▓
//! ```
//! Invariants: what is handed out was verified by checksums; names are such as a directory may hold, so that nobody who
//! writes them down leaves his folder; set-id bits and capabilities that take no effect in the store are left out.
//! Memory: some words for each directory, and what of a damaged range is reported.

use crate::check::{Parts, What, split};
use crate::inode::{HAS_XATTRS, HOME, Inode, NoSetId, SET_GID, SET_UID};
use crate::links::{LinkId, Record, Reference};
use crate::maps::{Ids, NO_ID};
use crate::ops::recoded;
use crate::schema::{
    BODY, DATA, LIVE_VOLUME, Location, META, STAGED, XATTR, block_number, push_subdir, table,
};
use crate::types::{BLOCK_BYTES, FileType, NAME_MAX, Time};
use bytes::Bytes;
use cawdb::{KeyRange, Snapshot, Store};
use std::collections::HashMap;
use std::ops::Range;

/// What is tried by itself where a block cannot be read, in bytes.
const PAGE: u64 = 4 << 10;
/// The longest range of which pages are tried, in bytes.
const FEW: u64 = 16 * BLOCK_BYTES;

/// The names from the root to an object, and all that is kept of it but its blocks.
#[derive(Debug, Clone)]
pub struct Object {
    /// Names from the root; none for the root itself.
    pub path: Vec<Bytes>,
    /// What it is.
    pub kind: FileType,
    /// Permission bits.
    pub perm: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number, of a device.
    pub rdev: u32,
    /// Bytes of a file.
    pub size: u64,
    /// Access and modification times.
    pub times: [Time; 2],
    /// Target of a symbolic link.
    pub target: Bytes,
    /// Extended attributes: names and values.
    pub xattrs: Vec<(Bytes, Bytes)>,
    /// For a file with several names: the same for all of them.
    pub linked: Option<Bytes>,
}

/// Owner of what has an owner without an image, as the kernel shows it.
const OVERFLOW_ID: u32 = 65_534;

/// What is known of a directory when what is in it comes.
#[derive(Clone)]
struct Above {
    no_set_id: NoSetId,
    shifts: u64,
    ids: Ids,
    home: bool,
}

impl Above {
    fn of(above: &Self, inode: &Inode) -> Self {
        let ids = inode.inherited.ids.then(&above.ids);
        let hidden = above.no_set_id.recode(&above.ids, &ids);
        Self {
            no_set_id: hidden.and(inode.no_set_id),
            ids,
            shifts: above.shifts.wrapping_add(inode.shift),
            home: inode.has(HOME),
        }
    }
}

/// By S(dir).
type Dirs = HashMap<Vec<u8>, Above>;

/// One thing met on the walk.
#[derive(Debug)]
pub enum Salvaged {
    /// An object that can be read.
    Object(Box<Object>),
    /// Something cannot be read, or makes no sense: what, and why.
    Lost(String),
}

/// Reads around damage.
pub struct Salvage {
    view: Snapshot,
    /// Ranges known to be unreadable, in order.
    bad: Vec<KeyRange>,
}

impl Salvage {
    /// Reads the newest state of `store` around the ranges `bad`.
    pub fn new(store: &Store, mut bad: Vec<KeyRange>) -> Self {
        bad.sort_by(|a, b| a.lo.cmp(&b.lo));
        let view = store.snapshot();
        Self { view, bad }
    }

    /// Walks over `range`; goes on behind what cannot be read. `lost` hears of that: from where, to where, why.
    fn walk(
        &self,
        range: KeyRange,
        each: &mut dyn FnMut(&Bytes, &Bytes),
        lost: &mut dyn FnMut(&KeyRange, &cawdb::Error),
    ) {
        let mut rest = range;
        while !rest.is_empty() {
            let mut failed = None;
            for item in self.view.scan(rest.clone()) {
                match item {
                    Ok((key, value)) => {
                        each(&key, &value);
                        rest.lo = [&key[..], &[0]].concat().into();
                    }
                    Err(error) => failed = Some(error),
                }
            }
            let Some(error) = failed else { return };
            // The damage that the walk ran into is the first that ends behind where it stands.
            let ends = |bad: &&KeyRange| bad.hi.as_ref().is_none_or(|hi| *hi > rest.lo);
            let hi = self.bad.iter().find(ends).and_then(|bad| bad.hi.clone());
            let hi = match (hi, &rest.hi) {
                (Some(hi), Some(end)) if hi >= *end => Some(end.clone()),
                (Some(hi), _) => Some(hi),
                (None, end) => end.clone(),
            };
            let lo = std::mem::take(&mut rest.lo);
            lost(&KeyRange { lo, hi: hi.clone() }, &error);
            let Some(next) = hi else { return };
            rest.lo = next;
        }
    }

    /// Hands out every object that can be read: a directory before what it holds, unless its record is lost.
    pub fn objects(&self, sink: &mut dyn FnMut(Salvaged)) {
        let mut above = Dirs::new();
        let nothing = Above {
            no_set_id: NoSetId::None,
            shifts: 0,
            ids: Ids::default(),
            // If the root's record is lost, it may have been one.
            home: true,
        };
        above.insert(Vec::new(), nothing.clone());
        match self.view.get(&Location::root(LIVE_VOLUME).record()) {
            Ok(Some(record)) => match Inode::decode(&record) {
                Ok(inode) if inode.is_dir() => {
                    let root = Above::of(&nothing, &inode);
                    let xattrs = self.xattrs(&Location::root(LIVE_VOLUME).record(), sink);
                    let found = object(Vec::new(), (inode, &root.ids), xattrs, None);
                    above.insert(Vec::new(), root);
                    sink(Salvaged::Object(Box::new(found)));
                }
                _ => sink(Salvaged::Lost("the root's record makes no sense".into())),
            },
            Ok(None) => sink(Salvaged::Lost("there is no root's record".into())),
            Err(e) => sink(Salvaged::Lost(format!("the root's record: {e}"))),
        }
        let mut end = table(LIVE_VOLUME, META);
        end.push(STAGED);
        let range = KeyRange::new(table(LIVE_VOLUME, META), end);
        let mut losses = Vec::new();
        let mut each = |key: &Bytes, value: &Bytes| self.record(key, value, &mut above, sink);
        self.walk(range, &mut each, &mut |range, e| {
            losses.push(format!("objects {}: {e}", key_range_name(range)));
        });
        losses
            .into_iter()
            .for_each(|lost| sink(Salvaged::Lost(lost)));
    }

    fn record(&self, key: &Bytes, value: &Bytes, above: &mut Dirs, sink: &mut dyn FnMut(Salvaged)) {
        let path_key = key.get(5..).unwrap_or_default();
        let Some(Parts { dir, what }) = split(path_key) else {
            return sink(Salvaged::Lost(format!("{}: no key of ours", key_name(key))));
        };
        let What::Entry { name, rest: None } = what else {
            return; // An attribute, read with its object; or a body, read with its names.
        };
        let path = path_of(dir).map(|mut path| {
            path.push(Bytes::copy_from_slice(name));
            path
        });
        let Some(path) = path.filter(|path| path.iter().all(|name| is_name(name))) else {
            return sink(Salvaged::Lost(format!("{}: not a name", key_name(key))));
        };
        let found = match Record::decode(value) {
            Ok(Record::Own(inode)) => Ok((key.clone(), inode)),
            Ok(Record::Link(link)) => self.body(dir, &link, above),
            Err(_) => Err("its record makes no sense".to_owned()),
        };
        let (at, mut inode) = match found {
            Ok(found) => found,
            Err(why) => return sink(Salvaged::Lost(format!("{}: {why}", key_name(key)))),
        };
        let known = above.get(dir).cloned();
        let no_set_id = known.as_ref().map_or(NoSetId::All, |above| above.no_set_id);
        let mut ids = known
            .as_ref()
            .map_or_else(Ids::default, |above| above.ids.clone());
        if let (true, Some(above_it)) = (inode.is_dir(), known) {
            let mut inside = dir.to_vec();
            push_subdir(&mut inside, name);
            let inherited = Above::of(&above_it, &inode);
            ids = inherited.ids.clone();
            above.insert(inside, inherited);
        }
        let mut xattrs = match inode.has(HAS_XATTRS) {
            true => self.xattrs(&at, sink),
            false => Vec::new(),
        };
        if !inode.is_dir() && no_set_id.hides(inode.uid) {
            inode.perm &= !(SET_UID | SET_GID);
            xattrs.retain(|(name, _)| &name[..] != b"security.capability");
        }
        let linked = (at != *key).then_some(at);
        let found = object(path, (inode, &ids), xattrs, linked);
        sink(Salvaged::Object(Box::new(found)));
    }

    /// The body that a reference in a directory leads to, and its key; or why it cannot be had.
    fn body(&self, dir: &[u8], link: &Reference, above: &Dirs) -> Result<(Bytes, Inode), String> {
        let lost = || "a name of a file that is not there".to_owned();
        let shifts = above.get(dir).ok_or_else(lost)?.shifts;
        let ends = dir.iter().enumerate().filter(|(_, byte)| **byte == 0);
        let ends = ends.map(|(at, _)| at + 1).rev().chain([0]);
        let prefixes = ends.filter_map(|end| dir.get(..end));
        let dirs = prefixes.filter_map(|prefix| Some((prefix, above.get(prefix)?)));
        for (prefix, home) in dirs.filter(|(_, above)| above.home) {
            let id: LinkId = link.id.rebased(shifts, home.shifts);
            let key = [&table(LIVE_VOLUME, META), prefix, &[BODY], &id.encode()].concat();
            match self.view.get(&key) {
                Ok(Some(value)) => {
                    let inode = Inode::decode(&value).map_err(|e| e.to_string())?;
                    return Ok((key.into(), inode));
                }
                Ok(None) => {}
                Err(e) => return Err(e.to_string()),
            }
        }
        Err(lost())
    }

    fn xattrs(&self, record: &[u8], sink: &mut dyn FnMut(Salvaged)) -> Vec<(Bytes, Bytes)> {
        let prefix = [record, &[0, XATTR]].concat();
        let mut found = Vec::new();
        let mut losses = Vec::new();
        let mut each = |key: &Bytes, value: &Bytes| {
            found.push((key.slice(prefix.len()..), value.clone()));
        };
        self.walk(KeyRange::prefix(prefix.clone()), &mut each, &mut |_, e| {
            losses.push(format!("attributes of {}: {e}", key_name(record)));
        });
        losses
            .into_iter()
            .for_each(|lost| sink(Salvaged::Lost(lost)));
        found
    }

    /// Hands out the content of a file, block by block; the ranges of bytes that cannot be read, with the reason.
    pub fn content(
        &self,
        object: &Object,
        block: &mut dyn FnMut(u64, &[u8]),
    ) -> Vec<(Range<u64>, String)> {
        let at = location(object);
        let mut lost = Vec::new();
        let mut each = |key: &Bytes, value: &Bytes| {
            let start = block_number(key).and_then(|number| number.checked_mul(BLOCK_BYTES));
            let Some(start) = start.filter(|start| *start < object.size) else {
                return;
            };
            let len = (object.size - start).min(value.len() as u64);
            block(start, value.get(..len as usize).unwrap_or_default());
        };
        self.walk(at.block_range(0, None), &mut each, &mut |range, error| {
            let number = |key: &[u8]| {
                let inside = key.get(at.blocks().len()..).unwrap_or_default();
                let mut bytes = [0; 8];
                let n = inside.len().min(8);
                bytes[..n].copy_from_slice(&inside[..n]);
                // A bound behind a block's key counts the block in.
                u64::from_be_bytes(bytes).saturating_add(u64::from(inside.len() > 8))
            };
            let start = number(&range.lo).saturating_mul(BLOCK_BYTES);
            let own = range.hi.as_ref().filter(|hi| hi.starts_with(&at.blocks()));
            let end = own.map_or(object.size, |hi| number(hi).saturating_mul(BLOCK_BYTES));
            let bytes = start.min(object.size)..end.min(object.size);
            if !bytes.is_empty() {
                lost.push((bytes, error.to_string()));
            }
        });
        let mut rest = Vec::new();
        for (bytes, error) in lost {
            let still = self.pages(&at, bytes, block).into_iter();
            rest.extend(still.map(|bytes| (bytes, error.clone())));
        }
        rest
    }

    /// Hands out what can be read of some blocks page by page; what is lost all the same. Of many blocks, which one cause made unreadable, nothing
    /// is tried.
    fn pages(
        &self,
        at: &Location,
        bytes: Range<u64>,
        block: &mut dyn FnMut(u64, &[u8]),
    ) -> Vec<Range<u64>> {
        if bytes.end - bytes.start > FEW {
            return vec![bytes];
        }
        let mut lost: Vec<Range<u64>> = Vec::new();
        for start in bytes.clone().step_by(PAGE as usize) {
            let end = bytes.end.min(start + PAGE);
            let from = (start % BLOCK_BYTES) as usize;
            let want = from..from + (end - start) as usize;
            match self.view.get_part(&at.block(start / BLOCK_BYTES), want) {
                Ok(Some(found)) if !found.is_empty() => block(start, &found),
                Ok(_) => {}
                Err(_) => match lost.last_mut() {
                    Some(last) if last.end == start => last.end = end,
                    _ => lost.push(start..end),
                },
            }
        }
        lost
    }
}

/// Where the content of an object is.
fn location(object: &Object) -> Location {
    let from = |names: &[Bytes]| {
        let names = names.iter().cloned();
        names.fold(Location::root(LIVE_VOLUME), |at, name| at.child(name))
    };
    let body = || {
        let Parts { dir, what } = split(object.linked.as_ref()?.get(5..)?)?;
        let What::Body { id, .. } = what else {
            return None;
        };
        Some(from(&path_of(dir)?).child(LinkId::decode(id)?.name()))
    };
    body().unwrap_or_else(|| from(&object.path))
}

fn object(
    path: Vec<Bytes>,
    (inode, ids): (Inode, &Ids),
    mut xattrs: Vec<(Bytes, Bytes)>,
    linked: Option<Bytes>,
) -> Object {
    xattrs.retain_mut(|(name, value)| {
        let shown = recoded(name, value, ids, &Ids::default());
        let shown = shown.unwrap_or_else(|_| Some(value.clone()));
        *value = shown.clone().unwrap_or_default();
        shown.is_some()
    });
    let known = |id: u32| if id == NO_ID { OVERFLOW_ID } else { id };
    Object {
        linked,
        path,
        kind: inode.kind,
        perm: inode.perm,
        uid: known(ids.user(inode.uid)),
        gid: known(ids.group(inode.gid)),
        rdev: inode.rdev(),
        size: inode.bytes(),
        times: [inode.atime, inode.mtime],
        target: inode.target,
        xattrs,
    }
}

/// Whether a directory may hold an entry of this name.
fn is_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && name.len() <= NAME_MAX && !name.contains(&b'/')
}

/// The names in S(dir).
fn path_of(mut dir: &[u8]) -> Option<Vec<Bytes>> {
    let mut path = Vec::new();
    while let Some((_, rest)) = dir.split_first() {
        let end = rest.iter().position(|b| *b == 0)?;
        path.push(Bytes::copy_from_slice(rest.get(..end)?));
        dir = rest.get(end + 1..)?;
    }
    Some(path)
}

/// What a key of the store belongs to, for people: a path, and the block or attribute.
pub fn key_name(key: &[u8]) -> String {
    let named = || {
        let (which, path_key) = (key.get(4)?, key.get(5..)?);
        let (mut parts, mut back) = (split(path_key)?, String::new());
        let inner;
        if let What::Back { path } = parts.what {
            inner = [parts.dir, path].concat();
            back.push_str(", back-reference");
            parts = split(&inner)?;
        }
        let (name, rest) = match parts.what {
            What::Entry { name, rest } => (name.to_vec(), rest),
            What::Body { id, rest } => {
                let tag = LinkId::decode(id)?.tag;
                (
                    format!("(file {tag:016x} with several names)").into_bytes(),
                    rest,
                )
            }
            What::Back { .. } => return None,
        };
        let mut path = String::new();
        for part in path_of(parts.dir)?
            .iter()
            .map(|p| &p[..])
            .chain([&name[..]])
        {
            path.push('/');
            path.push_str(&part.escape_ascii().to_string());
        }
        Some(match (*which, rest) {
            (DATA, Some(rest)) if rest.len() >= 8 => {
                let block = rest.first_chunk().map_or(0, |n| u64::from_be_bytes(*n));
                format!("{path}, from byte {}", block.saturating_mul(BLOCK_BYTES))
            }
            (META, Some([XATTR, name @ ..])) => {
                format!("{path}, attribute {}", name.escape_ascii())
            }
            _ => path + &back,
        })
    };
    named().unwrap_or_else(|| match key {
        [] => "the beginning".into(),
        key => format!("key {}", key.escape_ascii()),
    })
}

/// The same for a range.
pub fn key_range_name(range: &KeyRange) -> String {
    let lo = key_name(&range.lo);
    match &range.hi {
        None => format!("{lo} to the end"),
        Some(hi) => {
            let hi = key_name(hi);
            if lo == hi {
                lo
            } else {
                format!("{lo} to {hi}")
            }
        }
    }
}
