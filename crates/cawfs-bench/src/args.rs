//! The command line, and the sizes that follow from it.

use crate::process;
use crate::system::Kind;
use crate::workload::{Name, engine};
use clap::Parser;
use std::path::PathBuf;

/// Measures cawfs side by side with other file systems, each made in a loop image on the disk of $TMPDIR. Needs root.
#[derive(Debug, Parser)]
#[command(name = "cawfs-bench", version)]
pub struct Args {
    /// What to run
    #[arg(value_enum, required = true)]
    pub workloads: Vec<Name>,
    /// Small sizes: does it run, and are the counts sane
    #[arg(long)]
    pub quick: bool,
    /// How often each workload runs on each system (default: 3, with --quick 1)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub repeat: Option<u32>,
    /// Which systems, separated by commas; ours are always among them
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LIST")]
    pub systems: Vec<Kind>,
    /// Which system begins the first run; the others follow, and another one begins each further run (default: cawfs, or cawdb)
    #[arg(long, value_enum, value_name = "SYSTEM")]
    pub first: Option<Kind>,
    /// Where results.json, results.md and the plots go
    #[arg(long, default_value = "bench-results", value_name = "DIR")]
    pub out: PathBuf,
    /// Also writes a page and plots of each workload into DIR/benchmarks, and its targets into the table of DIR/benchmarks.md
    #[arg(long, value_name = "DIR", conflicts_with = "quick")]
    pub docs: Option<PathBuf>,
    /// Seconds after which another system is stopped in a workload; what it did until then counts (default: never)
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..))]
    pub patience: Option<u64>,
    /// The program that is measured (default: $CAWFS, or cawfs beside this program)
    #[arg(long, value_name = "PATH")]
    pub cawfs: Option<PathBuf>,
    /// The program that serves engines (default: bench-engine beside this program)
    #[arg(long, value_name = "PATH")]
    pub engines: Option<PathBuf>,
    /// Small files made in baseline and clones (default: 1000000, with --quick 600)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub files: Option<u32>,
    /// Memory of an engine for what it has read, in MiB; there is ten times as much data (default: 128, with --quick 2)
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=65536))]
    pub engine_cache: Option<u64>,
    /// Rounds of dooku and dooku-long (default: 64 and 1000, with --quick 3 and 4)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: Option<u32>,
    /// What all that is random follows from
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// The tree of the workload tree (default: one that is made up)
    #[arg(long, value_name = "DIR")]
    pub tree: Option<PathBuf>,
    /// The root file system of containers (default: made by debootstrap, with --quick of a shell)
    #[arg(long, value_name = "DIR")]
    pub rootfs: Option<PathBuf>,
    /// Size of the image in MiB (default: 12288, with --quick 768)
    #[arg(long, value_name = "MIB")]
    pub image: Option<u64>,
}

/// How big everything is.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Sizes {
    /// Runs of each workload on each system.
    pub repeat: u32,
    /// What all that is random follows from.
    pub seed: u64,
    /// Bytes of the image.
    pub image_bytes: u64,
    /// Whether the image is written once before it is used, so that the disk has placed it.
    pub image_written: bool,
    /// Files in `dooku`.
    pub dooku_files: u32,
    /// Bytes of each of them.
    pub dooku_file_bytes: usize,
    /// Rounds in `dooku`.
    pub dooku_rounds: u32,
    /// Rounds in `dooku-long`.
    pub dooku_long_rounds: u32,
    /// The tree in `tree`; none: one is made up.
    pub tree: Option<PathBuf>,
    /// Files in a tree that is made up.
    pub tree_files: u32,
    /// Files edited in each clone in `tree`.
    pub tree_edits: usize,
    /// Rounds in `tree`.
    pub tree_rounds: u32,
    /// Bytes of the image in `vm`.
    pub vm_bytes: u64,
    /// Rounds in `vm`.
    pub vm_rounds: u32,
    /// Random writes in each.
    pub vm_writes: u32,
    /// Files in the big tree of `clones`.
    pub clones_files: u32,
    /// How often each tree is cloned there.
    pub clones: u32,
    /// Files in the tree of `agents`.
    pub agents_files: u32,
    /// Clones of it.
    pub agents_clones: u32,
    /// Bytes of the large file in `baseline`.
    pub large_bytes: u64,
    /// Bytes of the file in `large`: more than the memory of this machine.
    pub larger_bytes: u64,
    /// Random writes into each of them.
    pub large_writes: u32,
    /// Small files in `baseline`.
    pub small_files: u32,
    /// Messages in a mail store in `baseline`, and what is done with them.
    pub mail_messages: u32,
    /// Entries of a large directory.
    pub names: u32,
    /// Operations that are made durable one by one.
    pub durable: u32,
    /// The root file system of containers; none: one that is made up.
    pub rootfs: Option<PathBuf>,
    /// Bytes of the big file in it.
    pub container_bytes: u64,
    /// Containers made.
    pub containers: u32,
    /// Memory of an engine for what it has read.
    pub engine_cache_bytes: u64,
    /// Pairs in `engine`, ten times as much.
    pub engine_keys: u64,
    /// Of these, written again at random.
    pub engine_writes: u64,
    /// And read at random.
    pub engine_reads: u64,
    /// Pairs that are cloned and copied.
    pub engine_cloned: u64,
    /// How often they are cloned.
    pub engine_clones: u32,
    /// Bytes in `growth`, round by round.
    pub growth_bytes: Vec<u64>,
    /// Clones after that, round by round.
    pub growth_clones: Vec<u32>,
}

