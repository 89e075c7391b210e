"""Everything there is below a folder, as a dictionary that must be equal on both sides; and the times set back afterwards.

After a comparison every time that was about now is set to a fixed one, so that the next comparison sees which were changed.
"""
import os, stat

from act import NOW, show

LONG_AGO = 10**18


def walk(top):
    """Path to all that must be equal: kind, mode, owners, size, links, time, content, attributes, and which names are one file."""
    found, numbers = {}, {}
    pending = [""]
    while pending:
        directory = pending.pop()
        with os.scandir(os.path.join(top, directory)) as entries:
            names = sorted(e.name for e in entries)
        for path in [directory] * (not directory) + [os.path.join(directory, n) for n in names]:
            full = os.path.join(top, path) if path else top
            info = os.lstat(full)
            first = numbers.setdefault(info.st_ino, path)
            content = None
            if first != path:
                # The same file again, or a number that two files have: told by the name, and by the rest if they differ.
                found[path] = (first, show(info))
                continue
            kind = stat.S_IFMT(info.st_mode)
            if kind == stat.S_IFREG:
                with open(full, "rb", buffering=0) as file:
                    content = file.readall()
            elif kind == stat.S_IFLNK:
                content = os.readlink(full)
            elif kind == stat.S_IFDIR and path:
                pending.append(path)
            names = os.listxattr(full, follow_symlinks=False)
            attributes = sorted((n, os.getxattr(full, n, follow_symlinks=False)) for n in names)
            found[path] = (first, show(info), attributes, content)
    return found


def set_back(top, found):
    """What was changed about now was changed long ago, from now on. Returns the kinds, for the maker."""
    for path, seen in found.items():
        if seen[1][5] == NOW:
            os.utime(os.path.join(top, path) if path else top, ns=(LONG_AGO, LONG_AGO), follow_symlinks=False)
    kinds = {}
    for path, seen in found.items():
        mode = int(seen[1][0], 8)
        if path:
            kinds[path] = "folder" if stat.S_ISDIR(mode) else "regular" if stat.S_ISREG(mode) else "other"
    return kinds


def difference(cawfs, peer):
    """The first differences of two walks, as text, or None."""
    if cawfs == peer:
        return None
    lines = []
    for path in sorted(cawfs.keys() | peer.keys()):
        a, b = cawfs.get(path), peer.get(path)
        if a == b:
            continue
        if a is None or b is None:
            lines.append(f"{short(path)}: only {'in the peer' if a is None else 'in cawfs'}")
        else:
            parts = ["first name", "attributes of stat", "extended attributes", "content"]
            for part, x, y in zip(parts, a, b):
                if x != y:
                    lines.append(f"{short(path)}: {part}: cawfs {short(x)}, the peer {short(y)}")
    return "\n  ".join(lines[:8])


def short(value, most=300):
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}...({len(text)})"
