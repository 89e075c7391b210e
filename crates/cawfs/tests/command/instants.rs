//! When a clone is: after every write that returned before, before every later one, and seen at once by everybody.

use crate::site::{Site, done, picture};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn a_clone_contains_every_write_before_it() {
    let site = Site::new();
    site.tree("a");
    let path = site.path("a/file");
    let plain = OpenOptions::new().write(true).open(&path).unwrap();
    let both = OpenOptions::new()
        .read(true)
        .write(true)
        .open(site.path("a/sub/large"))
        .unwrap();
    for i in 0..20_u8 {
        plain.write_all_at(&[i; 7], 0).unwrap();
        both.write_all_at(&[i; 3], 100_000).unwrap();
        let name = format!("at-{i}");
        done(site.run(&["clone", "a", &name]));
        assert_eq!(fs::read(site.path(&name).join("file")).unwrap(), [i; 7]);
        assert_eq!(
            fs::read(site.path(&name).join("sub/large")).unwrap()[100_000..100_003],
            [i; 3]
        );
    }
}

#[test]
fn a_clone_contains_what_was_written_through_a_mapping() {
    let site = Site::new();
    fs::create_dir(site.path("a")).unwrap();
    let path = site.path("a/mapped");
    fs::write(&path, vec![b'.'; 100_000]).unwrap();
    let map = mmap_io::MemoryMappedFile::open_rw(&path).unwrap();
    for i in 0..5 {
        let text = format!("mapped {i}");
        map.update_region(50_000, text.as_bytes()).unwrap();
        let name = format!("at-{i}");
        done(site.run(&["clone", "a", &name]));
        let found = fs::read(site.path(&name).join("mapped")).unwrap();
        assert_eq!(&found[50_000..50_000 + text.len()], text.as_bytes());
    }
    drop(map);
    done(site.run(&["sync", "."]));
}

#[test]
fn a_clone_contains_mappings_whose_file_is_closed_or_that_are_gone() {
    let site = Site::new();
    let program = r#"
import mmap, os, subprocess, sys
def mapped(name, size):
    with open(name, "wb") as file:
        file.write(bytes(size))
    with open(name, "r+b") as file:
        return mmap.mmap(file.fileno(), size)
os.makedirs("a/sub")
kept, gone = mapped("a/sub/kept", 200000), mapped("a/gone", 100000)
gone[70000:70004] = b"gone"
gone.close()
child = os.fork()
if child == 0:
    mapped("a/of-another", 9000)[8000:8004] = b"died"
    os._exit(0)
os.waitpid(child, 0)
for i in range(10):
    text = b"turn %d" % i
    kept[150000:150000 + len(text)] = text
    kept[:len(text)] = text
    for source, file in (("a", "sub/kept"), ("a/sub", "kept"), (".", "a/sub/kept")):
        clone = f"../mnt/{i}-{source}".replace("a/", "a-")
        subprocess.run([sys.argv[1], "clone", source, clone], check=True)
        found = open(f"{clone}/{file}", "rb").read()
        assert found[:6] == found[150000:150006] == text, (i, source, found[:6])
    subprocess.run([sys.argv[1], "clone", "a/sub/kept", f"file-{i}"], check=True)
    assert open(f"file-{i}", "rb").read(6) == text
assert open("0-a/gone", "rb").read()[70000:70004] == b"gone"
assert open("0-a/of-another", "rb").read()[8000:8004] == b"died"
"#;
    done(site.python(program));
}

#[test]
fn all_destinations_show_one_instant_while_others_write() {
    let site = Site::new();
    fs::create_dir(site.path("a")).unwrap();
    let files: Vec<_> = ["first", "second"]
        .iter()
        .map(|name| File::create(site.path("a").join(name)).unwrap())
        .collect();
    let stop = AtomicBool::new(false);
    let number = |dir: &str, name: &str| {
        let text = fs::read(site.path(dir).join(name)).unwrap();
        text.try_into().map_or(0, u64::from_le_bytes)
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                n += 1;
                for file in &files {
                    file.write_all_at(&n.to_le_bytes(), 0).unwrap();
                }
            }
        });
        for round in 0..20 {
            let before = number("a", "second");
            let names: Vec<_> = (0..3).map(|i| format!("r{round}-{i}")).collect();
            let words = ["clone", "a", &names[0], &names[1], &names[2]];
            let cloned = site.run(&words);
            let seen: Vec<_> = names
                .iter()
                .map(|name| (number(name, "first"), number(name, "second")))
                .collect();
            if round == 19 || !cloned.status.success() {
                stop.store(true, Ordering::Relaxed);
            }
            done(cloned);
            let (first, second) = seen[0];
            assert_eq!(seen, [(first, second); 3]);
            assert!(
                second >= before,
                "{second} was cloned after {before} was read"
            );
            assert!(first == second || first == second + 1, "{first}, {second}");
        }
    });
}

