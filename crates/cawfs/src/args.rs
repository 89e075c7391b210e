//! What may stand on the command line.

use cawfs_fs::IdRange;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the operation failed; the message says what, where and what to do
  2  the command line makes no sense
  `cawfs check` and `cawfs scrub` answer like fsck(8), see their --help.

A first session:
  cawfs mkfs --size 20G /var/lib/work.caw
  cawfs mount /var/lib/work.caw /mnt
  cp -a project /mnt/project
  cawfs clone /mnt/project /mnt/experiment
  cawfs umount /mnt";

/// A file system whose directory trees and files clone in an instant, whatever their size.
#[derive(Debug, Parser)]
#[command(name = "cawfs", version, after_help = EXIT_CODES, subcommand_required = true)]
#[command(arg_required_else_help = true, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make an empty store in a file or on a block device
    Mkfs(Mkfs),
    /// Mount a store on a directory; returns once it is usable
    Mount(Mount),
    /// Unmount a directory; returns once everything is on disk and the store is released
    Umount(Umount),
    /// Clone a file or a directory tree, at once and whatever its size
    Clone(CloneArgs),
    /// Remove files and whole trees, at once and whatever their size
    Rm(Rm),
    /// Make everything that happened before durable
    Sync(Sync),
    /// Check an unmounted store, mend it, or save what is left of it
    Check(Check),
    /// Read and verify everything a mounted store has on disk, while it is in use
    Scrub(Scrub),
    /// Show sizes, sharing, caches and counters
    Stats(Stats),
    /// Print how a store is built, as text or as a picture
    Dump(Dump),
    /// Show what cawfs does, on a real tree in a temporary folder
    Demo(Demo),
    /// The process behind a mount; started by `mount`
    #[command(hide = true)]
    Daemon(Mount),
    /// The process that watches a daemon; started by it
    #[command(hide = true)]
    Watch(Watch),
}

/// Arguments of `watch`.
#[derive(Debug, Args)]
pub struct Watch {
    /// Where the daemon has its mount
    pub dir: PathBuf,
    /// The daemon
    pub daemon: u32,
}

impl Command {
    /// The word by which it was called.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Mkfs(_) => "mkfs",
            Self::Mount(_) | Self::Daemon(_) | Self::Watch(_) => "mount",
            Self::Umount(_) => "umount",
            Self::Clone(_) => "clone",
            Self::Rm(_) => "rm",
            Self::Sync(_) => "sync",
            Self::Check(_) => "check",
            Self::Scrub(_) => "scrub",
            Self::Stats(_) => "stats",
            Self::Dump(_) => "dump",
            Self::Demo(_) => "demo",
        }
    }
}

/// How blocks are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Compression {
    /// Fast; the default
    Lz4,
    /// Denser and slower
    Zstd,
    /// For data that does not shrink
    None,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Sizes are bytes, or a number with K, M, G or T (powers of 1024).
The file is sparse: it takes room on the disk as it fills, and gives back what is freed.

Examples:
  cawfs mkfs work.caw                       as large as the file system below has room
  cawfs mkfs --size 20G --compression zstd archive.caw")]
pub struct Mkfs {
    /// File to make, or block device to use
    pub store: PathBuf,
    /// Limit to which the store may grow [default: the room there is below]
    #[arg(long, value_name = "N", value_parser = crate::options::size)]
    pub size: Option<u64>,
    /// Compression of what is stored
    #[arg(long, value_enum, default_value_t = Compression::Lz4)]
    pub compression: Compression,
    /// Overwrite an existing file, or a device whose first MiB holds anything but zeros, and lose
    /// what is there
    #[arg(long)]
    pub force: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Options after -o, separated by commas, as in fstab:
  ro, rw                   without or with changes (rw)
  nosuid, nodev, noexec    switch set-id bits, device files, programs off; suid, dev, exec: on
  relatime                 reading renews an access time older than a change, or than a day (the default)
  noatime, strictatime     reading never, or always, renews it; always: without the kernel's cache
  allow_other              other users may enter; the default for root, off with no_allow_other
  cache=SIZE               memory for data read (an eighth of the RAM, 64 MiB to 8 GiB)
  memtable=SIZE            memory for changes not yet written (1/128 of it, 32 to 256 MiB)
  commit=SECONDS           at the latest after this time everything is durable (5)
  awake, noawake           let idle processors wait awake while requests come closely, or
                           not (by itself: for root, with the idle driver haltpoll)
  subtype=NAME             show the type as fuse.NAME instead of fuse
  log=FILE                 write what the daemon has to say there
  remount                  change ro, nosuid, nodev, noexec, and access times, of what is
                           mounted there
  default_permissions      always on
  noauto, user, nofail, _netdev, x-*   are for others and ignored here

The mount is served by a process of its own, which ends with it. Users other than root
mount through fusermount3 (package fuse3).

Examples:
  cawfs mount work.caw /mnt
  cawfs mount -o ro,noexec,cache=2G work.caw /mnt
  /var/lib/work.caw  /mnt  fuse.cawfs  nofail,noatime  0 0      a line of /etc/fstab")]
pub struct Mount {
    /// File or block device made by `cawfs mkfs`
    pub store: PathBuf,
    /// Directory to mount on
    pub dir: PathBuf,
    /// Mount options, separated by commas; may be given several times
    #[arg(
        short = 'o',
        long = "options",
        value_name = "OPTS",
        allow_hyphen_values = true
    )]
    pub options: Vec<String>,
    /// Make the store first if it does not exist
    #[arg(long)]
    pub create: bool,
    /// Stay in the foreground and log to standard error
    #[arg(long, short = 'f')]
    pub foreground: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
