"""Random operations on cawfs and on another file system, compared after each; everything compared every now and then.

    twin.py --cawfs PROGRAM --store S --mount M --peer P --kind ext4|tmpfs --seed N --operations M [--episode K] [--keep-going]

Run by twin.sh, which makes the mounts. A run is made of episodes, each in a fresh folder with its own seed; a failure says the
seed of its episode, which alone replays it, and the shortest list of operations that was found to fail.
"""
import argparse, collections, os, pprint, subprocess, sys, time

import compare
from act import Side, become
from make import Maker

COMPARE, REMOUNT, LAST = 150, 1500, 20


class Differs(Exception):
    """The two sides differ: at which step, and how."""

    def __init__(self, step, text):
        self.step, self.text = step, text


class Twin:
    def __init__(self, options):
        self.options = options
        self.number = 0
        self.counts, self.successes = collections.Counter(), collections.Counter()

    def fresh(self):
        """Two empty folders with equal times."""
        self.number += 1
        sides = []
        for place, cawfs in ((self.options.mount, self.options.cawfs), (self.options.peer, None)):
            base = f"{place}/{self.number}"
            os.makedirs(f"{base}/top")
            os.chmod(f"{base}/top", 0o777)
            os.utime(f"{base}/top", ns=(compare.LONG_AGO, compare.LONG_AGO))
            sides.append(Side(f"{base}/top", base + "-copy", cawfs))
            sides[-1].open()
        return sides

    def done(self, sides):
        become(0, 0o22)
        for side in sides:
            side.close()
        subprocess.run([self.options.cawfs, "rm", os.path.dirname(sides[0].top)], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["rm", "-rf", os.path.dirname(sides[1].top), sides[1].spare], check=True)

    def remount(self, sides):
        become(0, 0o22)
        for side in sides:
            side.close()
        for command in (["umount", self.options.mount], ["mount", self.options.store, self.options.mount]):
            subprocess.run([self.options.cawfs, *command], check=True, stdout=subprocess.DEVNULL)
        for side in sides:
            side.open()

    def step(self, sides, step, operation):
        """One operation on both sides; true if it succeeded."""
        if operation[0] == "compare":
            become(0, 0o22)
            cawfs, peer = (compare.walk(side.top) for side in sides)
            text = compare.difference(cawfs, peer)
            if text:
                raise Differs(step, text)
            for side in sides:
                kinds = compare.set_back(side.top, peer)
            return kinds
        if operation[0] == "remount":
            self.remount(sides)
            return True
        if operation[0] in ("clone", "remove"):
            become(0, operation[2])
        cawfs, peer = (side.do(operation) for side in sides)
        if cawfs != peer:
            raise Differs(step, f"{pretty(operation)}:\n  cawfs {compare.short(cawfs)}\n  peer  {compare.short(peer)} {sides[0].said[-250:]} {sides[1].said}")
        succeeded = not (isinstance(peer, tuple) and peer and peer[0] == "E") and peer is not False
        self.counts[operation[0]] += 1
        self.successes[operation[0]] += succeeded
        return succeeded

    def episode(self, seed, operations):
        """Makes operations and does them; returns those that were done and the difference, if there is one."""
        maker, sides, history = Maker(seed, self.options.kind), self.fresh(), []
        try:
            for step in range(operations):
                due = [("compare",)] * ((step + 1) % COMPARE == 0) + [("remount",), ("compare",)] * ((step + 1) % REMOUNT == 0)
                for operation in [maker.next(), *due]:
                    history.append(operation)
                    outcome = self.step(sides, step, operation)
                    if operation[0] == "compare":
                        maker.known = outcome
                    elif operation[0] == "remount":
                        maker.closed()
                    elif outcome:
                        maker.happened(operation)
            return history, None
        except Differs as differs:
            return history, differs
        finally:
            self.done(sides)

    def replay(self, history):
        """Whether these operations fail, and how."""
        sides = self.fresh()
        try:
            for step, operation in enumerate(history):
                self.step(sides, step, operation)
            return None
        except Differs as differs:
            return differs
        finally:
            self.done(sides)

    def shrink(self, history, seconds):
        """Leaves out what can be left out: ever smaller pieces, from the end; the last operation shows it and stays."""
        deadline, differs = time.monotonic() + seconds, None
        if history[-1][0] != "compare":
            history = [*history, ("compare",)]
        piece = max(len(history) // 2, 1)
        while time.monotonic() < deadline:
            at, shorter = len(history) - 1, False
            while at > 0 and time.monotonic() < deadline:
                start = max(at - piece, 0)
                tried = history[:start] + history[at:]
                outcome = self.replay(tried)
                if outcome:
                    # What comes behind the difference is of no use.
                    history, differs, shorter = tried[: outcome.step + 1], outcome, True
                    at = min(start, len(history) - 1)
                else:
                    at = start
            if piece == 1 and not shorter:
                break
            piece = max(piece // 2, 1)
        return history, differs


def pretty(operation):
    return "(" + ", ".join(compare.short(part, 100) for part in operation) + ")"


def report(twin, seed, history, differs):
    options = twin.options
    print(f"seed {seed}, step {differs.step}, against {options.kind}: {differs.text}", file=sys.stderr)
    print("the last operations:", *map(pretty, history[-LAST:]), sep="\n    ", file=sys.stderr)
    if options.shrink:
        history, shown = twin.shrink(history, options.shrink)
        if shown:
            print(f"the shortest list found ({len(history)}): {shown.text}", file=sys.stderr)
            print(*map(pretty, history), sep="\n    ", file=sys.stderr)
        else:
            print("it did not happen again", file=sys.stderr)
    print(f"replay with: --seed {seed} --operations {options.episode} --kind {options.kind}", file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser()
    for name in ("cawfs", "store", "mount", "peer", "kind"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--operations", type=int, default=20000)
    parser.add_argument("--episode", type=int, default=4000, help="operations of one seed")
    parser.add_argument("--shrink", type=int, default=60, help="seconds for making a failure shorter")
    parser.add_argument("--keep-going", action="store_true")
    options = parser.parse_args()
    options.episode = min(options.episode, options.operations)
    Side.beside_tmpfs = options.kind == "tmpfs"
    twin, done, seed, failures, start = Twin(options), 0, options.seed, 0, time.monotonic()
    while done < options.operations:
        history, differs = twin.episode(seed, options.episode)
        done += options.episode
        if differs:
            failures += 1
            report(twin, seed, history, differs)
            if not options.keep_going:
                break
        seed += 1
    seconds = time.monotonic() - start
    done, well = sum(twin.counts.values()), sum(twin.successes.values())
    print(f"{done} operations of {seed - options.seed} seeds against {options.kind}, {well} of them succeeded, "
          f"{done / seconds:.0f}/s, {failures} differences")
    if os.environ.get("COUNTS"):
        pprint.pprint({n: (c, twin.successes[n]) for n, c in twin.counts.items()})
    sys.exit(bool(failures))


main()