impl Sizes {
    /// Rounds of one of the workloads that go by `dooku`.
    pub fn rounds_of(&self, workload: &str) -> u32 {
        match workload.starts_with("dooku-long") {
            true => self.dooku_long_rounds,
            false => self.dooku_rounds,
        }
    }
}

impl Args {
    /// The sizes of this run.
    pub fn sizes(&self) -> Sizes {
        let pick = |small, full| if self.quick { small } else { full };
        let cache = self.engine_cache.unwrap_or(pick(2, 128).into()) << 20;
        let keys = cache * 10 / engine::PAIR_BYTES;
        Sizes {
            repeat: self.repeat.unwrap_or(pick(1, 3)),
            seed: self.seed,
            image_bytes: self.image.unwrap_or(if self.quick { 768 } else { 12288 }) << 20,
            image_written: !self.quick,
            dooku_files: pick(8, 64),
            dooku_file_bytes: if self.quick { 1 << 20 } else { 4 << 20 },
            dooku_rounds: self.rounds.unwrap_or(pick(3, 64)),
            dooku_long_rounds: self.rounds.unwrap_or(pick(4, 1000)),
            tree: self.tree.clone(),
            tree_files: pick(600, 50_000),
            tree_edits: if self.quick { 8 } else { 64 },
            tree_rounds: pick(1, 2),
            vm_bytes: if self.quick { 32 << 20 } else { 2 << 30 },
            vm_rounds: pick(2, 5),
            vm_writes: pick(100, 10_000),
            clones_files: self.files.unwrap_or(pick(600, 1_000_000)),
            clones: pick(5, 100),
            agents_files: pick(500, 50_000),
            agents_clones: pick(3, 200),
            large_bytes: if self.quick { 32 << 20 } else { 2 << 30 },
            larger_bytes: if self.quick { 48 << 20 } else { larger() },
            large_writes: pick(400, 262_144),
            small_files: self.files.unwrap_or(pick(600, 1_000_000)),
            mail_messages: pick(60, 10_000),
            names: pick(500, 100_000),
            durable: pick(20, 1000),
            rootfs: self.rootfs.clone(),
            container_bytes: if self.quick { 8 << 20 } else { 1 << 30 },
            containers: pick(2, 5),
            engine_cache_bytes: cache,
            engine_keys: keys,
            engine_writes: keys / 6,
            engine_reads: keys / 32,
            engine_cloned: (keys / 3).min(1_000_000),
            engine_clones: pick(5, 100),
            growth_bytes: match self.quick {
                true => vec![4 << 20, 16 << 20],
                false => [1, 2, 5, 10, 20].map(|gib| gib << 30).to_vec(),
            },
            growth_clones: match self.quick {
                true => vec![1, 50],
                false => vec![1, 10, 100, 1000, 10_000],
            },
        }
    }

    /// The workloads asked for, each once.
    pub fn workloads(&self) -> Vec<Name> {
        let wanted = |name: &Name| self.workloads.iter().any(|asked| asked.means(*name));
        Name::WORKLOADS.into_iter().filter(wanted).collect()
    }

    /// The systems asked for that some workload asked for suits; ours are always among them, as everything is compared with them. In the order of
    /// the first run.
    pub fn systems(&self) -> Vec<Kind> {
        let wanted = |kind: &Kind| {
            let asked = self.systems.is_empty() || self.systems.contains(kind) || kind.is_ours();
            asked
                && self
                    .workloads()
                    .iter()
                    .any(|workload| workload.suits(*kind))
        };
        let mut found: Vec<_> = Kind::ALL.into_iter().filter(wanted).collect();
        let first = |kind: &Kind| Some(*kind) == self.first;
        let before = found.iter().position(first).unwrap_or(0);
        found.rotate_left(before);
        found
    }
}

/// Bytes that the memory of this machine cannot hold, in whole GiB.
fn larger() -> u64 {
    let memory = process::memory_bytes().unwrap_or(16 << 30);
    (memory + memory / 32).next_multiple_of(1 << 30)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn the_first_begins_and_the_others_follow() {
        let systems = |more: &[&str]| {
            let asked = ["cawfs-bench", "vm", "--systems", "xfs,ext4,btrfs"];
            Args::try_parse_from(asked.iter().chain(more))
                .unwrap()
                .systems()
        };
        let all = systems(&[]);
        assert_eq!(all.first(), Some(&Kind::Cawfs));
        for (n, first) in all.iter().enumerate() {
            let name = first.to_possible_value().unwrap();
            let turned = systems(&["--first", name.get_name()]);
            assert_eq!(turned, [&all[n..], &all[..n]].concat());
        }
    }

    #[test]
    fn no_memory_holds_the_file_that_is_larger() {
        let sizes = Args::try_parse_from(["cawfs-bench", "large"])
            .unwrap()
            .sizes();
        let memory = process::memory_bytes().unwrap();
        assert!(sizes.larger_bytes > memory, "{}", sizes.larger_bytes);
        assert!(sizes.larger_bytes < memory + memory / 16 + (1 << 30));
    }
}