What was written is made durable first, so that an error is seen here. Then the directory is
unmounted and the command waits until the daemon has ended, so that the store can be mounted,
checked or copied at once. A mount whose daemon has died is cleaned up.")]
pub struct Umount {
    /// Directory on which a store is mounted
    pub dir: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "\
All DST show the same instant of SRC, with every write that returned before the command,
and each appears whole. A clone may lie inside its own source. DST names the clone itself: an
existing DST is refused unless it is an empty directory or --replace is given. If SRC is a symbolic
link, what it points to is cloned.

Everybody may clone a file that he may read: the clone is his. A tree is cloned by root or by the
owner of its top directory; owners and modes inside stay.

--map-uid A:B:N and --map-gid A:B:N say as which owners a clone shows those of SRC, as `chown -R`
would, but at once: A as B, A+1 as B+1, N of them. Given several times they add up. Who is in no
range is shown as nobody in particular (the kernel's overflow id, 65534). What is made in the clone,
given away or moved goes the same way back; an id that the clone cannot show is EOVERFLOW, a file or
directory that cannot be shown elsewhere as it was is EXDEV, so that `mv` copies. For root only.

--read-only makes a clone in which nothing ever changes, whoever asks: that is EROFS. It is renamed,
removed and replaced as a whole; a clone of it is writable, and `cawfs clone --replace DIR DIR`
makes it so where it is.

Examples:
  cawfs clone /mnt/project /mnt/experiment
  cawfs clone --replace /mnt/golden /mnt/vm1 /mnt/vm2 /mnt/vm3
  cawfs clone --read-only /mnt/project /mnt/backups/monday
  cawfs clone --map-uid 0:100000:65536 --map-gid 0:100000:65536 /mnt/rootfs /mnt/container1")]
pub struct CloneArgs {
    /// Replace an existing DST with all it holds
    #[arg(long)]
    pub replace: bool,
    /// Nothing in the clones ever changes
    #[arg(long)]
    pub read_only: bool,
    /// Show users A, A+1, … of SRC as B, B+1, …: N of them
    #[arg(long, value_name = "A:B:N", value_parser = crate::options::ids)]
    pub map_uid: Vec<IdRange>,
    /// The same for groups
    #[arg(long, value_name = "A:B:N", value_parser = crate::options::ids)]
    pub map_gid: Vec<IdRange>,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
    /// File or directory on a cawfs mount
    pub src: PathBuf,
    /// Names of the clones, on the same mount
    #[arg(required = true, num_args = 1..)]
    pub dst: Vec<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The tree disappears at once; its space comes back in the background. Root may remove every tree, an
owner a tree whose top directory is his and which he may remove from where it lies, also
if files of others are inside.

Example:
  cawfs rm /mnt/experiment")]
pub struct Rm {
    /// Files or directories on a cawfs mount
    #[arg(required = true, num_args = 1..)]
    pub paths: Vec<PathBuf>,
    /// A missing PATH is no error
    #[arg(long, short = 'f')]
    pub force: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Sync {
    /// A directory or file on a cawfs mount
    pub dir: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Each finding has a number, such as C212; docs/check.md says what each means and what to do.

Exit codes, as of fsck(8); 1 and 4 together are 5:
  0   the store is in order
  1   something was wrong and is mended (--repair)
  4   it is damaged; with --salvage: something could not be saved
  8   it could not be done (missing, in use, not a store; cawfs-lost.txt cannot be written)
  16  the command line makes no sense")]
pub struct Check {
    /// Store to check; it must not be mounted
    pub store: PathBuf,
    /// Also read each file as it shows, in every clone: block counts, inode numbers
    #[arg(long)]
    pub deep: bool,
    /// Mend what can be mended without guessing; says what it did
    #[arg(long)]
    pub repair: bool,
    /// Copy all that can still be read into DIR, which is made; the store is not changed
    #[arg(long, value_name = "DIR", conflicts_with_all = ["repair", "deep"])]
    pub salvage: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Reads each superblock, both copies of the node table, each node and run once, past all caches, and
verifies checksums and order. Others go on working meanwhile. Findings are numbered as those of
`cawfs check` and name the files they hurt; docs/check.md says what to do. What is written while it
runs is not seen. Names, counts and the journal are not looked at: `cawfs check` compares those.
For root, or whoever mounted the store. Ctrl-C ends it and shows what was found so far.

Exit codes, as of fsck(8); several are added up:
  0   all that was read is in order
  4   something is damaged
  8   it could not be done, or not to the end (not a mount, the daemon died)
  16  the command line makes no sense
  32  it was ended by Ctrl-C or SIGTERM

Examples:
  cawfs scrub /mnt
  cawfs scrub --rate 20M --json /mnt        gently, from a timer")]
pub struct Scrub {
    /// A directory or file on a cawfs mount
    pub dir: PathBuf,
    /// Read at most so much in a second, such as 100M [default: as fast as the disk]
    #[arg(long, value_name = "BYTES_PER_SECOND", value_parser = crate::options::size)]
    pub rate: Option<u64>,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Stats {
    /// A mounted directory, or a store that is not mounted
    pub path: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  cawfs dump --dot store.dot work.caw && dot -Tsvg store.dot > store.svg")]
pub struct Dump {
    /// Store to show; it must not be mounted
    pub store: PathBuf,
    /// Write a picture for Graphviz to FILE instead (`-`: to standard output)
    #[arg(long, value_name = "FILE")]
    pub dot: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
In a temporary folder: make a store, mount it, copy TREE into it, clone it many times, change files
in the clones, compare byte by byte, remount, compare again. `cp -a` does the same beside it.
Nothing is left behind. $TMPDIR says where (needs up to three times the size of TREE).")]
pub struct Demo {
    /// Directory to work with [default: a large tree found on this machine]
    pub tree: Option<PathBuf>,
    /// How many clones to make
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub clones: u32,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}
