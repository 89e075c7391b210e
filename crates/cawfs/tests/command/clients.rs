//! Clients that hammer, stop, or die in the middle of a request keep nobody else waiting, and leave nothing behind.
//!
//! ```text
//! clients   ──start──┤ work … some stop (SIGSTOP), some die (SIGKILL) ├ … the stopped go on, or die, too
//! another   ── makes, writes, reads, lists, renames, syncs, removes, also what they have open: each is timed ──
//! ```

use crate::site::{Site, cawfs, done};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What each client does for ever, in a directory of its own.
const CLIENTS: &[(&str, &str)] = &[
    ("writer", WRITER),
    ("reader", READER),
    ("mapper", MAPPER),
    ("keeper", KEEPER),
    ("mover", MOVER),
    ("hammer", HAMMER),
];

/// Large writes, each made durable.
const WRITER: &str = r#"
while True:
    for n in range(8):
        with open(f"file-{n}", "wb") as out:
            for _ in range(4):
                out.write(bytes(1 << 20)); out.flush(); os.fsync(out.fileno())
"#;

/// Reads past the kernel's cache, while it writes it anew.
const READER: &str = r#"
open("read", "wb").write(os.urandom(4 << 20))
while True:
    file = os.open("read", os.O_RDWR | os.O_DIRECT)
    for at in range(0, 4 << 20, 1 << 16):
        os.pread(file, 1 << 16, at)
    os.close(file)
"#;

/// Changes a mapped file and has its pages written; the file is held open and mapped when it dies.
const MAPPER: &str = r#"
file = open("mapped", "w+b"); file.truncate(8 << 20)
memory = mmap.mmap(file.fileno(), 8 << 20)
while True:
    for at in range(0, 8 << 20, 4096): memory[at] = (memory[at] + 1) % 256
    memory.flush()
"#;

/// Holds files without a name, and directories that it has read in part.
const KEEPER: &str = r#"
kept, n = [], 0
for name in range(300): open(f"name-{name}", "w").write("x")
while True:
    n += 1
    file = open("gone", "w+b"); file.write(bytes(100_000)); file.flush(); os.unlink("gone")
    walk = os.scandir("."); next(walk)
    kept = kept[-20:] + [(file, walk)]
"#;

/// Moves trees about, and removes them.
const MOVER: &str = r#"
while True:
    os.makedirs("a/b/c"); open("a/b/c/file", "w").write("x")
    os.rename("a", "moved"); os.rename("moved/b", "b")
    os.unlink("b/c/file"); os.removedirs("b/c"); os.rmdir("moved")
"#;

/// Asks from many threads at once what no cache answers.
const HAMMER: &str = r#"
for name in range(500): open(f"name-{name}", "w").write("x")
def work(t):
    while True:
        os.listdir("."); os.statvfs("."); os.path.exists(f"missing-{t}-{time.time()}")
        os.close(os.open(f"name-{t}", os.O_RDONLY)); os.utime(f"name-{t}"); os.stat(f"name-{t}")
for t in range(24): threading.Thread(target=work, args=(t,)).start()
"#;

/// Longest that an operation of the measured client may take; a sync, beside the disk under the store.
const LONGEST: Duration = Duration::from_secs(1);

struct Client {
    child: Child,
    stopped: bool,
}

impl Client {
    fn start(dir: &Path, program: &str) -> Self {
        fs::create_dir(dir).unwrap();
        let program = format!("import mmap, os, threading, time\n{program}");
        let mut command = Command::new("python3");
        let command = command.args(["-c", &program]).current_dir(dir);
        let child = command.stderr(Stdio::null()).spawn();
        Self {
            child: child.expect("the mount tests need python3"),
            stopped: false,
        }
    }

