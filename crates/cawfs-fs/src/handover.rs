//! The handle table as bytes, so that a new daemon can take over the kernel's side of a running mount.
//!
//! ```text
//! "CAWH"   version u32 = 1   next id u64
//! count u32, nodes by rising depth: id u64, place u8 (0 root, 1 child, 2 orphan, 3 gone), [parent u64, name],
//!     lookups, opens, writers u64, shown number u64, record
//! count u32, open directories: handle u64, node u64
//! ```
//!
//! Byte strings carry their length as u32 before them; all numbers are little-endian. Staged clones are not handed over: who
//! waits for one gets ENOENT and stages again. Snapshots of open directories are taken anew.

use crate::errno::{Error, Kind, Result};
use crate::fs::{Fs, MountOptions};
use crate::inode::{Inode, Reader};
use crate::locks::lock;
use crate::table::{Passed, Place};
use crate::types::{DirHandle, NodeId};
use bytes::Bytes;
use cawdb::Store;

const MAGIC: &[u8; 4] = b"CAWH";
const VERSION: u32 = 1;

fn bad() -> Error {
    Kind::Invalid.because("not a table of handles")
}

impl Fs {
    /// The handle table as bytes, for [`Fs::take_over`]. The caller serves no requests any more. Makes all durable.
    pub fn hand_over(&self) -> Result<Vec<u8>> {
        // What staged clones hold must not be counted as held by the kernel.
        let stages = std::mem::take(&mut lock(&self.stages).0);
        stages
            .values()
            .try_for_each(|stage| self.end_stage(stage))?;
        self.sync_all()?;
        let _names = self.exclusive();
        let (next, nodes) = lock(&self.table).pass();
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&next.to_le_bytes());
        out.extend_from_slice(&(nodes.len() as u32).to_le_bytes());
        for node in &nodes {
            put_node(&mut out, node);
        }
        let dirs = self.dirs.all();
        out.extend_from_slice(&(dirs.len() as u32).to_le_bytes());
        for (handle, node) in dirs {
            out.extend_from_slice(&handle.0.to_le_bytes());
            out.extend_from_slice(&node.0.to_le_bytes());
        }
        Ok(out)
    }

    /// Mounts as a successor of the mount that wrote `table`: node ids, counts and open directories stay valid.
    pub fn take_over(store: Store, options: MountOptions, table: &[u8]) -> Result<Self> {
        let mut reader = Reader(table);
        let (next, nodes, dirs) = read_all(&mut reader).ok_or_else(bad)?;
        let fs = Self::mount_with(store, options, false)?;
        lock(&fs.table).receive(next, nodes).ok_or_else(bad)?;
        for (handle, node) in dirs {
            let dir = fs.dir(node)?;
            fs.dirs.restore(handle, node, fs.listing(&dir));
        }
        Ok(fs)
    }
}

fn put_node(out: &mut Vec<u8>, node: &Passed) {
    out.extend_from_slice(&node.id.0.to_le_bytes());
    match &node.place {
        Place::Root => out.push(0),
        Place::Child(parent, name) => {
            out.push(1);
            out.extend_from_slice(&parent.0.to_le_bytes());
            put_bytes(out, name);
        }
        Place::Orphan => out.push(2),
        Place::Gone | Place::Staged => out.push(3),
    }
    for number in [node.lookups, node.opens, node.writers, node.ino] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    put_bytes(out, &node.inode.encode());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

type All = (u64, Vec<Passed>, Vec<(DirHandle, NodeId)>);

fn read_all(r: &mut Reader<'_>) -> Option<All> {
    if r.array()? != *MAGIC || r.u32()? != VERSION {
        return None;
    }
    let (next, count) = (r.u64()?, r.u32()?);
    let nodes = (0..count)
        .map(|_| read_node(r))
        .collect::<Option<Vec<_>>>()?;
    let count = r.u32()?;
    let dirs = (0..count).map(|_| Some((DirHandle(r.u64()?), NodeId(r.u64()?))));
    let dirs = dirs.collect::<Option<Vec<_>>>()?;
    r.0.is_empty().then_some((next, nodes, dirs))
}

fn read_node(r: &mut Reader<'_>) -> Option<Passed> {
    let id = NodeId(r.u64()?);
    let place = match r.u8()? {
        0 => Place::Root,
        1 => Place::Child(NodeId(r.u64()?), read_bytes(r)?),
        2 => Place::Orphan,
        3 => Place::Gone,
        _ => return None,
    };
    let (lookups, opens, writers, ino) = (r.u64()?, r.u64()?, r.u64()?, r.u64()?);
    let inode = Inode::decode(&read_bytes(r)?).ok()?;
    Some(Passed {
        id,
        place,
        lookups,
        opens,
        writers,
        ino,
        inode,
    })
}

fn read_bytes(r: &mut Reader<'_>) -> Option<Bytes> {
    let len = r.u32()? as usize;
    let (head, rest) = r.0.split_at_checked(len)?;
    r.0 = rest;
    Some(Bytes::copy_from_slice(head))
}
