//! The file system and its specification side by side: whoever takes a step takes it on both.
//!
//! ```text
//!  step ──resolve on the model──► call ──┬──► Fs, on a store, on a disk that can fail or lose power
//!                                        └──► Model ──► versions, for what a crash may leave
//! ```

mod clones;
mod compare;
mod files;
mod generate;
mod guards;
mod lifetimes;
mod names;
mod replay;
mod shape;
mod shown;
pub mod step;
pub mod tree;
mod versions;
pub mod zone;

pub use generate::{Mix, generate};
pub use replay::{Progress, caught, replay};
pub use shape::Shape;
pub use versions::Versions;

use cawdb::Store;
use cawdb::disk::{FaultyDisk, RamDisk};
use cawfs_fs::{Caller, FileHandle, FormatOptions, Fs, MountOptions, NodeId, Time};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tree::{Id, Model, Name, join};
use zone::{Look, Zone};

pub const BLOCK: u64 = 65536;
pub const ME: Caller = Caller::ROOT;

/// Why a step ended early.
#[derive(Debug, Clone)]
pub enum Trouble {
    /// The file system did something else than its specification.
    Wrong(String),
    /// The disk failed, and that was planned: the operation must have done nothing.
    Failed(String),
}

/// What a step comes to.
pub type Outcome<T = ()> = Result<T, Trouble>;

impl From<String> for Trouble {
    fn from(what: String) -> Self {
        Self::Wrong(what)
    }
}

/// Names a staged clone of which some destinations are still to be made.
pub struct Staged {
    token: u64,
    master: Id,
    next: u32,
    count: u32,
    replace: bool,
    look: Look,
    /// How the source showed ids.
    zone: Zone,
}

/// A file system, its specification, and whoever uses both.
pub struct World {
    pub shape: Shape,
    pub disk: Arc<FaultyDisk<RamDisk>>,
    store: Option<Store>,
    fs: Option<Fs>,
    clock: Arc<AtomicI64>,
    pub model: Model,
    pub versions: Versions,
    /// Whether the disk may fail: that is then an answer, and nothing is checked before it is healed.
    pub failing: bool,
    /// Inode number of each object, once seen.
    pub numbers: BTreeMap<Id, u64>,
    /// References held beyond an operation.
    held: Vec<NodeId>,
    /// Open files.
    opened: Vec<(Id, NodeId, FileHandle)>,
    stages: Vec<Staged>,
    /// What the steps meant, one line each.
    pub calls: Vec<String>,
    /// What happened, and how often: to files, and in the engine.
    pub seen: BTreeMap<&'static str, u64>,
    pub engine: BTreeMap<&'static str, u64>,
    /// Chooses how things are read, and nothing else.
    rng: fastrand::Rng,
    /// Seeds of mounts: those of clones' inode numbers, which no two lives share.
    mounts: fastrand::Rng,
}

/// Mounts with a clock of one millisecond a question, and inode shifts that the seed gives.
pub fn mount_options(clock: &Arc<AtomicI64>, seed: u64) -> MountOptions {
    let clock = clock.clone();
    MountOptions {
        clock: Box::new(move || {
            let now = clock.fetch_add(1, Ordering::Relaxed);
            Time {
                secs: now / 1000,
                nanos: (now % 1000) as u32 * 1_000_000 + 7,
            }
        }),
        seed,
        // Half of all mounts do all by ranges.
        few_links: if seed.is_multiple_of(2) { 0 } else { 64 },
        ..MountOptions::default()
    }
}

