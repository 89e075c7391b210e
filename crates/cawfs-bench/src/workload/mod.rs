//! The workloads: each the same sequence of steps on any system.

pub mod agents;
pub mod baseline;
pub mod clones;
pub mod containers;
pub mod dooku;
pub mod engine;
pub mod large;
pub mod mail;
pub mod tools;
pub mod tree;
pub mod vm;

use crate::session::Session;
use crate::system::Kind;
use anyhow::Result;

/// Their names on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Name {
    /// All of them
    All,
    /// dooku-fan and dooku-chain
    Dooku,
    /// Both of them with 1000 rounds
    DookuLong,
    /// Clones of one original, 16 bytes written into each file of each
    DookuFan,
    /// The same, each a clone of the one before
    DookuChain,
    /// dooku-fan with 1000 rounds
    DookuLongFan,
    /// dooku-chain with 1000 rounds
    DookuLongChain,
    /// A tree of sources: copied in, cloned, edited, searched, packed, removed
    Tree,
    /// The image of a virtual machine, cloned and written into
    Vm,
    /// What a clone takes, of ten files and of a million
    Clones,
    /// Many clones of a work tree at once, a load in each
    Agents,
    /// What any file system does all day, without clones
    Baseline,
    /// A file that is larger than this machine's memory, read and written in order and at random
    Large,
    /// Containers of LXC, made from one root file system
    Containers,
    /// The engine alone, ten times as much as its cache, beside other engines
    Engine,
    /// What the engine costs as it grows, in bytes and in clones
    Growth,
}

impl Name {
    /// Those that are workloads and not groups of them.
    pub const WORKLOADS: [Self; 13] = [
        Self::DookuFan,
        Self::DookuChain,
        Self::DookuLongFan,
        Self::DookuLongChain,
        Self::Tree,
        Self::Vm,
        Self::Clones,
        Self::Agents,
        Self::Baseline,
        Self::Large,
        Self::Containers,
        Self::Engine,
        Self::Growth,
    ];

    /// The name in tables and files.
    pub fn label(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Dooku => "dooku",
            Self::DookuLong => "dooku-long",
            Self::DookuFan => "dooku-fan",
            Self::DookuChain => "dooku-chain",
            Self::DookuLongFan => "dooku-long-fan",
            Self::DookuLongChain => "dooku-long-chain",
            Self::Tree => "tree",
            Self::Vm => "vm",
            Self::Clones => "clones",
            Self::Agents => "agents",
            Self::Baseline => "baseline",
            Self::Large => "large",
            Self::Containers => "containers",
            Self::Engine => "engine",
            Self::Growth => "growth",
        }
    }

    /// Whether a name given on the command line means this workload.
    pub fn means(self, workload: Self) -> bool {
        self == Self::All || self == workload || workload.group() == Some(self)
    }

    /// The group it belongs to, which has a page of its own.
    fn group(self) -> Option<Self> {
        match self {
            Self::DookuFan | Self::DookuChain => Some(Self::Dooku),
            Self::DookuLongFan | Self::DookuLongChain => Some(Self::DookuLong),
            _ => None,
        }
    }

    /// The name of the page that shows the workload of this label.
    pub fn page(label: &str) -> &str {
        let workload = Self::WORKLOADS.iter().find(|name| name.label() == label);
        let group = workload.and_then(|name| name.group());
        group.map_or(label, |group| group.label())
    }

    /// Whether it makes sense on a system: without clones, two of them are others twice; what keeps all in memory takes no file that is larger.
    pub fn suits(self, kind: Kind) -> bool {
        let without_clones = matches!(kind, Kind::Cawfs | Kind::Btrfs | Kind::Xfs | Kind::Ext4);
        match self {
            Self::Engine => kind.is_engine(),
            Self::Containers => matches!(
                kind,
                Kind::Cawfs | Kind::BtrfsSnap | Kind::Overlay | Kind::Ext4
            ),
            Self::Growth => kind == Kind::Cawdb,
            Self::Clones => matches!(
                kind,
                Kind::Cawfs | Kind::BtrfsSnap | Kind::Btrfs | Kind::Xfs
            ),
            Self::Tree if kind == Kind::Floor => true,
            Self::Baseline => without_clones || kind == Kind::Floor,
            Self::Large => without_clones,
            _ => !kind.is_engine() && kind != Kind::Floor,
        }
    }

    /// Why it cannot run here.
    pub fn missing(self) -> Option<String> {
        (self == Self::Containers)
            .then(containers::missing)
            .flatten()
    }

    /// Runs it.
    pub fn run(self, session: &mut Session) -> Result<()> {
        match self {
            Self::All | Self::Dooku | Self::DookuLong => Ok(()), // groups; stage runs what is in them
            Self::DookuFan | Self::DookuLongFan => dooku::run(session, false),
            Self::DookuChain | Self::DookuLongChain => dooku::run(session, true),
            Self::Tree => tree::run_tree(session),
            Self::Vm => vm::run(session),
            Self::Clones => clones::run(session),
            Self::Agents => agents::run(session),
            Self::Baseline => baseline::run(session),
            Self::Large => large::run(session),
            Self::Containers => containers::run_all(session),
            Self::Engine => engine::run(session),
            Self::Growth => engine::growth(session),
        }
    }
}
