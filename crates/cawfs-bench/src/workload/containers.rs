//! Containers of LXC: each made from one root file system, run, and written into.
//!
//! ```text
//! base/rootfs, with a file of 1 GiB ── create ──► container-1 ── start, true, stop ── first 16 bytes into a small and the big file
//! ```
//!
//! cawfs makes one by cloning the folder of `base` and writing its configuration anew; the peers by `lxc-copy`: a snapshot on
//! Btrfs, an overlay or an rsync (`dir`) on ext4. With --quick the root is a shell and what it needs, otherwise a Debian.

use crate::files;
use crate::process::{self, run, run_with};
use crate::session::Session;
use crate::system::{Kind, System};
use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Why there can be no containers here.
pub fn missing() -> Option<String> {
    let program = ["lxc-execute", "lxc-copy"]
        .into_iter()
        .find(|program| !process::exists(program));
    program.map(|program| format!("there is no {program} here"))
}

/// Runs it.
pub fn run_all(session: &mut Session) -> Result<()> {
    fill(session)?;
    for round in 1..=session.sizes.containers {
        session.cold()?;
        let name = format!("container-{round}");
        // What the others are more than: the start of a program that does nothing. It is started once before, as the mount has read
        // what all programs need for some systems and not for others.
        run("true", [""; 0])?;
        session.step("start an empty program", round, |_| run("true", [""; 0]))?;
        session.step("create", round, |system| create(system, &name))?;
        // What a copy has not written yet is not to be paid for by the first write.
        session.step("create: sync", round, |system| system.sync())?;
        session.step("start, true, stop", round, |system| {
            let args = ["-n", &name, "-P"].map(OsStr::new);
            let dir = system.dir().as_os_str().to_owned();
            let command = ["--", "/bin/true"].map(OsStr::new);
            run(
                "lxc-execute",
                args.into_iter().chain([dir.as_os_str()]).chain(command),
            )
        })?;
        let root = Root::of(session.system, &name)?;
        session.step("first write into a small file + fsync", round, |_| {
            write(&root.dir.join("etc/hostname"), 0)
        })?;
        let middle = session.sizes.container_bytes / 2;
        session.step("first write into the big file + fsync", round, |_| {
            write(&root.dir.join("big"), middle)
        })?;
        drop(root);
    }
    Ok(())
}

fn write(path: &Path, offset: u64) -> Result<()> {
    let file = fs::OpenOptions::new().write(true).open(path)?;
    file.write_all_at(b"sixteen new ones", offset)?;
    Ok(file.sync_all()?)
}

/// Makes the container that the others come from.
fn fill(session: &mut Session) -> Result<()> {
    let (given, quick) = (session.sizes.rootfs.clone(), !session.sizes.image_written);
    let scratch = tempfile::Builder::new()
        .prefix("cawfs-bench-root.")
        .tempdir()?;
    let source = match given {
        Some(given) => given,
        None if quick => small_root(scratch.path())?,
        None => debian(scratch.path())?,
    };
    let mut random = session.random.fork();
    let bytes = session.sizes.container_bytes;
    session.step("fill + sync", 0, |system| {
        fs::create_dir(system.path("base"))?;
        system.new_tree("base/rootfs")?;
        let root = system.path("base/rootfs");
        let line = "cp -a \"$1\"/. \"$2\"";
        let args = ["-c", line, "sh"].map(OsStr::new);
        run(
            "sh",
            args.into_iter()
                .chain([source.as_os_str(), root.as_os_str()]),
        )?;
        fs::write(root.join("etc/hostname"), "a name of some length\n")?;
        files::random_file(&root.join("big"), bytes, &mut random)?;
        configure(system, "base")?;
        system.sync()
    })?;
    Ok(())
}

/// A shell and `true`, with the libraries they need.
fn small_root(dir: &Path) -> Result<PathBuf> {
    let line = "cd \"$1\" && mkdir bin etc proc sys dev tmp run && cp -L /bin/sh /bin/true bin &&
        for library in $(ldd /bin/sh /bin/true | grep -o '/[^ :]*' | grep lib | sort -u); do
            mkdir -p \".${library%/*}\" && cp -L \"$library\" \".$library\" || exit 1
        done";
    run(
        "sh",
        ["-c", line, "sh"]
            .map(OsStr::new)
            .into_iter()
            .chain([dir.as_os_str()]),
    )?;
    Ok(dir.to_owned())
}

fn debian(dir: &Path) -> Result<PathBuf> {
    if !process::exists("debootstrap") {
        bail!("there is no debootstrap here: name a root file system with --rootfs");
    }
    let args = ["--variant=minbase", "stable"].map(OsStr::new);
    run("debootstrap", args.into_iter().chain([dir.as_os_str()]))?;
    Ok(dir.to_owned())
}

fn configure(system: &dyn System, name: &str) -> Result<()> {
    let backing = match system.kind() {
        Kind::BtrfsSnap => "btrfs",
        _ => "dir",
    };
    let root = system.path(name).join("rootfs");
    let text = format!(
        "lxc.rootfs.path = {backing}:{}\nlxc.uts.name = {name}\nlxc.net.0.type = none\nlxc.apparmor.profile = unconfined\n",
        root.display()
    );
    Ok(fs::write(system.path(name).join("config"), text)?)
}

fn create(system: &mut dyn System, name: &str) -> Result<()> {
    let how: &[&str] = match system.kind() {
        Kind::Cawfs => {
            system.clone_tree("base", name)?;
            return configure(system, name);
        }
        Kind::BtrfsSnap => &["-s", "-B", "btrfs"],
        Kind::Overlay => &["-s", "-B", "overlay"],
        _ => &["-B", "dir"],
    };
    let named = ["-n", "base", "-N", name];
    let args = named.iter().chain(how).chain(&["-P"]);
    let args = args.map(OsStr::new).chain([system.dir().as_os_str()]);
    run("lxc-copy", args)
}

/// The root of a container as it sees it. Dropping it unmounts what was mounted for that.
struct Root {
    dir: PathBuf,
    mounted: bool,
}

impl Root {
    /// LXC mounts an overlay only where the container sees it, so it is mounted once more here.
    fn of(system: &dyn System, name: &str) -> Result<Self> {
        let dir = system.path(name).join("rootfs");
        let config = fs::read_to_string(system.path(name).join("config"))?;
        let path = config
            .lines()
            .find_map(|line| line.strip_prefix("lxc.rootfs.path = "));
        let path = path.context("the container has no root")?;
        let Some(layers) = path.strip_prefix("overlay:") else {
            return Ok(Self {
                dir,
                mounted: false,
            });
        };
        let (lower, upper) = layers.split_once(':').context("an overlay of one layer")?;
        let work = Path::new(upper).with_file_name("work");
        let options = format!(
            "lowerdir={lower},upperdir={upper},workdir={}",
            work.display()
        );
        let args = ["-t", "overlay", "overlay", "-o", &options].map(OsStr::new);
        run_with("mount", args.into_iter().chain([dir.as_os_str()]), &[0])?;
        Ok(Self { dir, mounted: true })
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        if self.mounted {
            process::tidy_up("umount", [&self.dir]);
        }
    }
}
