"""What all workers share: their two folders, the log, contents that are functions of numbers, and their pace."""
import hashlib, os, random, shutil, subprocess, time


def content(seed, length):
    """Bytes that are a function of a seed: half noise, half repetition."""
    noise = random.Random(seed).randbytes(length // 2 + 1)
    return (noise + noise[:32] * (length // 64 + 1))[:length]


def digest(data):
    return hashlib.sha256(data).hexdigest()


def snapshot(top):
    """Everything below a folder, comparable: kinds, modes, contents, links."""
    found = {}
    for folder, dirs, names in os.walk(top):
        for name in dirs + names:
            path = os.path.join(folder, name)
            short, mode = os.path.relpath(path, top), os.lstat(path).st_mode
            if os.path.islink(path):
                found[short] = ("link", os.readlink(path))
            elif os.path.isdir(path):
                found[short] = ("dir", mode)
            else:
                with open(path, "rb") as file:
                    found[short] = ("file", mode, digest(file.read()))
    return found


def differences(a, b):
    return sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))[:5]


class Site:
    def __init__(self, kind, mount, outside, cawfs, seed):
        self.kind, self.mount, self.cawfs, self.seed = kind, mount, cawfs, seed
        self.folder, self.outside = f"{mount}/{kind}", f"{outside}/{kind}"
        os.makedirs(self.outside, exist_ok=True)
        self.others = outside
        self.duty = float(os.environ.get("CAWFS_DUTY", "1"))

    def log(self, *words):
        """Appends a line to the log, which lies outside: only the daemon dies here, not the machine."""
        with open(f"{self.outside}/log", "a") as log:
            log.write(" ".join(map(str, words)) + "\n")

    def logged(self):
        """All whole lines of the log, as lists of words."""
        try:
            with open(f"{self.outside}/log") as log:
                return [line.split() for line in log.read().split("\n")[:-1]]
        except FileNotFoundError:
            return []

    def last(self, word, default=-1):
        """The number in the last line that begins with this word."""
        return max((int(line[1]) for line in self.logged() if line[0] == word), default=default)

    def forget_log(self):
        open(f"{self.outside}/log", "w").close()

    def run(self, *command, **how):
        """Runs a program; its output only shows if it fails."""
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, **how)
        if done.returncode != 0:
            raise RuntimeError(f"{self.kind}: {command} answers {done.returncode}: {done.stdout.decode(errors='replace')[-2000:]}")
        return done.stdout.decode(errors="replace")

    def clone(self, source, target, *options):
        self.run(self.cawfs, "clone", *options, source, target)

    def remove(self, *paths):
        self.run(self.cawfs, "rm", "-f", *paths)

    def sync(self):
        self.run(self.cawfs, "sync", self.mount)

    def begin(self):
        """The worker's folder, durable before anything is logged."""
        os.makedirs(self.folder, exist_ok=True)

    def rounds(self):
        """Numbers for ever, at the pace of the duty."""
        number = 0
        while True:
            begun = time.monotonic()
            yield number
            number += 1
            time.sleep((time.monotonic() - begun) * (1 / self.duty - 1))

    def empty_outside(self, name):
        path = f"{self.outside}/{name}"
        shutil.rmtree(path, ignore_errors=True)
        os.makedirs(path)
        return path
