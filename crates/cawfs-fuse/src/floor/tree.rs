//! The nodes of the file system in memory.
//!
//! Invariant: a node lives while it has a name or the kernel remembers it. Files are pieces of 128 KiB; what a piece lacks is zeros.

use crate::wire::{SetAttr, reply};
use std::collections::{BTreeMap, HashMap};
use std::time::{SystemTime, UNIX_EPOCH};

const PIECE: usize = 128 << 10;

/// A file, directory, symbolic link or device.
#[derive(Debug)]
pub struct Node {
    /// What `stat` shows.
    pub attr: reply::Attr,
    parent: u64,
    remembered: u64,
    body: Body,
}

#[derive(Debug)]
enum Body {
    File(Vec<Vec<u8>>),
    Directory(BTreeMap<Vec<u8>, u64>),
    Link(Vec<u8>),
}

/// All nodes.
#[derive(Debug)]
pub struct Tree {
    nodes: HashMap<u64, Node>,
    last: u64,
    bytes: u64,
}

fn now() -> reply::Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = since.unwrap_or_default();
    reply::Time {
        seconds: since.as_secs().cast_signed(),
        nanos: since.subsec_nanos(),
    }
}

impl Node {
    /// A new one of this mode; what is no directory is a file, and empty.
    pub fn new(mode: u32, uid: u32, gid: u32) -> Self {
        let directory = mode & libc::S_IFMT == libc::S_IFDIR;
        let time = now();
        Self {
            attr: reply::Attr {
                mode,
                uid,
                gid,
                nlink: if directory { 2 } else { 1 },
                blksize: 4096,
                atime: time,
                mtime: time,
                ctime: time,
                btime: time,
                ..reply::Attr::default()
            },
            parent: 0,
            remembered: 0,
            body: match directory {
                true => Body::Directory(BTreeMap::new()),
                false => Body::File(Vec::new()),
            },
        }
    }

    /// A symbolic link.
    pub fn link(target: &[u8], uid: u32, gid: u32) -> Self {
        let mut node = Self::new(libc::S_IFLNK | 0o777, uid, gid);
        node.attr.size = target.len() as u64;
        node.body = Body::Link(target.to_vec());
        node
    }

    /// Where a symbolic link leads.
    pub fn target(&self) -> Result<Vec<u8>, i32> {
        match &self.body {
            Body::Link(target) => Ok(target.clone()),
            _ => Err(libc::EINVAL),
        }
    }

    /// At most `size` bytes from `offset` on.
    pub fn read(&self, offset: u64, size: usize) -> Result<Vec<u8>, i32> {
        let Body::File(pieces) = &self.body else {
            return Err(libc::EISDIR);
        };
        let left = self.attr.size.saturating_sub(offset).min(size as u64) as usize;
        let mut data = Vec::with_capacity(left);
        while data.len() < left {
            let at = offset as usize + data.len();
            let (piece, start) = (at / PIECE, at % PIECE);
            let wanted = (PIECE - start).min(left - data.len());
            let whole = pieces.get(piece).map_or(&[][..], Vec::as_slice);
            let there = whole.get(start..).unwrap_or_default();
            let end = data.len() + wanted;
            data.extend_from_slice(&there[..there.len().min(wanted)]);
            data.resize(end, 0);
        }
        Ok(data)
    }

    fn is_directory(&self) -> bool {
        matches!(self.body, Body::Directory(_))
    }

    fn children(&mut self) -> Result<&mut BTreeMap<Vec<u8>, u64>, i32> {
        match &mut self.body {
            Body::Directory(children) => {
                self.attr.mtime = now();
                self.attr.ctime = self.attr.mtime;
                Ok(children)
            }
            _ => Err(libc::ENOTDIR),
        }
    }

    fn set_size(&mut self, size: u64) {
        self.attr.size = size;
        self.attr.blocks = size.div_ceil(512);
        self.attr.mtime = now();
        self.attr.ctime = self.attr.mtime;
    }

    fn truncate(&mut self, size: u64) {
        if let Body::File(pieces) = &mut self.body {
            pieces.truncate((size as usize).div_ceil(PIECE));
            let last = size as usize % PIECE;
            if last > 0 && pieces.len() > size as usize / PIECE {
                pieces[size as usize / PIECE].truncate(last);
            }
        }
        self.set_size(size);
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), i32> {
        let Body::File(pieces) = &mut self.body else {
            return Err(libc::EISDIR);
        };
        let mut done = 0;
        while done < data.len() {
            let at = offset as usize + done;
            let (piece, start) = (at / PIECE, at % PIECE);
            let count = (PIECE - start).min(data.len() - done);
            if pieces.len() <= piece {
                pieces.resize_with(piece + 1, Vec::new);
            }
            let piece = &mut pieces[piece];
            let new = &data[done..done + count];
            if piece.len() < start {
                piece.resize(start, 0);
            }
            let over = (piece.len() - start).min(count);
            piece[start..start + over].copy_from_slice(&new[..over]);
            piece.extend_from_slice(&new[over..]);
            done += count;
        }
        self.set_size(self.attr.size.max(offset + data.len() as u64));
        Ok(())
    }
}

