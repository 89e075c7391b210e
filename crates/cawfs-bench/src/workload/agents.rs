//! Many clones of a work tree at once, a load like that of a build in each in turn, then all are removed.
//!
//! Systems that copy, or walk the tree for each clone, make only a few clones: their rates can be compared all the same.

use crate::files;
use crate::session::Session;
use crate::system::Kind;
use anyhow::Result;
use fastrand::Rng;
use std::fs;
use std::path::{Path, PathBuf};

/// Clones of systems that walk the tree.
const FEW: u32 = 2;

/// What happens in one clone, in files.
struct Load {
    read: Vec<PathBuf>,
    write: Vec<PathBuf>,
    delete: Vec<PathBuf>,
    rename: Vec<PathBuf>,
}

/// Runs it.
pub fn run(session: &mut Session) -> Result<()> {
    let files = session.sizes.agents_files;
    let mut random = session.random.fork();
    session.measured(
        "fill + sync",
        0,
        Some((f64::from(files), "files")),
        |system| {
            system.new_tree("work")?;
            files::made_up_tree(&system.path("work"), files, &mut random)?;
            system.sync()
        },
    )?;
    let listed = files::list(&session.system.path("work"))?;
    session.cold()?;
    let at_once = matches!(
        session.system.kind(),
        Kind::Cawfs | Kind::BtrfsSnap | Kind::Overlay
    );
    let clones = session
        .sizes
        .agents_clones
        .min(if at_once { u32::MAX } else { FEW });
    let names: Vec<String> = (1..=clones).map(|clone| format!("agent-{clone}")).collect();
    let amount = Some((f64::from(clones), "clones"));
    session.measured("clone all", 0, amount, |system| {
        system.clone_many("work", &names)
    })?;
    session.step("clone all: sync", 0, |system| system.sync())?;
    for (name, round) in names.iter().zip(1..) {
        let load = Load::choose(&listed, &mut session.random);
        let mut random = session.random.fork();
        session.step("load in one clone", round, |system| {
            load.run(&system.path(name), &mut random)
        })?;
    }
    session.step("load: sync", 0, |system| system.sync())?;
    session.measured("remove all + sync", 0, amount, |system| {
        for name in &names {
            system.remove_tree(name)?;
        }
        system.sync()
    })?;
    Ok(())
}

impl Load {
    /// 2000 files read, 500 written, 100 deleted, 100 renamed; less in a small tree. No file is in two of them but for reading.
    fn choose(listed: &[(PathBuf, u64)], random: &mut Rng) -> Self {
        let some = (listed.len() / 4).min(2000);
        let mut files: Vec<PathBuf> = listed.iter().map(|(path, _)| path.clone()).collect();
        random.shuffle(&mut files);
        files.truncate(some);
        let of = |from: usize, to: usize| files[from * some / 2000..to * some / 2000].to_vec();
        Self {
            write: of(0, 500),
            delete: of(500, 600),
            rename: of(600, 700),
            read: files,
        }
    }

    fn run(&self, dir: &Path, random: &mut Rng) -> Result<()> {
        for path in &self.read {
            fs::read(dir.join(path))?;
        }
        let mut object = [0; 3000];
        for path in &self.write {
            random.fill(&mut object);
            fs::write(dir.join(path), object)?;
        }
        for path in &self.delete {
            fs::remove_file(dir.join(path))?;
        }
        for path in &self.rename {
            let old = dir.join(path);
            fs::rename(&old, old.with_extension("renamed"))?;
        }
        Ok(())
    }
}
