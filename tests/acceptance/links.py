"""Names come and go in few directories, which move and are cloned meanwhile.

    links.py stress DIR SEED SECONDS    does so, in DIR/{p,q,r}/{x,y,z}, with the program in $CAWFS
    links.py count DIR                  compares the link count of every file with its names
"""

import collections
import errno
import os
import random
import subprocess
import sys
import time

RACES = {errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY, errno.EISDIR, errno.ENOTDIR, errno.EINVAL, errno.ESTALE, errno.EPERM}


def stress(root, seed, seconds):
    cawfs, rng, done = os.environ["CAWFS"], random.Random(seed), 0
    dirs = [f"{root}/{a}/{b}" for a in "pqr" for b in "xyz"]

    def step(kind):
        d, e = rng.choice(dirs), rng.choice(dirs)
        x, y = f"{d}/{rng.randrange(40)}", f"{e}/{rng.randrange(40)}"
        clone = f"{root}/c{seed}-{rng.randrange(4)}"
        if kind < 25:
            with open(x, "a") as file:
                file.write("some\n" * rng.randrange(1, 3000))
        elif kind < 55:
            os.link(x, y)
        elif kind < 70:
            os.unlink(x)
        elif kind < 85:
            os.rename(x, y)
        elif kind < 91:
            names = [d, f"{os.path.dirname(e)}/moved{seed}"]
            os.rename(*(names if kind < 88 else reversed(names)))
        elif kind < 94:
            os.makedirs(d, exist_ok=True)
        elif kind < 98:
            command = ["clone", os.path.dirname(d), clone, "--replace"] if kind < 96 else ["rm", clone]
            subprocess.run([cawfs, *command], capture_output=True, check=False)
        else:
            for entry in os.scandir(d):
                entry.stat(follow_symlinks=False)

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done += 1
        try:
            step(rng.randrange(100))
        except OSError as error:
            if error.errno not in RACES:
                raise
    return done


def count(root):
    names, links = collections.Counter(), {}
    for folder, _, files in os.walk(root):
        for name in files:
            seen = os.lstat(os.path.join(folder, name))
            names[seen.st_ino] += 1
            links.setdefault(seen.st_ino, set()).add(seen.st_nlink)
    wrong = [(number, names[number], told) for number, told in links.items() if told != {names[number]}]
    if wrong:
        sys.exit(f"{len(wrong)} link counts are wrong: {wrong[:5]}")
    several = sum(n > 1 for n in names.values())
    print(f"{len(names)} files, {several} of them with several names")


match sys.argv[1:]:
    case ["stress", root, seed, seconds]:
        stress(root, int(seed), float(seconds))
    case ["count", root]:
        count(root)
    case _:
        sys.exit(__doc__)
