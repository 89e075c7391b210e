"""Processes that race for the same names in the same directories, and a checker of what they saw.

Each worker does operations on a few names of a directory, and notes when each began, what it answered, and when it ended. The names of a
directory, with what the files under them hold, are one object: the history is right exactly if there is an order of its operations
that agrees with all answers, and in which no operation comes before one that had ended when it began (linearizability). The
checker searches for it, after Wing and Gong, as Lowe does it: with all states that are possible at each end of an operation.

    put      rename over the name            take    rename from the name, into a folder of the worker's own
    link     a new name for a file           drop    unlink           get     open and read
    swap     exchange with a file            move    rename, exchange or rename without replacing, of two of the names
    snap     clone of the whole directory, which is then read at leisure: all names at one instant. What is not over yet may be in it
             before the kernel, which hears of it last, shows it by name (docs/semantics.md)
    reset    a clone of a prepared directory replaces it              rm, mkdir    removes it with all it holds; makes it anew

A directory that is replaced or removed while an operation is on its way to a name in it may make that operation find nothing, and
nothing else. A file that is replaced between being looked up and being opened is looked up anew by the kernel, but once only: whoever
opens it while it is replaced twice may get ESTALE (docs/semantics.md).
"""
import argparse, ctypes, errno, fcntl, json, os, random, shutil, signal, struct, sys, time

libc = ctypes.CDLL(None, use_errno=True)
CLONE_STAGE, REMOVE_TREE, REPLACE = 0xC010CA01, 0x4102CA02, 1
NAMES = ["a", "b", "c"]
NOREPLACE, EXCHANGE = 1, 2
# What may happen to an operation that overlaps the replacing of its directory.
LOST = {errno.ENOENT, errno.ESTALE, errno.ENOTDIR}
GONE = "gone"


def rename(a, b, flags=0):
    if libc.renameat2(-100, os.fsencode(a), -100, os.fsencode(b), flags) < 0:
        raise OSError(ctypes.get_errno(), f"rename {a} {b} {flags}")


def clone(source, target, replace=0):
    fd = os.open(source, os.O_RDONLY)
    try:
        token = struct.unpack("<IIQ", fcntl.ioctl(fd, CLONE_STAGE, struct.pack("<IIQ", 1, replace, 0)))[2]
    finally:
        os.close(fd)
    rename(f"{os.path.dirname(target)}/.cawfs-stage-{token:016x}-0", target, 0 if replace else NOREPLACE)


def remove(path):
    fd = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        name = os.fsencode(os.path.basename(path))
        fcntl.ioctl(fd, REMOVE_TREE, struct.pack("<H256s", len(name), name))
    finally:
        os.close(fd)


def read(path):
    with open(path, "rb", buffering=0) as file:
        return file.read().decode()


class Worker:
    def __init__(self, number, top, seed, kinds):
        self.number, self.random, self.made = number, random.Random(f"{seed} {number}"), 0
        self.own, self.top, self.kinds = f"{top}/own{number}", top, kinds
        os.mkdir(self.own)
        self.log = []

    def fresh(self):
        """A file of the worker's own with content that no other has."""
        self.made += 1
        value = f"{self.number}-{self.made}"
        path = f"{self.own}/f{self.made}"
        with open(path, "w") as file:
            file.write(value)
        return path, value

    def step(self, directory):
        kind = self.random.choices(list(self.kinds), list(self.kinds.values()))[0]
        a, b = self.random.sample(NAMES, 2)
        prepare = getattr(self, "before_" + kind, None)
        ready = prepare() if prepare else None
        begun = time.monotonic_ns()
        try:
            answer = getattr(self, "do_" + kind)(f"{self.top}/{directory}", a, b, ready)
        except OSError as error:
            answer = {"error": error.errno}
        ended = time.monotonic_ns()
        after = getattr(self, "after_" + kind, None)
        if after and "error" not in answer:
            after(answer)
        self.log.append({"of": directory, "kind": kind, "a": a, "b": b, "begun": begun, "ended": ended, "worker": self.number, **answer})

    before_put = before_swap = before_link = fresh

    def do_put(self, d, a, b, ready):
        rename(ready[0], f"{d}/{a}")
        return {"value": ready[1]}

    def do_link(self, d, a, b, ready):
        os.link(ready[0], f"{d}/{a}")
        return {"value": ready[1]}

    def do_swap(self, d, a, b, ready):
        rename(ready[0], f"{d}/{a}", EXCHANGE)
        return {"value": ready[1], "path": ready[0]}

    def after_swap(self, answer):
        answer["found"] = read(answer.pop("path"))

    def do_take(self, d, a, b, ready):
        rename(f"{d}/{a}", f"{self.own}/taken")
        return {}

    def after_take(self, answer):
        answer["found"] = read(f"{self.own}/taken")

    def do_drop(self, d, a, b, ready):
        os.unlink(f"{d}/{a}")
        return {}

    def do_get(self, d, a, b, ready):
        return {"found": read(f"{d}/{a}")}

    def do_move(self, d, a, b, ready):
        rename(f"{d}/{a}", f"{d}/{b}")
        return {}

    def do_move_new(self, d, a, b, ready):
        rename(f"{d}/{a}", f"{d}/{b}", NOREPLACE)
        return {}

    def do_exchange(self, d, a, b, ready):
        rename(f"{d}/{a}", f"{d}/{b}", EXCHANGE)
        return {}

    def do_snap(self, d, a, b, ready):
        clone(d, f"{self.own}/snap")
        return {}

    def after_snap(self, answer):
        snap = f"{self.own}/snap"
        answer["state"] = {name: read(f"{snap}/{name}") for name in sorted(os.listdir(snap))}
        remove(snap)

    def before_reset(self):
        ready = f"{self.own}/ready"
        os.mkdir(ready)
        state = {}
        for name in NAMES:
            if self.random.random() < 0.5:
                path, state[name] = self.fresh()
                os.rename(path, f"{ready}/{name}")
        return ready, state

    def do_reset(self, d, a, b, ready):
        try:
            clone(ready[0], d, REPLACE)
        finally:
            shutil.rmtree(ready[0])
        return {"state": ready[1]}

    def do_rm(self, d, a, b, ready):
        remove(d)
        return {}

    def do_mkdir(self, d, a, b, ready):
        os.mkdir(d)
        return {}


