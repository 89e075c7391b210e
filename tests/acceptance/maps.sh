#!/usr/bin/env bash
# Clones that show other owners, beside `cp -a` and `chown`; what the kernel lets whom do in them; and clones that never change. The
# time of a mapped clone does not follow the size of the tree.
. "$(dirname "$0")/lib.sh"
need python3 getfacl setfacl setpriv
[ "$(id -u)" = 0 ] || fail "owners are changed by root only: run it as root"
setup
chmod 755 "$SCRATCH"

# owners DIR: every object with its owner and its access lists.
owners() {
    (cd "$1" && find . -printf '%p %y %m %U:%G %l\n' | LC_ALL=C sort && find . ! -type l | LC_ALL=C sort | getfacl -n --absolute-names - 2>/dev/null)
}
# is_as A B: content and owners of two trees are equal.
is_as() {
    diff -r --no-dereference "$1" "$2" >"$SCRATCH/diff.out" || { head "$SCRATCH/diff.out" >&2; fail "$1 and $2 differ"; }
    diff <(owners "$1") <(owners "$2") >"$SCRATCH/diff.out" || { head -20 "$SCRATCH/diff.out" >&2; fail "owners of $1 and $2 differ"; }
}
as() { local id=$1; shift; setpriv --reuid "$id" --regid "$id" --clear-groups "$@"; }
refuses() {
    local error=$1
    shift
    if "$@" >"$SCRATCH/said" 2>&1; then fail "$* succeeded"; fi
    grep -qiE "$error" "$SCRATCH/said" || fail "$* said: $(cat "$SCRATCH/said")"
}

cat >"$SCRATCH/shift.py" <<'PYTHON'
"""shift.py DIR BY: what `chown -R` by a number would do, modes kept, and access lists."""
import os, re, stat, subprocess, sys
top, by = sys.argv[1], int(sys.argv[2])
paths = [top] + [os.path.join(d, n) for d, ds, fs in os.walk(top) for n in ds + fs]
listed = subprocess.run(["getfacl", "-nRP", "--absolute-names", top], capture_output=True, text=True, check=True).stdout
seen = set()
for path in paths:
    about = os.lstat(path)
    if (about.st_ino, about.st_dev) in seen: continue
    seen.add((about.st_ino, about.st_dev))
    os.lchown(path, about.st_uid + by, about.st_gid + by)
    if not stat.S_ISLNK(about.st_mode): os.chmod(path, stat.S_IMODE(about.st_mode))
move = lambda line: re.sub(r"(user|group):(\d+):", lambda m: f"{m[1]}:{int(m[2]) + by}:", line)
lines = [move(line) for line in listed.splitlines() if not line.startswith(("# owner", "# group"))]
subprocess.run(["setfacl", "--restore=-"], input="\n".join(lines), text=True, check=True)
PYTHON

source_tree "$(slice 500 40000)"
tree=$M/tree
cp -a "$TREE" "$tree"
find "$tree" -type f | LC_ALL=C sort | awk 'NR % 7 == 0' | xargs -rd '\n' chown -h 1000:1001
find "$tree" -type f | LC_ALL=C sort | awk 'NR % 11 == 0' | xargs -rd '\n' chmod 4755
find "$tree" -type d | LC_ALL=C sort | awk 'NR % 3 == 0' | xargs -rd '\n' chown 33:33
mkdir "$tree/listed"
chmod 2775 "$tree/listed"
setfacl -m u:1000:rwx,g:50:rx,d:u:1000:rwx "$tree/listed"
echo x >"$tree/listed/file"
ln "$tree/listed/file" "$tree/name"
map="--map-uid 0:100000:65536 --map-gid 0:100000:65536"
# shellcheck disable=SC2086
"$CAWFS" clone $map "$tree" "$M/c"
cp -a "$tree" "$SCRATCH/shadow/c"
python3 "$SCRATCH/shift.py" "$SCRATCH/shadow/c" 100000
is_as "$M/c" "$SCRATCH/shadow/c"
[ "$M/c/name" -ef "$M/c/listed/file" ] || fail "the names of one file are two"
"$CAWFS" clone "$M/c" "$M/d"
"$CAWFS" clone --map-uid 100000:300000:65536 --map-gid 100000:300000:65536 "$M/c/listed" "$M/e"
python3 "$SCRATCH/shift.py" "$SCRATCH/shadow/c/listed" 200000
is_as "$M/d" "$M/c"
diff <(owners "$M/e" | grep -v '^\./file ') <(owners "$SCRATCH/shadow/c/listed" | grep -v '^\./file ') || fail "a mapped part of a mapped clone"
python3 "$SCRATCH/shift.py" "$SCRATCH/shadow/c/listed" -200000
remount
is_as "$M/c" "$SCRATCH/shadow/c"
point "a mapped tree is as cp -a and chown have it" "$(find "$M/c" | wc -l) objects"

