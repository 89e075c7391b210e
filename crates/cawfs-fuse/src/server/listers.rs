//! Which processes look at what they list: `ls -l`, `du`, `tar` and `rm -r` do, `find` and completion in a shell want the names only.
//!
//! ```text
//!   listing     all attributes, but for one file ─── it is looked up ───► all attributes, and one held back ever more rarely
//!                        │
//!                        └── eight times nobody asked ───► attributes of directories only ─── somebody looks a file up ───┐
//!                        ▲                                                                                                │
//!                        └────────────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//! A name with its attributes makes the kernel remember an object, and spares a look-up if somebody wants it; else both have worked for nothing, and for a
//! cold `find` that is half of it. (The kernel has a guess of its own, READDIRPLUS_AUTO, which we do not take: it gives attributes with the first names of each
//! directory, whoever asks, and with no others to who reads all names first and looks then, as `ls -l` and `du` do.) What the kernel remembers it never asks for, so that only what was held back can tell.
//!
//! A process is what the kernel names in a request: a thread.
//!
//! Invariants: a wrong guess costs look-ups, nothing else; directories have their attributes always, for who lists them mostly goes
//! there; memory is bounded.

use bytes::Bytes;
use cawfs_fs::NodeId;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Files held back and never asked for, one in each of so many listings, until a process counts as one that wants names.
const PATIENCE: u32 = 8;
/// At most every so many listings one file is held back from who looks at what he lists.
const RARELY: u32 = 64;
/// Processes known.
const PROCESSES: usize = 16;
/// Listings in which something was held back, of all processes.
const LISTINGS: usize = 64;

/// What a process gets with the names of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gets {
    /// All attributes.
    All,
    /// All but those of one file, see [`Listers::held_back`].
    AllButOne,
    /// Those of directories.
    Directories,
}

/// See the picture above.
#[derive(Debug, Default)]
pub struct Listers(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The last one listed something last.
    processes: Vec<Process>,
    held_back: VecDeque<HeldBack>,
}

#[derive(Debug)]
struct Process {
    id: u32,
    /// Files held back since one was asked for.
    unasked: u32,
    /// Listings until one is held back again, and after the next that is asked for.
    wait: u32,
    every: u32,
}

/// What a process did not get.
#[derive(Debug)]
struct HeldBack {
    process: u32,
    directory: NodeId,
    /// One name, or those of all files.
    name: Option<Bytes>,
}

impl Process {
    fn new(id: u32) -> Self {
        Self {
            id,
            unasked: 0,
            wait: 0,
            every: 1,
        }
    }

    fn lists(&mut self) -> Gets {
        if self.unasked >= PATIENCE {
            return Gets::Directories;
        }
        if self.wait > 0 {
            self.wait -= 1;
            return Gets::All;
        }
        Gets::AllButOne
    }

    /// Somebody looked up what this process did not get.
    fn asks(&mut self) {
        // Who wanted names until now may do so again soon.
        self.every = match self.unasked >= PATIENCE {
            true => 1,
            false => (self.every * 2).min(RARELY),
        };
        self.wait = self.every;
        self.unasked = 0;
    }
}

impl State {
    /// A process, which becomes the last; the first is forgotten if there are too many.
    fn process(&mut self, id: u32) -> Option<&mut Process> {
        let known = self.processes.iter().position(|p| p.id == id);
        let process = match known {
            Some(i) => self.processes.remove(i),
            None => Process::new(id),
        };
        if self.processes.len() >= PROCESSES {
            self.processes.remove(0);
        }
        self.processes.push(process);
        self.processes.last_mut()
    }

    fn hold_back(&mut self, held: HeldBack) {
        if self.held_back.len() >= LISTINGS {
            self.held_back.pop_front();
        }
        self.held_back.push_back(held);
    }
}

impl Listers {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a process gets that begins to list a directory.
    pub fn lists(&self, process: u32, directory: NodeId) -> Gets {
        let mut state = self.state();
        let gets = state.process(process).map_or(Gets::All, Process::lists);
        if gets == Gets::Directories {
            state.hold_back(HeldBack {
                process,
                directory,
                name: None,
            });
        }
        gets
    }

