"""Clones of the folder in which SQLite is at work: each is a whole database, as new as the last commit before it.

The name of a clone says of which database it is, and which transaction it must hold. So whatever a crash leaves is verified.
"""
import os, shutil
import database
from common import Site

MODES, KEPT = ("delete", "truncate", "persist", "wal"), 6


def names(site):
    if not os.path.isdir(site.folder):
        return []
    return sorted(name for name in os.listdir(site.folder) if name[0] != ".")


def check(site, name):
    """Opens a copy, because who opens a database changes it."""
    mode, least, _ = name.split("_")
    other = Site(f"sqlite-{mode}", site.mount, site.others, site.cawfs, site.seed)
    copy = f"{site.folder}/.copy"
    site.remove(copy)
    site.clone(f"{site.folder}/{name}", copy)
    database.newest(other, f"{copy}/a.db", int(least))
    site.remove(copy)


def work(site):
    site.begin()
    for n in site.rounds():
        mode = MODES[n % 4]
        source = f"{site.mount}/sqlite-{mode}"
        if not os.path.exists(f"{source}/a.db"):
            continue
        other = Site(f"sqlite-{mode}", site.mount, site.others, site.cawfs, site.seed)
        name = f"{mode}_{other.last('committed')}_{n}"
        old = [n for n in names(site) if n.startswith(mode)]
        if n % 3 == 2 and old:
            # Onto one that is there: it is the old one or the new one, at every instant.
            site.clone(source, f"{site.folder}/{old[0]}", "--replace")
            check(site, old[0])
        else:
            site.remove(f"{site.folder}/{name}")
            site.clone(source, f"{site.folder}/{name}")
            check(site, name)
        present = names(site)
        if len(present) > KEPT:
            site.remove(f"{site.folder}/{present[n % len(present)]}")


def verify(site):
    present = names(site)
    for name in present:
        check(site, name)
    return f"{len(present)} clones whole"
