//! Engines, each served by a process of its own on an ext4 in the loop image, within a limit of memory.
//!
//! ```text
//! this program ── a line ──► bench-engine ENGINE ── files ──► ext4 ──► the loop device, which is counted
//! ```
//!
//! The limit holds for what the process takes and for what the kernel caches of its files, because some engines have no other
//! cache. Invariant: dropping it ends the process before the file system is unmounted.

use crate::peer::Peer;
use crate::process;
use crate::system::{Answer, Counts, Kind, Server, System, Told};
use anyhow::{Context, Result, bail};
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Beside twice its cache, what a process may take: its program, and what it is about to write.
const SPARE_BYTES: u64 = 192 << 20;

/// The engine.
pub struct EngineOn {
    kind: Kind,
    below: Peer,
    program: PathBuf,
    cache: u64,
    limit: Result<MemoryLimit>,
    running: Option<Running>,
}

struct Running {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// The name that the program knows an engine by.
fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::RocksDb => "rocksdb",
        Kind::Fjall => "fjall",
        Kind::Redb => "redb",
        Kind::Lmdb => "lmdb",
        _ => "cawdb",
    }
}

/// Why an engine cannot be measured; none for what is no engine.
pub fn missing(kind: Kind, program: &Path) -> Option<String> {
    if !kind.is_engine() {
        return None;
    }
    let path = program.to_string_lossy();
    match process::run_with(&path, ["list"], &[0]) {
        Err(_) => Some(format!(
            "there is no program {path}: name it with --engines"
        )),
        Ok(list) if list.split_whitespace().any(|word| word == name(kind)) => None,
        Ok(_) => Some(format!("{path} was built without it")),
    }
}

impl EngineOn {
    /// On this file system.
    pub fn new(kind: Kind, below: Peer, program: &Path, cache: u64) -> Self {
        Self {
            kind,
            below,
            program: program.to_owned(),
            cache,
            limit: MemoryLimit::new(2 * cache + SPARE_BYTES),
            running: None,
        }
    }

    /// The process enters its limit before it becomes the program.
    fn start(&mut self) -> Result<()> {
        let line = "[ -z \"$0\" ] || echo $$ >\"$0\" || exit 1; exec \"$@\"";
        let door = self
            .limit
            .as_ref()
            .ok()
            .map(|limit| limit.dir.join("cgroup.procs"));
        let mut command = Command::new("sh");
        command.args(["-c", line]).arg(door.unwrap_or_default());
        command.arg(&self.program).arg(name(self.kind));
        command.arg(self.below.dir()).arg(self.cache.to_string());
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child =
            child.with_context(|| format!("cannot start {}", self.program.display()))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let input = input.context("no input")?;
        let output = BufReader::new(output.context("no output")?);
        let running = self.running.insert(Running {
            child,
            input,
            output,
        });
        running.answer().map(drop)
    }

    /// Has the engine close its store, and end.
    fn stop(&mut self) -> Result<()> {
        let Some(mut running) = self.running.take() else {
            return Ok(());
        };
        drop(running.input);
        let status = running.child.wait()?;
        anyhow::ensure!(status.success(), "{}: {status}", self.program.display());
        Ok(())
    }
}

impl Running {
    /// Reads a line of answer.
    fn answer(&mut self) -> Result<serde_json::Value> {
        process::tie(Some(self.child.id()));
        let mut line = String::new();
        let read = self.output.read_line(&mut line);
        process::tie(None);
        process::go_on()?;
        if read? == 0 {
            bail!("the engine ended: {}", self.child.wait()?);
        }
        let value: serde_json::Value = serde_json::from_str(&line)?;
        match value["error"].as_str() {
            Some(error) => bail!("{error}"),
            None => Ok(value),
        }
    }
}

impl System for EngineOn {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn lack(&self) -> Option<String> {
        let error = self.limit.as_ref().err()?;
        Some(format!("its memory is not limited: {error:#}"))
    }

    fn make(&mut self) -> Result<()> {
        self.stop()?;
        self.below.make()?;
        self.start()
    }

    fn mount(&mut self) -> Result<()> {
        self.below.mount()?;
        self.start()
    }

    fn unmount(&mut self) -> Result<()> {
        self.stop()?;
        self.below.unmount()
    }

    fn dir(&self) -> &Path {
        self.below.dir()
    }

    fn new_tree(&mut self, _tree: &str) -> Result<()> {
        bail!("an engine has no trees")
    }

    fn clone_tree(&mut self, _src: &str, _dst: &str) -> Result<Told> {
        bail!("an engine has no trees")
    }

    fn remove_tree(&mut self, _tree: &str) -> Result<Told> {
        bail!("an engine has no trees")
    }

    fn sync(&self) -> Result<()> {
        self.below.sync()
    }

    fn counts(&self) -> Result<Option<Counts>> {
        self.below.counts()
    }

    fn server(&self) -> Server {
        let pid = self.running.as_ref().map(|running| running.child.id());
        pid.map_or_else(Server::default, |pid| Server {
            seconds: process::seconds_of(&pid.to_string()),
            peak_bytes: process::peak_bytes(pid),
        })
    }

    fn ask(&mut self, line: &str) -> Result<Answer> {
        process::go_on()?;
        let running = self.running.as_mut().context("no engine runs")?;
        writeln!(running.input, "{line}")?;
        let value = running.answer().with_context(|| line.to_owned())?;
        Ok(Answer {
            seconds: value["seconds"].as_f64().unwrap_or_default(),
            bytes: value["bytes"].as_u64().unwrap_or_default(),
        })
    }
}

impl Drop for EngineOn {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
    }
}

/// A control group of its own for memory; dropping it removes it.
struct MemoryLimit {
    dir: PathBuf,
}

impl MemoryLimit {
    fn new(bytes: u64) -> Result<Self> {
        let places = [
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            ("/sys/fs/cgroup", "memory.max"),
        ];
        let made = places
            .into_iter()
            .find_map(|(parent, file)| Self::below(Path::new(parent), file, bytes).ok());
        made.context("there is no control group for memory here")
    }

    /// The file must be there already: in a folder that is no control group, one could be made that limits nothing.
    fn below(parent: &Path, file: &str, bytes: u64) -> Result<Self> {
        let dir = parent.join(format!("cawfs-bench.{}", std::process::id()));
        fs::create_dir(&dir)?;
        let made = Self { dir };
        let mut limit = OpenOptions::new().write(true).open(made.dir.join(file))?;
        limit.write_all(bytes.to_string().as_bytes())?;
        Ok(made)
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.dir);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_no_control_group_limits_nothing_and_is_not_left() {
        let parent = tempfile::tempdir().unwrap();
        assert!(MemoryLimit::below(parent.path(), "memory.max", 1 << 30).is_err());
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }
}
