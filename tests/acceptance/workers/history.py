"""git: generation n is a commit; every acknowledged one is reachable afterwards, and fsck is clean.

`core.fsync=all` makes git sync what it writes, but the rename of the reference is synced by nobody: the worker syncs the
directory before it calls a commit acknowledged. From time to time the repository is packed, cloned, and begun anew.
"""
import os
from common import content

ERA = 150
ENVIRONMENT = {
    "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.org", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null",
    "PATH": os.environ["PATH"],
}


def git(site, repo, *words):
    return site.run("git", "-C", repo, "-c", "core.fsync=all", "-c", "gc.auto=0", *words, env=ENVIRONMENT)


def synced(path):
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


def files_of(site, n):
    """What generation n changes: name and content."""
    return [(f"dir-{n * k % 7}/file-{n * k % 23}", content(site.seed + n * 10 + k, 100 + n * k * 131 % 20_000)) for k in (1, 2, 3)]


def make(site, repo):
    if os.path.exists(f"{repo}/.git/ready"):
        return
    site.remove(repo)
    site.forget_log()
    os.makedirs(repo)
    git(site, repo, "init", "-q", "-b", "main")
    git(site, repo, "commit", "-q", "--allow-empty", "-m", "-1")
    open(f"{repo}/.git/ready", "w").close()
    site.sync()


def work(site):
    site.begin()
    repo = f"{site.folder}/repo"
    make(site, repo)
    n = int(git(site, repo, "log", "-1", "--format=%s")) + 1
    for _ in site.rounds():
        if n >= ERA:
            site.remove(repo)
            make(site, repo)
            n = 0
        for name, data in files_of(site, n):
            os.makedirs(os.path.dirname(f"{repo}/{name}"), exist_ok=True)
            with open(f"{repo}/{name}", "wb") as file:
                file.write(data)
        git(site, repo, "add", "-A")
        git(site, repo, "commit", "-q", "--allow-empty", "-m", str(n))
        synced(f"{repo}/.git/refs/heads")
        site.log("committed", n, git(site, repo, "rev-parse", "HEAD").strip())
        if n % 40 == 20:
            git(site, repo, "gc", "-q", "--prune=now")
        if n % 30 == 10:
            copy = f"{site.folder}/copy"
            site.remove(copy)
            site.clone(repo, copy)
            git(site, copy, "fsck", "--full", "--strict", "--no-progress")
            assert git(site, copy, "status", "--porcelain") == "", "the clone is not clean"
        n += 1


def verify(site):
    repo = f"{site.folder}/repo"
    committed = [(int(line[1]), line[2]) for line in site.logged() if line[0] == "committed"]
    if not os.path.exists(f"{repo}/.git/ready"):
        # Between two eras the log still names the repository that is being removed, whose last generation ends the era.
        assert not committed or committed[-1][0] >= ERA - 1, f"{repo} is gone"
        return "no repository yet"
    git(site, repo, "fsck", "--full", "--strict", "--no-progress")
    for folder, _, names in os.walk(f"{repo}/.git"):
        for name in names:
            if name.endswith(".lock"):
                os.unlink(f"{folder}/{name}")
    reachable = git(site, repo, "log", "--format=%s %H").split("\n")[:-1]
    reachable = {int(line.split()[0]): line.split()[1] for line in reachable}
    for n, name in committed:
        assert reachable.get(n) == name, f"{repo}: commit {n} {name} was acknowledged, {reachable.get(n)} is there"
    top = max(reachable)
    assert sorted(reachable) == list(range(-1, top + 1)), f"{repo}: a gap"
    git(site, repo, "reset", "-q", "--hard")
    expected = {}
    for n in range(top + 1):
        expected.update(files_of(site, n))
    for name, data in expected.items():
        with open(f"{repo}/{name}", "rb") as file:
            assert file.read() == data, f"{repo}/{name} is wrong after commit {top}"
    return f"{len(committed)} acknowledged, {top + 1} found"
