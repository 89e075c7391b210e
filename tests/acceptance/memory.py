"""The load of memory.sh: MOUNT PID LIMIT_MIB WRITE_MIB FILES CLONES WALKED, all of it inside the mount.

Samples the daemon's resident memory twice a second all along, and times each call as the caller sees it. Prints a line for each
phase; fails if the memory went over the limit.
"""
import fcntl, json, os, struct, subprocess, sys, threading, time

mount, pid, limit, write_mib, files, clones, walked = sys.argv[1], *map(int, sys.argv[2:8])
cawfs = os.environ["CAWFS"]
STAGE = 0xC010CA01  # CLONE_STAGE of cawfs-fs/src/protocol.rs
FILES_A_FOLDER = 1000
DATA_FILES = 20  # of which the last six are kept


def resident(field):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field)) / 1024


class Watch(threading.Thread):
    """The most memory seen since it was last asked, and where the time went."""

    def __init__(self):
        super().__init__(daemon=True)
        self.most = 0
        self.start()

    def run(self):
        while True:
            self.most = max(self.most, resident("VmRSS"))
            time.sleep(0.5)

    def take(self):
        most, self.most = max(self.most, resident("VmRSS")), 0
        return most


def stats():
    return json.loads(subprocess.run([cawfs, "stats", mount, "--json"], check=True, capture_output=True).stdout)


def phase(name, work):
    """Runs `work`, which yields the seconds of single calls; prints what was measured."""
    start, times = time.perf_counter(), []
    for took in work():
        times.append(took)
    spent = time.perf_counter() - start
    most = watch.take()
    times.sort()
    tail = times[-1 - len(times) // 1000] if times else 0
    slowest = times[-1] if times else 0
    rate = len(times) / spent if times else 0
    print(f"{name}\t{most:.0f} MiB; {spent:.1f} s, {rate:.0f}/s, p99.9 {tail * 1e3:.1f} ms, slowest {slowest * 1e3:.0f} ms", flush=True)
    peaks.append((most, name))


def timed(work, *args):
    start = time.perf_counter()
    result = work(*args)
    return time.perf_counter() - start, result


def write():
    """Random bytes in 20 files one after the other, written by the MiB; old ones are removed."""
    blocks = [bytearray(os.urandom(1 << 20)) for _ in range(8)]
    os.makedirs(f"{mount}/data", exist_ok=True)
    each = max(1, write_mib // DATA_FILES)
    for number in range(DATA_FILES):
        opened = os.open(f"{mount}/data/{number}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for i in range(each):
            block = blocks[i % len(blocks)]
            struct.pack_into("<QQ", block, (i * 4096) % (1 << 20), number, i)
            yield timed(os.write, opened, block)[0]
        os.close(opened)
        if number >= 6:
            os.unlink(f"{mount}/data/{number - 6}")


def create():
    """Small files in folders of a thousand."""
    for number in range(files):
        folder = f"{mount}/many/{number // FILES_A_FOLDER:04}"
        if number % FILES_A_FOLDER == 0:
            os.makedirs(folder)
        start = time.perf_counter()
        opened = os.open(f"{folder}/{number % FILES_A_FOLDER:04}", os.O_WRONLY | os.O_CREAT)
        os.write(opened, b"%d, a small file\n" % number)
        os.close(opened)
        yield time.perf_counter() - start


def clone(source, target):
    opened = os.open(source, os.O_RDONLY)
    token = struct.unpack("<IIQ", fcntl.ioctl(opened, STAGE, struct.pack("<IIQ", 1, 0, 0)))[2]
    folder = os.path.dirname(target)
    os.rename(f"{folder}/.cawfs-stage-{token:016x}-0", target)
    os.close(opened)


def make_clones():
    """Clones of one folder, with an edit in each."""
    os.makedirs(f"{mount}/clones", exist_ok=True)
    for number in range(clones):
        target = f"{mount}/clones/{number:05}"
        yield timed(clone, f"{mount}/many/0000", target)[0]
        with open(f"{target}/edit", "w") as edit:
            edit.write(str(number))


def walk():
    """Clones of the whole tree of small files, so that so many files are there, and a look at each of them."""
    copies = max(0, walked // files - 1)
    for number in range(copies):
        clone(f"{mount}/many", f"{mount}/tree-{number}")
    trees = [f"{mount}/many"] + [f"{mount}/tree-{number}" for number in range(copies)]
    seen = 0
    for tree in trees:
        start = time.perf_counter()
        # "-size" asks for the attributes of each.
        found = subprocess.run(["find", tree, "-type", "f", "-size", "-9"], check=True, stdout=subprocess.PIPE)
        seen += found.stdout.count(b"\n")
        print(f"# {tree}: {time.perf_counter() - start:.1f} s, {resident('VmRSS'):.0f} MiB", file=sys.stderr, flush=True)
    assert seen == files * len(trees), f"{seen} files found instead of {files * len(trees)}"
    return iter(())


watch, peaks = Watch(), []
phase(f"{write_mib} MiB written", write)
phase(f"{files} files created", create)
phase(f"{clones} clones, each edited", make_clones)
phase(f"{files * max(1, walked // files)} files walked", walk)
final = stats()
with open(os.environ["STATS"], "w") as out:
    json.dump(final, out, indent=1)
requests, disk = final["latency"]["requests"], final["latency"]["disk"]


def longest(kinds, reason):
    """The longest of all kinds, in milliseconds, and which it was."""
    return max((times[f"{reason}_seconds"] * 1e3, kind) for kind, times in kinds.items())


waits = {reason: longest(requests, f"{reason}_max") for reason in ("lock", "throttle", "disk")}
print(
    "longest wait of a request\t" + ", ".join(f"{reason} {ms:.0f} ms ({kind})" for reason, (ms, kind) in waits.items())
    + "; the disk itself {:.0f} ms ({})".format(*longest(disk, "max")),
    flush=True,
)
most = resident("VmHWM")
print(f"most memory of all\t{most:.0f} MiB of {limit} MiB", flush=True)
if most > limit:
    sys.exit(f"the daemon took {most:.0f} MiB, {limit} MiB are the limit; phases: {peaks}")
for reason in ("lock", "throttle"):
    if waits[reason][0] >= 1000:
        sys.exit(f"a request waited more than a second: {reason} {waits[reason]}")
