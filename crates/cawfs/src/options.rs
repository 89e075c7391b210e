//! Mount options in the style of fstab, sizes, and ranges of ids.

use crate::failure::Failure;
use cawfs_fs::{AccessTimes, IdRange};
use cawfs_fuse::MountOptions;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How a store is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Change the options of what is mounted there already.
    pub remount: bool,
    /// No changes.
    pub read_only: bool,
    /// Set-id bits have no effect.
    pub nosuid: bool,
    /// Device files have no effect.
    pub nodev: bool,
    /// Nothing may be executed.
    pub noexec: bool,
    /// When reading renews access times.
    pub access_times: AccessTimes,
    /// Other users may enter; `None`: if we are root.
    pub allow_other: Option<bool>,
    /// Keep idle processors awake while there is much to do; `None`: with the idle driver `haltpoll`, if we may.
    pub awake: Option<bool>,
    /// Memory for data read, in bytes.
    pub cache: Option<u64>,
    /// Memory for changes, in bytes.
    pub memtable: Option<u64>,
    /// Time after which changes are durable.
    pub commit: Duration,
    /// Second part of the type's name.
    pub subtype: Option<String>,
    /// Where the daemon logs.
    pub log: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            remount: false,
            read_only: false,
            nosuid: false,
            nodev: false,
            noexec: false,
            access_times: AccessTimes::Relative,
            allow_other: None,
            awake: None,
            cache: None,
            memtable: None,
            commit: Duration::from_secs(5),
            subtype: None,
            log: None,
        }
    }
}

/// Options of mount(8), fstab and systemd that mean nothing to us.
const IGNORED: &[&str] = &[
    "defaults",
    "async",
    "sync",
    "auto",
    "noauto",
    "user",
    "nouser",
    "users",
    "group",
    "owner",
    "_netdev",
    "nofail",
    "diratime",
    "nodiratime",
    "norelatime",
    "lazytime",
    "nolazytime",
    "iversion",
    "silent",
    "loud",
    "default_permissions",
];

impl Options {
    /// What the kernel is told of them, for this store.
    pub fn for_kernel(&self, store: &Path) -> MountOptions {
        let root = || rustix::process::geteuid().is_root();
        MountOptions {
            source: store.to_string_lossy().into_owned(),
            subtype: self.subtype.clone(),
            read_only: self.read_only,
            nosuid: self.nosuid,
            nodev: self.nodev,
            noexec: self.noexec,
            access_times: self.access_times,
            allow_other: self.allow_other.unwrap_or_else(root),
            awake: self.awake,
        }
    }

    /// Reads lists of options; later ones win.
    ///
    /// # Errors
    /// An unknown option or a bad value.
    pub fn parse(lists: &[String]) -> Result<Self, Failure> {
        let mut out = Self::default();
        for word in lists
            .iter()
            .flat_map(|list| list.split(','))
            .filter(|w| !w.is_empty())
        {
            out.set(word)?;
        }
        Ok(out)
    }

    fn set(&mut self, word: &str) -> Result<(), Failure> {
        if let Some((name, value)) = word.split_once('=') {
            return self.set_value(name, value);
        }
        match word {
            "ro" => self.read_only = true,
            "rw" => self.read_only = false,
            "nosuid" => self.nosuid = true,
            "suid" => self.nosuid = false,
            "nodev" => self.nodev = true,
            "dev" => self.nodev = false,
            "noexec" => self.noexec = true,
            "exec" => self.noexec = false,
            "noatime" => self.access_times = AccessTimes::Never,
            "relatime" => self.access_times = AccessTimes::Relative,
            "strictatime" => self.access_times = AccessTimes::Always,
            // What mount(8) means by these: what they take back, and nothing else.
            "atime" if self.access_times == AccessTimes::Never => {
                self.access_times = AccessTimes::Relative;
            }
            "nostrictatime" if self.access_times == AccessTimes::Always => {
                self.access_times = AccessTimes::Relative;
            }
            "atime" | "nostrictatime" => {}
            "allow_other" => self.allow_other = Some(true),
            "no_allow_other" => self.allow_other = Some(false),
            "awake" => self.awake = Some(true),
            "noawake" => self.awake = Some(false),
            "remount" => self.remount = true,
            _ if IGNORED.contains(&word) || is_foreign(word) => {}
            _ => return Err(unknown(word)),
        }
        Ok(())
    }

