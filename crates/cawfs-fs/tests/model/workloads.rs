//! Workloads over which power is lost and the disk fails: random steps of some kinds, always with files that are made,
//! written and made durable, and with background work.

use crate::world::step::Step;
use crate::world::{Mix, Shape, generate};
use cawdb::Compression;

/// Steps of some kinds.
pub struct Workload {
    pub name: &'static str,
    /// Whether it has steps of this kind, beside those that all have.
    has: fn(&Step) -> bool,
    /// Files are of hundreds of KiB.
    large: bool,
    /// One step in so many makes something durable.
    sync_every: u32,
    /// Background work goes on until there is none left, and so gives room back to the disk.
    idle: bool,
    /// What it is there for.
    pub meets: &'static [&'static str],
}

const PLAIN: Workload = Workload {
    name: "",
    has: |_| true,
    large: false,
    sync_every: 8,
    idle: false,
    meets: &[],
};

pub const WORKLOADS: [Workload; 14] = [
    Workload {
        name: "contents",
        has: |step| {
            matches!(
                step,
                Step::Truncate(..) | Step::Allocate(..) | Step::Copy(..) | Step::Unlink(..)
            )
        },
        meets: &["writes", "setattrs", "syncs"],
        ..PLAIN
    },
    Workload {
        name: "large_contents",
        has: |step| {
            matches!(
                step,
                Step::Truncate(..) | Step::Allocate(..) | Step::Copy(..) | Step::Clone(..)
            )
        },
        large: true,
        meets: &["writes", "shared_bytes", "syncs"],
        ..PLAIN
    },
    Workload {
        name: "renames_over_files",
        has: |step| matches!(step, Step::Rename(..) | Step::Tmpfile(..)),
        meets: &["renames_over", "moved_files", "syncs"],
        ..PLAIN
    },
    Workload {
        name: "moved_directories",
        has: |step| matches!(step, Step::Rename(..) | Step::Rmdir(..)),
        meets: &["moved_directories", "exchanges", "syncs"],
        ..PLAIN
    },
    Workload {
        name: "cloned_trees",
        has: |step| matches!(step, Step::Clone(..) | Step::Unlink(..)),
        meets: &["clones", "shared_children", "syncs"],
        ..PLAIN
    },
    Workload {
        name: "nested_and_replaced_trees",
        has: |step| {
            matches!(
                step,
                Step::Nest(..) | Step::Clone(..) | Step::RemoveTree(..)
            )
        },
        meets: &["clones_into_own_subtree", "replaced_trees", "syncs"],
        ..PLAIN
    },
    Workload {
        name: "removed_trees",
        has: |step| {
            matches!(
                step,
                Step::RemoveTree(..) | Step::Rmdir(..) | Step::Nest(..) | Step::Open(_)
            )
        },
        meets: &["trees_removed", "range_drops", "syncs"],
        ..PLAIN
    },
    Workload {
        name: "room_given_back",
        has: |step| {
            matches!(
                step,
                Step::RemoveTree(..) | Step::Unlink(..) | Step::Nest(..)
            )
        },
        large: true,
        idle: true,
        sync_every: 4,
        meets: &["trees_removed", "discards", "syncs"],
    },
    Workload {
        name: "open_files_without_names",
        has: |step| {
            matches!(
                step,
                Step::Open(_) | Step::Close(_) | Step::Unlink(..) | Step::RemoveTree(..)
            )
        },
        meets: &["open_at_a_removed_name", "syncs"],
        ..PLAIN
    },
    Workload {
        name: "files_with_several_names",
        has: |step| {
            matches!(
                step,
                Step::Link(..)
                    | Step::Rename(..)
                    | Step::Clone(..)
                    | Step::Unlink(..)
                    | Step::RemoveTree(..)
            )
        },
        meets: &["links", "moved_directories", "clones", "syncs"],
        ..PLAIN
    },
    Workload {
        name: "attributes",
        has: |step| {
            matches!(
                step,
                Step::SetXattr(..) | Step::RemoveXattr(..) | Step::Chmod(..) | Step::Clone(..)
            )
        },
        meets: &["xattr_changes", "setattrs", "syncs"],
        ..PLAIN
    },
    Workload {
        name: "staged_clones",
        has: |step| matches!(step, Step::Stage(..) | Step::Complete(..) | Step::Clone(..)),
        meets: &["staged_clones", "syncs"],
        ..PLAIN
    },
    Workload {
        name: "seldom_synced",
        sync_every: 30,
        meets: &["writes", "clones"],
        ..PLAIN
    },
    Workload {
        name: "everything",
        meets: &["writes", "clones", "syncs"],
        ..PLAIN
    },
];

impl Workload {
    /// The one of this name.
    pub fn named(name: &str) -> &'static Self {
        let found = WORKLOADS.iter().find(|workload| workload.name == name);
        found.expect("a workload")
    }
    /// A small world: it is read wholly for every image.
    pub fn shape(&self, seed: u64) -> Shape {
        let shape = Shape::of(seed);
        Shape {
            // What compresses well leaves no holes that could be given back.
            compression: match self.idle {
                true => Compression::None,
                false => shape.compression,
            },
            fanout: Some([4, 8, 16][seed as usize % 3]),
            journal_bytes: 64 << 10,
            objects: 24,
            large: self.large,
            ..shape
        }
    }
    /// The same, with nothing in the cache: everything is read from the disk, as often as it is asked for.
    pub fn uncached(&self, seed: u64) -> Shape {
        Shape {
            cache_bytes: 0,
            ..self.shape(seed)
        }
    }
    /// So many steps.
    pub fn steps(&self, seed: u64, steps: usize) -> Vec<Step> {
        let mix = Mix {
            large: self.large,
            remount_every: 0,
            crash_every: 0,
            sync_every: self.sync_every,
            tick_every: 5,
        };
        let wanted = |step: &Step| {
            let always = matches!(
                step,
                Step::Make(..)
                    | Step::Write(..)
                    | Step::Fsync(_)
                    | Step::FsyncDir(_)
                    | Step::SyncAll
                    | Step::Checkpoint
                    | Step::Tick(_)
            );
            always || (self.has)(step)
        };
        let all = generate(seed, steps * 20, mix);
        let mut list = Vec::new();
        // Kinds that all workloads have are many: they leave every other step to those that this one is about.
        let mut own = all.iter().filter(|step| (self.has)(step));
        for step in all.iter().filter(|step| wanted(step)) {
            list.push(*step);
            list.extend(own.next());
            if list.len() >= steps {
                break;
            }
        }
        list.truncate(steps);
        if self.idle {
            let ticks = list.iter_mut().filter(|step| matches!(step, Step::Tick(_)));
            ticks.for_each(|step| *step = Step::Tick(u8::MAX));
        }
        list
    }
}
