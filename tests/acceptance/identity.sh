#!/usr/bin/env bash
# Who is who among clones: many clones beside and inside each other, of which every object has a number of its own that no remount
# changes; and programs that go by such numbers (tar, rsync -H, du, find, git) see in a clone what they see in the original.
. "$(dirname "$0")/lib.sh"
need python3 tar rsync git find du
setup

cat >"$SCRATCH/grow.py" <<'PYTHON'
"""grow.py CAWFS MOUNT CLONES SEED: clones trees beside and inside each other, removing and moving some."""
import os, random, subprocess, sys
cawfs, mount, wanted, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
chance = random.Random(seed)
base = f"{mount}/base"
os.makedirs(f"{base}/deep/er")
for n in range(4):
    open(f"{base}/file-{n}", "w").write(str(n))
os.link(f"{base}/file-0", f"{base}/deep/also-0")
os.symlink("file-1", f"{base}/link")
os.mkfifo(f"{base}/deep/er/fifo")
weight = {base: 9}  # objects below each tree that may be cloned
done = made = 0
while done < wanted:
    source = chance.choice(list(weight))
    # A new tree grows beside a tree, or in one: then that is larger from now on.
    host = chance.choice([mount, mount, chance.choice(list(weight))])
    number = 1 if host != mount else chance.choice([1, 1, 40, 200])
    number = min(number, wanted - done)
    names = [f"{host}/c{made + n}" for n in range(number)]
    made += number
    if len(names[0]) > 1500 or weight[source] > 150:
        continue
    subprocess.run([cawfs, "clone", source, *names], check=True)
    done += number
    for name in names[:3]:
        weight[name] = weight[source] + 1
        open(f"{name}/file-2", "a").write("changed")
        open(f"{name}/new-{made}", "w").close()
    for tree in weight:
        if tree != mount and f"{host}/".startswith(f"{tree}/"):
            weight[tree] += number * weight[source]
    if chance.random() < 0.05 and len(weight) > 20:
        tree = chance.choice([t for t in weight if t != base])
        weight = {t: w for t, w in weight.items() if not f"{t}/".startswith(f"{tree}/")}
        if chance.random() < 0.5:
            subprocess.run([cawfs, "rm", tree], check=True)
        else:
            os.rename(tree, f"{mount}/moved-{made}")
            weight[f"{mount}/moved-{made}"] = 100
PYTHON
cat >"$SCRATCH/numbers.py" <<'PYTHON'
"""numbers.py MOUNT: every object with its number; fails if two that are not one have the same, or one has two."""
import os, sys
root, seen, lines = sys.argv[1], {}, []
def visit(path):
    for entry in os.scandir(path):
        about = entry.stat(follow_symlinks=False)
        if entry.inode() != about.st_ino:
            sys.exit(f"{entry.path}: {entry.inode()} in the listing, {about.st_ino} by itself")
        seen.setdefault(about.st_ino, []).append((entry.path, about.st_nlink, entry.is_dir(follow_symlinks=False)))
        lines.append(f"{entry.path} {about.st_ino}")
        if entry.is_dir(follow_symlinks=False):
            visit(entry.path)
visit(root)
several = 0
for number, objects in seen.items():
    path, links, is_dir = objects[0]
    if is_dir and len(objects) > 1 or not is_dir and len(objects) != links:
        sys.exit(f"number {number}, {links} links: {objects}")
    several += len(objects) > 1
print(f"{len(lines)} names, {len(seen)} objects, {several} of them with several names", file=sys.stderr)
print("\n".join(sorted(lines)))
PYTHON

clones=$(slice 800 10000)
python3 "$SCRATCH/grow.py" "$CAWFS" "$M" "$clones" "${CAWFS_SEED:-1}"
python3 "$SCRATCH/numbers.py" "$M" >"$SCRATCH/before" 2>"$SCRATCH/said" || fail "$(cat "$SCRATCH/said")"
point "$clones clones, numbers of their own" "$(cat "$SCRATCH/said")"
check_store
python3 "$SCRATCH/numbers.py" "$M" >"$SCRATCH/after" 2>"$SCRATCH/said" || fail "$(cat "$SCRATCH/said")"
cmp "$SCRATCH/before" "$SCRATCH/after" || fail "a remount changed numbers"
point "the same after a remount, check" "ok"

# Programs that go by numbers.
tree=$M/programs
mkdir -p "$tree/a/b"
head -c 3000000 /dev/urandom >"$tree/a/big"
ln "$tree/a/big" "$tree/a/b/same"
ln "$tree/a/big" "$tree/other"
git init -q -b main "$tree/repo"
seq 1000 >"$tree/repo/numbers"
git -C "$tree/repo" -c user.name=a -c user.email=a@example.org add -A
git -C "$tree/repo" -c user.name=a -c user.email=a@example.org commit -q -m numbers
"$CAWFS" clone "$tree" "$M/clone"
for t in "$tree" "$M/clone"; do
    rm -rf "$SCRATCH/shadow" && mkdir "$SCRATCH/shadow"
    rsync -aH "$t/" "$SCRATCH/shadow/rsync/"
    tar -C "$t" -cf "$SCRATCH/tar" . && mkdir "$SCRATCH/shadow/tar" && tar -C "$SCRATCH/shadow/tar" -xf "$SCRATCH/tar"
    for copy in rsync tar; do
        [ "$(stat -c %h "$SCRATCH/shadow/$copy/other")" = 3 ] || fail "$copy of $t: the links are lost"
        diff -r "$t" "$SCRATCH/shadow/$copy" || fail "$copy of $t differs"
    done
    number=$(stat -c %i "$t/other")
    [ "$(find "$t" -xdev -inum "$number" | wc -l)" = 3 ] || fail "find -inum in $t"
    [ "$(find "$M" -xdev -inum "$number" | wc -l)" = 3 ] || fail "find -inum in all of the mount, for $t"
    [ "$(du -sb --apparent-size "$t/a" | cut -f1)" -lt 3500000 ] || fail "du counts a file with two names twice in $t"
    [ -z "$(git -C "$t/repo" status --porcelain)" ] || fail "git status in $t"
    git -C "$t/repo" fsck --no-progress --strict || fail "git fsck in $t"
done
echo more >>"$M/clone/a/b/same"
[ "$(stat -c %s "$M/clone/other")" = 3000005 ] || fail "names of one file in the clone are not one file"
[ "$(stat -c %s "$tree/other")" = 3000000 ] || fail "the original changed with its clone"
point "tar, rsync -aH, du, find -inum, git" "the same in the clone"
