//! The ioctls as another program sees them: numbers and structs as documented, driven by a program in another language.

use crate::site::{Site, done};

/// The protocol in Python, in front of each program here.
const CLIENT: &str = r#"
import errno, fcntl, json, os, stat, struct
STAGE, REMOVE, SYNC, STATS = 0xC010CA01, 0x4102CA02, 0x0000CA03, 0xFFF0CA04
def opened(path, flags=os.O_RDONLY): return os.open(path, flags)
def stage(path, count=1, flags=0):
    return struct.unpack("<IIQ", fcntl.ioctl(opened(path), STAGE, struct.pack("<IIQ", count, flags, 0)))[2]
def staged(token, index=0): return f".cawfs-stage-{token:016x}-{index}"
def remove(folder, name):
    fcntl.ioctl(opened(folder), REMOVE, struct.pack("<H256s", len(name), name))
def fails(number, what, *args):
    try: what(*args)
    except OSError as e: assert e.errno == number, (e, args)
    else: raise SystemExit(f"{what} {args} did not fail")
def user():
    os.setgroups([]); os.setgid(1000); os.setuid(1000)
os.makedirs("a/sub"); open("a/sub/file", "w").write("content"); os.makedirs("place")
"#;

fn run(program: &str) {
    let site = Site::new();
    done(site.python(&format!("{CLIENT}{program}")));
}

#[test]
fn stage_and_rename_make_a_clone() {
    run(r#"
token = stage("a", 2)
os.rename("place/" + staged(token), "place/one")
open("a/sub/file", "w").write("later")
os.rename("place/" + staged(token, 1), "place/two")
assert open("place/one/sub/file").read() == open("place/two/sub/file").read() == "content"
token = stage("a/sub/file")
os.rename(staged(token), "copy")
assert open("copy").read() == "later"
# In one go across directories, too; over an empty directory, over a full one only with the flag.
os.mkdir("empty"); os.rename("place/" + staged(stage("a")), "empty")
assert os.listdir("empty") == ["sub"]
fails(errno.ENOTEMPTY, os.rename, staged(stage("a")), "place")
os.rename(staged(stage("a", 1, 1)), "place")
assert os.listdir("place") == ["sub"]
"#);
}

#[test]
fn a_staged_name_is_good_once_and_for_whoever_staged_it() {
    run(r#"
token = stage("a", 2)
name = staged(token)
assert name not in os.listdir(".") and os.path.isdir(name) and os.path.isdir("place/" + name)
for wrong in (staged(token, 2), staged(token + 1), name + "x", name.replace("-0", "-00")):
    fails(errno.ENOENT, os.rename, wrong, "b")
os.rename(name, "b")
fails(errno.ENOENT, os.rename, name, "c")
os.chmod(".", 0o777)
child = os.fork()
if child == 0:
    user()
    fails(errno.ENOENT, os.stat, staged(token, 1))
    fails(errno.ENOENT, os.rename, staged(token, 1), "stolen")
    fails(errno.EPERM, stage, "a")
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
os.rename(staged(token, 1), "d")
assert sorted(os.listdir(".")) == ["a", "b", "d", "place"]
"#);
}

#[test]
fn a_staged_name_can_only_be_renamed() {
    run(r#"
def content(): return open("a/sub/file").read(), stat.S_IMODE(os.stat("a").st_mode), sorted(os.listdir("a"))
before = content()
for source in ("a", "a/sub/file"):
    name = staged(stage(source))
    for attempt in (
        lambda: open(name, "r+").write("changed"),
        lambda: open(name + "/new", "w"),
        lambda: open(name + "/sub/file", "r+").write("changed"),
        lambda: os.chmod(name, 0),
        lambda: os.truncate(name, 0),
        lambda: os.mkdir(name + "/dir"),
        lambda: os.unlink(name),
        lambda: os.rmdir(name),
        lambda: os.rename(name + "/sub", "taken"),
        lambda: os.rename("place", name),
        lambda: os.link(name, "linked"),
        lambda: os.setxattr(name, "user.x", b"1"),
    ):
        try: attempt()
        except OSError: pass
        assert content() == before and not os.path.exists("taken")
    os.rename(name, "b")
    assert content() == before
    if source == "a":
        assert open("b/sub/file").read() == "content" and os.listdir("b") == ["sub"]
        os.rename("b", "first")
assert open("b").read() == "content"
"#);
}

#[test]
fn requests_that_make_no_sense() {
    run(r#"
fails(errno.EINVAL, stage, "a", 0)
fails(errno.EINVAL, stage, "a", 1 << 21)
fails(errno.EINVAL, stage, "a", 1, 4)
fails(errno.ENOTDIR, stage, "a/sub/file", 1, 2)
MAPPED = 0xDFF8CA07
def mapped(users, groups, ranges): return bytearray(struct.pack("<IIQII8160s", 1, 0, 0, users, groups, struct.pack("<3I", *ranges)))
fails(errno.EINVAL, fcntl.ioctl, opened("a"), MAPPED, mapped(1, 0, (0, 5, 0)))
fails(errno.EINVAL, fcntl.ioctl, opened("a"), MAPPED, mapped(341, 0, (0, 5, 1)))
fails(errno.EINVAL, fcntl.ioctl, opened("a"), MAPPED, mapped(1, 0, (5, 0, 2 ** 32 - 1)))
for number in (0xC010CA05, 0xC008CA01, 0x4010CA01, 0xCA01, 0x5401, 0xC010CB01):
    try: fcntl.ioctl(opened("a"), number, bytes(16))
    except OSError as e: assert e.errno in (errno.ENOTTY, errno.EINVAL), (hex(number), e)
    else: raise SystemExit(hex(number))
fails(errno.ENOENT, remove, ".", b"missing")
fails(errno.ENOTDIR, remove, "a/sub/file", b"x")
for name in (b"", b".", b"..", b"a/sub", b"a\0b"):
    try: remove(".", name)
    except OSError as e: assert e.errno in (errno.EINVAL, errno.ENOENT, errno.ENOTEMPTY), (name, e)
    else: raise SystemExit(name)
fails(errno.EINVAL, fcntl.ioctl, opened("."), REMOVE, struct.pack("<H256s", 300, b"a"))
os.mkfifo("pipe")
fails(errno.ENOTTY, fcntl.ioctl, os.open("pipe", os.O_RDWR), STAGE, struct.pack("<IIQ", 1, 0, 0))
fails(errno.EXDEV, os.rename, staged(stage("a")), "/tmp/outside")
assert open("a/sub/file").read() == "content"
"#);
}

#[test]
fn removal_sync_and_statistics() {
    run(r#"
long = b"n" * 255
os.mkdir(long); open(long + b"/file", "w").close()
remove(".", long)
remove("a", b"sub")
assert os.listdir("a") == [] and not os.path.exists(long)
assert sorted(os.listdir(".")) == ["a", "place"]
for path in (".", "a"): fcntl.ioctl(opened(path), SYNC)
def piece(offset):
    reply = bytearray(0x3FF0); reply[:8] = struct.pack("<Q", offset)
    fcntl.ioctl(opened("."), STATS, reply)
    return bytes(reply[16:16 + struct.unpack_from("<Q", reply, 8)[0]])
report = json.loads(piece(0))
assert report["pid"] > 0 and report["files"]["clones"] == 0
assert piece(1 << 40) == b""
os.rename(staged(stage("a")), "b")
assert json.loads(piece(0))["files"]["clones"] == 1
user()
fcntl.ioctl(opened("."), SYNC)
"#);
}