    /// What a process gets that goes on with a listing.
    pub fn goes_on(&self, process: u32) -> Gets {
        let state = self.state();
        let known = state.processes.iter().find(|p| p.id == process);
        match known.is_some_and(|p| p.unasked >= PATIENCE) {
            true => Gets::Directories,
            false => Gets::All,
        }
    }

    /// Tells which file's attributes it did not get, where it got all but one.
    pub fn held_back(&self, process: u32, directory: NodeId, name: Bytes) {
        let mut state = self.state();
        if let Some(process) = state.process(process) {
            process.unasked += 1;
        }
        state.hold_back(HeldBack {
            process,
            directory,
            name: Some(name),
        });
    }

    /// Tells that somebody, whoever it is, looked up a file.
    pub fn looked_up(&self, directory: NodeId, name: &[u8]) {
        let mut state = self.state();
        let was_held = |held: &HeldBack| {
            held.directory == directory && held.name.as_ref().is_none_or(|held| held == name)
        };
        while let Some(i) = state.held_back.iter().position(was_held) {
            let asked = state.held_back.remove(i).map(|held| held.process);
            let process = state.processes.iter_mut().find(|p| Some(p.id) == asked);
            if let Some(process) = process {
                process.asks();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: Bytes = Bytes::from_static(b"file");

    /// One process lists a directory; whether it then looks up what it did not get.
    fn lists(listers: &Listers, process: u32, directory: u64, looks: bool) -> Gets {
        let directory = NodeId(directory);
        let gets = listers.lists(process, directory);
        if gets == Gets::AllButOne {
            listers.held_back(process, directory, NAME);
        }
        if looks && gets != Gets::All {
            listers.looked_up(directory, &NAME);
        }
        gets
    }

    fn count(listers: &Listers, process: u32, looks: bool) -> [u32; 3] {
        let mut counts = [0; 3];
        for directory in 0..1000 {
            counts[lists(listers, process, directory, looks) as usize] += 1;
        }
        counts
    }

    #[test]
    fn who_looks_gets_nearly_all() {
        let [all, but_one, directories] = count(&Listers::default(), 7, true);
        assert_eq!(directories, 0);
        assert!(but_one <= 25 && all >= 975, "{but_one}");
    }

    #[test]
    fn who_wants_names_gets_them_soon() {
        let listers = Listers::default();
        let [all, but_one, directories] = count(&listers, 7, false);
        assert_eq!((all, but_one, directories), (0, PATIENCE, 1000 - PATIENCE));
        assert_eq!(listers.goes_on(7), Gets::Directories);
        assert_eq!(listers.goes_on(8), Gets::All);
    }

    #[test]
    fn who_changes_gets_what_he_wants() {
        let listers = Listers::default();
        for _ in 0..3 {
            count(&listers, 7, false);
            assert_eq!(lists(&listers, 7, 1, true), Gets::Directories);
            let [_, _, directories] = count(&listers, 7, true);
            assert_eq!(directories, 0);
            let [_, but_one, directories] = count(&listers, 7, false);
            assert!(but_one <= PATIENCE && directories >= 900, "{directories}");
        }
    }

    #[test]
    fn others_may_look_up_what_one_listed() {
        let listers = Listers::default();
        count(&listers, 7, false);
        listers.looked_up(NodeId(5000), &NAME);
        listers.looked_up(NodeId(1), &NAME);
        assert_eq!(lists(&listers, 7, 1, false), Gets::Directories, "long ago");
        listers.looked_up(NodeId(999), b"another");
        assert_eq!(lists(&listers, 7, 1, false), Gets::All, "just now");
    }

    #[test]
    fn memory_is_bounded() {
        let listers = Listers::default();
        for process in 0..100 {
            count(&listers, process, process % 2 == 0);
        }
        let state = listers.state();
        assert_eq!(state.processes.len(), PROCESSES);
        assert!(state.held_back.len() <= LISTINGS);
    }
}
