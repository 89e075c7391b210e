"""One of the two file systems: every operation as a method that answers what a program would see.

An operation is a tuple (name, who, umask, *arguments). Paths are pairs (directory, path): directory 0 is the top, others are
slots of held directories, which may have been moved or removed since. Files are held in slots too. All that an answer
contains must be equal on both sides: no inode numbers, no sizes of directories, times only as exact or `NOW`.
"""
import ctypes, errno, fcntl, os, stat, struct, subprocess, time

libc = ctypes.CDLL(None, use_errno=True)
NOW = "now"
STARTED = time.time_ns() - 10**9
FILES, DIRECTORIES = 8, 4
# Immutable, only appended to, not for dump, no access times.
GUARDS = 0xF0
# Those of them that a clone keeps.
KEPT = 0xC0
#       user, group, others
WHO = [(0, 0, []), (1001, 1001, [1001, 2000]), (1002, 1002, [2000]), (65534, 65534, [])]
# Where devices lead is of no interest: the null device, and one that is nowhere.
DEVICES = [os.makedev(1, 3), os.makedev(7, 4000)]
current = (0, 0o22)


def become(who, umask):
    """Acts as this user from now on, on both sides."""
    global current
    if current == (who, umask):
        return
    if current[0] != who:
        user, group, groups = WHO[who]
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)
        os.seteuid(user)
    os.umask(umask)
    current = (who, umask)