    fn set_value(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        let bad = |why: String| Failure::usage(format!("-o {name}={value}: {why}"));
        match name {
            "cache" => self.cache = Some(size(value).map_err(bad)?),
            "memtable" => {
                let bytes = size(value).map_err(bad)?;
                if bytes < MEMTABLE_LEAST {
                    return Err(bad("give 1M or more: less would hold up every write".into()));
                }
                self.memtable = Some(bytes);
            }
            "commit" => {
                let seconds = value
                    .parse()
                    .ok()
                    .filter(|&s: &u64| (1..=3600).contains(&s));
                let seconds = seconds.ok_or_else(|| bad("give 1 to 3600 seconds".into()))?;
                self.commit = Duration::from_secs(seconds);
            }
            "subtype" => {
                let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
                if value.is_empty() || !value.chars().all(plain) {
                    return Err(bad("give letters, digits, '-', '_' or '.'".into()));
                }
                self.subtype = Some(value.into());
            }
            "log" => {
                let path = std::path::absolute(value).map_err(|e| bad(e.to_string()))?;
                self.log = Some(path);
            }
            // What mount(8) finds in the kernel's table when it mounts again.
            "fsname" | "user_id" | "group_id" | "max_read" => {}
            _ if is_foreign(name) => {}
            _ => return Err(unknown(&format!("{name}={value}"))),
        }
        Ok(())
    }
}

/// The least memory for changes not yet written, in bytes: a few requests of a kernel.
const MEMTABLE_LEAST: u64 = 1 << 20;

/// Comments of others in fstab: `x-systemd.automount`, `X-mount.mkdir`, `comment=…`.
fn is_foreign(word: &str) -> bool {
    word.starts_with("x-") || word.starts_with("X-") || word == "comment"
}

fn unknown(word: &str) -> Failure {
    Failure::usage(format!("-o {word}: unknown option")).hint("see `cawfs mount --help`")
}

/// Reads a range of ids, as maps of user namespaces are written: the first as it is, the first as it is shown, how many.
pub fn ids(text: &str) -> Result<IdRange, String> {
    let numbers: Result<Vec<u32>, _> = text.split(':').map(str::parse).collect();
    match numbers.as_deref() {
        Ok([inside, outside, count]) => Ok(IdRange {
            inside: *inside,
            outside: *outside,
            count: *count,
        }),
        _ => Err("give three numbers A:B:N such as 0:100000:65536".into()),
    }
}

/// Reads a size: bytes, or a number with K, M, G or T (and optionally iB or B) for powers of 1024.
pub fn size(text: &str) -> Result<u64, String> {
    let digits = text.len()
        - text
            .trim_start_matches(|c: char| c.is_ascii_digit() || c == '.')
            .len();
    let (number, unit) = text.split_at(digits);
    let shift = match unit
        .trim()
        .to_ascii_uppercase()
        .trim_end_matches('B')
        .trim_end_matches('I')
    {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err(format!("`{unit}` is no unit; use K, M, G or T")),
    };
    let why = || "give a size such as 512M or 20G".to_owned();
    let bytes = match number.parse::<u64>() {
        Ok(n) => n.checked_mul(1 << shift),
        Err(_) => {
            let n: f64 = number.parse().map_err(|_| why())?;
            Some((n * (1_u64 << shift) as f64) as u64)
        }
    };
    bytes.filter(|&b| b > 0).ok_or_else(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_ids_are_those_of_user_namespaces() {
        let range = ids("0:100000:65536").unwrap();
        let numbers = (range.inside, range.outside, range.count);
        assert_eq!(numbers, (0, 100_000, 65_536));
        for bad in [
            "",
            "0",
            "0:1",
            "0:1:2:3",
            "0:-1:2",
            "a:b:c",
            "0:4294967296:1",
        ] {
            assert!(ids(bad).unwrap_err().contains("A:B:N"), "{bad}");
        }
    }

    #[test]
    fn lists_as_in_fstab() {
        let parse = |text: &str| Options::parse(&[text.to_owned()]);
        let o = parse("ro,nosuid,nofail,x-systemd.automount,_netdev,cache=1.5G,commit=9").unwrap();
        assert!(o.read_only && o.nosuid && !o.nodev);
        assert_eq!((o.cache, o.commit.as_secs()), (Some(3 << 29), 9));
        assert!(!parse("ro,rw").unwrap().read_only);
        assert_eq!(o.awake, None);
        assert_eq!(parse("awake").unwrap().awake, Some(true));
        assert_eq!(parse("awake,noawake").unwrap().awake, Some(false));
        assert!(parse("remount,ro").unwrap().remount && !o.remount);
        assert_eq!(
            parse("subtype=cawfs").unwrap().subtype.as_deref(),
            Some("cawfs")
        );
        for (text, when) in [
            ("", AccessTimes::Relative),
            ("noatime", AccessTimes::Never),
            ("noatime,strictatime", AccessTimes::Always),
            ("strictatime,nostrictatime", AccessTimes::Relative),
            ("noatime,atime", AccessTimes::Relative),
            ("strictatime,atime,norelatime", AccessTimes::Always),
        ] {
            assert_eq!(parse(text).unwrap().access_times, when, "{text}");
        }
        for bad in [
            "nonsense",
            "cache=lots",
            "memtable=128",
            "commit=0",
            "subtype=a b",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(parse("nonsense").unwrap_err().code, 2);
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("17", 17),
            ("4K", 4096),
            ("2MiB", 2 << 20),
            ("1.5g", 3 << 29),
        ] {
            assert_eq!(size(text), Ok(bytes));
        }
        for bad in ["", "K", "0", "5X", "-1", "99999999999T"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }
}
