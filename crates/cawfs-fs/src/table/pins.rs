//! Pins: nodes that stay in the table while an operation uses them. A pin must not be dropped with the table locked.

use super::{Node, Place, Table};
use crate::errno::Result;
use crate::inode::Inode;
use crate::locks::{Mutex, lock};
use crate::types::NodeId;
use bytes::Bytes;
use std::ops::Deref;
use std::sync::Arc;

/// A node that stays in the table while this value lives.
pub(crate) struct Pin<'a> {
    table: &'a Mutex<Table>,
    node: Arc<Node>,
}

impl Deref for Pin<'_> {
    type Target = Arc<Node>;
    fn deref(&self) -> &Arc<Node> {
        &self.node
    }
}

impl Clone for Pin<'_> {
    fn clone(&self) -> Self {
        let mut table = lock(self.table);
        if let Some(slot) = table.slots.get_mut(&self.node.id) {
            slot.pins += 1;
        }
        Pin {
            table: self.table,
            node: self.node.clone(),
        }
    }
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        let mut table = lock(self.table);
        if let Some(slot) = table.slots.get_mut(&self.node.id) {
            slot.pins -= 1;
        }
        table.tidy(self.node.id);
    }
}

/// The node of an id, pinned.
pub(crate) fn pin(table: &Mutex<Table>, id: NodeId) -> Result<Pin<'_>> {
    let mut guard = lock(table);
    let node = guard.slot(id)?.node.clone();
    if let Some(slot) = guard.slots.get_mut(&id) {
        slot.pins += 1;
        slot.used = true;
    }
    Ok(Pin { table, node })
}

/// The node of a name, pinned, if it is in the table.
pub(crate) fn pin_child<'a>(
    table: &'a Mutex<Table>,
    parent: NodeId,
    name: &[u8],
) -> Option<Pin<'a>> {
    let mut guard = lock(table);
    let id = *guard.slots.get(&parent)?.children.get(name)?;
    let slot = guard.slots.get_mut(&id)?;
    slot.pins += 1;
    slot.used = true;
    Some(Pin {
        table,
        node: slot.node.clone(),
    })
}

/// Makes a node of what was read from the store as `name` of `parent` in `epoch`, or finds the one that is there; pinned.
/// None if the epoch has passed: read again.
pub(crate) fn pin_new_child<'a>(
    table: &'a Mutex<Table>,
    parent: &Node,
    name: &Bytes,
    inode: Inode,
    epoch: Option<u64>,
) -> Option<Pin<'a>> {
    if let Some(pin) = pin_child(table, parent.id, name) {
        return Some(pin);
    }
    let mut guard = lock(table);
    let slot = guard.slots.get(&parent.id)?;
    if epoch.is_some_and(|e| e != slot.epoch) || slot.children.contains_key(name) {
        return None;
    }
    let ino = inode.shown(parent.shifts);
    let place = Place::Child(parent.id, name.clone());
    let id = guard.add(inode, ino, Some(parent), place);
    guard
        .slots
        .get_mut(&parent.id)?
        .children
        .insert(name.clone(), id);
    let slot = guard.slots.get_mut(&id)?;
    slot.pins += 1;
    Some(Pin {
        table,
        node: slot.node.clone(),
    })
}

/// Makes a node that is no entry, shown under number `ino`; pinned. For a directory, `inode.shift` and `inode.inherited` count
/// from the root.
pub(crate) fn pin_new(
    table: &Mutex<Table>,
    inode: Inode,
    ino: u64,
    place: Place,
) -> Result<Pin<'_>> {
    let id = lock(table).add(inode, ino, None, place);
    pin(table, id)
}
