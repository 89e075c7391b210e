//! Memory of the daemon: what the kernel remembers is forgotten in time, and statistics tell what is in use.

use crate::site::{Site, cawfs, done};
use std::fs::{self, File};
use std::io::Read;
use std::time::{Duration, Instant};

/// Waits until the daemon's handles fit their budget again; how many there are then, and how many are allowed.
fn settled(site: &Site) -> (u64, u64) {
    let begun = Instant::now();
    loop {
        let memory = site.stats()["memory"].take();
        let bytes = |name: &str| memory[name].as_u64().unwrap();
        let (held, limit) = (bytes("handles_bytes"), bytes("handles_limit_bytes"));
        let each = held / bytes("handles");
        if held <= limit || begun.elapsed() > Duration::from_secs(20) {
            return (bytes("handles"), limit / each);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_kernel_forgets_the_oldest_nodes_and_nobody_notices() {
    let site = Site::unmounted();
    // A quarter of it is for handles.
    site.mount("cache=4M,memtable=4M");
    fs::create_dir_all(site.path("old/stand/here")).unwrap();
    fs::write(site.path("old/open"), "still here").unwrap();
    let mut open = File::open(site.path("old/open")).unwrap();
    // Makes 40 directories of 150 files, looks at all of them twice, and stands in a directory all along.
    let program = "
import os
os.chdir('old/stand/here')
top = '../../../many'
os.mkdir(top)
for d in range(40):
    os.mkdir(f'{top}/{d}')
    for f in range(150):
        with open(f'{top}/{d}/{f}', 'w') as out:
            out.write(f'{d} {f}')
for look in range(2):
    for d in range(40):
        names = sorted(os.listdir(f'{top}/{d}'), key=int)
        assert names == [str(f) for f in range(150)], names
        for f in names:
            assert os.stat(f'{top}/{d}/{f}').st_size == len(f'{d} {f}')
os.mkdir('new')
assert os.getcwd().endswith('old/stand/here'), os.getcwd()
assert os.path.isdir('../here/new')
";
    done(site.python(program));
    let (held, allowed) = settled(&site);
    assert!(held <= allowed, "{held} handles, {allowed} are allowed");
    assert!(allowed < 3000, "the budget is not small: {allowed}");
    let mut text = String::new();
    open.read_to_string(&mut text).unwrap();
    assert_eq!(text, "still here");
    for d in [0, 39] {
        let read = fs::read_to_string(site.path(format!("many/{d}/149"))).unwrap();
        assert_eq!(read, format!("{d} 149"));
    }
    drop(open);
    site.umount();
    let check = cawfs(["check".as_ref(), site.store().as_os_str()]);
    done(check);
}

#[test]
fn statistics_tell_memory_by_kind_and_how_long_requests_took() {
    let site = Site::new();
    site.tree("tree");
    done(site.run(&["sync", "."]));
    let stats = site.stats();
    for kind in [
        "read_budget",
        "segments",
        "indexes_and_filters",
        "nodes",
        "table",
        "merge_memo",
        "handles",
        "listings",
        "change_budget",
        "memtable",
        "unwritten_runs",
        "unwritten_nodes",
        "held_by_readers",
        "journal_pending",
        "resident",
    ] {
        let value = &stats["memory"][format!("{kind}_bytes")];
        assert!(value.is_u64(), "{kind}: {value}");
    }
    assert!(stats["memory"]["resident_bytes"].as_u64().unwrap() > 1 << 20);
    let write = &stats["latency"]["requests"]["write"];
    assert!(write["count"].as_u64().unwrap() >= 3, "{write}");
    let seconds = |name: &str| write[name].as_f64().unwrap();
    assert!(seconds("p50_seconds") > 0.0 && seconds("p50_seconds") <= seconds("p999_seconds"));
    assert!(seconds("p999_seconds") <= seconds("max_seconds") && seconds("max_seconds") < 60.0);
    assert!(seconds("lock_max_seconds") <= seconds("max_seconds"));
    assert!(stats["latency"]["disk"]["sync"]["count"].as_u64().unwrap() > 0);
    let text = done(site.run(&["stats", "."]));
    for words in [
        "p99.9",
        "longest wait: locks",
        "disk requests",
        "\nmemory\n",
    ] {
        assert!(text.contains(words), "no `{words}` in: {text}");
    }
}
