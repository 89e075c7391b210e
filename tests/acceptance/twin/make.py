"""Makes operations: a function of the seed and of what has happened, so that a seed replays.

`Maker.known` is what the peer should have, path to kind; it is only used to make operations that often succeed, and may be wrong.
Little is needed for much to happen: a handful of names, a handful of handles, trees of some hundred objects at most.
"""
import os, random, stat, struct

from act import DIRECTORIES, FILES, WHO

NAMES = ["a", "b", "c", "d", "e", "f", "g", "h", "é", "z" * 255]
TOO_LONG = "y" * 256
ODD = [".", "..", "", "a/", "b/.", "a//b", "../a", "c/.."]
# None leads out of the folder to what both sides and the machine share.
TARGETS = ["a", "../a", "b/c", ".", "..", "nowhere", "/nowhere/at/all", "x" * 1000, "c/", "l" * 3000]
DIRECTORY_MODES = [0o755, 0o777, 0o700, 0o2775, 0o1777, 0o3777, 0o711, 0o555, 0o770]
FILE_MODES = [0o644, 0o666, 0o600, 0o755, 0o4755, 0o2755, 0o6777, 0o2644, 0o400, 0o222, 0o1644, 0]
TIMES = [(0, 0), (1, 999999999), (-1, 1), (-2000000000, 5), (1500000000, 123456789), (2147483648, 1), (4000000000, 7), (1, 1 << 30)]
UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2
XATTRS = ["user.a", "user.b", "user.c", "trusted.t", "security.s", "user." + "n" * 250, "user." + "m" * 251, "user.", "odd.x"]
ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
REGULAR, FOLDER, OTHER = "regular", "folder", "other"

WEIGHTS = {
    "open": 10, "mkdir": 6, "mknod": 3, "symlink": 3, "link": 6, "tmpfile": 2, "linkfd": 2, "opendir": 2,
    "rename": 10, "unlink": 5, "rmdir": 2, "lstat": 3, "stat": 3, "fstat": 2, "readlink": 1, "access": 3, "readdir": 2,
    "chmod": 4, "fchmod": 1, "chown": 4, "utimens": 4, "truncate": 2, "statfs": 0.2,
    "setxattr": 4, "getxattr": 2, "listxattr": 2, "removexattr": 2, "fsetxattr": 0.5, "fgetxattr": 0.5, "acl": 5,
    "close": 2, "closedir": 1, "read": 3, "pread": 2, "write": 5, "pwrite": 5, "seek": 2, "ftruncate": 3, "fallocate": 3,
    "holes": 2, "fsync": 0.3, "copy": 3, "clone": 0.7, "remove": 0.25, "guarded": 3,
}
# Operations whose only argument is a place.
PLACE_ALONE = {"unlink", "rmdir", "lstat", "stat", "readlink"}


