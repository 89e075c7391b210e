"""Programs that work in a mount until they are killed, and say afterwards whether all that was acknowledged is there.

    python3 workers KIND work   MOUNT OUTSIDE CAWFS SEED     works until it is killed or the mount is gone
    python3 workers KIND verify MOUNT OUTSIDE CAWFS SEED     asserts, prints how far it came, tidies up what was torn

Each kind has a folder of its own, MOUNT/KIND, and another one on an ordinary file system, OUTSIDE/KIND, with the log of
what was acknowledged: a line is written there only after the mount has promised that what it names is durable.
CAWFS_DUTY (0..1, default 1) is the part of the time in which a worker works.
"""
import sys
import builds, clones, database, files, history, trees
from common import Site

KINDS = {
    **{f"sqlite-{mode}": database for mode in ("delete", "truncate", "persist", "wal")},
    "git": history,
    **{f"trees-{tool}": trees for tool in ("rsync", "tar", "cp")},
    "builds": builds,
    "files": files,
    "clones": clones,
}

kind, action, mount, outside, cawfs, seed = sys.argv[1:7]
site = Site(kind, mount, outside, cawfs, int(seed))
if action == "work":
    KINDS[kind].work(site)
else:
    print(f"{kind} {KINDS[kind].verify(site)}")
