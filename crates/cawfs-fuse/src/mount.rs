//! Attaching a connection to a directory, and detaching it.
//!
//! Root calls the kernel itself. Everybody else goes through the set-uid helper `fusermount3`, which
//! sends the opened device back over a socket that it finds as its standard input.

use cawfs_fs::AccessTimes;
use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, UnmountFlags};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How a mount shows itself and what it allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MountOptions {
    /// What `/proc/mounts` shows as the source: the path of the store.
    pub source: String,
    /// The type is shown as `fuse.SUBTYPE`, or `fuse` without.
    pub subtype: Option<String>,
    /// No changes.
    pub read_only: bool,
    /// Set-id bits have no effect.
    pub nosuid: bool,
    /// Device files have no effect.
    pub nodev: bool,
    /// Nothing may be executed.
    pub noexec: bool,
    /// When reading renews access times. The kernel only shows it: see [`cawfs_fs::Fs::set_access_times`].
    pub access_times: AccessTimes,
    /// Other users than the mounting one may enter.
    pub allow_other: bool,
    /// Keep idle processors awake while requests come closely, for which one has to be root. `None`: with the idle driver `haltpoll`, if we may.
    pub awake: Option<bool>,
}

/// Why a mount failed, in a sentence that says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MountError {
    /// The kernel has no FUSE, or this place may not use it.
    #[error(
        "/dev/fuse cannot be opened: {0}. Load the module (modprobe fuse), or give the container \
         the device (--device /dev/fuse)"
    )]
    NoDevice(io::Error),
    /// The helper for users other than root is not installed.
    #[error(
        "fusermount3 cannot be run: {0}. Users other than root mount through it: install the \
         package fuse3, or mount as root"
    )]
    NoHelper(io::Error),
    /// The helper said no.
    #[error("fusermount3 refused: {0} (it must be set-uid root, as the package fuse3 installs it)")]
    Refused(String),
    /// The kernel said no.
    #[error("the kernel refused to mount on {dir}: {source}")]
    Kernel {
        /// Where.
        dir: PathBuf,
        /// Its reason.
        source: io::Error,
    },
    /// Processors cannot be kept awake.
    #[error(
        "{device} cannot be opened for the option awake: {0}. It takes root, and a kernel with CPU_IDLE; mount without awake",
        device = crate::awake::DEVICE
    )]
    Awake(io::Error),
    /// The connection broke before it was in use.
    #[error("the handshake with the kernel failed: {0}")]
    Handshake(#[source] io::Error),
}

const DEVICE: &str = "/dev/fuse";
const HELPER: &str = "fusermount3";

/// Mounts on a directory; the answer is the open device, whose first message is INIT.
///
/// # Errors
/// See [`MountError`].
pub fn mount(dir: &Path, options: &MountOptions) -> Result<File, MountError> {
    if rustix::process::geteuid().is_root() {
        let device = OpenOptions::new().read(true).write(true).open(DEVICE);
        let device = device.map_err(MountError::NoDevice)?;
        mount_as_root(dir, options, &device).map_err(|source| MountError::Kernel {
            dir: dir.to_owned(),
            source,
        })?;
        return Ok(device);
    }
    if !Path::new(DEVICE).exists() {
        return Err(MountError::NoDevice(io::ErrorKind::NotFound.into()));
    }
    mount_by_helper(dir, options)
}

fn mount_as_root(dir: &Path, options: &MountOptions, device: &File) -> io::Result<()> {
    let (user, group) = (rustix::process::getuid(), rustix::process::getgid());
    let mut data = format!(
        "fd={},rootmode=40000,user_id={},group_id={},default_permissions",
        device.as_raw_fd(),
        user.as_raw(),
        group.as_raw()
    );
    if options.allow_other {
        data.push_str(",allow_other");
    }
    if let Some(subtype) = &options.subtype {
        data.push_str(",subtype=");
        data.push_str(subtype);
    }
    let data = CString::new(data).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let source = options.source.as_str();
    rustix::mount::mount(source, dir, "fuse", flags(options), data.as_c_str())?;
    Ok(())
}

/// What the kernel itself watches over. A mount that is changed keeps its access times as they were if none is named.
fn flags(options: &MountOptions) -> MountFlags {
    let all = [
        (options.read_only, MountFlags::RDONLY),
        (options.nosuid, MountFlags::NOSUID),
        (options.nodev, MountFlags::NODEV),
        (options.noexec, MountFlags::NOEXEC),
        (
            options.access_times == AccessTimes::Never,
            MountFlags::NOATIME,
        ),
        (
            options.access_times == AccessTimes::Relative,
            MountFlags::RELATIME,
        ),
        (
            options.access_times == AccessTimes::Always,
            MountFlags::STRICTATIME,
        ),
    ];
    let chosen = all.into_iter().filter(|(chosen, _)| *chosen);
    chosen.map(|(_, flag)| flag).collect()
}