def outcome(op, state):
    """The state after an operation, if it may have had its answer in this one; else None. A state is the content of each name, or GONE."""
    kind, a, b, error = op["kind"], op["a"], op["b"], op.get("error")
    if error is not None and op["lost"] and error in LOST:
        return state
    if kind == "reset":
        return tuple(op["state"].get(n) for n in NAMES) if error is None else None
    if kind == "mkdir":
        if error is None:
            return (None,) * len(NAMES) if state == GONE else None
        return state if error == errno.EEXIST and state != GONE else None
    if state == GONE:
        return state if error == errno.ENOENT else None
    if kind == "rm":
        return GONE if error is None else None
    now = dict(zip(NAMES, state))
    missing = now[a] is None
    if error is not None:
        expected = {
            "link": errno.EEXIST if not missing else None,
            "put": None, "snap": None,
            "move_new": errno.ENOENT if missing else errno.EEXIST if now[b] is not None else None,
            "exchange": errno.ENOENT if missing or now[b] is None else None,
        }.get(kind, errno.ENOENT if missing else None)
        return state if error == expected else None
    if kind == "snap":
        return state if op["state"] == {n: v for n, v in now.items() if v is not None} else None
    if kind == "put":
        now[a] = op["value"]
    elif kind == "link":
        if not missing:
            return None
        now[a] = op["value"]
    elif missing or op.get("found", now[a]) != now[a]:
        return None
    elif kind == "swap":
        now[a] = op["value"]
    elif kind in ("take", "drop"):
        now[a] = None
    elif kind == "move" or kind == "move_new" and now[b] is None:
        now[a], now[b] = None, now[a]
    elif kind == "exchange" and now[b] is not None:
        now[a], now[b] = now[b], now[a]
    elif kind != "get":
        return None
    return tuple(now[n] for n in NAMES)


def sees_ahead(history, snap, running, state):
    """Whether a clone shows what some operations that are not over yet make of this state."""
    if history[snap]["kind"] != "snap" or "error" in history[snap]:
        return False
    others = frozenset(i for i in running if history[i]["kind"] != "snap")
    pending, seen = [(others, state)], set()
    while pending:
        left, now = pending.pop()
        if outcome(history[snap], now) is not None:
            return True
        for i in left:
            after = outcome(history[i], now)
            if after is not None and (next_ := (left - {i}, after)) not in seen:
                seen.add(next_)
                pending.append(next_)
    return False


def check(history):
    """None if there is an order that explains all answers; else the operation after whose end there is none, and those about it."""
    events = sorted([(op["begun"], 0, i) for i, op in enumerate(history)] + [(op["ended"], 1, i) for i, op in enumerate(history)])
    # What may be: operations that are done though they have not ended, and the state.
    possible, running = {(frozenset(), (None,) * len(NAMES))}, set()
    for _, end, i in events:
        if not end:
            running.add(i)
            continue
        pending, seen = list(possible), set(possible)
        while pending:
            done, state = pending.pop()
            for j in running - done:
                after = state if sees_ahead(history, j, running - done, state) else outcome(history[j], state)
                if after is not None and (next_ := (done | {j}, after)) not in seen:
                    seen.add(next_)
                    pending.append(next_)
        running.discard(i)
        possible = {(done - {i}, state) for done, state in seen if i in done}
        if not possible:
            return i
    return None