def call(function, *arguments):
    """A call that Python has not: its result, or OSError."""
    result = function(*arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def when(ns):
    """A time that can be compared: what was set explicitly is exact, everything else is about now."""
    return NOW if STARTED <= ns <= time.time_ns() + 10**9 else ns


def is_lock(mode):
    """Set-gid without x for the group means nothing, and whether a write clears it depends on groups of which the kernel does not tell
    us (docs/semantics.md): it is not compared, and taken away where it could come to mean something."""
    return stat.S_ISREG(mode) and mode & stat.S_ISGID and not mode & stat.S_IXGRP


def show(info):
    """What must be equal of a `stat`."""
    kind, mode = stat.S_IFMT(info.st_mode), info.st_mode
    if is_lock(mode):
        mode &= ~stat.S_ISGID
    return (
        oct(mode), info.st_uid, info.st_gid,
        None if kind == stat.S_IFDIR else info.st_size, info.st_nlink, when(info.st_mtime_ns),
        info.st_rdev if kind in (stat.S_IFBLK, stat.S_IFCHR) else None,
    )


def pattern(seed, size):
    """Bytes that differ from their neighbours and from those of other seeds."""
    block = bytes((seed * 31 + i * 7 + (i >> 8)) & 255 or 1 for i in range(min(size, 509)))
    return (block * (size // 509 + 1))[:size] if size else b""


class Side:
    # Whether the peer is tmpfs, which leaves times alone when the size is set to what it was, and when space is allocated.
    beside_tmpfs = False

    def __init__(self, top, spare, cawfs):
        """`top`: the folder to work in; `spare`: another, for copies; `cawfs`: the program, or None on the peer."""
        self.top, self.spare, self.cawfs = top, spare, cawfs
        self.said = ""
        self.nameless = set()  # slots of files that never had a name
        self.files, self.directories = [None] * FILES, [None] * DIRECTORIES

    def open(self):
        self.directories[0] = os.open(self.top, os.O_RDONLY | os.O_DIRECTORY)

    def close(self):
        for held in (self.files, self.directories):
            for slot, fd in enumerate(held):
                if fd is not None:
                    os.close(fd)
                held[slot] = None

    def do(self, operation):
        name, who, umask, *arguments = operation
        become(who, umask)
        try:
            self.check(name, arguments)
            return getattr(self, "do_" + name)(*arguments)
        except OSError as error:
            return "E", errno.errorcode.get(error.errno, error.errno)

    def touch(self, file):
        """Sets the time that a change of the size may have set."""
        if self.beside_tmpfs and stat.S_ISREG(os.stat(file).st_mode):
            before = current
            become(0, before[1])
            os.utime(file)
            become(*before)

    def ungroup(self, file):
        """Takes set-gid away, as tmpfs does (and ext4 does not) when somebody outside of the group takes the access list away."""
        mode = stat.S_IMODE(os.stat(file).st_mode)
        if self.beside_tmpfs and mode & stat.S_ISGID:
            before = current
            become(0, before[1])
            os.chmod(file, mode & ~stat.S_ISGID)
            become(*before)

    def settle(self, file, info):
        """What is shown of a file whose mode was set: by path or descriptor."""
        if is_lock(info.st_mode):
            before = current
            become(0, before[1])
            os.chmod(file, stat.S_IMODE(info.st_mode) & ~stat.S_ISGID)
            become(*before)
        return show(info)

    def at(self, directory):
        fd = self.directories[directory]
        if fd is None:
            raise OSError(errno.EBADF, "no such slot")
        return fd

    def check(self, name, arguments):
        """What is left of a removed directory is its mode: neither its access list nor what was above it, and for the kernel it is none
        that was removed (docs/semantics.md). That nothing is made in it is all that is compared."""
        makes = name in ("open", "mkdir", "mknod", "symlink", "tmpfile") and not current[0]
        for where in arguments:
            self.stay_inside(name, where)
            if isinstance(where, tuple) and len(where) == 2 and isinstance(where[1], str) and where[0]:
                if (not makes or ".." in where[1] or where[1].strip("./") == "") and os.fstat(self.at(where[0])).st_nlink == 0:
                    raise OSError(errno.ESTALE, "removed")

    def stay_inside(self, name, where):
        """Nothing is done outside the folder, whatever links and ".." lead to: it is run by root."""
        if isinstance(where, tuple) and len(where) == 2 and isinstance(where[1], str):
            path = f"/proc/self/fd/{self.at(where[0])}/{where[1]}"
        elif name in ("clone", "remove"):
            path = f"{self.top}/{where}"
        else:
            return
        if not f"{os.path.realpath(path)}/".startswith(f"{os.path.realpath(self.top)}/"):
            raise OSError(errno.ESTALE, "outside")

    def fd(self, slot):
        fd = self.files[slot]
        if fd is None:
            raise OSError(errno.EBADF, "no such slot")
        return fd

    def content(self, slot):
        """A file that may be written: what pipes and devices get we do not hear of, nor the time of it (docs/semantics.md)."""
        fd = self.fd(slot)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EBADF, "not a regular file")
        return fd

    def hold(self, held, slot, fd):
        if held[slot] is not None:
            os.close(held[slot])
        held[slot] = fd
        if held is self.files:
            self.nameless.discard(slot)

    # Names.

    def do_open(self, where, flags, mode, slot):
        fd = os.open(where[1], flags | os.O_NONBLOCK, mode, dir_fd=self.at(where[0]))
        self.hold(self.files, slot, fd)
        if flags & os.O_TRUNC:
            self.touch(fd)
        return self.settle(fd, os.fstat(fd))

    def do_opendir(self, where, slot):
        fd = os.open(where[1], os.O_RDONLY | os.O_DIRECTORY, dir_fd=self.at(where[0]))
        self.hold(self.directories, slot, fd)
        return show(os.fstat(fd))

    def do_mkdir(self, where, mode):
        os.mkdir(where[1], mode, dir_fd=self.at(where[0]))
        return self.do_lstat(where)

    def do_mknod(self, where, kind, mode, device):
        os.mknod(where[1], kind | mode, DEVICES[device], dir_fd=self.at(where[0]))
        return self.settle(self.path(where), os.stat(where[1], dir_fd=self.at(where[0]), follow_symlinks=False))

    def do_symlink(self, target, where):
        os.symlink(target, where[1], dir_fd=self.at(where[0]))
        return self.do_lstat(where)

    def do_link(self, source, where, follow):
        flags = 0x400 if follow else 0
        call(libc.linkat, self.at(source[0]), os.fsencode(source[1]), self.at(where[0]), os.fsencode(where[1]), flags)
        return self.do_lstat(where)

    def do_tmpfile(self, where, mode, excl, slot):
        flags = os.O_TMPFILE | os.O_RDWR | (os.O_EXCL if excl else 0)
        fd = os.open(where[1], flags, mode, dir_fd=self.at(where[0]))
        self.hold(self.files, slot, fd)
        self.nameless.add(slot)
        return self.settle(fd, os.fstat(fd))

    def do_linkfd(self, slot, where):
        fd = self.fd(slot)
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode) or info.st_nlink == 0 and slot not in self.nameless:
            return None  # It had a name, or may have had: see docs/semantics.md.
        source = f"/proc/self/fd/{self.fd(slot)}".encode()
        call(libc.linkat, -100, source, self.at(where[0]), os.fsencode(where[1]), 0x400)
        self.nameless.discard(slot)
        return self.do_lstat(where)

    def do_rename(self, source, where, flags):
        call(libc.renameat2, self.at(source[0]), os.fsencode(source[1]), self.at(where[0]), os.fsencode(where[1]), flags)
        return self.do_lstat(where)

    def do_unlink(self, where):
        os.unlink(where[1], dir_fd=self.at(where[0]))

    def do_rmdir(self, where):
        os.rmdir(where[1], dir_fd=self.at(where[0]))

    # Metadata.

    def do_lstat(self, where):
        return show(os.stat(where[1], dir_fd=self.at(where[0]), follow_symlinks=False))

    def do_stat(self, where):
        return show(os.stat(where[1], dir_fd=self.at(where[0])))

    def do_fstat(self, slot):
        shown = show(info := os.fstat(self.fd(slot)))
        if stat.S_ISDIR(info.st_mode) and info.st_nlink == 0:
            return shown[:5]  # "rm -rf" changes its time, by emptying it first.
        # Links of devices and pipes that are open: docs/known-limits.md.
        return shown if stat.S_ISREG(info.st_mode) or stat.S_ISDIR(info.st_mode) else shown[:4] + shown[5:]

    def do_readlink(self, where):
        return os.readlink(where[1], dir_fd=self.at(where[0]))

    def do_access(self, where, mode):
        return os.access(where[1], mode, dir_fd=self.at(where[0]), effective_ids=True)

    def do_readdir(self, directory):
        fd = self.at(directory)
        if os.fstat(fd).st_nlink == 0:
            return "removed"  # The kernel may still list what it remembers of it.
        os.lseek(fd, 0, os.SEEK_SET)
        with os.scandir(fd) as entries:
            return sorted((e.name, e.is_dir(follow_symlinks=False), e.is_symlink()) for e in entries)

    def do_chmod(self, where, mode):
        os.chmod(where[1], mode, dir_fd=self.at(where[0]))
        return self.settle(self.path(where), os.stat(where[1], dir_fd=self.at(where[0])))

    def do_fchmod(self, slot, mode):
        os.fchmod(self.fd(slot), mode)
        self.settle(self.fd(slot), os.fstat(self.fd(slot)))
        return self.do_fstat(slot)

    def do_chown(self, where, user, group, follow):
        os.chown(where[1], user, group, dir_fd=self.at(where[0]), follow_symlinks=follow)
        return self.do_lstat(where)

    def do_utimens(self, where, accessed, modified, follow):
        times = struct.pack("qqqq", *accessed, *modified)
        call(libc.utimensat, self.at(where[0]), os.fsencode(where[1]), times, 0 if follow else 0x100)
        info = os.stat(where[1], dir_fd=self.at(where[0]), follow_symlinks=follow)
        omitted = accessed[1] == (1 << 30) - 2
        return None if omitted else when(info.st_atime_ns), when(info.st_mtime_ns)

    def do_truncate(self, where, size):
        # Python cannot truncate below a directory.
        os.truncate(self.path(where), size)
        self.touch(self.path(where))
        return self.do_stat(where)

    def do_statfs(self):
        s = os.statvfs(self.at(0))
        return s.f_bavail <= s.f_bfree <= s.f_blocks, s.f_ffree <= s.f_files, s.f_namemax, s.f_bsize > 0

    # Extended attributes and ACLs.

    def path(self, where):
        """A path for the calls that know no directories."""
        return f"/proc/self/fd/{self.at(where[0])}/{where[1]}"

    def do_setxattr(self, where, name, value, flags, follow):
        os.setxattr(self.path(where), name, value, flags, follow_symlinks=follow)
        return self.settle(self.path(where), os.stat(where[1], dir_fd=self.at(where[0]), follow_symlinks=follow))

    def do_getxattr(self, where, name, follow):
        return os.getxattr(self.path(where), name, follow_symlinks=follow)

    def do_listxattr(self, where, follow):
        return sorted(n for n in os.listxattr(self.path(where), follow_symlinks=follow))

    def do_removexattr(self, where, name, follow):
        os.removexattr(self.path(where), name, follow_symlinks=follow)
        if name == "system.posix_acl_access":
            self.ungroup(self.path(where))
        return self.settle(self.path(where), os.stat(where[1], dir_fd=self.at(where[0]), follow_symlinks=follow))

    def kept(self, slot):
        """A file that may have lost its name: what else has lost it keeps no attributes, and of devices and pipes nobody tells whether it has."""
        info = os.fstat(self.fd(slot))
        if not stat.S_ISREG(info.st_mode) and not (stat.S_ISDIR(info.st_mode) and info.st_nlink):
            raise OSError(errno.EBADF, "removed")
        return self.fd(slot)

    def do_fsetxattr(self, slot, name, value, flags):
        os.setxattr(self.kept(slot), name, value, flags)

    def do_fgetxattr(self, slot, name):
        return os.getxattr(self.kept(slot), name)

    # Flags of chattr(1).

    def do_guarded(self, where, guards, name, arguments):
        """An operation on something that is immutable or only appended to for its sake, and on what is open no longer than it: what
        descriptors may do that are older than the guard is up to each file system (docs/semantics.md)."""
        self.check(name, arguments)
        kind = stat.S_IFMT(os.stat(where[1], dir_fd=self.at(where[0]), follow_symlinks=False).st_mode)
        if kind not in (stat.S_IFREG, stat.S_IFDIR):
            raise OSError(errno.ENOTTY, "no flags")
        fd = os.open(where[1], os.O_RDONLY | os.O_NOFOLLOW, dir_fd=self.at(where[0]))
        try:
            before = self.flags(fd)
            self.flags(fd, before | guards)
            shown = self.flags(fd) & GUARDS
            try:
                return shown, getattr(self, "do_" + name)(*arguments)
            except OSError:
                # The kernel knows no guards of ours, so it may find another reason first.
                return "E", "refused", shown
            finally:
                # A directory that this removed is asked for no more.
                if os.fstat(fd).st_nlink:
                    self.flags(fd, before)
        finally:
            os.close(fd)

    def flags(self, fd, new=None):
        if new is not None:
            fcntl.ioctl(fd, 0x40086602, struct.pack("Q", new))
            return new
        return struct.unpack("I", fcntl.ioctl(fd, 0x80086601, bytes(8))[:4])[0]

    # Content.

    def do_close(self, slot):
        fd = self.fd(slot)
        self.files[slot] = None
        os.close(fd)

    def do_closedir(self, slot):
        fd = self.at(slot)
        self.directories[slot] = None
        os.close(fd)

    def do_read(self, slot, size):
        return os.read(self.fd(slot), size)

    def do_pread(self, slot, size, offset):
        return os.pread(self.fd(slot), size, offset)

    def do_write(self, slot, seed, size):
        return os.write(self.content(slot), pattern(seed, size)), self.do_fstat(slot)

    def do_pwrite(self, slot, seed, size, offset):
        return os.pwrite(self.content(slot), pattern(seed, size), offset), self.do_fstat(slot)

    def do_seek(self, slot, offset, whence):
        # Positions in directories are up to the file system.
        return os.lseek(self.content(slot), offset, whence)

    def do_ftruncate(self, slot, size):
        os.ftruncate(self.fd(slot), size)
        self.touch(self.fd(slot))
        return self.do_fstat(slot)

    def do_fallocate(self, slot, mode, offset, size):
        call(libc.fallocate, self.fd(slot), mode, ctypes.c_long(offset), ctypes.c_long(size))
        self.touch(self.fd(slot))
        return self.do_fstat(slot)

    def do_holes(self, slot):
        """What is called a hole must be zeros; where they are is up to each file system."""
        info = os.fstat(self.content(slot))
        fd = os.open(f"/proc/self/fd/{self.fd(slot)}", os.O_RDONLY)
        try:
            return self.holes_of(fd, info)
        finally:
            os.close(fd)

    def holes_of(self, fd, info):
        at, sane = 0, True
        while at < info.st_size:
            try:
                data = os.lseek(fd, at, os.SEEK_DATA)
            except OSError as error:
                sane &= error.errno == errno.ENXIO
                data = info.st_size
            sane &= data >= at and not any(os.pread(fd, data - at, at))
            if data >= info.st_size:
                break
            at = os.lseek(fd, data, os.SEEK_HOLE)
            sane &= data < at <= info.st_size
        ends = []
        for whence in (os.SEEK_DATA, os.SEEK_HOLE):
            try:
                ends.append(os.lseek(fd, info.st_size, whence))
            except OSError as error:
                ends.append(error.errno)
        return sane, ends

    def do_fsync(self, slot, data):
        (os.fdatasync if data else os.fsync)(self.fd(slot))

    def do_copy(self, source, target, size, at, to):
        copied = os.copy_file_range(self.fd(source), self.fd(target), size, at, to)
        return copied, self.do_fstat(target)

    # Trees.

    def run(self, *command):
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, close_fds=False)
        if done.returncode:
            self.said = done.stderr.decode().strip()
        return done.returncode

    def do_clone(self, source, target):
        """cawfs clone, against a copy that is made beside the tree and then moved into it, so that it does not meet itself."""
        a, b = f"{self.top}/{source}", f"{self.top}/{target}"
        if a == b:
            return None
        if os.path.lexists(a) and stat.S_IFMT(os.lstat(a).st_mode) not in (stat.S_IFREG, stat.S_IFDIR):
            return None  # A link would be followed, and what else is no tree is refused.
        if self.cawfs:
            return self.run(self.cawfs, "clone", a, b) == 0
        is_empty = os.path.isdir(a) and os.path.isdir(b) and not os.path.islink(b) and not os.listdir(b)
        if (os.path.lexists(b) and not is_empty) or not os.path.isdir(os.path.dirname(b)) or not os.path.lexists(a):
            return False
        if self.run("cp", "-aT", a, self.spare):
            raise RuntimeError(f"cp -aT {a} failed")
        self.copy_flags(a, self.spare)
        os.rename(self.spare, b)
        return True

    def copy_flags(self, a, b):
        """A clone shows the flags of its source, but for guards; cp leaves them out."""
        a = a.rstrip("/")
        for path in [a] + [os.path.join(at, name) for at, folders, files in os.walk(a) for name in folders + files]:
            if stat.S_IFMT(os.lstat(path).st_mode) in (stat.S_IFREG, stat.S_IFDIR):
                fds = [os.open(file, os.O_RDONLY) for file in (path, b + path[len(a):])]
                before, now = map(self.flags, fds)
                if (before ^ now) & KEPT:
                    self.flags(fds[1], now & ~KEPT | before & KEPT)
                for fd in fds:
                    os.close(fd)

    def do_remove(self, source):
        a = f"{self.top}/{source}"
        if self.cawfs:
            return self.run(self.cawfs, "rm", a) == 0
        if not os.path.lexists(a):
            return False
        # A link on the way may lie in the tree itself, and go before its top does.
        a = os.path.join(os.path.realpath(os.path.dirname(a)), os.path.basename(a))
        if self.run("rm", "-rf", "--one-file-system", a):
            raise RuntimeError(f"rm -rf {a} failed")
        return True