    fn send(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

/// Kills it, whatever it is doing.
impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The operations of the measured client, and how long the longest of each kind took.
#[derive(Default)]
struct Measured {
    rounds: u64,
    worst: Vec<(&'static str, Duration)>,
}

impl Measured {
    fn time<T>(&mut self, what: &'static str, operation: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let result = operation();
        let took = begun.elapsed();
        match self.worst.iter_mut().find(|(known, _)| *known == what) {
            Some((_, worst)) => *worst = took.max(*worst),
            None => self.worst.push((what, took)),
        }
        result
    }

    /// Does everything once, in its own directory and in those of the others.
    fn round(&mut self, site: &Site, others: &Path) {
        self.rounds += 1;
        let n = self.rounds;
        let (own, text) = (site.path("own"), format!("round {n}"));
        let (file, moved) = (own.join(format!("file-{n}")), own.join("moved"));
        let mut open = self.time("create", || File::create(&file)).unwrap();
        self.time("write", || open.write_all(text.as_bytes()))
            .unwrap();
        self.time("sync", || open.sync_all()).unwrap();
        drop(open);
        self.time("rename", || fs::rename(&file, &moved)).unwrap();
        let found = self.time("read", || fs::read_to_string(&moved)).unwrap();
        assert_eq!(found, text);
        self.time("list", || fs::read_dir(&own).unwrap().count());
        self.time("remove", || fs::remove_file(&moved)).unwrap();
        for (name, _) in CLIENTS {
            let dir = others.join(format!("{name}-0"));
            self.time("list another's", || fs::read_dir(&dir).unwrap().count());
            let new = dir.join("from-another");
            self.time("write beside", || fs::write(&new, &text))
                .unwrap();
            self.time("remove beside", || fs::remove_file(&new))
                .unwrap();
        }
        for shared in ["writer-0/file-0", "reader-0/read", "mapper-0/mapped"] {
            let path = others.join(shared);
            // It may not be there yet.
            self.time("look at another's", || fs::metadata(&path).is_ok());
            self.time("write another's", || {
                let mut options = File::options();
                let open = options.write(true).open(&path);
                open.and_then(|mut f| f.write_all(text.as_bytes())).is_ok()
            });
        }
    }
}

fn memory(site: &Site) -> (u64, u64) {
    let stats: Value = site.stats();
    let number = |name: &str| stats["memory"][name].as_u64().unwrap();
    (number("handles"), number("listings_bytes"))
}

/// Starts two clients of each kind, stops, wakes and kills them in any order until none is left; measures meanwhile.
fn fight(site: &Site, others: &Path, rng: &mut fastrand::Rng, measured: &mut Measured) {
    fs::create_dir(others).unwrap();
    let start = |twin| {
        let start = move |(name, program): &(&str, &str)| {
            Client::start(&others.join(format!("{name}-{twin}")), program)
        };
        CLIENTS.iter().map(start)
    };
    let mut clients: Vec<Client> = (0..2).flat_map(start).collect();
    while !clients.is_empty() {
        let until = Instant::now() + Duration::from_millis(rng.u64(20..250));
        while Instant::now() < until {
            measured.round(site, others);
        }
        let at = rng.usize(..clients.len());
        let client = &mut clients[at];
        let ended = client.child.try_wait().unwrap();
        assert_eq!(ended, None, "a client ended by itself");
        if rng.bool() {
            drop(clients.swap_remove(at));
            continue;
        }
        client.send(match client.stopped {
            true => Signal::CONT,
            false => Signal::STOP,
        });
        client.stopped = !client.stopped;
    }
    fs::remove_dir_all(others).unwrap();
}

/// `CAWFS_SECONDS` says for how long to fight.
#[test]
fn clients_that_hammer_stop_or_die_keep_nobody_waiting_and_leave_nothing() {
    let site = Site::new();
    fs::create_dir(site.path("own")).unwrap();
    let before = memory(&site);
    let seconds = std::env::var("CAWFS_SECONDS").map_or(0, |s| s.parse().unwrap());
    let (begun, mut fights) = (Instant::now(), 0);
    let (mut rng, mut measured) = (fastrand::Rng::new(), Measured::default());
    while fights < 4 || begun.elapsed() < Duration::from_secs(seconds) {
        fight(&site, &site.path("others"), &mut rng, &mut measured);
        fights += 1;
    }
    println!(
        "{fights} fights, {} rounds: {:?}",
        measured.rounds, measured.worst
    );
    // A sync waits for the flush that is at work, and for its own.
    let disk = site.stats()["latency"]["disk"]["sync"]["max_seconds"].take();
    let disk = Duration::from_secs_f64(2.0 * disk.as_f64().unwrap());
    for (what, worst) in &measured.worst {
        let limit = LONGEST
            + if *what == "sync" {
                disk
            } else {
                Duration::ZERO
            };
        assert!(*worst < limit, "{what} took {worst:?}");
    }
    let begun = Instant::now();
    // The kernel tells later what it has forgotten, which may be more than it had to.
    let left = || {
        let now = memory(&site);
        now.0 > before.0 || now.1 > before.1
    };
    while left() && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(!left(), "{:?} after {before:?}", memory(&site));
    site.umount();
    let check = cawfs([
        "check".as_ref(),
        "--json".as_ref(),
        site.store().as_os_str(),
    ]);
    let check: Value = serde_json::from_str(&done(check)).unwrap();
    assert_eq!(
        (&check["clean"], &check["orphans"]),
        (&true.into(), &0.into())
    );
}