/// Changes what the kernel watches over (all but source, subtype and who may enter) for what is mounted on `dir`.
///
/// # Errors
/// The kernel's, which allows it to root only.
pub fn remount(dir: &Path, options: &MountOptions) -> io::Result<()> {
    Ok(rustix::mount::mount_remount(dir, flags(options), "")?)
}

fn mount_by_helper(dir: &Path, options: &MountOptions) -> Result<File, MountError> {
    let escape = |s: &str| s.replace('\\', "\\\\").replace(',', "\\,");
    let mut list = vec![
        format!("fsname={}", escape(&options.source)),
        "default_permissions".into(),
    ];
    list.extend(
        options
            .subtype
            .as_deref()
            .map(|s| format!("subtype={}", escape(s))),
    );
    let flags = [
        (options.read_only, "ro"),
        (options.nosuid, "nosuid"),
        (options.nodev, "nodev"),
        (options.noexec, "noexec"),
        (options.access_times == AccessTimes::Never, "noatime"),
        (options.allow_other, "allow_other"),
    ];
    list.extend(flags.iter().filter(|f| f.0).map(|f| f.1.to_owned()));
    let (ours, theirs) = UnixStream::pair().map_err(MountError::NoHelper)?;
    let child = Command::new(HELPER)
        .arg("-o")
        .arg(list.join(","))
        .arg("--")
        .arg(dir)
        .env("_FUSE_COMMFD", "0")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(MountError::NoHelper)?;
    let device = receive_device(&ours);
    drop(ours);
    let output = child.wait_with_output().map_err(MountError::NoHelper)?;
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim().trim_start_matches("fusermount3: ");
    match device {
        Ok(Some(device)) if output.status.success() => Ok(File::from(device)),
        Ok(_) => Err(MountError::Refused(said.to_owned())),
        Err(e) => Err(MountError::Refused(format!("{said} ({e})"))),
    }
}

fn receive_device(socket: &UnixStream) -> io::Result<Option<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let slices = &mut [IoSliceMut::new(&mut byte)];
    recvmsg(socket, slices, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut descriptors) = message {
            return Ok(descriptors.next());
        }
    }
    Ok(None)
}

/// Detaches a mount. `lazy`: at once, though files in it are open; they live on until closed.
///
/// # Errors
/// `ResourceBusy` if files are open and it is not lazy; else what the kernel or the helper said.
pub fn unmount(dir: &Path, lazy: bool) -> io::Result<()> {
    let mut flags = UnmountFlags::NOFOLLOW;
    flags.set(UnmountFlags::DETACH, lazy);
    match rustix::mount::unmount(dir, flags) {
        Err(rustix::io::Errno::PERM) => unmount_by_helper(dir, lazy),
        other => Ok(other?),
    }
}

/// Ends the connection of a mount whose daemon can no longer answer: all that waits for it, and all that comes, is an error.
/// The mount itself stays, as that of a dead daemon. `device` is its number, such as `0:45`.
///
/// # Errors
/// What the kernel said; whoever did not mount it may not end it.
pub fn abort(dir: &Path, device: &str) -> io::Result<()> {
    // By force, a file system in use is not unmounted either, but the connection ends. So it is used; for that nobody is asked.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let _used = rustix::fs::open(dir, flags, Mode::empty())?;
    match rustix::mount::unmount(dir, UnmountFlags::FORCE | UnmountFlags::NOFOLLOW) {
        Ok(()) | Err(rustix::io::Errno::BUSY) => Ok(()),
        Err(rustix::io::Errno::PERM) => {
            let minor = device.rsplit(':').next().unwrap_or_default();
            std::fs::write(format!("/sys/fs/fuse/connections/{minor}/abort"), "1")
        }
        Err(e) => Err(e.into()),
    }
}

fn unmount_by_helper(dir: &Path, lazy: bool) -> io::Result<()> {
    let mut command = Command::new(HELPER);
    command
        .arg(if lazy { "-uz" } else { "-u" })
        .arg("--")
        .arg(dir);
    let output = command.stdin(Stdio::null()).output().map_err(|e| {
        let text = format!("{HELPER} cannot be run: {e}. Install the package fuse3");
        io::Error::new(e.kind(), text)
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let busy = said.contains("busy");
    let kind = if busy {
        io::ErrorKind::ResourceBusy
    } else {
        io::ErrorKind::PermissionDenied
    };
    Err(io::Error::new(kind, said))
}