# What the kernel and the programs make of it.
mkdir "$M/c/box" 2>"$SCRATCH/said" && fail "root of the machine owns what no id of the clone is"
grep -qi "too large" "$SCRATCH/said" || fail "mkdir said: $(cat "$SCRATCH/said")"
as 100000 mkdir "$M/c/box"
as 100000 sh -c "echo one >$M/c/box/file && chmod 600 $M/c/box/file"
[ "$(stat -c %u:%g "$M/c/box/file")" = 100000:100000 ] || fail "a new file: $(stat -c %u:%g "$M/c/box/file")"
refuses "denied" as 0 setpriv --bounding-set -all --inh-caps -all cat "$M/c/box/file"
refuses "too large" chown 5 "$M/c/box/file"
chown 100007:100008 "$M/c/box/file"
as 101000 sh -c "echo two >$M/c/listed/new"
[ "$(stat -c %u:%g "$M/c/listed/new")" = 101000:100000 ] || fail "set-gid: $(stat -c %u:%g "$M/c/listed/new")"
getfacl -n "$M/c/listed/new" 2>/dev/null | grep -q "^user:101000:rwx" || fail "no inherited list"
chmod 1777 "$M"
as 1000 mkdir "$M/mine"
as 1000 "$CAWFS" clone "$M/mine" "$M/mine2"
refuses "only root may map" as 1000 "$CAWFS" clone --map-uid 1000:0:1 "$M/mine" "$M/no"
mv "$M/c/box" "$M/box"
[ "$(stat -c %u:%g "$M/box" "$M/box/file" | xargs)" = "100000:100000 100007:100008" ] || fail "a directory that moved out"
mv "$M/box/file" "$M/c/again"
[ "$(stat -c %u:%g "$M/c/again")" = 100007:100008 ] || fail "a file that moved in"
refuses "cross-device" ln "$M/c/again" "$M/link"
refuses "cross-device|cannot be shown" "$CAWFS" clone "$tree" "$M/c/plain"
# The owner has no image: nobody is he, also not the one with the overflow id.
echo secret >"$tree/far" && chown 70000:70000 "$tree/far" && chmod 600 "$tree/far"
# shellcheck disable=SC2086
"$CAWFS" clone $map "$tree" "$M/far"
[ "$(stat -c %u:%g "$M/far/far")" = 65534:65534 ] || fail "no image: $(stat -c %u:%g "$M/far/far")"
refuses "denied" as 65534 cat "$M/far/far"
chown 100001:100001 "$M/far/far"
as 100001 sh -c "echo mine >$M/far/far"
[ "$(cat "$tree/far")" = secret ] || fail "the original changed"
point "new files, chown, lists, moves, links" "by the map, or refused"

# A container: root of a user namespace whose ids begin at 100000 is root in the clone, and nobody in the original.
cat >"$SCRATCH/inside.py" <<'PYTHON'
"""inside.py COMMAND...: runs it as root of a user namespace whose ids begin at 100000."""
import ctypes, os, sys
mapped, told = os.pipe()
entered, ready = os.pipe()
child = os.fork()
if child == 0:
    if ctypes.CDLL(None, use_errno=True).unshare(0x10000000): os._exit(9)  # CLONE_NEWUSER
    os.write(ready, b"x")
    os.read(mapped, 1)
    os.setgid(0)
    os.setuid(0)
    os.setgroups([])
    os.execvp(sys.argv[1], sys.argv[1:])