impl Tree {
    /// An empty root, which the kernel remembers always.
    pub fn new() -> Self {
        let mut root = Node::new(libc::S_IFDIR | 0o755, 0, 0);
        (root.attr.ino, root.parent, root.remembered) = (1, 1, 1);
        Self {
            nodes: HashMap::from([(1, root)]),
            last: 1,
            bytes: 0,
        }
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A node.
    pub fn node(&self, number: u64) -> Result<&Node, i32> {
        self.nodes.get(&number).ok_or(libc::ENOENT)
    }

    fn node_mut(&mut self, number: u64) -> Result<&mut Node, i32> {
        self.nodes.get_mut(&number).ok_or(libc::ENOENT)
    }

    /// The kernel was told of a node.
    pub fn remember(&mut self, number: u64) {
        if let Some(node) = self.nodes.get_mut(&number) {
            node.remembered += 1;
        }
    }

    /// The kernel forgets a node.
    pub fn forget(&mut self, number: u64, count: u64) {
        if let Some(node) = self.nodes.get_mut(&number) {
            node.remembered = node.remembered.saturating_sub(count);
            self.drop_unused(number);
        }
    }

    fn drop_unused(&mut self, number: u64) {
        let unused = |node: &Node| node.remembered == 0 && node.attr.nlink == 0;
        if self.nodes.get(&number).is_some_and(unused)
            && let Some(node) = self.nodes.remove(&number)
        {
            self.bytes -= node.attr.size;
        }
    }

    fn child(&self, parent: u64, name: &[u8]) -> Result<Option<u64>, i32> {
        match &self.node(parent)?.body {
            Body::Directory(children) => Ok(children.get(name).copied()),
            _ => Err(libc::ENOTDIR),
        }
    }

    /// What has a name; the kernel is told of it.
    pub fn find(&mut self, parent: u64, name: &[u8]) -> Result<Option<(u64, &Node)>, i32> {
        let Some(number) = self.child(parent, name)? else {
            return Ok(None);
        };
        self.remember(number);
        Ok(Some((number, self.node(number)?)))
    }

    /// Gives a new node a name; the kernel is told of it.
    pub fn add(&mut self, parent: u64, name: &[u8], mut node: Node) -> Result<(u64, &Node), i32> {
        if self.child(parent, name)?.is_some() {
            return Err(libc::EEXIST);
        }
        self.last += 1;
        let number = self.last;
        (node.attr.ino, node.parent, node.remembered) = (number, parent, 1);
        self.node_mut(parent)?
            .children()?
            .insert(name.to_vec(), number);
        self.bytes += node.attr.size;
        self.nodes.insert(number, node);
        Ok((number, self.node(number)?))
    }

    /// A further name of a file.
    pub fn link(&mut self, file: u64, parent: u64, name: &[u8]) -> Result<&Node, i32> {
        if self.child(parent, name)?.is_some() {
            return Err(libc::EEXIST);
        }
        self.node_mut(parent)?
            .children()?
            .insert(name.to_vec(), file);
        let node = self.node_mut(file)?;
        node.attr.nlink += 1;
        node.attr.ctime = now();
        node.remembered += 1;
        self.node(file)
    }

    /// Takes a name away: of an empty directory, or of what is none.
    pub fn remove(&mut self, parent: u64, name: &[u8], directory: bool) -> Result<(), i32> {
        let number = self.child(parent, name)?.ok_or(libc::ENOENT)?;
        match &self.node(number)?.body {
            Body::Directory(_) if !directory => return Err(libc::EISDIR),
            Body::Directory(children) if !children.is_empty() => return Err(libc::ENOTEMPTY),
            Body::File(_) | Body::Link(_) if directory => return Err(libc::ENOTDIR),
            _ => {}
        }
        self.node_mut(parent)?.children()?.remove(name);
        let node = self.node_mut(number)?;
        node.attr.nlink = if directory { 0 } else { node.attr.nlink - 1 };
        node.attr.ctime = now();
        self.drop_unused(number);
        Ok(())
    }

    /// Gives what has one name another one, in place of what had that.
    pub fn rename(&mut self, from: (u64, &[u8]), to: (u64, &[u8]), keep: bool) -> Result<(), i32> {
        let number = self.child(from.0, from.1)?.ok_or(libc::ENOENT)?;
        match self.child(to.0, to.1)? {
            Some(_) if keep => return Err(libc::EEXIST),
            Some(other) if other == number => return Ok(()),
            Some(other) => {
                let directory = self.node(other)?.is_directory();
                self.remove(to.0, to.1, directory)?;
            }
            None => {}
        }
        self.node_mut(from.0)?.children()?.remove(from.1);
        self.node_mut(to.0)?
            .children()?
            .insert(to.1.to_vec(), number);
        let node = self.node_mut(number)?;
        node.parent = to.0;
        node.attr.ctime = now();
        Ok(())
    }

    /// Changes attributes.
    pub fn change(&mut self, number: u64, change: &SetAttr) -> Result<&reply::Attr, i32> {
        let has = |bit| change.valid & bit != 0;
        let node = self.nodes.get_mut(&number).ok_or(libc::ENOENT)?;
        if has(SetAttr::SIZE) {
            self.bytes = self.bytes - node.attr.size + change.size;
            node.truncate(change.size);
        }
        let attr = &mut node.attr;
        if has(SetAttr::MODE) {
            attr.mode = attr.mode & libc::S_IFMT | change.mode & !libc::S_IFMT;
        }
        if has(SetAttr::UID) {
            attr.uid = change.uid;
        }
        if has(SetAttr::GID) {
            attr.gid = change.gid;
        }
        attr.ctime = now();
        let time = |is_now, seconds, nanos| match has(is_now) {
            true => now(),
            false => reply::Time { seconds, nanos },
        };
        if has(SetAttr::ATIME) {
            attr.atime = time(SetAttr::ATIME_NOW, change.atime, change.atime_ns);
        }
        if has(SetAttr::MTIME) {
            attr.mtime = time(SetAttr::MTIME_NOW, change.mtime, change.mtime_ns);
        }
        Ok(attr)
    }

    /// Writes into a file, at its end if no place is given.
    pub fn write(&mut self, number: u64, offset: Option<u64>, data: &[u8]) -> Result<(), i32> {
        let node = self.nodes.get_mut(&number).ok_or(libc::ENOENT)?;
        let before = node.attr.size;
        node.write(offset.unwrap_or(before), data)?;
        self.bytes += node.attr.size - before;
        Ok(())
    }

    /// What a directory lists.
    pub fn names(&self, number: u64) -> Result<Vec<(Vec<u8>, u64)>, i32> {
        let node = self.node(number)?;
        let Body::Directory(children) = &node.body else {
            return Err(libc::ENOTDIR);
        };
        let dots = [(b".".to_vec(), number), (b"..".to_vec(), node.parent)];
        let children = children.iter().map(|(name, child)| (name.clone(), *child));
        Ok(dots.into_iter().chain(children).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_holes_are_zeros() {
        let mut tree = Tree::new();
        let number = tree
            .add(1, b"f", Node::new(libc::S_IFREG, 0, 0))
            .map(|made| made.0);
        let number = number.expect("it is new");
        tree.write(number, Some(PIECE as u64 - 2), b"abcd")
            .expect("it is a file");
        tree.write(number, None, b"e").expect("it is a file");
        let read = |tree: &Tree, from| tree.node(number)?.read(from, 100);
        assert_eq!(read(&tree, PIECE as u64 - 4), Ok(b"\0\0abcde".to_vec()));
        let change = SetAttr {
            valid: SetAttr::SIZE,
            size: PIECE as u64 + 1,
            ..SetAttr::default()
        };
        tree.change(number, &change).expect("it is there");
        assert_eq!(read(&tree, PIECE as u64 - 1), Ok(b"bc".to_vec()));
        assert_eq!(tree.bytes(), PIECE as u64 + 1);
    }

    #[test]
    fn a_node_goes_with_its_last_name_and_the_kernels_memory_of_it() {
        let mut tree = Tree::new();
        let made = tree
            .add(1, b"a", Node::new(libc::S_IFREG, 0, 0))
            .map(|made| made.0);
        let number = made.expect("it is new");
        assert_eq!(tree.remove(1, b"a", true), Err(libc::ENOTDIR));
        assert!(tree.rename((1, b"a"), (1, b"b"), true).is_ok());
        assert!(tree.link(number, 1, b"c").is_ok());
        assert!(tree.remove(1, b"b", false).is_ok() && tree.remove(1, b"c", false).is_ok());
        assert!(tree.node(number).is_ok());
        tree.forget(number, 2);
        assert!(tree.node(number).is_err());
    }
}
