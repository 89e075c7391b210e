"""rsync, tar or cp bring a tree into the mount, and then `cawfs sync`: a tree whose sync returned is there, whole.

Three places take turns, so that finished trees lie beside the one at work. The source, outside, changes a little each time.
"""
import os, random, shutil
from common import content, differences, snapshot

PLACES = 3


def change(site, source, n):
    """Makes the source the one of generation n, out of any earlier one."""
    chance = random.Random(site.seed * 7919 + n)
    for _ in range(12):
        name = f"{source}/d{chance.randrange(6)}/e{chance.randrange(3)}/f{chance.randrange(12)}"
        os.makedirs(os.path.dirname(name), exist_ok=True)
        if chance.random() < 0.2 and os.path.lexists(name):
            os.unlink(name)
        elif chance.random() < 0.1:
            if os.path.lexists(name):
                os.unlink(name)
            os.symlink(f"../f{chance.randrange(12)}", name)
        else:
            if os.path.islink(name):
                os.unlink(name)
            with open(name, "wb") as file:
                file.write(content(n * 100 + chance.randrange(100), chance.choice([0, 10, 5000, 70_000, 300_000])))
            os.chmod(name, chance.choice([0o600, 0o644, 0o755]))


def bring(site, source, target):
    tool = site.kind.split("-")[1]
    if tool == "rsync":
        site.run("rsync", "-a", "--delete", "--checksum", f"{source}/", f"{target}/")
        return
    site.remove(target)
    if tool == "cp":
        site.run("cp", "-a", source, target)
    else:
        os.makedirs(target)
        archive = f"{site.folder}/archive.tar"
        site.run("tar", "-C", source, "-cf", archive, ".")
        site.run("tar", "-C", target, "-xf", archive)


def finish(site, n):
    """Brings the tree of generation n to its place, whatever lies there."""
    place = n % PLACES
    source, target = f"{site.outside}/source-{place}", f"{site.folder}/tree-{place}"
    bring(site, source, target)
    site.sync()
    site.log("done", n)


def work(site):
    site.begin()
    n = site.last("begun") + 1
    for _ in site.rounds():
        place = n % PLACES
        # From here on nobody knows what lies at the place, until it is done.
        site.log("begun", n)
        source = f"{site.outside}/source-{place}"
        os.makedirs(source, exist_ok=True)
        change(site, source, n)
        finish(site, n)
        n += 1


def verify(site):
    done, begun = site.last("done"), site.last("begun")
    for place in range(PLACES):
        lines = [line for line in site.logged() if int(line[1]) % PLACES == place]
        if not lines:
            continue
        source, target = f"{site.outside}/source-{place}", f"{site.folder}/tree-{place}"
        if lines[-1][0] == "done":
            wrong = differences(snapshot(source), snapshot(target))
            assert not wrong, f"{target}: generation {lines[-1][1]} was synced, but differs: {wrong}"
        else:
            site.begin()
            os.makedirs(source, exist_ok=True)
            finish(site, int(lines[-1][1]))
            wrong = differences(snapshot(source), snapshot(target))
            assert not wrong, f"{target}: done again, but differs: {wrong}"
    return f"{done + 1} trees acknowledged of {begun + 1}"