os.read(entered, 1)
for kind in ("uid", "gid"):
    with open(f"/proc/{child}/{kind}_map", "w") as file: file.write("0 100000 65536\n")
os.write(told, b"x")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
PYTHON
inside() { python3 "$SCRATCH/inside.py" "$@"; }
[ "$(inside stat -c %u:%g "$M/c/listed/new")" = 1000:0 ] || fail "owners inside: $(inside stat -c %u:%g "$M/c/listed/new")"
inside cp -a "$M/c/listed" "$M/c/copy"
is_as "$M/c/listed" "$M/c/copy"
inside chown -R 5:6 "$M/c/copy"
inside setfacl -m u:7:rwx "$M/c/copy/new"
[ "$(stat -c %u:%g "$M/c/copy/new")" = 100005:100006 ] || fail "chown inside: $(stat -c %u:%g "$M/c/copy/new")"
getfacl -n "$M/c/copy/new" 2>/dev/null | grep -q "^user:100007:rwx" || fail "a list that was set inside"
inside rm -r "$M/c/copy"
refuses "denied|not permitted" inside rm -rf "$tree/listed"
point "root of a user namespace owns it" "ok"

# Clones that never change.
"$CAWFS" clone --read-only "$tree" "$M/ro"
before=$(cd "$M/ro" && find . -printf '%p %m %U:%G %s %A@ %T@ %C@\n' | sort | sha256sum)
rofs="read-only"
refuses $rofs touch "$M/ro/listed/new"
refuses $rofs sh -c "echo x >>$M/ro/listed/file"
refuses $rofs rm -f "$M/ro/listed/file"
refuses $rofs mv "$M/ro/listed/file" "$M/out"
refuses $rofs mv "$M/box" "$M/ro/box"
refuses $rofs chmod 700 "$M/ro" "$M/ro/listed"
refuses $rofs chown 5 "$M/ro/listed/file"
refuses $rofs setfacl -m u:5:r "$M/ro/listed/file"
refuses $rofs ln "$M/ro/listed/file" "$M/out"
refuses $rofs "$CAWFS" clone "$tree/listed" "$M/ro/in"
refuses $rofs "$CAWFS" rm "$M/ro/listed"
cat "$M/ro/listed/file" >/dev/null
grep -r "no such text" "$M/ro" >/dev/null || true
remount
[ "$before" = "$(cd "$M/ro" && find . -printf '%p %m %U:%G %s %A@ %T@ %C@\n' | sort | sha256sum)" ] || fail "a read-only clone changed"
"$CAWFS" clone "$M/ro" "$M/rw"
echo more >>"$M/rw/listed/file"
mv "$M/ro" "$M/ro2"
"$CAWFS" clone --replace "$M/ro2" "$M/ro2"
echo more >>"$M/ro2/listed/file"
"$CAWFS" clone --read-only "$tree" "$M/ro"
"$CAWFS" rm "$M/ro"
point "a read-only clone refuses every change" "ok"

# The size does not count.
mkdir "$M/small" && echo x >"$M/small/file"
seconds() {
    local best=9 round now
    for round in 1 2 3 4 5 6 7; do
        # shellcheck disable=SC2086
        now=$("$CAWFS" clone --json $map "$1" "$M/timed-$round" | python3 -c 'import json, sys; print(json.load(sys.stdin)["seconds"])')
        "$CAWFS" rm "$M/timed-$round"
        best=$(python3 -c "print(min($best, $now))")
    done
    echo "$best"
}
small=$(seconds "$M/small") large=$(seconds "$tree")
python3 -c "import sys; sys.exit($large > 4 * $small + 0.02)" || fail "a clone of one file: $small s, of the tree: $large s"
point "a mapped clone of one file, of the tree" "$(printf '%.1f ms, %.1f ms' "$(python3 -c "print($small * 1000)")" "$(python3 -c "print($large * 1000)")")"
check_store
is_as "$M/d" "$SCRATCH/shadow/c"
point "check" "ok"