impl World {
    /// An empty, mounted file system.
    pub fn new(shape: Shape) -> Self {
        let disk = shape.disk();
        let store = Store::open(disk.clone(), shape.options()).unwrap();
        Fs::format(&store, &FormatOptions::default()).unwrap();
        drop(store);
        let mut world = Self::unmounted(shape, disk);
        assert!(world.start().is_ok(), "an empty file system");
        world
    }
    /// What a crash left on a disk: it must be one of these versions, and objects have the numbers that are known.
    pub fn recovered(
        shape: Shape,
        disk: Arc<FaultyDisk<RamDisk>>,
        versions: Versions,
        known: BTreeMap<Id, u64>,
    ) -> Outcome<Self> {
        Self::opened(Self::unmounted(shape, disk), versions, known)
    }
    /// The same, on a disk that may fail.
    pub fn recovered_by_chance(
        shape: Shape,
        disk: Arc<FaultyDisk<RamDisk>>,
        versions: Versions,
        known: BTreeMap<Id, u64>,
    ) -> Outcome<Self> {
        let mut world = Self::unmounted(shape, disk);
        world.failing = true;
        Self::opened(world, versions, known)
    }
    fn opened(mut self, versions: Versions, known: BTreeMap<Id, u64>) -> Outcome<Self> {
        self.model.next = versions.newest().next;
        // Another life than the one before the crash, which was given other random numbers.
        self.mounts = fastrand::Rng::with_seed(self.shape.seed ^ (self.model.next << 32));
        (self.versions, self.numbers) = (versions, known);
        self.start()?;
        self.agree_with_disk()?;
        Ok(self)
    }
    fn unmounted(shape: Shape, disk: Arc<FaultyDisk<RamDisk>>) -> Self {
        let model = Model::new();
        Self {
            disk,
            store: None,
            fs: None,
            clock: Arc::new(AtomicI64::new(1)),
            versions: Versions::new(&model),
            model,
            failing: false,
            numbers: BTreeMap::new(),
            held: Vec::new(),
            opened: Vec::new(),
            stages: Vec::new(),
            calls: Vec::new(),
            seen: BTreeMap::new(),
            engine: BTreeMap::new(),
            rng: fastrand::Rng::with_seed(shape.seed),
            mounts: fastrand::Rng::with_seed(shape.seed),
            shape,
        }
    }
    pub fn fs(&self) -> &Fs {
        self.fs.as_ref().unwrap()
    }
    pub fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }
    /// Notes what a step means.
    fn say(&mut self, call: String) {
        self.calls.push(call);
    }
    /// Counts something that happened.
    pub fn count(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }
    /// Notes that an operation is done: a crash may leave what is now.
    fn acted(&mut self) {
        self.versions.acted(&self.model);
    }
    /// An answer of the file system that the specification says must come.
    fn must<T>(&self, real: cawfs_fs::Result<T>) -> Outcome<T> {
        real.map_err(|error| self.trouble(&error, "no error"))
    }
    fn trouble(&self, error: &cawfs_fs::Error, expected: &str) -> Trouble {
        let cause = std::error::Error::source(error).map_or(String::new(), |e| format!(": {e}"));
        let text = format!("errno {}: {error}{cause}", error.errno());
        match self.failing && [libc::EIO, libc::EROFS].contains(&error.errno()) {
            true => Trouble::Failed(text),
            false => Trouble::Wrong(format!("got {text}, expected {expected}")),
        }
    }
    /// Compares an answer with that of the model, where the operation is done already; it is done now.
    fn agree<T>(
        &mut self,
        real: cawfs_fs::Result<T>,
        expected: Result<(), i32>,
    ) -> Outcome<Option<T>> {
        match (real, expected) {
            (Ok(value), Ok(())) => {
                self.acted();
                Ok(Some(value))
            }
            (Err(error), Err(errno)) if error.errno() == errno => {
                match errno {
                    libc::EPERM => self.count("refused_by_guards"),
                    libc::EXDEV => self.count("refused_between_maps"),
                    libc::EOVERFLOW => self.count("refused_by_a_map"),
                    libc::EROFS => self.count("refused_in_a_read_only_clone"),
                    _ => {}
                }
                Ok(None)
            }
            (Err(error), expected) => Err(self.trouble(&error, &format!("{expected:?}"))),
            (Ok(_), Err(errno)) => Err(Trouble::Wrong(format!("done, expected errno {errno}"))),
        }
    }

    /// One of the objects that a path leads to.
    fn pick(&self, at: u32, filter: impl Fn(&Model, Id) -> bool) -> Option<Id> {
        let all = self.model.named(|id| filter(&self.model, id));
        (!all.is_empty()).then(|| all[at as usize % all.len()])
    }
    fn dir(&self, at: u32) -> Id {
        self.pick(at, |m, id| m.is_dir(id)).unwrap()
    }
    /// The path of an object, for people.
    fn text(&self, id: Id) -> String {
        match self.model.is_below(id, tree::ROOT) {
            true => path_text(&self.model.path(id)),
            false => format!("nameless file {id}"),
        }
    }
    /// The path of a name in a directory, for people.
    fn text_in(&self, dir: Id, name: &[u8]) -> String {
        let mut path = self.model.path(dir);
        path.push(name.into());
        path_text(&path)
    }
    /// The node of an object, by walking to it by one of its names; the references of the walk are given back later.
    fn node(&mut self, id: Id) -> Outcome<NodeId> {
        let mut paths = self.model.paths(id);
        let path = paths.swap_remove(self.rng.usize(..paths.len()));
        self.walk(&path)
    }
    /// The node under a path.
    fn walk(&mut self, path: &[Name]) -> Outcome<NodeId> {
        let mut at = NodeId::ROOT;
        for name in path {
            at = self.must(self.fs().lookup(&ME, at, name))?.node;
            self.held.push(at);
        }
        Ok(at)
    }
}

fn path_text(path: &[Name]) -> String {
    let whole = path.iter().fold(Vec::new(), |path, name| join(&path, name));
    let text = whole.escape_ascii().to_string();
    match text.len() > 300 {
        true => format!("\"/{}…\" ({} bytes)", &text[..80], whole.len()),
        false => format!("\"/{text}\""),
    }
}
