//! Killed while the kernel writes mapped pages for it, the daemon cannot end by itself, and all that touches the mount waits;
//! its watcher ends that, and if it was killed too, every command that meets it.
use crate::site::{Site, cawfs, done};
use rustix::process::Pid;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Changes a mapped file for ever.
const WRITER: &str = r#"
import mmap
file = open("mapped", "w+b")
file.truncate(4 << 20)
memory = mmap.mmap(file.fileno(), 4 << 20)
while True:
    for at in range(0, 4 << 20, 4096):
        memory[at] = (memory[at] + 1) % 256
"#;

/// Makes everything durable for ever, and so has the mapped pages written.
const SYNCER: &str = r#"
import subprocess, sys
while subprocess.run([sys.argv[1], "sync", "."], stderr=subprocess.DEVNULL).returncode == 0:
    pass
"#;

fn python(site: &Site, program: &str) -> Child {
    let mut command = Command::new("python3");
    command.args(["-c", program]).arg(site.program());
    let command = command.current_dir(site.root()).stderr(Stdio::null());
    command.spawn().expect("the mount tests need python3")
}

/// Waits for the end of a command that must not hang.
fn within(mut child: Child, limit: Duration) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < limit {
        if child.try_wait().unwrap().is_some_and(|s| s.success()) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    false
}

fn kill(process: Pid) {
    rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
}

/// The children of a process's first thread.
fn children(process: Pid) -> Vec<Pid> {
    let pid = process.as_raw_nonzero();
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let pids = text.split_whitespace().map(|word| word.parse().unwrap());
    pids.filter_map(Pid::from_raw).collect()
}

#[test]
fn a_daemon_killed_in_the_middle_of_anything_is_cleaned_up() {
    let site = Site::new();
    for round in 0..8_u64 {
        let workers = [python(&site, WRITER), python(&site, SYNCER)];
        std::thread::sleep(Duration::from_millis(700 + 37 * round));
        let daemon = site.daemon();
        let watchers = children(daemon);
        assert_eq!(watchers.len(), 1, "a daemon has a watcher");
        if round % 4 < 3 {
            kill(watchers[0]);
        }
        kill(daemon);
        std::thread::sleep(Duration::from_millis(100));
        let (root, store) = (site.root(), site.store());
        let mut command = Command::new(site.program());
        match round % 4 {
            0 => command.arg("umount").arg(&root),
            1 => command.arg("mount").arg(&store).arg(&root),
            2 => command.arg("check").arg(&store),
            _ => {
                // Whatever it answers.
                command = Command::new("sh");
                command
                    .args(["-c", "ls \"$0\" 2>/dev/null; true"])
                    .arg(&root)
            }
        };
        let clean = within(
            command.stdout(Stdio::null()).spawn().unwrap(),
            Duration::from_secs(30),
        );
        if !clean {
            let _ = cawfs_fuse::abort(&root, "");
        }
        for mut worker in workers {
            let _ = worker.kill();
            let _ = worker.wait();
        }
        assert!(clean, "round {round} hangs or fails");
        if site.shown().is_some() && round % 4 != 1 {
            site.umount();
        }
        if site.shown().is_none() {
            done(cawfs(["check".as_ref(), store.as_os_str()]));
            site.mount("");
        }
    }
}