class Maker:
    def __init__(self, seed, peer):
        self.random = random.Random(seed)
        self.peer = peer
        self.known = {}
        self.used = {FILES: set(), DIRECTORIES: {0}}
        self.kinds, self.weights = list(WEIGHTS), list(WEIGHTS.values())
        # Some episodes are for root alone: there fewer operations are refused.
        self.others = self.random.choice([0, 0.2, 0.5])

    def next(self):
        r = self.random
        name = r.choices(self.kinds, self.weights)[0]
        if len(self.known) > 200 and r.random() < 0.1:
            name = "remove"
        who = r.randrange(1, len(WHO)) if r.random() < self.others else 0
        umask = r.choice([0o22, 0, 0, 0o77, 0o27])
        if name in ("clone", "remove", "guarded"):
            who = 0
        made = getattr(self, name)()
        if name == "acl":
            name, *made = made
        elif name == "statfs":
            made = ()
        elif not isinstance(made, tuple) or name in PLACE_ALONE:
            made = (made,)
        return (name, who, umask, *made)

    def happened(self, operation):
        """Keeps `known` about right after an operation that succeeded on the peer."""
        name, _, _, *a = operation
        if name == "guarded":
            name, a = a[2], list(a[3])
        known = self.known
        if name in ("open", "tmpfile"):
            self.used[FILES].add(a[-1])
        elif name == "opendir":
            self.used[DIRECTORIES].add(a[1])
        elif name == "close":
            self.used[FILES].discard(a[0])
        elif name == "closedir":
            self.used[DIRECTORIES].discard(a[0])
        if name == "mkdir":
            self.note(a[0], FOLDER)
        elif name == "open" and a[1] & os.O_CREAT:
            self.note(a[0], REGULAR)
        elif name == "symlink":
            self.note(a[1], OTHER)
        elif name in ("mknod",):
            self.note(a[0], REGULAR if a[1] == stat.S_IFREG else OTHER)
        elif name in ("link", "linkfd"):
            self.note(a[1], REGULAR)
        elif name in ("unlink", "rmdir", "remove"):
            self.forget(a[0][1] if name != "remove" else a[0])
        elif name == "rename" and a[0][0] == a[1][0] == 0 and a[2] != 2:
            self.move(a[0][1], a[1][1], keep=False)
        elif name == "clone":
            self.move(a[0], a[1], keep=True)
        if len(known) > 600:
            known.clear()

    def closed(self):
        """All slots are empty, but for the top."""
        self.used = {FILES: set(), DIRECTORIES: {0}}

    def note(self, where, kind):
        if where[0] == 0 and not any(odd in where[1] for odd in ("..", "./", "//")):
            self.known.setdefault(where[1].rstrip("/"), kind)

    def forget(self, path):
        for p in [p for p in self.known if p == path or p.startswith(path + "/")]:
            del self.known[p]

    def move(self, a, b, keep):
        moved = {b + p[len(a):]: k for p, k in self.known.items() if p == a or p.startswith(a + "/")}
        self.forget(b)
        if not keep:
            self.forget(a)
        self.known.update(moved)

    # Where.

    def folder(self):
        folders = [p for p, k in self.known.items() if k == FOLDER]
        return self.random.choice(folders + [""]) if folders else ""

    def held(self):
        """A path below a directory that is held, or None."""
        r = self.random
        if r.random() < 0.12:
            return self.use(DIRECTORIES), "/".join(r.choice(NAMES) for _ in range(r.choice([1, 1, 1, 2])))
        if r.random() < 0.02:
            return self.use(DIRECTORIES), r.choice(ODD)
        if r.random() < 0.002:
            return 0, TOO_LONG
        return None

    def fresh_path(self):
        return (self.folder() + "/" + self.random.choice(NAMES)).lstrip("/")

    def fresh(self):
        return self.held() or (0, self.fresh_path())

    def there(self, *kinds):
        """A path of something that is there, most often, and most often of such a kind."""
        r = self.random
        held = self.held()
        if held:
            return held
        paths = [p for p, k in self.known.items() if not kinds or k in kinds or r.random() < 0.03]
        if not paths or r.random() < 0.05:
            return 0, self.fresh_path()
        return 0, r.choice(paths)

    def slot(self):
        return self.use(FILES)

    def use(self, kind):
        """A slot that holds something, most often."""
        used = sorted(self.used[kind])
        return self.random.choice(used) if used and self.random.random() < 0.98 else self.random.randrange(kind)

    def size(self):
        r = self.random
        return r.choice([0, 1, 7, 100, 511, 4095, 4096, 4097, 8192, 20000, 65536, r.randrange(100000), r.randrange(300)])

    def offset(self):
        r = self.random
        return r.choice([0, 0, 1, 4095, 4096, 5000, 32768, 131072, r.randrange(200000), r.randrange(1000), -1 if r.random() < 0.1 else 3])

    # What.

    def open(self):
        r = self.random
        create = r.random() < 0.6
        flags = r.choice([os.O_RDWR, os.O_RDWR, os.O_RDONLY, os.O_WRONLY])
        for flag, chance in ((os.O_TRUNC, 0.15), (os.O_APPEND, 0.15), (os.O_NOFOLLOW, 0.1), (os.O_DIRECTORY, 0.02), (os.O_DSYNC, 0.02)):
            flags |= flag if r.random() < chance else 0
        if create:
            flags |= os.O_CREAT | (os.O_EXCL if r.random() < 0.3 else 0)
        where = self.fresh() if create else self.there(REGULAR)
        return where, flags, r.choice(FILE_MODES), r.randrange(FILES)

    def opendir(self):
        return self.there(FOLDER), self.random.randrange(1, DIRECTORIES)

    def mkdir(self):
        return self.fresh(), self.random.choice(DIRECTORY_MODES)

    def mknod(self):
        r = self.random
        kind = r.choice([stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK, stat.S_IFREG])
        return self.fresh(), kind, r.choice(FILE_MODES), r.randrange(2)

    def symlink(self):
        return self.random.choice(TARGETS + list(self.known)[:3]), self.fresh()

    def link(self):
        return self.there(REGULAR, OTHER), self.fresh(), self.random.random() < 0.2

    def tmpfile(self):
        r = self.random
        return self.there(FOLDER), r.choice(FILE_MODES), r.random() < 0.15, r.randrange(FILES)

    def linkfd(self):
        return self.slot(), self.fresh()

    def rename(self):
        r = self.random
        flags = r.choice([0, 0, 0, 0, 1, 2, 2, 3 if r.random() < 0.1 else 0])
        source = self.there(FOLDER) if r.random() < 0.4 else self.there()
        target = self.there() if flags == 2 or r.random() < 0.3 else self.fresh()
        return source, target, flags

    def unlink(self):
        return self.there(REGULAR, OTHER)

    def rmdir(self):
        return self.there(FOLDER)

    def lstat(self):
        return self.there()

    stat = lstat

    def fstat(self):
        return self.slot()

    def readlink(self):
        return self.there(OTHER)

    def access(self):
        return self.there(), self.random.randrange(8)

    def readdir(self):
        return self.use(DIRECTORIES)

    def mode(self):
        r = self.random
        return r.choice(FILE_MODES + DIRECTORY_MODES + [r.randrange(0o10000)])

    def chmod(self):
        return self.there(), self.mode()

    def fchmod(self):
        return self.slot(), self.mode()

    def chown(self):
        """At least one of the two is set: what setting none does is another matter on FUSE (docs/semantics.md)."""
        r = self.random
        where, user, group = self.there(), r.choice([-1, 0, 1001, 1002, 65534, 70000]), r.choice([-1, 0, 1001, 2000, 1002])
        return where, user, 0 if user == group == -1 else group, r.random() < 0.5

    def utimens(self):
        r = self.random
        special = [(0, UTIME_NOW), (5, UTIME_OMIT)]
        return self.there(), r.choice(TIMES + special * 2), r.choice(TIMES + special * 2), r.random() < 0.5

    def truncate(self):
        return self.there(REGULAR), self.size()

    def statfs(self):
        return ()

    def xattr(self):
        return self.random.choice(XATTRS[:5] if self.random.random() < 0.9 else XATTRS + [ACCESS, DEFAULT])

    def value(self):
        return self.random.choice([b"", b"x", b"\0y\xff", b"v" * 100, b"w" * 300])

    def setxattr(self):
        r = self.random
        name = self.xattr()
        return self.there(), name, self.value() if "acl" not in name else self.acl_value(), r.choice([0, 0, 1, 2, 3]), r.random() < 0.7

    def getxattr(self):
        return self.there(), self.random.choice(XATTRS + [ACCESS, DEFAULT]), self.random.random() < 0.7

    def listxattr(self):
        return self.there(), self.random.random() < 0.7

    def removexattr(self):
        return self.there(), self.xattr(), self.random.random() < 0.7

    def fsetxattr(self):
        return self.slot(), self.random.choice(XATTRS[:5]), self.value(), 0

    def fgetxattr(self):
        return self.slot(), self.random.choice(XATTRS[:5])

    def acl_value(self):
        r = self.random
        users = sorted(r.sample([0, 1001, 1002, 65534], r.choice([0, 0, 1, 2])))
        groups = sorted(r.sample([0, 1001, 2000], r.choice([0, 0, 1, 2])))
        none = 0xFFFFFFFF
        entries = [(1, r.choice([7, 6, r.randrange(8)]), none)] + [(2, r.randrange(8), u) for u in users]
        entries += [(4, r.randrange(8), none)] + [(8, r.randrange(8), g) for g in groups]
        if users or groups or r.random() < 0.3:
            entries.append((16, r.choice([7, r.randrange(8)]), none))
        entries.append((32, r.randrange(8), none))
        if r.random() < 0.05:
            entries.pop(r.randrange(len(entries)))
        return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in entries)

    def acl(self):
        r = self.random
        name = r.choice([ACCESS, DEFAULT])
        where = self.there(FOLDER) if name == DEFAULT and r.random() < 0.9 else self.there()
        if r.random() < 0.25:
            return r.choice(["removexattr", "getxattr"]), where, name, True
        return "setxattr", where, name, self.acl_value(), r.choice([0, 0, 0, 1, 2]), True

    def close(self):
        return self.slot()

    def closedir(self):
        return self.random.randrange(1, DIRECTORIES)

    def read(self):
        return self.slot(), self.size()

    def pread(self):
        return self.slot(), self.size(), self.offset()

    def write(self):
        return self.slot(), self.random.randrange(256), self.size()

    def pwrite(self):
        return self.slot(), self.random.randrange(256), self.size(), self.offset()

    def seek(self):
        return self.slot(), self.offset(), self.random.randrange(3)

    def ftruncate(self):
        return self.slot(), self.random.choice([self.size(), self.offset()])

    def fallocate(self):
        # tmpfs has no FALLOC_FL_ZERO_RANGE.
        modes = [0, 1, 2, 3] + ([16, 17] if self.peer == "ext4" else [])
        return self.slot(), self.random.choice(modes), self.offset(), self.size()

    def holes(self):
        return self.slot()

    def fsync(self):
        return self.slot(), self.random.random() < 0.5

    def copy(self):
        return self.slot(), self.slot(), self.size(), max(self.offset(), 0), max(self.offset(), 0)

    def guarded(self):
        """An operation on a path, on a name in it if it is a directory, or onto it."""
        r = self.random
        paths = sorted(self.known) or ["a"]
        where = (0, r.choice(paths))
        name = r.choice(["unlink", "rmdir", "rename", "rename", "link", "chmod", "chown", "utimens", "truncate", "setxattr",
                         "removexattr", "open", "open", "mkdir", "mknod", "symlink", "tmpfile", "lstat"])
        made = getattr(self, name)()
        made = list(made) if isinstance(made, tuple) and name not in PLACE_ALONE else [made]
        # Which of the arguments are places, and one of them becomes this one, or a name in it.
        places = [i for i, a in enumerate(made) if isinstance(a, tuple) and len(a) == 2 and isinstance(a[1], str)]
        # Of what has no default access list the kernel takes it away without asking (docs/semantics.md).
        made = ["user.a" if name == "removexattr" and a == "system.posix_acl_default" else a for a in made]
        inside = (0, where[1] + "/" + r.choice(NAMES))
        made[r.choice(places)] = inside if r.random() < 0.4 else where
        return where, r.choice([0x10, 0x20, 0x10, 0x20, 0x30, 0xC0]), name, tuple(made)

    def clone(self):
        source = self.there(FOLDER) if self.random.random() < 0.8 else self.there()
        return source[1] if source[0] == 0 else self.folder() or "a", self.fresh_path()

    def remove(self):
        return self.random.choice(sorted(self.known)) if self.known else "a"
