//! Operations on the names of a directory.

use super::control::notice;
use super::{Reply, Server, convert, errno};
use crate::connection::Answer;
use crate::wire::{Op, reply};
use cawfs_fs::{Caller, Entry, FileType, Kind, NodeId, RenameMode};

/// How long the kernel may believe an entry, in seconds.
pub fn valid(entry: &Entry) -> u64 {
    if entry.cacheable { reply::FOREVER } else { 0 }
}

fn found(entry: &Entry) -> Answer {
    let attr = convert::attr(&entry.attr);
    Answer::Reply(reply::entry(entry.node.0, valid(entry), &attr))
}

impl Server {
    pub(super) fn name(&self, caller: Caller, node: NodeId, op: &Op<'_>) -> Reply {
        let fs = &self.fs;
        let masked = |umask| Caller {
            umask,
            ..caller.clone()
        };
        let entry = match *op {
            Op::Lookup { name } => match fs.lookup(&caller, node, name) {
                Err(e) if e.kind() == Kind::NotFound => {
                    // A name that only means something to its caller must not be remembered.
                    let staged = cawfs_fs::protocol::parse_stage_name(name).is_some();
                    return if staged {
                        Err(libc::ENOENT)
                    } else {
                        Ok(Answer::Reply(reply::no_entry()))
                    };
                }
                Ok(entry) if entry.attr.kind != FileType::Directory => {
                    self.listers.looked_up(node, name);
                    Ok(entry)
                }
                other => other,
            },
            Op::MkNod {
                name,
                mode,
                rdev,
                umask,
            } => fs.mknod(&masked(umask), node, name, mode, rdev),
            Op::MkDir { name, mode, umask } => fs.mkdir(&masked(umask), node, name, mode),
            Op::Symlink { name, target } => fs.symlink(&caller, node, name, target),
            Op::Link {
                node: file,
                new_name,
            } => fs.link(&caller, NodeId(file), node, new_name),
            _ => return self.name_gone(&caller, node, op),
        };
        Ok(found(&entry.map_err(errno)?))
    }

    fn name_gone(&self, caller: &Caller, node: NodeId, op: &Op<'_>) -> Reply {
        let done = match *op {
            Op::ReadLink => {
                return Ok(Answer::Data(self.fs.readlink(node).map_err(errno)?));
            }
            Op::Unlink { name } => self.fs.unlink(caller, node, name),
            Op::RmDir { name } => self.fs.rmdir(caller, node, name),
            Op::Rename {
                name,
                new_parent,
                new_name,
                flags,
            } => {
                let replaces = flags == 0 && cawfs_fs::protocol::parse_stage_name(name).is_some();
                let mut lost = Vec::new();
                if replaces {
                    let mounts = self.fixed.inside.now();
                    self.check_unused(&mounts, NodeId(new_parent), new_name)?;
                    lost = self.fs.lost_below(NodeId(new_parent), new_name);
                }
                let mode = match flags {
                    0 => RenameMode::Replace,
                    libc::RENAME_NOREPLACE => RenameMode::NoReplace,
                    libc::RENAME_EXCHANGE => RenameMode::Exchange,
                    _ => return Err(libc::EINVAL),
                };
                let done = self
                    .fs
                    .rename(caller, node, name, NodeId(new_parent), new_name, mode);
                // The kernel knows that the name changed hands, but not what lay below it.
                let later = self.fixed.agreed.forgets_later();
                self.notifier
                    .send(lost.iter().map(|lost| notice(lost, later)).collect());
                done
            }
            _ => return Err(libc::ENOSYS),
        };
        done.map(|()| Answer::DONE).map_err(errno)
    }
}
