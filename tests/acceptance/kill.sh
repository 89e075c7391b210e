#!/usr/bin/env bash
# The daemon is killed with -9 at random moments, some of them while it recovers from the kill before: all that was synced is
# there, the rest is a prefix, check is clean.
. "$(dirname "$0")/lib.sh"
need python3
setup
stop
ROUNDS=$(slice 6 60)
ERA=12  # Rounds after which all is removed and begins anew: every object is verified in every round.
SEED=${CAWFS_SEED:-$RANDOM}
RANDOM=$SEED

# Writes numbered objects in order, and says on a file outside which are durable. Goes on where it stopped.
cat >"$SCRATCH/write.py" <<'PYTHON'
import os, subprocess, sys
mount, acknowledged, cawfs = sys.argv[1:4]
def content(n): return (str(n) + "\n").encode() * (n * 37 % 9000 + 1)
n = len([name for name in os.listdir(mount) if name.startswith("f")])
with open(acknowledged, "a", buffering=1) as log:
    while True:
        with open(f"{mount}/f{n:06}", "wb", buffering=0) as file:
            file.write(content(n))
            if n % 5 == 0:
                os.fsync(file.fileno())
                log.write(f"{n}\n")
        if n % 11 == 0:
            os.mkdir(f"{mount}/d{n:06}")
            os.rename(f"{mount}/d{n:06}", f"{mount}/e{n:06}")
        if n % 50 == 0:
            subprocess.run([cawfs, "clone", f"{mount}/f{n:06}", f"{mount}/g{n:06}"], check=True, stdout=subprocess.DEVNULL)
        n += 1
PYTHON
# Verifies that what is there is a prefix of what was written, and reaches the last acknowledged one.
cat >"$SCRATCH/verify.py" <<'PYTHON'
import os, sys
mount, acknowledged = sys.argv[1:3]
def content(n): return (str(n) + "\n").encode() * (n * 37 % 9000 + 1)
names = sorted(os.listdir(mount))
files = [name for name in names if name.startswith("f")]
assert files == [f"f{n:06}" for n in range(len(files))], f"a gap: {files[:3]}...{files[-3:]}"
durable = max((int(line) for line in open(acknowledged)), default=-1)
assert len(files) > durable, f"{durable} was acknowledged, {len(files)} files are there"
last = len(files) - 1
for n, name in enumerate(files):
    got = open(f"{mount}/{name}", "rb").read()
    whole = content(n)
    assert got == whole or (n == last and whole.startswith(got)), f"{name}: wrong content"
for name in names:
    n = int(name[1:])
    if name[0] == "g":
        assert open(f"{mount}/{name}", "rb").read() == content(n), f"{name}: wrong clone"
    assert name[0] in "fg" or n % 11 == 0 and n <= last
for n in range(0, last, 11):
    assert f"e{n:06}" in names and f"d{n:06}" not in names, f"e{n:06} is missing before the last file"
if files:  # the last one may be half written: finish it, so that the next round starts clean
    open(f"{mount}/{files[-1]}", "wb").write(content(last))
    if last % 11 == 0 and f"e{last:06}" not in names:
        name = f"{mount}/d{last:06}"
        os.path.isdir(name) or os.mkdir(name)
        os.rename(name, f"{mount}/e{last:06}")
print(len(files), durable + 1)
PYTHON

serve() {
    "$CAWFS" mount --foreground "$SCRATCH/store" "$M" >"$SCRATCH/daemon.out" 2>&1 &
    daemon=$!
}
# The daemon dies, and what is left of its mount goes.
murder() {
    kill -9 "$daemon"
    # Before waiting for it: killed while the kernel writes pages for it, it cannot end by itself.
    "$CAWFS" umount "$M" 2>/dev/null || umount -l "$M" 2>/dev/null || fusermount3 -uz "$M" 2>/dev/null || true
    wait "$daemon" 2>/dev/null || true
}

: >"$SCRATCH/acknowledged"
written=0
for round in $(seq "$ROUNDS"); do
    serve
    for _ in $(seq 200); do is_mounted && break || sleep 0.05; done
    is_mounted || { cat "$SCRATCH/daemon.out" >&2; fail "no mount after ten seconds (seed $SEED, round $round)"; }
    python3 "$SCRATCH/write.py" "$M" "$SCRATCH/acknowledged" "$CAWFS" 2>/dev/null &
    writer=$!
    sleep "$((RANDOM % 3)).$(printf '%03d' $((RANDOM % 1000)))"
    murder
    kill -9 "$writer" 2>/dev/null || true
    wait "$writer" 2>/dev/null || true
    for _ in $(seq $((RANDOM % 3))); do
        serve
        sleep "0.$(printf '%03d' $((RANDOM % 100)))"
        murder
    done
    [ $((RANDOM % 2)) = 0 ] || "$CAWFS" check "$SCRATCH/store" >"$SCRATCH/check.out" 2>&1 || {
        cat "$SCRATCH/check.out" >&2
        fail "check after kill -9 (seed $SEED, round $round)"
    }
    start
    found=$(python3 "$SCRATCH/verify.py" "$M" "$SCRATCH/acknowledged") || fail "wrong after kill -9 (seed $SEED, round $round)"
    if [ $((round % ERA)) = 0 ]; then
        written=$((written + ${found% *}))
        find "$M" -mindepth 1 -maxdepth 1 -print0 | xargs -0 "$CAWFS" rm
        "$CAWFS" sync "$M" >/dev/null
        : >"$SCRATCH/acknowledged"
        found="0 0"
    fi
    stop
    "$CAWFS" check "$SCRATCH/store" >"$SCRATCH/check.out" 2>&1 || {
        cat "$SCRATCH/check.out" >&2
        fail "check after recovery (seed $SEED, round $round)"
    }
done
written=$((written + ${found% *}))
point "$ROUNDS times kill -9, mount, check" "$written files, as they should be (seed $SEED)"