def prepared(history):
    """Marks the operations that overlap one which replaces or removes the directory."""
    spans = sorted((op["begun"], op["ended"]) for op in history if op["kind"] in ("reset", "rm"))
    for op in history:
        own = (op["begun"], op["ended"])
        op["lost"] = any(b < op["ended"] and op["begun"] < e for b, e in spans if (b, e) != own)
        if op["kind"] == "get" and op.get("error") == errno.ESTALE:
            others = (o for o in history if o["begun"] < op["ended"] and op["begun"] < o["ended"])
            changes = [o for o in others if o["kind"] != "get" and op["a"] in (o["a"], o["b"]) and "error" not in o]
            op["lost"] |= len(changes) > 1
    return history


def told(history, at):
    near = [op for op in history if op["ended"] > history[at]["begun"] - 3_000_000 and op["begun"] < history[at]["ended"]]
    return "\n".join(json.dumps(op) for op in near[-30:])


def broken(history, seed):
    """Copies with one lie each: an answer that another operation of its kind got, long before or after."""
    rng = random.Random(seed)
    gets = [i for i, op in enumerate(history) if op["kind"] == "get" and "found" in op]
    for _ in range(20):
        if len(gets) < 2:
            return
        i, j = rng.sample(gets, 2)
        if history[i]["found"] != history[j]["found"]:
            yield [{**op, "found": history[j]["found"]} if at == i else op for at, op in enumerate(history)]


CALM = {"put": 6, "link": 6, "swap": 4, "take": 5, "drop": 5, "get": 12, "move": 5, "move_new": 4, "exchange": 4, "snap": 4}
WILD = {**CALM, "reset": 2, "rm": 1, "mkdir": 3}


def race(top, workers, directories, seconds, seed, kinds, limit):
    """All histories, by directory. A worker that does not end in time is a deadlock."""
    os.mkdir(top)
    for directory in directories:
        os.mkdir(f"{top}/{directory}")
    children = []
    for number in range(workers):
        child = os.fork()
        if child:
            children.append(child)
            continue
        code = 1
        try:
            worker = Worker(number, top, seed, kinds)
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                worker.step(worker.random.choice(directories))
            with open(f"{top}/log{number}", "w") as file:
                json.dump(worker.log, file)
            code = 0
        finally:
            sys.stderr.flush()
            os._exit(code)
    deadline = time.monotonic() + seconds + limit
    failed = 0
    while children:
        child, status = os.waitpid(-1, os.WNOHANG)
        if child:
            children.remove(child)
            failed += status != 0
        elif time.monotonic() > deadline:
            for child in children:
                os.kill(child, signal.SIGKILL)
            sys.exit(f"{len(children)} workers hang: a deadlock")
        else:
            time.sleep(0.05)
    if failed:
        sys.exit(f"{failed} workers failed")
    logs = [json.load(open(f"{top}/log{number}")) for number in range(workers)]
    every = [op for log in logs for op in log]
    return {d: prepared([op for op in every if op["of"] == d]) for d in directories}


def main():
    p = argparse.ArgumentParser()
    p.add_argument("top")
    p.add_argument("--seconds", type=float, default=4)
    p.add_argument("--rounds", type=int, default=2)
    p.add_argument("--workers", type=int, default=4)
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    count, overlaps, stale, lies = 0, 0, 0, [0, 0]
    for round_ in range(a.rounds):
        kinds = WILD if round_ % 2 else CALM
        histories = race(f"{a.top}/round{round_}", a.workers, ["x", "y"], a.seconds, a.seed + round_, kinds, 60)
        for name, history in histories.items():
            at = check(history)
            if at is not None:
                sys.exit(f"seed {a.seed + round_}, directory {name}: no order explains this answer:\n{json.dumps(history[at])}\nof:\n{told(history, at)}")
            count += len(history)
            stale += sum(op.get("error") == errno.ESTALE for op in history)
            ends = sorted(op["ended"] for op in history)
            overlaps += sum(op["begun"] < ends[i - 1] for i, op in enumerate(sorted(history, key=lambda op: op["ended"])) if i)
            for lie in broken(history, a.seed):
                lies = [lies[0] + 1, lies[1] + (check(lie) is not None)]
        remove(f"{a.top}/round{round_}")
    if lies[1] * 10 < lies[0] * 9 or not lies[0]:
        sys.exit(f"of {lies[0]} histories with a lie only {lies[1]} were refused")
    print(f"{count} operations of {a.workers} processes, {overlaps} of them at the same time as others, have an order "
          f"({stale} opens met two changes); {lies[1]} of {lies[0]} histories with one false answer have none")


main()