#[test]
fn a_negative_name_in_the_cache_is_forgotten() {
    let site = Site::new();
    site.tree("a");
    for i in 0..5 {
        let name = format!("b{i}");
        assert!(!site.path(&name).exists());
        assert!(!site.path(&name).join("file").exists());
        done(site.run(&["clone", "a", &name]));
        assert_eq!(fs::read(site.path(&name).join("file")).unwrap(), b"content");
    }
}

#[test]
fn what_the_kernel_remembers_of_a_replaced_place_is_forgotten() {
    let site = Site::new();
    let program = r#"
import os, subprocess, sys
def run(*words): subprocess.run([sys.argv[1], *words], check=True)
def fill(top, text):
    os.makedirs(f"{top}/sub/deep")
    for name in ("file", "sub/file", "sub/deep/file", f"sub/only-{text}"):
        open(f"{top}/{name}", "w").write(text * 3000)
def look(top):
    "Everything, so that the kernel has it: listings, attributes, pages, missing names."
    seen = sorted((d, sorted(dirs), sorted(files)) for d, dirs, files in os.walk(top))
    for d, _, files in seen:
        assert not os.path.exists(f"{d}/missing")
    for d, _, files in list(seen):
        seen += [(f, os.stat(f"{d}/{f}").st_size, open(f"{d}/{f}").read()) for f in files]
    return [(n.removeprefix(top), *rest) for n, *rest in seen]
for text in ("old", "new", "newer"): fill(text, text)
expected = {text: look(text) for text in ("old", "new", "newer")}
run("clone", "old", "place"); look("place")
inside = os.open("place/sub", os.O_RDONLY)
watcher = subprocess.Popen([sys.executable, "-c", """
import os, sys
os.chdir("place/sub/deep")
def opens(path):
    try: os.close(os.open(path, os.O_RDONLY))
    except OSError: return False
    return True
for line in sys.stdin: print(opens("file"), opens(line.strip()), flush=True)
"""], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
def watched(path):
    watcher.stdin.write(path + "\n"); watcher.stdin.flush()
    return watcher.stdout.readline().split()
assert watched(os.path.abspath("place/sub/only-new")) == ["True", "False"]
for text in ("new", "newer", "old", "new"):
    run("clone", "--replace", text, "place")
    assert watched(os.path.abspath(f"place/sub/only-{text}")) == ["False", "True"]
    assert look("place") == expected[text], text
    assert os.stat("place").st_ino != os.stat(text).st_ino
for flags in (os.O_RDONLY, os.O_WRONLY | os.O_CREAT):  # who stands in what was replaced finds nothing there
    try: os.open("only-old", flags, dir_fd=inside)
    except OSError: pass
    else: raise SystemExit("what was replaced is still there")
run("clone", "--replace", "old/file", "place/file")
assert open("place/file").read() == "old" * 3000
links = os.stat(".").st_nlink
run("clone", "old", "one-more")
assert os.stat(".").st_nlink == links + 1
before = os.stat(".").st_mtime_ns
run("rm", "place", "one-more")
assert os.stat(".").st_nlink == links - 1 and os.stat(".").st_mtime_ns > before
assert not os.path.exists("place") and sorted(os.listdir(".")) == ["new", "newer", "old"]
assert watched("/nowhere") == ["False", "False"]
watcher.stdin.close(); watcher.wait()
"#;
    done(site.python(program));
}

#[test]
fn inotify_tells_of_a_clone() {
    use rustix::fs::inotify;
    let site = Site::new();
    site.tree("a");
    let watch = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
    let what = inotify::WatchFlags::MOVED_TO | inotify::WatchFlags::CREATE;
    inotify::add_watch(&watch, site.root(), what).unwrap();
    done(site.run(&["clone", "a", "b"]));
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(&watch, &mut buffer);
    let mut names = Vec::new();
    while let Ok(event) = reader.next() {
        names.extend(event.file_name().map(|n| n.to_str().unwrap().to_owned()));
    }
    assert!(names.contains(&"b".to_owned()), "{names:?}");
}

#[test]
fn an_open_file_outlives_the_clone_that_replaces_it() {
    let site = Site::new();
    fs::write(site.path("old"), "old").unwrap();
    fs::write(site.path("new"), "new").unwrap();
    let mut how = OpenOptions::new();
    let file = how.read(true).write(true).open(site.path("old")).unwrap();
    let number = file.metadata().unwrap().ino();
    done(site.run(&["clone", "--replace", "new", "old"]));
    file.write_all_at(b"OLD", 0).unwrap();
    let mut found = [0; 3];
    file.read_exact_at(&mut found, 0).unwrap();
    assert_eq!(&found, b"OLD");
    let meta = file.metadata().unwrap();
    assert_eq!((meta.ino(), meta.nlink()), (number, 0));
    assert_eq!(fs::read(site.path("old")).unwrap(), b"new");
    assert_ne!(fs::metadata(site.path("old")).unwrap().ino(), number);
    assert_eq!(picture(&site.root()).len(), 2);
}
