//! cawfs, through its command: a store on a loop device as the peers have one, or in a file where there are none.
//!
//! Invariant: dropping it unmounts it, also if the daemon does not answer.

use crate::image::Image;
use crate::process;
use crate::system::{Counts, Kind, Server, System, Told};
use anyhow::{Context, Result};
use std::cell::Cell;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The system.
pub struct Cawfs {
    program: String,
    dir: PathBuf,
    store: PathBuf,
    store_bytes: u64,
    image: Option<Arc<Image>>,
    daemon: Option<u32>,
    mounted: bool,
    /// Requests that it takes to ask for their number, and how often that was done.
    asking: Cell<(u64, u64)>,
}

impl Cawfs {
    /// On a device, or where there is none in the file `store`, mounted at `dir`.
    pub fn new(
        program: &Path,
        dir: PathBuf,
        image: Option<Arc<Image>>,
        store: PathBuf,
        bytes: u64,
    ) -> Self {
        Self {
            program: program.to_string_lossy().into_owned(),
            dir,
            store: image
                .as_ref()
                .map_or(store, |image| image.device().to_owned()),
            store_bytes: bytes,
            image,
            daemon: None,
            mounted: false,
            asking: Cell::default(),
        }
    }

    /// All requests that have an answer, also those of asking.
    fn all_requests(&self) -> Result<u64> {
        let said = self.run(["stats".as_ref(), "--json".as_ref(), self.dir.as_os_str()])?;
        let said: serde_json::Value = serde_json::from_str(&said)?;
        let kinds = said["latency"]["requests"].as_object();
        let kinds = kinds.context("cawfs stats tells no requests")?.values();
        Ok(kinds.filter_map(|kind| kind["count"].as_u64()).sum())
    }

    /// The seconds that the program tells of itself.
    fn timed<'a>(&self, args: impl Iterator<Item = &'a OsStr>) -> Result<Told> {
        let said: serde_json::Value =
            serde_json::from_str(&self.run(args)?).context("cawfs printed no JSON")?;
        Ok(Told {
            program: said["seconds"].as_f64(),
            calls: said["calls_seconds"].as_f64(),
        })
    }

    fn run<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Result<String> {
        process::run_with(&self.program, args, &[0])
    }
}

impl System for Cawfs {
    fn kind(&self) -> Kind {
        Kind::Cawfs
    }

    fn make(&mut self) -> Result<()> {
        self.unmount()?;
        let size = self.store_bytes.to_string();
        let mut args = ["mkfs", "--force"].map(OsStr::new).to_vec();
        if self.image.is_none() {
            args.extend(["--size", &size].map(OsStr::new));
        }
        args.push(self.store.as_os_str());
        self.run(args)?;
        self.mount()
    }

    fn mount(&mut self) -> Result<()> {
        let (store, dir) = (self.store.as_os_str(), self.dir.as_os_str());
        let options = ["-o", "noatime"].map(OsStr::new);
        // A signal ends the program that mounts, but not the daemon that it has started.
        self.mounted = true;
        self.run(["mount".as_ref(), store, dir].into_iter().chain(options))?;
        self.daemon = process::find(&["daemon".as_ref(), store, dir]);
        let before = self.all_requests()?;
        self.asking.set((self.all_requests()? - before, 0));
        Ok(())
    }

    fn unmount(&mut self) -> Result<()> {
        if self.mounted {
            self.run(["umount".as_ref(), self.dir.as_os_str()])?;
            self.mounted = false;
            self.daemon = None;
        }
        Ok(())
    }

    fn dir(&self) -> &Path {
        &self.dir
    }

    fn new_tree(&mut self, tree: &str) -> Result<()> {
        Ok(std::fs::create_dir(self.path(tree))?)
    }

    fn clone_tree(&mut self, src: &str, dst: &str) -> Result<Told> {
        let (src, dst) = (self.path(src), self.path(dst));
        let args = ["clone".as_ref(), "--json".as_ref(), src.as_os_str()];
        self.timed(args.into_iter().chain([dst.as_os_str()]))
    }

    fn clone_many(&mut self, src: &str, dsts: &[String]) -> Result<()> {
        let paths = [src].into_iter().chain(dsts.iter().map(String::as_str));
        let paths = paths.map(|tree| self.path(tree).into_os_string());
        self.run(["clone".into()].into_iter().chain(paths))
            .map(drop)
    }

    fn remove_tree(&mut self, tree: &str) -> Result<Told> {
        let tree = self.path(tree);
        self.timed(["rm".as_ref(), "--json".as_ref(), tree.as_os_str()].into_iter())
    }

    fn sync(&self) -> Result<()> {
        self.run(["sync".as_ref(), self.dir.as_os_str()]).map(drop)
    }

    fn counts(&self) -> Result<Option<Counts>> {
        let Some(image) = &self.image else {
            return Ok(None);
        };
        let mut counts = image.counts()?;
        // The kernel counts trims as writes of the device, also those that it refuses, and the daemon trims after each mount. For the
        // process it counts whole pages of its cache of the device, which may be large. So the lesser is what was written.
        counts.by_process = self.daemon.map(process::written_bytes);
        Ok(Some(counts))
    }

    fn requests(&self) -> Result<Option<u64>> {
        let (each, times) = self.asking.get();
        self.asking.set((each, times + 1));
        Ok(Some(self.all_requests()?.saturating_sub(each * times)))
    }

    fn server(&self) -> Server {
        self.daemon.map_or_else(Server::default, |pid| Server {
            seconds: process::seconds_of(&pid.to_string()),
            peak_bytes: process::peak_bytes(pid),
        })
    }
}

impl Drop for Cawfs {
    fn drop(&mut self) {
        let (store, dir) = (self.store.as_os_str(), self.dir.as_os_str());
        if !self.mounted || process::tidy_up(&self.program, ["umount".as_ref(), dir]) {
            return;
        }
        // A daemon that was being started may mount only now.
        for _ in 0..50 {
            let unmounted = process::tidy_up("umount", ["-l".as_ref(), dir]);
            if unmounted || process::find(&["daemon".as_ref(), store, dir]).is_none() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
