"""Operations on files chosen by chance, each a function of the seed, its number, and the state before it.

So the state after any number of operations can be computed without the mount. After a crash, what is there must be exactly
one of the states between the last acknowledged sync and the last operation begun; the worker goes on from that one.
A model in memory is the shadow copy; its base is saved outside from time to time.

    base ── op 0 ── op 1 ── ... ── synced ── ... ── begun        each operation is one request, so there is nothing between
                                     └── one of these ──┘
"""
import os, pickle, random, stat
from common import content

ERA, MOST = 1500, 200


def below(model, path):
    return [name for name in model if name == path or name.startswith(path + "/")]


def choose(site, n, model):
    """The operation n: a word and its arguments."""
    chance = random.Random(site.seed * 104_729 + n)
    every = sorted(model)
    files = [p for p in every if model[p][0] == "file"]
    dirs = [""] + [p for p in every if model[p][0] == "dir"]
    fresh = os.path.join(chance.choice(dirs), f"n{n}")
    deep = fresh.count("/") > 6
    word = chance.choice("create create write write write write truncate punch rename rename unlink mkdir rmdir link clone clone replace rm".split())
    if len(every) > MOST or deep:
        word = "rm"
    if word == "mkdir":
        return word, fresh
    if word == "link":
        return word, fresh, f"to-{chance.randrange(1000)}"
    if word == "create" or not files:
        return "create", fresh
    file, tree = chance.choice(files), chance.choice(every)
    if word == "write":
        return word, file, chance.randrange(200_000), chance.choice([1, 100, 4096, 60_000])
    if word == "truncate":
        return word, file, chance.randrange(200_000)
    if word == "punch":
        return word, file, chance.randrange(100_000), chance.randrange(1, 150_000)
    if word == "unlink":
        return word, file
    if word == "rmdir":
        empty = [d for d in dirs[1:] if below(model, d) == [d]]
        return (word, chance.choice(empty)) if empty else ("mkdir", fresh)
    if word == "rm":
        return word, max(chance.sample(every, min(4, len(every))), key=lambda p: len(below(model, p)))
    if word in ("clone", "replace"):
        # A link as the source would be followed, and leads nowhere.
        tree = chance.choice([p for p in every if model[p][0] != "link"])
    if word == "replace":
        onto = chance.choice([p for p in every if (model[p][0] == "dir") == (model[tree][0] == "dir")])
        inside = onto.startswith(tree + "/") or tree.startswith(onto + "/") or tree == onto
        return ("clone", tree, fresh) if inside else (word, tree, onto)
    if word == "rename":
        onto = chance.choice(files) if chance.random() < 0.3 and model[tree][0] == "file" else fresh
        return ("create", fresh) if onto == tree or onto.startswith(tree + "/") else (word, tree, onto)
    return word, tree, fresh


def replaced(data, offset, new):
    data = data.ljust(offset, b"\0")
    return data[:offset] + new + data[offset + len(new):]


def predict(site, n, model):
    """Does the operation n to the model."""
    word, path, *rest = choose(site, n, model)
    if word == "create":
        model[path] = ("file", b"")
    elif word == "write":
        model[path] = ("file", replaced(model[path][1], rest[0], content(n, rest[1])))
    elif word == "truncate":
        model[path] = ("file", model[path][1][:rest[0]].ljust(rest[0], b"\0"))
    elif word == "punch":
        data = model[path][1]
        end = min(len(data), rest[0] + rest[1])
        model[path] = ("file", data if end <= rest[0] else replaced(data, rest[0], bytes(end - rest[0])))
    elif word == "mkdir":
        model[path] = ("dir",)
    elif word == "link":
        model[path] = ("link", rest[0])
    elif word in ("unlink", "rmdir", "rm"):
        for name in below(model, path):
            del model[name]
    else:
        new = {rest[0] + name[len(path):]: model[name] for name in below(model, path)}
        for name in below(model, path) if word == "rename" else []:
            del model[name]
        for name in below(model, rest[0]):
            del model[name]
        model.update(new)


def perform(site, n, model):
    """Does the operation n in the mount."""
    word, path, *rest = choose(site, n, model)
    path = f"{site.folder}/{path}"
    if word == "create":
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    elif word == "write":
        handle = os.open(path, os.O_WRONLY)
        assert os.pwrite(handle, content(n, rest[1]), rest[0]) == rest[1]
        os.close(handle)
    elif word == "truncate":
        os.truncate(path, rest[0])
    elif word == "punch":
        site.run("fallocate", "--punch-hole", "--offset", str(rest[0]), "--length", str(rest[1]), path)
    elif word == "mkdir":
        os.mkdir(path)
    elif word == "link":
        os.symlink(rest[0], path)
    elif word == "unlink":
        os.unlink(path)
    elif word == "rmdir":
        os.rmdir(path)
    elif word == "rm":
        site.remove(path)
    elif word == "rename":
        os.rename(path, f"{site.folder}/{rest[0]}")
    else:
        site.clone(path, f"{site.folder}/{rest[0]}", *(["--replace"] if word == "replace" else []))


def found(site):
    """What is in the mount, as a model."""
    model = {}
    for folder, dirs, names in os.walk(site.folder):
        for name in dirs + names:
            path = f"{folder}/{name}"
            mode, short = os.lstat(path).st_mode, os.path.relpath(path, site.folder)
            if stat.S_ISLNK(mode):
                model[short] = ("link", os.readlink(path))
            elif stat.S_ISDIR(mode):
                model[short] = ("dir",)
            else:
                with open(path, "rb") as file:
                    model[short] = ("file", file.read())
    return model


def load(site):
    try:
        with open(f"{site.outside}/base", "rb") as base:
            return pickle.load(base)
    except FileNotFoundError:
        return 0, {}


def save(site, n, model):
    """A new base, once the mount has made durable what it stands for."""
    site.sync()
    with open(f"{site.outside}/base.new", "wb") as base:
        pickle.dump((n, model), base)
    os.rename(f"{site.outside}/base.new", f"{site.outside}/base")
    site.forget_log()


def locate(site):
    """After how many operations the mount is; the state, and the bounds within which it had to be."""
    n, model = load(site)
    synced, begun = max(n, site.last("synced")), max(n, site.last("begun") + 1)
    real, differs = found(site), []
    while n <= begun:
        if n >= synced:
            if model == real:
                return n, model, synced, begun
            wrong = sorted(p for p in model.keys() | real.keys() if model.get(p) != real.get(p))
            differs.append(f"after {n}: {wrong[:4]}")
        if n < begun:
            predict(site, n, model)
        n += 1
    raise AssertionError(f"{site.folder}: no state between {synced} and {begun} (seed {site.seed}): " + "; ".join(differs[-8:]))


def work(site):
    site.begin()
    n, model, _, _ = locate(site)
    save(site, n, model)
    chance = random.Random()
    for _ in site.rounds():
        site.log("begun", n)
        perform(site, n, model)
        predict(site, n, model)
        n += 1
        if chance.random() < 0.08:
            handle = os.open(site.folder, os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)
            site.log("synced", n)
        if n % ERA == 0:
            save(site, n, model)


def verify(site):
    n, _, synced, begun = locate(site)
    return f"{synced} operations acknowledged, {begun} begun, {n} found"
