#!/usr/bin/env bash
# The far ends: very large sparse files, very long names and paths, very full directories, very old and late times, special files;
# each also after a remount.
. "$(dirname "$0")/lib.sh"
need python3
[ "$(id -u)" = 0 ] || fail "device files need root"
setup 16G

cat >"$SCRATCH/limits.py" <<'PYTHON'
"""limits.py MOUNT make|look ENTRIES: makes what goes to the limits, or looks whether it is there."""
import errno, os, random, stat, sys
root, step, entries = sys.argv[1], sys.argv[2], int(sys.argv[3])
os.chdir(root)
TIB = 1 << 40
SIZE = 16 * TIB - 4096
TIMES = [-(1 << 33), -1, 1, (1 << 31) + 5, (1 << 33) + 123_456_789, 10**9 * 5 + 999_999_999]
LEVELS, LEVEL = 300, b"level-" + b"x" * 90
DEVICES = {"fifo": (stat.S_IFIFO, 0), "socket": (stat.S_IFSOCK, 0),
           "char": (stat.S_IFCHR, os.makedev(4095, 1048575)), "block": (stat.S_IFBLK, os.makedev(7, 300))}
chance = random.Random(1)
NAMES = [bytes(chance.choice([b for b in range(1, 256) if b != 47]) for _ in range(255)) for _ in range(50)]

def refused(number, act, *args):
    try:
        act(*args)
    except OSError as e:
        assert e.errno == number, (act, args[:1], e)
    else:
        raise AssertionError(f"{act} was not refused")

def sparse():
    if step == "make":
        with open("sparse", "wb", buffering=0) as file:
            for place in (0, TIB + 1, SIZE - 10):
                os.pwrite(file.fileno(), b"0123456789", place)
        refused(errno.EFBIG, os.truncate, "sparse", (1 << 63) - 1)
    with open("sparse", "rb", buffering=0) as file:
        about = os.fstat(file.fileno())
        assert about.st_size == SIZE and about.st_blocks * 512 < 1 << 20, about
        for place in (0, TIB + 1, SIZE - 10):
            assert os.pread(file.fileno(), 10, place) == b"0123456789", place
        assert os.pread(file.fileno(), 100, 5 * TIB) == bytes(100)
        data = os.lseek(file.fileno(), 1 << 20, os.SEEK_DATA)
        assert TIB - (1 << 20) < data <= TIB + 1, data
        assert os.lseek(file.fileno(), TIB + 1, os.SEEK_HOLE) < TIB + (1 << 20)
        refused(errno.ENXIO, os.lseek, file.fileno(), SIZE, os.SEEK_DATA)

def names():
    if step == "make":
        os.mkdir("names")
        for name in NAMES:
            with open(b"names/" + name, "wb") as file:
                file.write(name)
        refused(errno.ENAMETOOLONG, os.mkdir, b"names/" + b"x" * 256)
    assert sorted(os.listdir(b"names")) == sorted(NAMES)
    assert all(open(b"names/" + name, "rb").read() == name for name in NAMES)

def deep():
    here = os.open(".", os.O_RDONLY)
    for level in range(LEVELS):
        if step == "make":
            os.mkdir(LEVEL)
        os.chdir(LEVEL)
    if step == "make":
        open("bottom", "w").write("here")
    assert open("bottom").read() == "here"
    os.fchdir(here)

def full():
    if step == "make":
        os.mkdir("full")
        for n in range(entries):
            os.mknod(f"full/entry-{n}")
    found = os.listdir("full")
    assert len(found) == entries and len(set(found)) == entries, len(found)
    if step == "look":
        # Every second goes while it is listed: the others appear once.
        seen = []
        with os.scandir("full") as listing:
            for n, entry in enumerate(listing):
                seen.append(entry.name)
                if n % 2:
                    os.unlink(entry.path)
        assert sorted(seen) == sorted(found)
        assert sorted(os.listdir("full")) == sorted(seen[::2])

def times():
    for n, seconds in enumerate(TIMES):
        if step == "make":
            open(f"time-{n}", "w").close()
            os.utime(f"time-{n}", ns=(seconds * 10**9 + 7, seconds * 10**9 + 999_999_999))
        about = os.stat(f"time-{n}")
        assert (about.st_atime_ns, about.st_mtime_ns) == (seconds * 10**9 + 7, seconds * 10**9 + 999_999_999), (seconds, about)

def special():
    for name, (kind, device) in DEVICES.items():
        if step == "make":
            os.mknod(name, kind | 0o640, device)
        about = os.lstat(name)
        assert stat.S_IFMT(about.st_mode) == kind and about.st_rdev == device, (name, about)

for check in (sparse, names, deep, full, times, special):
    check()
PYTHON
entries=$(slice 20000 1000000)
point "made" "$(took python3 "$SCRATCH/limits.py" "$M" make "$entries")"
check_store
point "the same after a remount, a check between" "$(took python3 "$SCRATCH/limits.py" "$M" look "$entries")"
"$CAWFS" clone "$M/full" "$M/again"
[ "$(ls -f "$M/again" | wc -l)" = $((entries / 2 + 2)) ] || fail "a clone of the full directory"
rm -rf "$M"/level-* || fail "rm -rf of deep directories"
"$CAWFS" rm "$M/full" "$M/again"
check_store
point "deep and full ones removed, check" "ok"
