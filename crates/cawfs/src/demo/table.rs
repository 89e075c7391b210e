//! The result of a demonstration, as a table and as JSON.

use crate::output;
use serde_json::{Value, json};
use std::time::Duration;

/// What was measured.
#[derive(Debug, Clone)]
pub struct Result {
    /// The tree.
    pub tree: String,
    /// Its regular files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many clones.
    pub clones: usize,
    /// Time to copy the tree into the mount.
    pub copy: Duration,
    /// Time of each clone, sorted.
    pub clone: Vec<Duration>,
    /// Bytes that the store grew by for the tree.
    pub tree_room: u64,
    /// Bytes that a clone costs.
    pub clone_room: u64,
    /// Bytes that a clone with its changes costs.
    pub changed_room: u64,
    /// Files changed in a clone.
    pub changed: usize,
    /// Time to read all of the original, and of a clone.
    pub read: [Duration; 2],
    /// `cp -a` on the disk below: time of a copy, its bytes, time to read it.
    pub plain: (Duration, u64, Duration),
}

impl Result {
    fn median(&self) -> Duration {
        self.clone
            .get(self.clone.len() / 2)
            .copied()
            .unwrap_or_default()
    }

    fn slowest(&self) -> Duration {
        self.clone.last().copied().unwrap_or_default()
    }

    /// For programs: seconds and bytes.
    pub fn json(&self) -> Value {
        json!({
            "tree": self.tree, "files": self.files, "bytes": self.bytes, "clones": self.clones,
            "cawfs": {
                "copy_in_seconds": self.copy.as_secs_f64(),
                "clone_median_seconds": self.median().as_secs_f64(),
                "clone_max_seconds": self.slowest().as_secs_f64(),
                "tree_bytes": self.tree_room,
                "clone_bytes": self.clone_room,
                "changed_clone_bytes": self.changed_room,
                "changed_files": self.changed,
                "read_original_seconds": self.read[0].as_secs_f64(),
                "read_clone_seconds": self.read[1].as_secs_f64(),
            },
            "cp": {
                "copy_seconds": self.plain.0.as_secs_f64(),
                "copy_bytes": self.plain.1,
                "read_seconds": self.plain.2.as_secs_f64(),
            },
        })
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut table = output::table();
        let (time, bytes) = (output::time, output::bytes);
        table.set_header(["", "cawfs", "cp -a"]);
        let plain = self.plain;
        let rows = [
            ("copy the tree in".into(), time(self.copy), time(plain.0)),
            (
                "one more version of it, median".into(),
                time(self.median()),
                time(plain.0),
            ),
            (
                "one more version of it, slowest".into(),
                time(self.slowest()),
                String::new(),
            ),
            (
                "space of the tree".into(),
                bytes(self.tree_room),
                bytes(plain.1),
            ),
            (
                "space of one more version".into(),
                bytes(self.clone_room),
                bytes(plain.1),
            ),
            (
                format!("space with {} files changed", self.changed),
                bytes(self.changed_room),
                bytes(plain.1),
            ),
            (
                "read all of the original".into(),
                time(self.read[0]),
                String::new(),
            ),
            (
                "read all of a version".into(),
                time(self.read[1]),
                time(plain.2),
            ),
        ];
        for (what, ours, theirs) in rows {
            table.add_row([what, ours, theirs]);
        }
        output::align(&mut table);
        let lines = table.to_string();
        let lines: String = lines
            .lines()
            .map(|l| format!(" {}\n", l.trim_end()))
            .collect();
        let all = self.clones as u32;
        format!(
            "\n{lines}\n  {all} versions: {} and {} with cawfs; `cp -a` would take {} and {}\n",
            time(self.clone.iter().sum()),
            bytes(self.tree_room + self.changed_room * u64::from(all)),
            time(plain.0 * all),
            bytes(plain.1 * u64::from(all)),
        )
    }
}
